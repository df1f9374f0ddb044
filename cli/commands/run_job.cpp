#include "cli/commands/run_job.hpp"

#include "cli/exit_status.hpp"
#include "cli/run/command.hpp"
#include "cli/run/environment.hpp"
#include "cli/run/identity.hpp"
#include "cli/run/preparation.hpp"
#include "cli/run/process_tree.hpp"
#include "cli/run/return_deadline.hpp"
#include "cli/run/terminal.hpp"
#include "cli/secret_ref.hpp"
#include "common/given_text.hpp"
#include "common/overloaded.hpp"

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <system_error>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// A crashed machine's slot is back after this time; while all is well it is renewed each fifth of it.
constexpr Duration default_ttl = 60s;
// As long as a server lets a borrower wait by default.
constexpr Duration default_wait = 5min;
// How long a pool is looked at. A signal is heard after that time.
constexpr Duration look_limit = 1s;
// A job that is asked to stop is often killed 5 s later (`timeout -k 5`); by then its slot must be returned.
constexpr Duration default_kill_after = 4s;
constexpr Duration default_grace = 5s;
// The end of a teardown, from the first request to stop on: with the return it fits in the 7.5 s that CI
// systems leave between their first and second signal. And the time that it gets in any case.
constexpr Duration all_tearing_down = 6s;
constexpr Duration least_teardown = 200ms;
// The end of all else, from the same on: what is said last has a slow reader until then.
constexpr Duration all_said = 4900ms;
constexpr Duration all_said_after_teardown = 6900ms;

// What asked to stop the command. An echo of it may come once that has ended.
std::optional<Requests::Request> request_of(const Ended& ended) {
    if (!ended.stop_requested) return std::nullopt;
    return Requests::Request{ended.stop_signal, ended.stop_passed_on, *ended.stop_requested,
                             ended.parent_asked};
}

std::string environment_variable(const char* name) {
    return environment_value(name).value_or("");
}

}  // namespace

RunJob::RunJob(const RunOptions& options, Session& session, std::vector<PoolRef> pools,
               std::optional<LeaseId> lease, std::string path, const std::vector<std::string>& command)
    : options_(options),
      session_(session),
      pools_(std::move(pools)),
      lease_(lease),
      path_(std::move(path)),
      command_(command) {
    for (const PoolRef& pool : pools_)
        names_ += (names_.empty() ? "" : ", ") + pool.name;
}

int RunJob::describe() const {
    const unsigned slots = options_.slots.value_or(1);
    std::string text;
    for (const PoolRef& pool : pools_) {
        if (lease_) {
            text += "would take over a lease of " + pool.name + " from " + session_.client.names() + " for " +
                    sema::describe(ttl_of(pool)) +
                    (options_.no_keepalive ? "" : ", renewed while the command runs") + "\n";
            continue;
        }
        text += "would borrow " + (slots == 1 ? "a slot" : std::to_string(slots) + " slots") + " of " +
                pool.name + " from " + session_.client.names() + " for " + sema::describe(ttl_of(pool)) +
                (options_.no_keepalive ? "" : ", renewed while the command runs") + ", waiting up to " +
                sema::describe(wait()) + "\n";
    }
    text += "would run " + path_;
    for (std::size_t i = 1; i < command_.size(); ++i)
        text += " " + command_[i];
    if (!options_.token.empty()) text += "\nwith the position in place of " + options_.token;
    if (!options_.teardown.empty()) text += "\nwould then run " + options_.teardown;
    if (lease_) text += "\nwould then return the lease";
    return print_result(session_, text + "\n");
}

