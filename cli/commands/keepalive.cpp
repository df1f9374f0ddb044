#include "cli/commands/commands.hpp"
#include "cli/commands/insist.hpp"
#include "cli/exit_status.hpp"
#include "common/overloaded.hpp"

#include <memory>

namespace sema {
namespace {

using namespace std::chrono_literals;

struct KeepaliveOptions {
    std::string pool;
    std::string lease;
    std::optional<Duration> ttl;
    std::optional<Duration> wait;
    std::optional<std::uint64_t> fence;
};

int report(Session& session, const PoolRef& pool, const wire::Renewed& answer) {
    const bool json = session.console.output() == Output::json;
    if (!answer.lease) note_not_held(session, pool, "not renewed");
    const std::string text = json           ? json_line(wire::to_json(answer))
                             : answer.lease ? render(*answer.lease, Output::text)
                                            : "";
    const int status = print_result(session, text);
    return status == exit_status::done && !answer.lease ? exit_status::no : status;
}

int run_keepalive(const KeepaliveOptions& options, Session& session) {
    const auto fail = [&](const std::string& why) {
        session.console.error(why);
        return exit_status::usage;
    };
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) return fail(pool.error().message);
    const auto lease = resolve_lease(options.lease);
    if (!lease) return fail(lease.error().message);
    const auto ttl = options.ttl ? options.ttl : pool->ttl;
    if (!ttl) return fail("keepalive needs --ttl: that long from now the lease ends");
    const auto answer = insist(session, *pool, options.wait.value_or(usual_insistence), [&](Duration limit) {
        return session.client.keepalive(pool->id, *lease, *ttl, limit, options.fence);
    });
    return std::visit(
        Overloaded{[&](const wire::Renewed& renewed) { return report(session, *pool, renewed); },
                   [&](const auto& trouble) { return explain(session, *pool, trouble); }},
        answer);
}

}  // namespace

void setup_keepalive(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<KeepaliveOptions>();
    CLI::App& command = add_command(app, "keepalive", "Give a lease a new end",
                                    "Exit status 1 means that the lease was held no longer.\n\n"
                                    "Example: a script's next step may take another ten minutes\n"
                                    "  semactl keepalive vsim env:SEMA_LEASE --ttl 10m || exit");
    add_named_pool(command, options->pool);
    add_lease(command, options->lease);
    add_ttl(command, options->ttl,
            "How long the slot is held from now on, be that longer or shorter than before");
    add_duration(command, "--wait", options->wait,
                 "How long to try while the server is away (10s; 0: one try)");
    add_fence(command, options->fence, "Only if the lease has this fence, as SEMA_FENCE says");
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_keepalive(*options, session); };
    });
}

}  // namespace sema
