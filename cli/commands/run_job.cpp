#include "cli/commands/run_job.hpp"

#include "cli/exit_status.hpp"
#include "cli/run/command.hpp"
#include "cli/run/environment.hpp"
#include "cli/run/identity.hpp"
#include "cli/run/preparation.hpp"
#include "cli/run/terminal.hpp"
#include "common/given_text.hpp"
#include "common/overloaded.hpp"

#include <unistd.h>

#include <algorithm>
#include <system_error>

namespace sema {
namespace {

using namespace std::chrono_literals;

// A crashed machine's slot is back after this time; while all is well it is renewed each fifth of it.
constexpr Duration default_ttl = 60s;
// As long as a server lets a borrower wait by default.
constexpr Duration default_wait = 5min;
// How long a pool is looked at. No signal is heard meanwhile.
constexpr Duration look_limit = 1s;
// A job that is asked to stop is often killed 5 s later (`timeout -k 5`); by then its slot must be returned.
constexpr Duration default_kill_after = 4s;
constexpr Duration default_grace = 5s;
// The end of a teardown, from the first request to stop on: with the return it fits in the 7.5 s that CI
// systems leave between their first and second signal. And what a teardown gets in any case.
constexpr Duration all_tearing_down = 6s;
constexpr Duration least_teardown = 200ms;
// From the first request to stop on, the return included; and what that gets in any case.
constexpr Duration all_ending = 4800ms;
constexpr Duration least_return = 500ms;

std::string environment_variable(const char* name) {
    return environment_value(name).value_or("");
}

/// Until when slots are given back: for some seconds, but where semactl has been asked to stop, or is asked
/// meanwhile, only for what is left of its time to end.
class ReturnDeadline {
  public:
    ReturnDeadline(Signals& signals, std::optional<Moment> stop_requested) : signals_(&signals) {
        const Moment now = BootClock::now();
        end_ = now + Returning::patience;
        if (stop_requested)
            end_ =
                std::clamp(*stop_requested + all_ending, now + least_return, now + Returning::short_patience);
    }

    Moment operator()() {
        while (const auto signal = signals_->next()) {
            switch (signal->number) {
                case SIGINT:
                case SIGTERM:
                case SIGHUP:
                case SIGQUIT:
                    end_ = std::min(end_, BootClock::now() + Returning::short_patience);
                    break;
                default:
                    // Nor is it stopped before the slots are returned: they would be nobody's.
                    break;
            }
        }
        return end_;
    }