int RunJob::run() {
    // While a signal still ends semactl: a pipe may be waited for, and a directory of users.
    session_.client.read_tls_files();
    if (!lease_) {
        Holder holder = identity(command_.front(), environment_variable);
        if (!options_.holder.empty()) holder.name = options_.holder;
        holder_ = std::make_shared<const Holder>(std::move(holder));
    }
    Signals signals;
    if (options_.die_with_parent) signals.watch_parent(session_.parent);
    if (const auto missing = prepare_to_supervise(proc_, session_.inherited, pools_.size())) {
        session_.console.error("cannot look after a command here: " + *missing);
        return exit_status::failed;
    }
    if (lease_) return run_under_lease(signals);
    Requests requests(signals);
    Borrowed borrowed = borrow_all(requests);
    if (requests.end()) session_.console.end_by(requests.end()->since + all_said);
    if (auto* keeper = std::get_if<std::unique_ptr<Keeper>>(&borrowed)) return run_holding(**keeper, signals);
    const auto& failed = std::get<Failed>(borrowed);
    const int status = explain_failure(failed);
    if (!options_.fall_back || !std::holds_alternative<Unreachable>(failed.why)) return status;
    // What was asked for since is no affair of the command's.
    while (const auto why = interruption(requests, *failed.pool)) {
        if (std::holds_alternative<Stopped>(why->why)) return explain_failure(*why);
        requests.suspend();
    }
    session_.console.error(names_ + ": RUNNING THE COMMAND WITHOUT A SLOT (--fallback run)");
    Keeper none(session_.client, session_.console);
    return run_holding(none, signals);
}

// ---- borrowing

// In whole seconds: the server's answer does not show whether a fraction was granted.
Duration RunJob::ttl_of(const PoolRef& pool) const {
    return std::chrono::ceil<std::chrono::seconds>(options_.ttl.value_or(pool.ttl.value_or(default_ttl)));
}

Duration RunJob::wait() const {
    std::optional<Duration> wait = options_.wait;
    for (const PoolRef& pool : pools_) {
        if (!options_.wait && pool.wait) wait = std::max(wait.value_or(0s), *pool.wait);
    }
    return wait.value_or(default_wait);
}

Duration RunJob::grace() const {
    return options_.grace.value_or(default_grace);
}

wire::BorrowRequest RunJob::request(const PoolRef& pool, Duration wait) const {
    wire::BorrowRequest request{ttl_of(pool), wait};
    request.lease = LeaseId::random();
    request.slots = options_.slots.value_or(1);
    request.priority = static_cast<int>(options_.priority.value_or(0));
    request.holder = holder_;
    request.extended = true;
    return request;
}

RunJob::Borrowed RunJob::borrow_all(Requests& requests) const {
    const Moment deadline = BootClock::now() + wait();
    for (;;) {
        Borrowed result = borrow_once(deadline, requests);
        const auto* failed = std::get_if<Failed>(&result);
        const bool is_lost = failed && std::holds_alternative<EarlierLost>(failed->why);
        const bool is_suspended = failed && std::holds_alternative<Suspended>(failed->why);
        if (!is_suspended && (!is_lost || BootClock::now() >= deadline)) return result;
        if (is_lost)
            session_.console.note(names_ + ": a slot was lost while another was waited for, starting over");
        requests.suspend();
    }
}

Acquired RunJob::borrow(const PoolRef& pool, Moment deadline, Keeper* earlier, Requests& requests) const {
    const Duration least = wait() > 0s ? Borrowing::least_wait : 0s;
    const Duration left = std::max<Duration>(deadline - BootClock::now(), least);
    return acquire(session_.client, session_.console, pool,
                   {.request = request(pool, left),
                    .stale = options_.no_keepalive ? Acquisition::Stale::replace : Acquisition::Stale::renew,
                    .earlier = earlier,
                    .is_held_above = is_held(environment_variable(held_variable), pool.id),
                    .is_watched = session_.console.is_live()},
                   requests);
}

// Why nothing more is begun now, where a signal asked for that.
std::optional<RunJob::Failed> RunJob::interruption(Requests& requests, const PoolRef& pool) const {
    requests.take_in();
    if (const auto& end = requests.end()) {
        if (end->parent_is_gone) session_.console.note(names_ + ": the process that started semactl is gone");
        return Failed{Stopped{end->signal}, &pool};
    }
    return requests.suspension() ? std::optional(Failed{Suspended{}, &pool}) : std::nullopt;
}

