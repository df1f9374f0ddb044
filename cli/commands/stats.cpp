#include "cli/commands/commands.hpp"
#include "cli/commands/since.hpp"
#include "cli/exit_status.hpp"
#include "cli/pool_table.hpp"
#include "common/overloaded.hpp"

#include <memory>
#include <utility>

namespace sema {
namespace {

struct StatsOptions {
    std::string pool;
    std::optional<Duration> since;
    bool what_if = false;
};

std::string render(const wire::PoolStatistics& statistics, const PoolRef& pool, const Console& console) {
    if (console.output() == Output::json) return json_line(wire::to_json(statistics));
    TableLayout layout;
    if (const auto terminal = console.terminal()) layout.columns = terminal->columns;
    std::string text;
    for (const std::string& line : statistics_table(statistics, pool.name, layout))
        text += line + "\n";
    return console.in_locale(std::move(text));
}

int run_stats(const StatsOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) {
        session.console.error(pool.error().message);
        return exit_status::usage;
    }
    const PastWanted wanted{.since = unix_time_before(options.since), .what_if = options.what_if};
    return std::visit(Overloaded{[&](const wire::PoolStatistics& statistics) {
                                     return print_result(session, render(statistics, *pool, session.console));
                                 },
                                 [&](const auto& trouble) { return explain(session, *pool, trouble); }},
                      session.client.statistics(pool->id, wanted));
}

}  // namespace

void setup_stats(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<StatsOptions>();
    CLI::App& command = add_command(
        app, "stats", "Print how a pool was used, and waited for",
        "With --what-if, the borrowers of that time are put before the same pool once more, with up to two "
        "slots less and four more. It is assumed that holders hold as long as they did, and that nobody "
        "comes "
        "or stays away because of the waits.\n\n"
        "Example: is it worth buying another seat?\n"
        "  semactl stats vsim --since 30d --what-if");
    add_pool(command, options->pool);
    add_duration(command, "--since", options->since, "Only what happened within this time (all)");
    add_flag(command, "--what-if", options->what_if, "Show how waits would have been with other counts too");
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_stats(*options, session); };
    });
}

}  // namespace sema
