#include "cli/session.hpp"

#include "cli/exit_status.hpp"

namespace sema {
namespace {

int fail(Session& session, const std::string& about, const Unavailable& why) {
    session.console.error(about + session.client.server().name + " is not available: " + why.reason +
                          " (is semad running there? --server names another)");
    return exit_status::unreachable;
}

int fail(Session& session, const std::string& about, const Rejected& why) {
    session.console.error(about + session.client.server().name + " " + why.reason);
    return exit_status::failed;
}

}  // namespace

int explain(Session& session, const PoolRef& pool, const NoSuchPool&) {
    session.console.error(pool.name + ": no such pool on " + session.client.server().name +
                          " (register it: semactl register " + pool.argument + " --count 4)");
    return exit_status::no_such_pool;
}

int explain(Session& session, const PoolRef& pool, const NoSlot&) {
    session.console.error(pool.name + ": no slot became free in time (a longer --wait waits longer)");
    return exit_status::no_slot;
}

int explain(Session& session, const PoolRef& pool, const Unavailable& why) {
    return fail(session, pool.name + ": ", why);
}

int explain(Session& session, const PoolRef& pool, const Rejected& why) {
    return fail(session, pool.name + ": ", why);
}

int explain(Session& session, const Unavailable& why) {
    return fail(session, "", why);
}

int explain(Session& session, const Rejected& why) {
    return fail(session, "", why);
}

int print_result(Session& session, std::string_view text) {
    if (session.console.print(text)) return exit_status::done;
    session.console.error("cannot write to the standard output");
    return exit_status::failed;
}

std::string render(const wire::PoolState& state, Output output) {
    if (output == Output::json) return wire::to_json(state) + "\n";
    return "count      " + std::to_string(state.count) + "\nin_use     " + std::to_string(state.in_use) +
           "\navailable  " + std::to_string(state.available) + "\n";
}

}  // namespace sema