// A job that held slots of one pool while it waited for another that does not exist, or had too few slots at
// all, would keep them from jobs that could use them. So several pools are inspected first, and one with too
// few slots is waited for while nothing is held.
std::optional<RunJob::Failed> RunJob::await_pools(Moment deadline, Requests& requests) const {
    if (pools_.size() == 1) return std::nullopt;
    // Nothing is held yet while that is waited for, and so it is no trial.
    const auto first = std::min_element(pools_.begin(), pools_.end(),
                                        [](const PoolRef& a, const PoolRef& b) { return a.id < b.id; });
    std::vector<const PoolRef*> small;
    for (const PoolRef& pool : pools_) {
        const Duration left = wait() > 0s ? deadline - BootClock::now() : look_limit;
        if (left <= 0s) return std::nullopt;
        const auto answer = session_.client.inspect(pool.id, std::min<Duration>(left, look_limit));
        if (auto why = interruption(requests, pool)) return why;
        if (std::holds_alternative<NoSuchPool>(answer)) return Failed{NoSuchPool{}, &pool};
        const auto* state = std::get_if<wire::PoolState>(&answer);
        // Whatever the trouble is, a borrow tries again.
        if (state == nullptr) return std::nullopt;
        if (state->count < options_.slots.value_or(1) && &pool != &*first) small.push_back(&pool);
    }
    for (const PoolRef* pool : small) {
        Acquired acquired = borrow(*pool, deadline, nullptr, requests);
        if (!std::holds_alternative<HeldLease>(acquired)) return Failed{std::move(acquired), pool};
        // It is borrowed again when its turn comes.
        std::get<HeldLease>(acquired).give_back(ReturnDeadline(requests));
        if (auto why = interruption(requests, *pool)) return why;
    }
    return std::nullopt;
}

RunJob::Borrowed RunJob::borrow_once(Moment deadline, Requests& requests) const {
    if (auto failed = await_pools(deadline, requests)) return std::move(*failed);
    // Two jobs that want the same pools ask for them in the same order, lest each holds what the other waits
    // for.
    std::vector<const PoolRef*> order;
    for (const PoolRef& pool : pools_)
        order.push_back(&pool);
    std::sort(order.begin(), order.end(), [](const PoolRef* a, const PoolRef* b) { return a->id < b->id; });

    auto keeper = std::make_unique<Keeper>(session_.client, session_.console);
    for (const PoolRef* pool : order) {
        Acquired acquired = borrow(*pool, deadline, keeper.get(), requests);
        auto* lease = std::get_if<HeldLease>(&acquired);
        if (lease == nullptr) {
            // It may have come long before it was read.
            const auto& end = requests.end();
            keeper->give_back(ReturnDeadline(requests, end ? std::optional(end->since) : std::nullopt));
            // Whatever the reason was: to leave the queue and to return slots takes seconds.
            if (std::holds_alternative<Stopped>(acquired)) return Failed{std::move(acquired), pool};
            auto asked = interruption(requests, *pool);
            if (asked && std::holds_alternative<Stopped>(asked->why)) return std::move(*asked);
            return Failed{std::move(acquired), pool};
        }
        keep(*keeper, std::move(*lease));
    }
    return keeper;
}

void RunJob::keep(Keeper& keeper, HeldLease lease) const {
    const Duration ttl = ttl_of(lease.pool());
    const Upkeep upkeep(term_of(lease.grant()),
                        {grace(), options_.no_keepalive ? std::nullopt : std::optional(ttl)});
    keeper.add({std::move(lease), upkeep, ttl});
}

int RunJob::explain_failure(const Failed& failed) const {
    return std::visit(
        Overloaded{[](const HeldLease&) { return exit_status::failed; },
                   [](const Suspended&) { return exit_status::failed; },
                   [](const Stopped& stopped) { return exit_status::of_signal(stopped.signal); },
                   [&](const EarlierLost&) {
                       session_.console.error(names_ + ": not all of them had a slot within the wait");
                       return static_cast<int>(options_.conflict_status);
                   },
                   [&](const NoSlot& none) {
                       explain(session_, *failed.pool, none, wait());
                       return static_cast<int>(options_.conflict_status);
                   },
                   [&](const auto& trouble) {
                       const int status = explain(session_, *failed.pool, trouble);
                       return status == exit_status::no_slot ? static_cast<int>(options_.conflict_status)
                                                             : status;
                   }},
        failed.why);
}

