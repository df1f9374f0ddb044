#include "cli/commands/commands.hpp"
#include "cli/commands/insist.hpp"
#include "cli/exit_status.hpp"
#include "common/overloaded.hpp"

#include <memory>

namespace sema {
namespace {

struct ReturnOptions {
    std::string pool;
    std::string lease;
    std::optional<Duration> wait;
    std::optional<std::uint64_t> fence;
};

int report(Session& session, const PoolRef& pool, const wire::Returned& answer) {
    const std::string text = session.console.output() == Output::json ? json_line(wire::to_json(answer)) : "";
    if (!answer.returned) note_not_held(session, pool, "not returned");
    const int status = print_result(session, text);
    return status == exit_status::done && !answer.returned ? exit_status::no : status;
}

int run_return(const ReturnOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    const auto lease = resolve_lease(options.lease);
    if (!pool || !lease) {
        session.console.error(!pool ? pool.error().message : lease.error().message);
        return exit_status::usage;
    }
    bool may_be_done = false;
    auto answer = insist(session, *pool, options.wait.value_or(usual_insistence), [&](Duration limit) {
        auto result = session.client.give_back(pool->id, *lease, limit, options.fence);
        if (const auto* away = std::get_if<Unreachable>(&result)) may_be_done |= away->may_be_done;
        if (const auto* busy = std::get_if<Busy>(&result)) may_be_done |= busy->may_be_done;
        return result;
    });
    return std::visit(Overloaded{[&](wire::Returned& done) {
                                     // By a try whose answer was lost.
                                     done.returned = done.returned || may_be_done;
                                     return report(session, *pool, done);
                                 },
                                 [&](const auto& trouble) { return explain(session, *pool, trouble); }},
                      answer);
}

}  // namespace

void setup_return(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<ReturnOptions>();
    CLI::App& command = add_command(app, "return", "Return a slot before its lease ends",
                                    "Exit status 1 means that the lease was held no longer.\n\n"
                                    "Example: return what `semactl borrow --shell` borrowed\n"
                                    "  semactl return vsim env:SEMA_LEASE");
    add_named_pool(command, options->pool);
    add_lease(command, options->lease);
    add_duration(command, "--wait", options->wait,
                 "How long to try while the server is away (10s; 0: one try)");
    add_fence(command, options->fence, "Only if the lease has this fence, as SEMA_FENCE says");
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_return(*options, session); };
    });
}

}  // namespace sema
