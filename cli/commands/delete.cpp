#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/overloaded.hpp"

#include <memory>

namespace sema {
namespace {

struct DeleteOptions {
    std::string pool;
};

int run_delete(const DeleteOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) {
        session.console.error(pool.error().message);
        return exit_status::usage;
    }
    return std::visit(
        Overloaded{[&](const wire::Deleted& answer) {
                       const std::string text =
                           session.console.output() == Output::json ? wire::to_json(answer) + "\n" : "";
                       if (!answer.deleted)
                           session.console.note(pool->name + ": there is no such pool on " +
                                                session.client.server().name);
                       const int status = print_result(session, text);
                       return status == exit_status::done && !answer.deleted ? exit_status::no : status;
                   },
                   [&](const auto& trouble) { return explain(session, *pool, trouble); }},
        session.client.remove(pool->id));
}

}  // namespace

void setup_delete(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<DeleteOptions>();
    CLI::App& command = add_command(
        app, "delete", "Delete a pool with all its leases",
        "Who waits for a slot of it is told that there is no such pool. Exit status 1 means that there was "
        "none.\n\n"
        "Example:\n"
        "  semactl delete vsim");
    add_pool(command, options->pool);
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_delete(*options, session); };
    });
}

}  // namespace sema
