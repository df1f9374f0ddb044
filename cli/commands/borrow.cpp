#include "cli/commands/callback_request.hpp"
#include "cli/commands/commands.hpp"
#include "cli/commands/insist.hpp"
#include "cli/exit_status.hpp"
#include "cli/run/acquire.hpp"
#include "cli/run/environment.hpp"
#include "cli/run/identity.hpp"
#include "client/upkeep.hpp"
#include "common/given_text.hpp"
#include "common/overloaded.hpp"

#include <limits.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string_view>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// How long a stdout that takes nothing keeps us from looking for signals.
constexpr auto write_patience = 200ms;

struct BorrowOptions {
    std::string pool;
    std::optional<Duration> ttl;
    std::optional<Duration> wait;
    std::string lease;
    std::optional<unsigned> slots;
    std::optional<std::int64_t> priority;
    Holder holder;
    CallbackOptions callback;
    bool shell = false;
};

std::string environment_variable(const char* name) {
    return environment_value(name).value_or("");
}

// What this shell and the runs around it hold, as far as the environment says so.
std::string held_around() {
    return environment_variable(held_variable);
}

std::string shell_lines(const PoolRef& pool, const wire::LeaseGrant& lease) {
    auto variables = lease_variables(lease);
    variables.emplace_back(held_variable, held_with(held_around(), pool.id));
    std::string text;
    for (const auto& [name, value] : variables)
        text.append("export ").append(name).append("=").append(shell_word(value)).append("\n");
    // A pipe takes so much whole or not at all. Of more it may get a part, where this process is ended
    // meanwhile, which a shell is not to take for a lease: a group without its end is an error.
    return text.size() <= PIPE_BUF ? text : "{\n" + text + "}\n";
}

// What the server is asked for, all but the times.
Expected<wire::BorrowRequest> request_of(const BorrowOptions& options) {
    wire::BorrowRequest request;
    if (!options.lease.empty()) {
        const auto lease = resolve_lease(options.lease);
        if (!lease) return tl::unexpected(lease.error());
        request.lease = *lease;
    }
    Holder holder = identity(std::nullopt, environment_variable);
    if (options.holder.name) holder.name = options.holder.name;
    if (options.holder.url) holder.url = options.holder.url;
    request.holder = std::make_shared<const Holder>(std::move(holder));
    request.slots = options.slots.value_or(1);
    request.priority = static_cast<int>(options.priority.value_or(0));
    request.extended = true;
    return request;
}

// Whether more than the base contract's fields were asked for, and so are printed.
bool wants_details(const BorrowOptions& options) {
    return !options.lease.empty() || options.holder.name || options.holder.url || options.slots ||
           options.priority;
}

// A borrower waits under a lease's id, so that it keeps its place while the server or the connection is away,
// and can ask several servers for the same lease.
wire::BorrowRequest keyed(wire::BorrowRequest request) {
    if (!request.lease) request.lease = LeaseId::random();
    return request;
}

// Takes a place in the queue for a borrower that is to be called. The exit status.
int queue_callback(const BorrowOptions& options, Session& session, const PoolRef& pool,
                   wire::BorrowRequest request) {
    const auto fail = [&](const std::string& why) {
        session.console.error(why);
        return exit_status::usage;
    };
    if (options.shell) return fail("--shell has nothing to export with --callback: there is no slot yet");
    if (options.wait == Duration::zero())
        return fail("--callback waits for a slot (leave out --wait to wait as long as the server allows)");
    auto callback = callback_of(options.callback);
    if (!callback) return fail(callback.error().message);
    request.callback = std::make_shared<const wire::Callback>(*std::move(callback));
    request.wait = options.wait.value_or(0s);
    const auto answer = insist(session, pool, usual_insistence, [&](Duration limit) {
        return session.client.request_callback(pool.id, request, limit);
    });
    return std::visit(
        Overloaded{[&](const wire::BorrowQueued& place) {
                       return print_result(session, render(place, session.console.output()));
                   },
                   [&](const Grant& held) {
                       session.console.note(pool.name +
                                            ": that lease is held already, and takes no place in the queue "
                                            "(`semactl callbacks " +
                                            pool.argument +
                                            "` shows whether somebody is being called for it)");
                       return print_result(session, render(held.lease, session.console.output()));
                   },
                   [&](const Rejected& why) {
                       const std::string advice = callback_advice(*request.callback, why.reason);
                       if (advice.empty()) return explain(session, pool, why);
                       session.console.error(pool.name + ": " + session.client.server().name + " " +
                                             predicate(why) + " (" + advice + ")");
                       return exit_status::failed;
                   },
                   [&](const auto& trouble) { return explain(session, pool, trouble); }},
        answer);
}

enum class Printed {
    whole,
    failed,
    ended,  ///< a signal asks to end
    late,
};

// Where a stdout takes nothing, that is waited for until a signal asks to end, or it is too late.
Printed print(Session& session, Requests& requests, std::string_view text, Moment latest = Moment::max()) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(latest - BootClock::now());
        const auto written = session.console.print_within(
            text, std::clamp<std::chrono::milliseconds>(left, 0ms, write_patience));
        if (!written) return Printed::failed;
        text.remove_prefix(*written);
        if (text.empty()) return Printed::whole;
        requests.take_in();
        if (requests.end()) return Printed::ended;
        requests.suspend();
        if (BootClock::now() >= latest) return Printed::late;
    }
}

