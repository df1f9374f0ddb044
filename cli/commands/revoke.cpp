#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/pool_table.hpp"
#include "common/overloaded.hpp"

#include <algorithm>
#include <memory>

namespace sema {
namespace {

struct RevokeOptions {
    std::string pool;
    unsigned position = 0;
    std::optional<std::uint64_t> fence;
    bool yes = false;
};

std::string nobody_holds(Session& session, const PoolRef& pool, unsigned position) {
    const auto answer = session.client.inspect(pool.id);
    const auto* state = std::get_if<wire::PoolState>(&answer);
    if (state != nullptr && position >= state->count) return no_such_position(pool, position, state->count);
    return pool.name + ": nobody holds position " + std::to_string(position);
}

int revoke(const RevokeOptions& options, Session& session, const PoolRef& pool,
           std::optional<std::uint64_t> fence) {
    return std::visit(
        Overloaded{[&](const wire::Revoked& answer) {
                       const std::string text =
                           session.console.output() == Output::json ? json_line(wire::to_json(answer)) : "";
                       if (!answer.revoked)
                           session.console.note(fence ? pool.name + ": the lease with the fence " +
                                                            std::to_string(*fence) +
                                                            " does not hold position " +
                                                            std::to_string(options.position) + " (any more)"
                                                      : nobody_holds(session, pool, options.position));
                       const int status = print_result(session, text);
                       return status == exit_status::done && !answer.revoked ? exit_status::no : status;
                   },
                   [&](const auto& trouble) { return explain(session, pool, trouble); }},
        session.client.revoke(pool.id, {options.position, fence}));
}

// Shows which lease would be revoked, and revokes that one and no other.
int revoke_confirmed(const RevokeOptions& options, Session& session, const PoolRef& pool,
                     const wire::PoolDetails& view) {
    const auto lease = std::find_if(view.holders.begin(), view.holders.end(), [&](const auto& entry) {
        return std::binary_search(entry.positions.begin(), entry.positions.end(), options.position);
    });
    if (lease == view.holders.end()) {
        session.console.note(nobody_holds(session, pool, options.position));
        return exit_status::no;
    }
    const std::string question =
        pool.name + ": " + (lease->positions.size() > 1 ? "positions " : "position ") +
        describe_positions(lease->positions) + ", held by " + describe_lease(*lease) + ": revoke that lease?";
    if (session.console.is_confirmed(question)) return revoke(options, session, pool, lease->fence);
    session.console.note(pool.name + ": nothing was revoked");
    return exit_status::no;
}

int run_revoke(const RevokeOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) {
        session.console.error(pool.error().message);
        return exit_status::usage;
    }
    if (options.fence || options.yes || !session.console.can_ask())
        return revoke(options, session, *pool, options.fence);
    return std::visit(Overloaded{[&](const wire::PoolDetails& view) {
                                     return revoke_confirmed(options, session, *pool, view);
                                 },
                                 [&](const auto& trouble) { return explain(session, *pool, trouble); }},
                      session.client.holders(pool->id));
}

}  // namespace

void setup_revoke(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<RevokeOptions>();
    CLI::App& command = add_command(
        app, "revoke", "Take a slot from its holder",
        "The lease ends at once, with all its slots, and the next borrower is served: be sure that its "
        "holder "
        "does not use it any more. On a terminal it shows whose lease that is, and asks. Exit status 1 means "
        "that nothing was revoked.\n\n"
        "Example: the machine that holds slot 2 has burnt down\n"
        "  semactl revoke vsim 2\n\n"
        "Example: the same in a script, which must not hit the next holder\n"
        "  semactl revoke vsim 2 --fence 41");
    add_named_pool(command, options->pool);
    add_number(command, "POSITION", options->position, "The slot's number, as `semactl holders` shows it",
               {0, wire::largest_count - 1});
    add_fence(command, options->fence,
              "Only if the lease there has this fence, as `semactl holders` shows it");
    add_flag(command, "-y,--yes", options->yes, "Do not ask");
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_revoke(*options, session); };
    });
}

}  // namespace sema
