#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/pool_table.hpp"
#include "common/overloaded.hpp"

#include <memory>
#include <utility>

namespace sema {
namespace {

struct HoldersOptions {
    std::string pool;
};

std::string render(const wire::PoolDetails& view, const PoolRef& pool, const Console& console) {
    if (console.output() == Output::json) return json_line(wire::to_json(view));
    TableLayout layout;
    if (const auto terminal = console.terminal()) {
        layout.links = TableLayout::Links::hyperlink;
        layout.columns = terminal->columns;
    }
    std::string text;
    for (const std::string& line : pool_table(view, pool.name, Duration::zero(), layout))
        text += line + "\n";
    return console.in_locale(std::move(text));
}

int run_holders(const HoldersOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) {
        session.console.error(pool.error().message);
        return exit_status::usage;
    }
    return std::visit(Overloaded{[&](const wire::PoolDetails& view) {
                                     return print_result(session, render(view, *pool, session.console));
                                 },
                                 [&](const auto& trouble) { return explain(session, *pool, trouble); }},
                      session.client.holders(pool->id));
}

}  // namespace

void setup_holders(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<HoldersOptions>();
    CLI::App& command = add_command(app, "holders", "Print who holds a pool's slots, and who waits",
                                    "On a terminal, a name whose holder gave a link is one.\n\n"
                                    "Example: who keeps us waiting?\n"
                                    "  semactl who vsim");
    set_alias(command, "who");
    add_pool(command, options->pool);
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_holders(*options, session); };
    });
}

}  // namespace sema