// ---- running

// The same under a lease that somebody else borrowed.
int RunJob::run_under_lease(Signals& signals) const {
    const PoolRef& pool = pools_.front();
    TakenOver taken = take_over(
        session_.client, session_.console, pool,
        {.lease = *lease_, .fence = options_.fence, .ttl = ttl_of(pool), .patience = default_wait}, signals);
    return std::visit(
        Overloaded{
            [&](HeldLease& lease) {
                Keeper keeper(session_.client, session_.console);
                keep(keeper, std::move(lease));
                return run_holding(keeper, signals);
            },
            [](const Stopped& stopped) { return exit_status::of_signal(stopped.signal); },
            [&](const LeaseOver&) {
                session_.console.error(
                    pool.name + ": " +
                    (is_secret_ref(options_.lease) ? "the lease that " + options_.lease + " names"
                                                   : "the lease that --lease names") +
                    " is not held, so " + command_.front() +
                    " is not run (it waits for a slot yet, its ttl ended, it was returned or revoked, or it "
                    "is of another pool)");
                return exit_status::lease_lost;
            },
            [&](const auto& trouble) { return explain(session_, pool, trouble); }},
        taken);
}

// Runs the command while the leases are held, and returns them.
int RunJob::run_holding(Keeper& keeper, Signals& signals) const {
    const Variables exported = variables(keeper);
    const std::string position = exported.empty() ? "" : exported.front().second;
    const ChildSpec child{path_, replace_token(command_, options_.token, position),
                          environment_with(exported, names_of_variables(), environ)};
    const SavedModes terminal_modes;
    Supervisor::Limits bounds = limits(exported);
    bounds.strangers = own_descendants(proc_);
    session_.console.write_apart();
    Supervisor supervisor(keeper, std::move(bounds), signals, session_.console, proc_, names_);
    Ended ended = supervisor.run(child, session_.inherited);
    const auto return_slots = [&] {
        Requests requests(signals, request_of(ended));
        keeper.give_back(ReturnDeadline(requests, ended.stop_requested));
        const Duration limit = options_.teardown.empty() ? all_said : all_said_after_teardown;
        if (ended.stop_requested) session_.console.end_by(*ended.stop_requested + limit);
    };
    if (ended.exec_failure) {
        explain_exec(child, *ended.exec_failure);
        return_slots();
        const bool is_late = *ended.exec_failure == StartedChild::too_late;
        return is_late ? exit_status::lease_lost : exit_status::not_executable;
    }
    // At once: the next steps may fail, and a lease that is not disowned is returned then.
    if (!ended.slot_is_free) keeper.disown();
    // A command that ends by itself leaves the terminal as it wants to.
    if (ended.stop_requested || ended.lease_was_lost || exit_status::signal_of(ended.exit_status))
        terminal_modes.restore();
    if (!options_.teardown.empty()) {
        try {
            tear_down(keeper, ended, exported, signals);
        } catch (const std::exception& error) {
            // The command has run, and its status is what counts.
            session_.console.error(names_ + ": cannot run the teardown: " + error.what());
        }
    }
    return_slots();
    // A dispatcher takes an end by a signal for one that leaves the slot lent.
    const bool is_dispatched = lease_ && environment_value(dispatch_pool_variable);
    return is_dispatched && !ended.slot_is_free ? exit_status::of_signal(SIGKILL) : ended.exit_status;
}

Supervisor::Limits RunJob::limits(const Variables& variables) const {
    Supervisor::Limits limits;
    const Duration kill_after = options_.kill_after.value_or(default_kill_after - sooner_inside_others());
    if (kill_after > 0s) limits.kill_after = kill_after;
    limits.grace = grace();
    limits.ignore_lost = options_.on_lost == "ignore";
    limits.hold_tree = options_.hold_tree;
    if (options_.on_lost != "term" && !limits.ignore_lost) {
        limits.on_lost = [this, variables](pid_t command) {
            Variables all = variables;
            if (command != 0) all.emplace_back("SEMA_PID", std::to_string(command));
            return shell(options_.on_lost, all);
        };
    }
    return limits;
}

