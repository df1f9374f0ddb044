#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/overloaded.hpp"

#include <memory>

namespace sema {
namespace {

struct RegisterOptions {
    std::string pool;
    unsigned count = 0;
};

int run_register(const RegisterOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) {
        session.console.error(pool.error().message);
        return exit_status::usage;
    }
    return std::visit(Overloaded{[&](const wire::PoolState& state) {
                                     return print_result(session, render(state, session.console.output()));
                                 },
                                 [&](const auto& trouble) { return explain(session, *pool, trouble); }},
                      session.client.register_pool(pool->id, {options.count}));
}

}  // namespace

void setup_register(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<RegisterOptions>();
    CLI::App* command = app.add_subcommand("register", "Make a pool, or change how many slots it has");
    add_pool(*command, options->pool);
    add_number(*command, "--count", options->count, "How many slots the pool has")->required();
    command->footer(
        "Leases that are held stay valid, however small the count becomes.\n\n"
        "Example: a pool for four licences\n"
        "  semactl register vsim --count 4");
    command->callback([options, &chosen] {
        chosen = [options](Session& session) { return run_register(*options, session); };
    });
}

}  // namespace sema