  private:
    Signals* signals_;
    Moment end_;
};

}  // namespace

RunJob::RunJob(const RunOptions& options, Session& session, std::vector<PoolRef> pools, std::string path,
               const std::vector<std::string>& command)
    : options_(options),
      session_(session),
      pools_(std::move(pools)),
      path_(std::move(path)),
      command_(command) {
    for (const PoolRef& pool : pools_)
        names_ += (names_.empty() ? "" : ", ") + pool.name;
}

int RunJob::describe() const {
    const unsigned slots = options_.slots.value_or(1);
    std::string text;
    for (const PoolRef& pool : pools_) {
        text += "would borrow " + (slots == 1 ? "a slot" : std::to_string(slots) + " slots") + " of " +
                pool.name + " from " + session_.client.server().name + " for " +
                sema::describe(ttl_of(pool)) +
                (options_.no_keepalive ? "" : ", renewed while the command runs") + ", waiting up to " +
                sema::describe(wait()) + "\n";
    }
    text += "would run " + path_;
    for (std::size_t i = 1; i < command_.size(); ++i)
        text += " " + command_[i];
    if (!options_.token.empty()) text += "\nwith the position in place of " + options_.token;
    if (!options_.teardown.empty()) text += "\nwould then run " + options_.teardown;
    return print_result(session_, text + "\n");
}

int RunJob::run() {
    Signals signals;
    if (options_.die_with_parent) signals.watch_parent();
    if (const auto missing = prepare_to_supervise(session_.inherited, pools_.size())) {
        session_.console.error("cannot look after a command here: " + *missing);
        return exit_status::failed;
    }
    Borrowed borrowed = borrow_all(signals);
    if (auto* keeper = std::get_if<std::unique_ptr<Keeper>>(&borrowed)) return run_holding(**keeper, signals);
    const auto& failed = std::get<Failed>(borrowed);
    const int status = explain_failure(failed);
    if (!options_.fall_back || !std::holds_alternative<Unreachable>(failed.why)) return status;
    session_.console.error(names_ + ": RUNNING THE COMMAND WITHOUT A SLOT (--fallback run)");
    Keeper none(session_.client.server(), session_.console);
    return run_holding(none, signals);
}

// ---- borrowing

Duration RunJob::ttl_of(const PoolRef& pool) const {
    return options_.ttl.value_or(pool.ttl.value_or(default_ttl));
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
    Holder holder = identity(command_.front(), environment_variable);
    if (!options_.holder.empty()) holder.name = options_.holder;
    request.holder = std::make_shared<const Holder>(std::move(holder));
    request.extended = true;
    return request;
}

RunJob::Borrowed RunJob::borrow_all(Signals& signals) const {
    const Moment deadline = BootClock::now() + wait();
    for (;;) {
        Borrowed result = borrow_once(deadline, signals);
        const auto* failed = std::get_if<Failed>(&result);
        if (const auto* suspended = failed ? std::get_if<Suspended>(&failed->why) : nullptr) {
            signals.stop_self(suspended->signal);
            continue;
        }
        const bool again = failed && std::holds_alternative<EarlierLost>(failed->why);
        if (!again || BootClock::now() >= deadline) return result;
        session_.console.note(names_ + ": a slot was lost while another was waited for, starting over");
    }
}

Acquired RunJob::borrow(const PoolRef& pool, Moment deadline, Keeper* earlier, Signals& signals) const {
    const Duration left = std::max<Duration>(deadline - BootClock::now(), 0s);
    return acquire(session_.client, session_.console, pool,
                   {.request = request(pool, left),
                    .stale = options_.no_keepalive ? Acquisition::Stale::replace : Acquisition::Stale::renew,
                    .earlier = earlier,
                    .is_held_above = is_held(environment_variable(held_variable), pool.id),
                    .is_watched = session_.console.is_live()},
                   signals);
}

// Who has slots of one pool while waiting for another that is not there, or has too few for anybody, keeps
// them from those who could use them. So of several pools it is asked for that first, and such a one waited
// for while nothing is held.
std::optional<RunJob::Failed> RunJob::await_pools(Moment deadline, Signals& signals) const {
    if (pools_.size() == 1) return std::nullopt;
    std::vector<const PoolRef*> small;
    for (const PoolRef& pool : pools_) {
        const auto answer = session_.client.inspect(pool.id, look_limit);
        if (std::holds_alternative<NoSuchPool>(answer)) return Failed{NoSuchPool{}, &pool};
        const auto* state = std::get_if<wire::PoolState>(&answer);
        // Whatever the trouble is, a borrow tries again.
        if (state == nullptr) return std::nullopt;
        if (state->count < options_.slots.value_or(1)) small.push_back(&pool);
    }
    for (const PoolRef* pool : small) {
        Acquired acquired = borrow(*pool, deadline, nullptr, signals);
        if (!std::holds_alternative<HeldLease>(acquired)) return Failed{std::move(acquired), pool};
        // It is borrowed again when its turn comes.
        std::get<HeldLease>(acquired).give_back();
    }
    return std::nullopt;
}

RunJob::Borrowed RunJob::borrow_once(Moment deadline, Signals& signals) const {
    if (auto failed = await_pools(deadline, signals)) return std::move(*failed);
    // Two jobs that want the same pools ask for them in the same order, lest each holds what the other waits
    // for.
    std::vector<const PoolRef*> order;
    for (const PoolRef& pool : pools_)
        order.push_back(&pool);
    std::sort(order.begin(), order.end(), [](const PoolRef* a, const PoolRef* b) { return a->id < b->id; });

    auto keeper = std::make_unique<Keeper>(session_.client.server(), session_.console);
    for (const PoolRef* pool : order) {
        Acquired acquired = borrow(*pool, deadline, keeper.get(), signals);
        auto* lease = std::get_if<HeldLease>(&acquired);
        if (lease == nullptr) {
            const bool stops =
                std::holds_alternative<Stopped>(acquired) || std::holds_alternative<Suspended>(acquired);
            keeper->give_back(
                ReturnDeadline(signals, stops ? std::optional(BootClock::now()) : std::nullopt));
            return Failed{std::move(acquired), pool};
        }
        const Duration ttl = ttl_of(*pool);
        const Upkeep upkeep(term_of(lease->grant()),
                            {grace(), options_.no_keepalive ? std::nullopt : std::optional(ttl)});
        keeper->add({std::move(*lease), upkeep, ttl});
    }
    return keeper;
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
                       explain(session_, *failed.pool, none);
                       return static_cast<int>(options_.conflict_status);
                   },
                   [&](const auto& trouble) { return explain(session_, *failed.pool, trouble); }},
        failed.why);
}

