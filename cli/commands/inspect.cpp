#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "common/overloaded.hpp"

#include <memory>

namespace sema {
namespace {

struct InspectOptions {
    std::string pool;
};

int run_inspect(const InspectOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) {
        session.console.error(pool.error().message);
        return exit_status::usage;
    }
    return std::visit(Overloaded{[&](const wire::PoolState& state) {
                                     return print_result(session, render(state, session.console.output()));
                                 },
                                 [&](const auto& trouble) { return explain(session, *pool, trouble); }},
                      session.client.inspect(pool->id));
}

}  // namespace

void setup_inspect(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<InspectOptions>();
    CLI::App& command = add_command(app, "inspect", "Print how many slots a pool has and how many are lent",
                                    "Example: how many slots are free, for a script\n"
                                    "  semactl --output json inspect vsim | jq .available");
    add_pool(command, options->pool);
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_inspect(*options, session); };
    });
}

}  // namespace sema