RunJob::Variables RunJob::variables(const Keeper& keeper) const {
    Variables all;
    std::string held = environment_variable(held_variable);
    for (std::size_t i = 0; i < pools_.size(); ++i) {
        // They were borrowed in another order.
        const auto kept =
            std::find_if(keeper.leases().begin(), keeper.leases().end(),
                         [&](const Keeper::Kept& one) { return one.lease.pool().id == pools_[i].id; });
        if (kept == keeper.leases().end()) continue;
        const wire::LeaseGrant& lease = kept->lease.grant().lease;
        if (i == 0) all = lease_variables(lease);
        held = held_with(held, pools_[i].id);
        if (pools_.size() == 1) continue;
        const auto own = pool_variables(variable_part(pools_[i].name, i + 1), lease);
        all.insert(all.end(), own.begin(), own.end());
    }
    if (!all.empty()) all.emplace_back(held_variable, held);
    return all;
}

std::vector<std::string> RunJob::names_of_variables() const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < pools_.size(); ++i) {
        const std::string part = variable_part(pools_[i].name, i + 1);
        // To an outer run, a number may stand for another pool.
        if (part == variable_part(pools_[i].name, i + 2)) names.push_back(part);
    }
    return names;
}

/// A line for the shell, for what the user wants done beside the command.
ChildSpec RunJob::shell(const std::string& line, const Variables& variables) const {
    return {"/bin/sh", {"sh", "-c", line}, environment_with(variables, names_of_variables(), environ)};
}

void RunJob::explain_exec(const ChildSpec& child, int exec_failure) const {
    const bool is_late = exec_failure == StartedChild::too_late;
    session_.console.error(
        "cannot execute " + child.path + ": " +
        (is_late ? "the lease ended before it was started" : std::generic_category().message(exec_failure)));
}

/// Runs the teardown while the slots are still held.
void RunJob::tear_down(Keeper& keeper, Ended& ended, Variables variables, Signals& signals) const {
    // A lease may be gone though nothing was left to be stopped for that, or nothing was to be stopped.
    if (ended.lease_was_lost || !ended.slot_is_free || !keeper.holds(BootClock::now())) {
        session_.console.note(names_ + ": the teardown is left out, since the slot is not held any more");
        return;
    }
    if (ended.killed_from_around) {
        session_.console.note(names_ +
                              ": the teardown is left out, since the run around this one would kill it");
        return;
    }
    variables.emplace_back("SEMA_EXIT_STATUS", std::to_string(exit_status::in_shell(ended.exit_status)));
    Supervisor::Limits bounds;
    bounds.kill_after = all_tearing_down;
    bounds.grace = grace();
    bounds.is_teardown = true;
    bounds.hold_tree = options_.hold_tree;
    // What the command left running. Where /proc does not show all, the rest of it counts as the teardown's.
    bounds.strangers = descendants(getpid(), {}, proc_).found;
    if (ended.stop_requested)
        bounds.kill_at =
            std::max(*ended.stop_requested + all_tearing_down, BootClock::now() + least_teardown);
    if (!ended.parent_asked) bounds.asked_before = ended.stop_requested;
    bounds.asked_by = ended.stop_signal;
    bounds.asked_passed_on = ended.stop_passed_on;
    bounds.heard_until = ended.heard_until;
    Supervisor supervisor(keeper, bounds, signals, session_.console, proc_, names_);
    const ChildSpec line = shell(options_.teardown, variables);
    const Ended done = supervisor.run(line, session_.inherited);
    if (done.exec_failure) return explain_exec(line, *done.exec_failure);
    if (!done.slot_is_free) {
        keeper.disown();
        ended.slot_is_free = false;
    }
    if (done.stop_requested) {
        if (!ended.stop_requested) ended.stop_requested = done.stop_requested;
        ended.parent_asked = done.parent_asked;
        ended.stop_signal = done.stop_signal;
        ended.stop_passed_on = done.stop_passed_on;
    }
    // Where its lease was lost it was stopped, which is said.
    if (done.exit_status != 0 && !done.lease_was_lost)
        session_.console.note(names_ + ": the teardown ended with status " +
                              std::to_string(exit_status::in_shell(done.exit_status)));
}

}  // namespace sema
