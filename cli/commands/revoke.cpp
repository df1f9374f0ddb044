#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "common/overloaded.hpp"

#include <memory>

namespace sema {
namespace {

struct RevokeOptions {
    std::string pool;
    unsigned position = 0;
};

int run_revoke(const RevokeOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) {
        session.console.error(pool.error().message);
        return exit_status::usage;
    }
    return std::visit(
        Overloaded{[&](const wire::Revoked& answer) {
                       const std::string text =
                           session.console.output() == Output::json ? wire::to_json(answer) + "\n" : "";
                       if (!answer.revoked)
                           session.console.note(pool->name + ": nobody holds position " +
                                                std::to_string(options.position));
                       const int status = print_result(session, text);
                       return status == exit_status::done && !answer.revoked ? exit_status::no : status;
                   },
                   [&](const auto& trouble) { return explain(session, *pool, trouble); }},
        session.client.revoke(pool->id, options.position));
}

}  // namespace

void setup_revoke(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<RevokeOptions>();
    CLI::App& command = add_command(
        app, "revoke", "Take a slot from its holder",
        "The lease ends at once, with all its slots, and the next borrower is served: be sure that its "
        "holder "
        "does not use it any more. Exit status 1 means that nobody held it.\n\n"
        "Example: the machine that holds slot 2 has burnt down\n"
        "  semactl revoke vsim 2");
    add_named_pool(command, options->pool);
    add_number(command, "POSITION", options->position, "The slot's number, as `semactl holders` shows it",
               {0, wire::largest_count - 1});
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_revoke(*options, session); };
    });
}

}  // namespace sema
