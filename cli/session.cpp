#include "cli/session.hpp"

#include "cli/exit_status.hpp"
#include "cli/pool_table.hpp"
#include "cli/queue_place.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace sema {
namespace {

int fail(Session& session, const std::string& about, const Unreachable& why) {
    session.console.error(about + session.client.server().name + " " + predicate(why) +
                          (why.advice.empty() ? "" : " (" + why.advice + ")"));
    return exit_status::unreachable;
}

int fail(Session& session, const std::string& about, const Busy& why) {
    session.console.error(about + session.client.server().name + " " + predicate(why) + " (try again later)");
    return exit_status::unreachable;
}

// What the server's limits are, where it says only that something is beyond them.
std::string range_of(const Rejected& why) {
    if (is_count_out_of_range(why)) return count_range;
    if (why.reason.find("slots out of range") != std::string::npos)
        return " (it takes 1 to 1000, unless it was started with another --max-count)";
    return "";
}

int fail(Session& session, const std::string& about, const Rejected& why) {
    const bool is_semads = !why.is_foreign && why.reason.rfind("refused", 0) == 0;
    const std::string port = is_semads || why.is_handshake ? "" : port_advice(session.client.server());
    session.console.error(about + session.client.server().name + " " + predicate(why) + range_of(why) +
                          (port.empty() ? "" : " (" + port + ")"));
    // It is no semad's that was meant.
    return why.is_foreign ? exit_status::unreachable : exit_status::failed;
}

}  // namespace

std::string no_such_position(const PoolRef& pool, unsigned position, unsigned count) {
    return pool.name + ": there is no position " + std::to_string(position) +
           (count == 0 ? ": the pool has no slots" : " (the last one is " + std::to_string(count - 1) + ")");
}

bool is_count_out_of_range(const Rejected& why) {
    return why.reason.find("count out of range") != std::string::npos;
}

int explain(Session& session, const PoolRef& pool, const NoSuchPool&) {
    const std::string& passed_over = session.client.passed_over();
    session.console.error(
        pool.name + ": no such pool on " + session.client.server().name + " (" +
        (passed_over.empty() ? advice_if_absent(pool) : passed_over + ": do the servers share a store?") +
        ")");
    return exit_status::no_such_pool;
}

int explain(Session& session, const PoolRef& pool, const NoSlot& none, Duration wait) {
    if (none.details && none.details->count < none.slots) {
        const std::string missing = std::to_string(none.slots - none.details->count);
        session.console.error(pool.name + ": the pool has " + only_slots(none.details->count) + ", and " +
                              std::to_string(none.slots) + (none.slots == 1 ? " was" : " were") +
                              " asked for (semactl resize " + pool.argument + " +" + missing +
                              " adds as many as are missing)");
        return exit_status::no_slot;
    }
    if (wait == Duration::zero()) {
        const std::string what = none.slots == 1
                                     ? "no slot is free"
                                     : "no " + std::to_string(none.slots) + " slots are free at once";
        session.console.error(pool.name + ": " + what + " (--wait 5m would wait for " +
                              (none.slots == 1 ? "one" : "them") +
                              (none.details ? ": " + place_in_queue(none) : "") + ")");
        return exit_status::no_slot;
    }
    session.console.error(
        pool.name + (none.details ? ": no slot became free within the wait (" + place_in_queue(none) + ")"
                                  : ": no slot became free in time (a longer --wait waits longer)"));
    return exit_status::no_slot;
}

int explain(Session& session, const PoolRef& pool, const NotRenewable&) {
    session.console.error(pool.name + ": the pool does not let its leases be renewed (semactl register " +
                          pool.argument + " --renewable yes would)");
    return exit_status::failed;
}

int explain(Session& session, const PoolRef& pool, const Busy& why) {
    return fail(session, pool.name + ": ", why);
}

int explain(Session& session, const PoolRef& pool, const Unreachable& why) {
    return fail(session, pool.name + ": ", why);
}

int explain(Session& session, const PoolRef& pool, const Rejected& why) {
    if (why.is_cancelled) {
        session.console.error(pool.name + ": an administrator took this borrower out of the queue");
        return exit_status::no_slot;
    }
    return fail(session, pool.name + ": ", why);
}

int explain(Session& session, const Busy& why) {
    return fail(session, "", why);
}

int explain(Session& session, const Unreachable& why) {
    return fail(session, "", why);
}

int explain(Session& session, const Rejected& why) {
    return fail(session, "", why);
}

void note_not_held(Session& session, const PoolRef& pool, const std::string& what) {
    const std::string begin = pool.name + ": " + what + ": ";
    const auto state = session.client.inspect(pool.id);
    if (std::holds_alternative<NoSuchPool>(state))
        session.console.note(begin + "there is no such pool on " + session.client.server().name);
    else
        session.console.note(
            begin +
            "the server knows no such lease of the pool: it has ended, or was returned or revoked "
            "before, or is another pool's");
}

void note_if_empty(Session& session, const PoolRef& pool, const wire::PoolState& state) {
    if (state.count == 0)
        session.console.note(pool.name + ": it has no slots, so nobody is lent one (semactl resize " +
                             pool.argument + " +1)");
}

int print_result(Console& console, std::string_view text) {
    if (console.print(text)) return exit_status::done;
    if (errno == EPIPE) return exit_status::of_signal(SIGPIPE);
    console.error("cannot write to the standard output");
    return exit_status::failed;
}

int print_result(Session& session, std::string_view text) {
    return print_result(session.console, text);
}

std::string failure_line(int status) {
    return "(exit " + std::to_string(exit_status::in_shell(status)) + ")\n";
}

std::string render(const wire::PoolState& state, Output output) {
    if (output == Output::json) return json_line(wire::to_json(state));
    return "count      " + std::to_string(state.count) + "\nin_use     " + std::to_string(state.in_use) +
           "\navailable  " + std::to_string(state.available) + "\n";
}

std::string render(const wire::BorrowQueued& place, Output output) {
    if (output == Output::json) return json_line(wire::to_json(place));
    return "lease  " + place.lease.str() + "\nrank   " + std::to_string(place.rank) + "\nqueue  " +
           std::to_string(place.queue) + "\neta    " + (place.eta ? std::to_string(*place.eta) : "unknown") +
           "\n";
}

std::string render(const wire::LeaseGrant& lease, Output output) {
    if (output == Output::json) return json_line(wire::to_json(lease));
    std::string text = "lease            " + lease.lease.str() + "\nposition         " +
                       std::to_string(lease.position) + "\nexpires_at_unix  " +
                       std::to_string(lease.expires_at_unix) + "\nexpires_in       " +
                       std::to_string(lease.expires_in) + "\n";
    if (!lease.details) return text;
    text += "positions        " + describe_positions(lease.details->positions) + "\nfence            " +
            std::to_string(lease.details->fence) + "\n";
    const auto& slots = lease.details->slots;
    // Most pools have no payloads.
    if (std::all_of(slots.begin(), slots.end(), [](const wire::Payload& slot) { return slot == "null"; }))
        return text;
    const char* label = "slots            ";
    for (const wire::Payload& payload : slots) {
        text += label + printable(wire::payload_text(payload)) + "\n";
        label = "                 ";
    }
    return text;
}

}  // namespace sema