// Prints the lease. The exit status.
int print_lease(const BorrowOptions& options, Session& session, const PoolRef& pool, HeldLease& lease,
                Requests& requests) {
    wire::LeaseGrant granted = lease.grant().lease;
    if (!wants_details(options)) granted.details.reset();
    const std::string text =
        options.shell ? shell_lines(pool, granted) : render(granted, session.console.output());
    const Printed printed = print(session, requests, text, term_of(lease.grant()).safe_until);
    if (printed == Printed::whole) {
        lease.disown();
        return exit_status::done;
    }
    if (printed == Printed::late) {
        session.console.error(pool.name + ": the lease's time was over before the standard output was read");
        return exit_status::failed;
    }
    if (printed == Printed::failed) session.console.error("cannot write to the standard output");
    // A lease that could not be printed is returned, unless the user named it.
    if (!lease.is_held())
        session.console.note(pool.name +
                             ": the lease that --lease names is held, and is not returned "
                             "(semactl return does that)");
    return printed == Printed::ended ? exit_status::of_signal(requests.end()->signal) : exit_status::failed;
}

// Borrows, and prints the lease. The exit status.
int borrow(const BorrowOptions& options, Session& session, const PoolRef& pool,
           const wire::BorrowRequest& request, Requests& requests) {
    const Acquisition wanted{
        .request = request.wait > 0s || session.client.has_several() ? keyed(request) : request,
        .stale = request.lease ? Acquisition::Stale::accept : Acquisition::Stale::replace,
        .is_held_above = is_held(held_around(), pool.id),
        .is_watched = session.console.is_live(),
    };
    Acquired acquired = acquire(session.client, session.console, pool, wanted, requests);
    return std::visit(
        Overloaded{[&](HeldLease& lease) { return print_lease(options, session, pool, lease, requests); },
                   [](const Stopped& stopped) { return exit_status::of_signal(stopped.signal); },
                   [](const Suspended&) { return exit_status::failed; },
                   [](const EarlierLost&) { return exit_status::failed; },
                   [&](const NoSlot& none) { return explain(session, pool, none, request.wait); },
                   [&](const auto& trouble) { return explain(session, pool, trouble); }},
        acquired);
}

int run_borrow(const BorrowOptions& options, Session& session) {
    const auto end_with = [&](int status) {
        if (options.shell && status != exit_status::done)
            static_cast<void>(session.console.print(failure_line(status)));
        return status;
    };
    const auto fail = [&](const std::string& why) {
        session.console.error(why);
        return end_with(exit_status::usage);
    };
    const auto pool = resolve_pool(options.pool, session.config);
    if (!pool) return fail(pool.error().message);
    const auto ttl = options.ttl ? options.ttl : pool->ttl;
    if (!ttl)
        return fail("borrow needs --ttl: after that time the slot is free again even if nobody returns it");

    auto request = request_of(options);
    if (!request) return fail(request.error().message);
    request->ttl = *ttl;
    if (!options.callback.url.empty())
        return end_with(queue_callback(options, session, *pool, keyed(*request)));
    if (const std::string option = misplaced_option(options.callback); !option.empty())
        return fail(option + " is of no use without --callback");
    request->wait = options.wait.value_or(pool->wait.value_or(0s));

    Signals signals;
    Requests requests(signals);
    const int status = borrow(options, session, *pool, *request, requests);
    const bool is_ended = options.shell && status != exit_status::done &&
                          print(session, requests, failure_line(status)) == Printed::ended;
    return is_ended ? exit_status::of_signal(requests.end()->signal) : status;
}

}  // namespace

void setup_borrow(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<BorrowOptions>();
    CLI::App& command =
        add_command(app, "borrow", "Borrow a slot and print its lease",
                    "Example: hold a slot over several steps of a script\n"
                    "  lease=$(semactl borrow vsim --ttl 10m --wait 5m --shell) || exit\n"
                    "  eval \"$lease\"\n"
                    "  trap 'semactl return vsim env:SEMA_LEASE' EXIT\n"
                    "  trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM\n"
                    "Example: start a job elsewhere once there is a slot\n"
                    "  semactl borrow vsim --ttl 10m --callback https://ci.example.com/start \\\n"
                    "      --callback-secret env:HOOK_SECRET");
    add_pool(command, options->pool);
    add_ttl(command, options->ttl, "How long the slot is held unless it is returned before");
    add_duration(command, "--wait", options->wait, "How long to wait for a slot (0, which is one try)");
    add_text(command, "--lease", options->lease, "UUID",
             "The lease's id, to be chosen by you: a UUID, env:NAME or file:PATH. A second borrow "
             "under it gets the same lease, or the same place in the queue");
    add_optional_number(command, "--slots", options->slots, "How many slots, all or none (1)",
                        {1, wire::largest_count});
    add_signed(command, "--priority", options->priority,
               "From -100 to 100: a higher number is served first (0)", {-100, 100});
    add_optional_text(command, "--holder", options->holder.name, "NAME",
                      "What `semactl holders` calls you (the CI job, or user@host)");
    add_optional_text(command, "--holder-url", options->holder.url, "URL",
                      "A link that `semactl holders` shows with it");
    add_callback_options(command, options->callback);
    add_flag(command, "--shell", options->shell, "Print `export SEMA_...` lines for a shell to evaluate");
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_borrow(*options, session); };
    });
}

}  // namespace sema
