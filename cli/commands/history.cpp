#include "cli/commands/commands.hpp"
#include "cli/commands/since.hpp"
#include "cli/exit_status.hpp"
#include "cli/pool_table.hpp"
#include "common/overloaded.hpp"

#include <memory>
#include <utility>

namespace sema {
namespace {

struct HistoryOptions {
    std::string pool;
    std::optional<Duration> since;
    unsigned limit = 100;
    std::optional<unsigned> position;
};

std::string render(const wire::PoolHistory& history, const PoolRef& pool, std::size_t limit,
                   const Console& console) {
    if (console.output() == Output::json) return json_line(wire::to_json(history));
    TableLayout layout;
    if (const auto terminal = console.terminal()) {
        layout.links = TableLayout::Links::hyperlink;
        layout.columns = terminal->columns;
    }
    std::string text;
    for (const std::string& line : history_table(history, pool.name, limit, layout))
        text += line + "\n";
    return console.in_locale(std::move(text));
}

int run_history(const HistoryOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) {
        session.console.error(pool.error().message);
        return exit_status::usage;
    }
    const PastWanted wanted{
        .since = unix_time_before(options.since), .limit = options.limit, .position = options.position};
    return std::visit(Overloaded{[&](const wire::PoolHistory& history) {
                                     return print_result(
                                         session, render(history, *pool, options.limit, session.console));
                                 },
                                 [&](const auto& trouble) { return explain(session, *pool, trouble); }},
                      session.client.history(pool->id, wanted));
}

}  // namespace

void setup_history(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<HistoryOptions>();
    CLI::App& command = add_command(
        app, "history", "Print who had a pool's slots, and for how long",
        "The latest come first. A lease that is still held is not among them: semactl holders shows it.\n\n"
        "Example: who had the second board since yesterday?\n"
        "  semactl history boards --position 1 --since 1d");
    add_pool(command, options->pool);
    add_duration(command, "--since", options->since, "Only leases that ended within this time (all)");
    add_number(command, "--limit", options->limit, "So many at the most, up to 10000 (100)",
               {1, most_past_leases});
    add_optional_number(command, "--position", options->position, "Only leases of this slot (any)",
                        {0, wire::largest_count - 1});
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_history(*options, session); };
    });
}

}  // namespace sema