// ---- running

// Runs the command while the leases are held, and returns them.
int RunJob::run_holding(Keeper& keeper, Signals& signals) const {
    const Variables exported = variables(keeper);
    const std::string position = exported.empty() ? "" : exported.front().second;
    const ChildSpec child{path_, replace_token(command_, options_.token, position),
                          environment_with(exported, names_of_variables(), environ)};
    const SavedModes terminal_modes;
    Supervisor supervisor(keeper, limits(exported), signals, session_.console, names_);
    Ended ended = supervisor.run(child, session_.inherited);
    if (ended.exec_failure) {
        explain_exec(child, *ended.exec_failure);
        keeper.give_back(ReturnDeadline(signals, ended.stop_requested));
        return exit_status::not_executable;
    }
    // At once: what comes next may fail, and what is not disowned is returned then.
    if (!ended.slot_is_free) keeper.disown();
    // A command that ends by itself leaves the terminal as it wants to.
    if (ended.stop_requested || ended.lease_was_lost || exit_status::signal_of(ended.exit_status))
        terminal_modes.restore();
    if (!options_.teardown.empty()) tear_down(keeper, ended, exported, signals);
    keeper.give_back(ReturnDeadline(signals, ended.stop_requested));
    return ended.exit_status;
}

Supervisor::Limits RunJob::limits(const Variables& variables) const {
    Supervisor::Limits limits;
    const Duration kill_after = options_.kill_after.value_or(default_kill_after);
    if (kill_after > 0s) limits.kill_after = kill_after;
    limits.grace = grace();
    limits.ignore_lost = options_.on_lost == "ignore";
    limits.hold_tree = options_.hold_tree;
    limits.strangers = own_descendants();
    if (options_.on_lost != "term" && !limits.ignore_lost) {
        limits.on_lost = [this, variables](pid_t command) {
            Variables all = variables;
            all.emplace_back("SEMA_PID", std::to_string(command));
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
    session_.console.error("cannot execute " + child.path + ": " +
                           std::generic_category().message(exec_failure));
}

/// Runs the teardown while the slots are still held.
void RunJob::tear_down(Keeper& keeper, Ended& ended, Variables variables, Signals& signals) const {
    if (ended.lease_was_lost || !ended.slot_is_free) {
        session_.console.note(names_ + ": the teardown is left out, since the slot is not held any more");
        return;
    }
    variables.emplace_back("SEMA_EXIT_STATUS", std::to_string(exit_status::in_shell(ended.exit_status)));
    Supervisor::Limits bounds = limits({});
    bounds.on_lost = nullptr;
    bounds.hold_tree = false;
    if (ended.stop_requested)
        bounds.kill_at =
            std::max(*ended.stop_requested + all_tearing_down, BootClock::now() + least_teardown);
    Supervisor supervisor(keeper, bounds, signals, session_.console, names_);
    const ChildSpec line = shell(options_.teardown, variables);
    const Ended done = supervisor.run(line, session_.inherited);
    if (done.exec_failure) return explain_exec(line, *done.exec_failure);
    if (!done.slot_is_free) keeper.disown();
    if (!ended.stop_requested) ended.stop_requested = done.stop_requested;
    if (done.exit_status != 0)
        session_.console.note(names_ + ": the teardown ended with status " +
                              std::to_string(exit_status::in_shell(done.exit_status)));
}

}  // namespace sema
