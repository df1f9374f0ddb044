#include "cli/commands/commands.hpp"
#include "cli/exit_status.hpp"
#include "cli/run/acquire.hpp"
#include "cli/run/environment.hpp"
#include "common/overloaded.hpp"

#include <cstdlib>
#include <memory>

namespace sema {
namespace {

using namespace std::chrono_literals;

struct BorrowOptions {
    std::string pool;
    std::optional<Duration> ttl;
    std::optional<Duration> wait;
    std::string lease;
    std::optional<unsigned> slots;
    std::optional<std::int64_t> priority;
    Holder holder;
    bool shell = false;
};

// What this shell and the runs around it hold, as far as the environment says so.
std::string held_around() {
    const char* const held = std::getenv(held_variable);
    return held != nullptr ? held : "";
}

std::string shell_lines(const PoolRef& pool, const wire::LeaseGrant& lease) {
    auto variables = lease_variables(lease);
    variables.emplace_back(held_variable, held_with(held_around(), pool.id));
    std::string text;
    for (const auto& [name, value] : variables)
        text.append("export ").append(name).append("=").append(shell_word(value)).append("\n");
    return text;
}

// What the server is asked for, all but the times. A request that only fields of the base contract are needed
// for has no others.
Expected<wire::BorrowRequest> request_of(const BorrowOptions& options) {
    wire::BorrowRequest request;
    if (!options.lease.empty()) {
        const auto lease = resolve_lease(options.lease);
        if (!lease) return tl::unexpected(lease.error());
        request.lease = *lease;
    }
    if (options.holder.name || options.holder.url)
        request.holder = std::make_shared<const Holder>(options.holder);
    request.slots = options.slots.value_or(1);
    request.priority = static_cast<int>(options.priority.value_or(0));
    request.extended = request.lease || request.holder || options.slots || options.priority;
    return request;
}

// A borrower waits under a lease's id, so that it keeps its place while the server or the connection is away.
wire::BorrowRequest keyed(wire::BorrowRequest request) {
    if (!request.lease) request.lease = LeaseId::random();
    request.extended = true;
    return request;
}

// Prints the lease. The exit status.
int print_lease(const BorrowOptions& options, Session& session) {
    const auto pool = resolve_pool(options.pool, session.config);
    const auto fail = [&](const std::string& why) {
        session.console.error(why);
        return exit_status::usage;
    };
    if (!pool) return fail(pool.error().message);
    const auto ttl = options.ttl ? options.ttl : pool->ttl;
    if (!ttl)
        return fail("borrow needs --ttl: after that time the slot is free again even if nobody returns it");

    auto request = request_of(options);
    if (!request) return fail(request.error().message);
    request->ttl = *ttl;
    request->wait = options.wait.value_or(pool->wait.value_or(0s));

    Signals signals;
    const Acquisition wanted{
        .request = request->wait > 0s ? keyed(*request) : *request,
        .stale = request->lease ? Acquisition::Stale::accept : Acquisition::Stale::replace,
        .is_held_above = is_held(held_around(), pool->id),
        .is_watched = session.console.is_live(),
    };
    Acquired acquired = acquire(session.client, session.console, *pool, wanted, signals);
    return std::visit(
        Overloaded{[&](HeldLease& lease) {
                       wire::LeaseGrant granted = lease.grant().lease;
                       // What was not asked for is not printed.
                       if (!request->extended) granted.details.reset();
                       const int status =
                           print_result(session, options.shell ? shell_lines(*pool, granted)
                                                               : render(granted, session.console.output()));
                       // A lease that could not be printed is returned.
                       if (status == exit_status::done) lease.disown();
                       return status;
                   },
                   [](const Stopped& stopped) { return exit_status::of_signal(stopped.signal); },
                   [](const Suspended&) { return exit_status::failed; },
                   [](const EarlierLost&) { return exit_status::failed; },
                   [&](const auto& trouble) { return explain(session, *pool, trouble); }},
        acquired);
}

int run_borrow(const BorrowOptions& options, Session& session) {
    const int status = print_lease(options, session);
    // A shell that evaluates nothing calls that a success, and a script would go on without a slot.
    if (options.shell && status != exit_status::done)
        static_cast<void>(
            session.console.print("(exit " + std::to_string(exit_status::in_shell(status)) + ")\n"));
    return status;
}

}  // namespace

void setup_borrow(CLI::App& app, Invocation& chosen) {
    const auto options = std::make_shared<BorrowOptions>();
    CLI::App& command = add_command(app, "borrow", "Borrow a slot and print its lease",
                                    "Example: hold a slot over several steps of a script\n"
                                    "  lease=$(semactl borrow vsim --ttl 10m --wait 5m --shell) || exit\n"
                                    "  eval \"$lease\"\n"
                                    "  trap 'semactl return vsim env:SEMA_LEASE' EXIT\n"
                                    "  trap 'exit 143' HUP INT TERM");
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
    add_optional_text(command, "--holder", options->holder.name, "NAME", "What `semactl holders` calls you");
    add_optional_text(command, "--holder-url", options->holder.url, "URL",
                      "A link that `semactl holders` shows with it");
    add_flag(command, "--shell", options->shell, "Print `export SEMA_...` lines for a shell to evaluate");
    on_chosen(command, [options, &chosen] {
        chosen = [options](Session& session) { return run_borrow(*options, session); };
    });
}

}  // namespace sema
