#include "client/backoff.hpp"
#include "client/scheduler/scheduler_core.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

// What a scheduler does on a thread of a call's own.

namespace sema {
namespace {

using namespace std::chrono_literals;

// The time that the functions at a task's end may take beyond their limits.
constexpr auto end_slack = 30s;
// A task is not started where the server's bounds leave it less than this, or than its timeout.
constexpr Duration shortest_bound = 1min;
// How long a scheduler that starts nothing more, and is waited for, tries anything.
constexpr auto last_patience = 5s;
// The longest pause between two tries.
constexpr auto longest_pause = 1s;
// A process that gets the lease has so long to take it over.
constexpr Duration handed_on_ttl = 30s;
// How long a backend is left alone at most whose starts fail.
constexpr Duration longest_rest = 1s;
// When what there was no thread for is tried again, if there is no pass before.
constexpr auto postponed_for = 200ms;

task task_of(const TaskTable::Record& record, bool holds_slot) {
    return {.id = record.mark.id,
            .backend = record.mark.backend,
            .position = record.position,
            .slot = record.slot,
            .lease = record.lease.str(),
            .fence = record.fence,
            .holds_slot = holds_slot};
}

const char* word_of(backend_call call) {
    switch (call) {
        case backend_call::poll:
            return "poll";
        case backend_call::start:
            return "start";
        case backend_call::stop:
            return "stop";
        case backend_call::timeout:
            return "timeout";
        case backend_call::keepalive:
            return "keepalive";
        case backend_call::run:
            return "run";
    }
    return "";
}

// Asks again, with growing pauses, while the server is not available: until that time, which may come nearer
// meanwhile, or until `over` is rung.
template <class Until, class Ask>
auto insist(Until until, const Wake& over, Ask ask) {
    Backoff backoff;
    for (;;) {
        auto answer = ask();
        if (answer || answer.error().kind != LeaseTrouble::Kind::unavailable) return answer;
        const Duration left = until() - BootClock::now();
        if (left <= 0s) return answer;
        over.wait(std::min<Duration>({backoff.next(), left, longest_pause}));
        if (over.was_rung()) return answer;
    }
}

}  // namespace

tl::expected<std::shared_ptr<bool>, std::string> SchedulerCore::launch(const Work& work) {
    auto is_done = std::make_shared<bool>(false);
    const std::lock_guard lock(mutex_);
    calls_.push_back({{}, is_done});
    try {
        calls_.back().thread = options_.make_thread([this, work, is_done] {
            work();
            const std::lock_guard done(mutex_);
            *is_done = true;
            changed_.notify_all();
        });
    } catch (const std::exception& error) {
        calls_.pop_back();
        return tl::unexpected(std::string("there is no thread for it: ") + error.what());
    }
    return is_done;
}

std::shared_ptr<bool> SchedulerCore::launch_or_postpone(const Record& record, const Work& work) {
    const auto call = launch(work);
    if (call) return *call;
    say(record.mark.backend + ": a call for " + record.mark.id + " is made later: " + call.error());
    const std::lock_guard lock(mutex_);
    postponed_.push_back(work);
    postponed_to_ = BootClock::now() + postponed_for;
    return nullptr;
}

void SchedulerCore::launch_postponed() {
    std::vector<Work> postponed;
    {
        const std::lock_guard lock(mutex_);
        postponed = std::exchange(postponed_, {});
        postponed_to_ = BootClock::never;
    }
    for (const Work& work : postponed) {
        if (const auto call = launch(work)) {
            begun_.push_back(*call);
        } else {
            const std::lock_guard lock(mutex_);
            postponed_.push_back(work);
            postponed_to_ = BootClock::now() + postponed_for;
        }
    }
}

void SchedulerCore::reap() {
    std::list<Call> over;
    {
        const std::lock_guard lock(mutex_);
        for (auto call = calls_.begin(); call != calls_.end();) {
            const auto next = std::next(call);
            if (*call->is_done) over.splice(over.end(), calls_, call);
            call = next;
        }
    }
    for (Call& call : over)
        call.thread.join();
}

void SchedulerCore::await(const std::vector<std::shared_ptr<bool>>& calls, Duration limit) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, limit, [&] {
        return std::all_of(calls.begin(), calls.end(),
                           [](const auto& is_done) { return !is_done || *is_done; });
    });
}

std::shared_ptr<backend> SchedulerCore::backend_of(const Record& record) const {
    const auto known = backends_.find(record.mark.id);
    if (known != backends_.end()) return known->second;
    const auto source = std::find_if(sources_.begin(), sources_.end(), [&](const auto& one) {
        return one->from->name() == record.mark.backend;
    });
    return source == sources_.end() ? nullptr : (*source)->from;
}

tl::expected<std::shared_ptr<bool>, std::string> SchedulerCore::begin_start(const Record& record) {
    return launch([this, record] {
        const auto from = [&] {
            const std::lock_guard lock(mutex_);
            return backend_of(record);
        }();
        settle(record, start(record, *from));
        bell_.ring();
    });
}

std::shared_ptr<bool> SchedulerCore::begin_end(const Record& record, Ending why) {
    return launch_or_postpone(record, [this, record, why] {
        const auto from = [&] {
            const std::lock_guard lock(mutex_);
            return backend_of(record);
        }();
        if (from) {
            end(record, *from, why);
        } else {
            // There is no backend of that name any more.
            if (is_to_return(record, why)) give_back(record);
            forget(record);
        }
        bell_.ring();
    });
}

std::shared_ptr<bool> SchedulerCore::begin_keepalive(const Record& record) {
    return launch_or_postpone(record, [this, record] {
        const auto from = [&] {
            const std::lock_guard lock(mutex_);
            return backend_of(record);
        }();
        if (from) {
            keep_alive(record, *from);
        } else {
            const std::lock_guard lock(mutex_);
            while (table_.end_keepalive(record)) {
            }
        }
        bell_.ring();
    });
}

SchedulerCore::Called SchedulerCore::call(const Record& record, backend& from, backend_call which,
                                          bool holds_slot) {
    const task what = task_of(record, holds_slot);
    const auto has_failed = [&](const std::exception& why) {
        say(record.mark.backend + ": " + word_of(which) + " of " + record.mark.id + " failed: " + why.what());
        try {
            return from.error(what, which, why) ? Called::failed_and_frees : Called::failed_and_keeps;
        } catch (const std::exception& error) {
            say(record.mark.backend + ": error of " + record.mark.id + " failed: " + error.what());
        } catch (...) {
            say(record.mark.backend + ": error of " + record.mark.id + " failed");
        }
        return Called::failed_and_frees;
    };
    try {
        switch (which) {
            case backend_call::start:
                from.start(what);
                break;
            case backend_call::stop:
                from.stop(what);
                break;
            case backend_call::timeout:
                from.timeout(what);
                break;
            case backend_call::keepalive:
                from.keepalive(what);
                break;
            case backend_call::poll:
            case backend_call::run:
                break;
        }
        return Called::done;
    } catch (const std::exception& error) {
        return has_failed(error);
    } catch (...) {
        return has_failed(std::runtime_error("it threw what is no std::exception"));
    }
}

LeaseOutcome<std::optional<LeaseSource::Renewal>> SchedulerCore::renew(const Record& record, Duration ttl,
                                                                       Moment until) {
    return insist([&, begin = BootClock::now()] { return patience_until(until, begin); }, over_,
                  [&] { return leases_->renew(record.lease, record.fence, ttl); });
}

bool SchedulerCore::may_be_held(const Record& record) {
    const auto details = leases_->view();
    return !details || std::any_of(details->holders.begin(), details->holders.end(),
                                   [&](const auto& holder) { return holder.fence == record.fence; });
}

LeaseOutcome<bool> SchedulerCore::return_now(const Record& record) {
    return leases_->give_back(record.lease, record.fence);
}

void SchedulerCore::give_back(const Record& record, Duration patience) {
    const Moment begin = BootClock::now();
    const auto until = [&] { return patience_until(begin + patience, begin); };
    const auto returned = insist(until, over_, [&] { return return_now(record); });
    if (!returned) say("cannot return the slot of " + record.mark.id + ": " + returned.error().reason);
}

// Until when something is tried, since `begin`, that would be tried until then.
Moment SchedulerCore::patience_until(Moment latest, Moment begin) const {
    const std::lock_guard lock(mutex_);
    return closed_at_ ? std::min(latest, std::max(*closed_at_, begin) + last_patience) : latest;
}

void SchedulerCore::forget(const Record& record) {
    const std::lock_guard lock(mutex_);
    table_.remove(record);
    if (table_.find(record.mark.id) == nullptr) backends_.erase(record.mark.id);
}

bool SchedulerCore::start(const Record& record, backend& from) {
    const Duration limit = options().limit;
    const Moment begin = BootClock::now();
    if (!claim(record, limit)) {
        forget(record);
        return true;
    }
    const bool is_open = [&] {
        const std::lock_guard lock(mutex_);
        return !closed_at_;
    }();
    if (!is_open) {
        say_detail(record.mark.backend + ": " + record.mark.id + " is not started any more");
        give_back(record);
        forget(record);
        return true;
    }
    const bool has_failed = call(record, from, backend_call::start) != Called::done;
    note_start(record, has_failed);
    if (has_failed) {
        give_back(record);
        forget(record);
        return true;
    }
    say_detail(record.mark.backend + ": started " + record.mark.id + " in slot " +
               std::to_string(record.position));
    if (!record.mark.is_handed_on) return keep_running(record, from, begin + start_ttl(limit));
    const std::lock_guard lock(mutex_);
    table_.set_running(record, BootClock::now() + record.mark.timeout, 0);
    return true;
}

// Renews the lease for the start. False where it is not to be started.
bool SchedulerCore::claim(const Record& record, Duration limit) {
    const Moment until = BootClock::now() + claim_ttl;
    const auto is_checked = [&] {
        const std::lock_guard lock(mutex_);
        return is_ttl_checked_;
    };
    if (!record.mark.is_handed_on && !is_checked()) {
        // Only a renewal shows for how long a server lends at most.
        const Duration least = record.mark.margin() + std::min(record.mark.timeout, shortest_bound);
        const auto lent = renew(record, least, until);
        if (lent && *lent && std::chrono::seconds((*lent)->expires_in) + 1s < least) {
            {
                const std::lock_guard lock(mutex_);
                refusal_ = "the server lends no slot for longer than " +
                           describe(std::chrono::seconds((*lent)->expires_in)) + ", and a task takes " +
                           describe(least) +
                           " at least, with the limits of what is called at its end (semad --max-ttl)";
            }
            give_back(record);
            return false;
        }
        const std::lock_guard lock(mutex_);
        is_ttl_checked_ = lent && *lent;
    }
    // What has the lease handed on renews it within this time. Where that dies before, nobody returns it.
    const Duration least = start_ttl(limit);
    const auto claimed =
        renew(record, record.mark.is_handed_on ? std::min<Duration>(least, handed_on_ttl) : least, until);
    if (claimed && *claimed) return true;
    say(record.mark.id +
        " is not started: " + (claimed ? "its lease is not held any more" : claimed.error().reason));
    // It may have been renewed all the same, for as long as that.
    if (!claimed) give_back(record, std::max<Duration>(least, record.mark.margin() + shortest_bound));
    return false;
}

void SchedulerCore::note_start(const Record& record, bool has_failed) {
    const std::lock_guard lock(mutex_);
    const auto source = std::find_if(sources_.begin(), sources_.end(),
                                     [&](const auto& one) { return one->name == record.mark.backend; });
    if (source == sources_.end()) return;
    if (!has_failed) return (*source)->failed_starts.reset();
    (*source)->rests_until =
        BootClock::now() + std::min<Duration>((*source)->failed_starts.next(), longest_rest);
    ask_again_at((*source)->rests_until);
}

void SchedulerCore::settle(const Record& record, bool is_known) {
    if (const auto take = options().on_settled; take && is_known) take(record.fence);
    const std::lock_guard lock(mutex_);
    ++returned_starts_;
    asks_again_ = passed_over_.erase(record.mark.id) > 0 || asks_again_;
}

// False where it is not known whether the lease is renewed.
bool SchedulerCore::keep_running(const Record& record, backend& from, Moment until) {
    const Moment asked = BootClock::now();
    if (record.mark.is_handed_on) {
        const std::lock_guard lock(mutex_);
        table_.set_running(record, asked + record.mark.timeout, 0);
        return true;
    }
    const auto renewed = renew(record, record.mark.hold, until);
    if (!renewed) {
        // A look shows what became of it: it may have been renewed, for long.
        say(record.mark.id + " may have lost its slot: " + renewed.error().reason);
        const std::lock_guard lock(mutex_);
        table_.set_running(record, asked + record.mark.timeout, 0);
        return false;
    }
    // Somebody stopped it, or the slot may be lent to the next task.
    if (!*renewed) {
        end(record, from, Ending::gone);
        return true;
    }
    const auto granted = std::chrono::seconds((*renewed)->expires_in) + 1s;
    Moment deadline = asked + record.mark.timeout;
    if (granted < record.mark.hold) {
        deadline = asked + std::max<Duration>(granted - record.mark.margin(), 0s);
        say(record.mark.id + " times out sooner than asked for: the server lends no slot for longer than " +
            describe(granted - 1s));
    }
    const std::lock_guard lock(mutex_);
    is_ttl_checked_ = is_ttl_checked_ && granted >= record.mark.hold;
    table_.set_running(record, deadline, (*renewed)->expires_at_unix);
    return true;
}

// What was handed the lease returns it, once nothing of the task is left that could use the slot: only that
// knows. It may be halted, or another scheduler's, or have left the slot to its ttl.
bool SchedulerCore::is_to_return(const Record& record, Ending why) {
    return record.mark.is_handed_on ? why == Ending::over : why != Ending::gone;
}

void SchedulerCore::end(const Record& record, backend& from, Ending why) {
    const Duration limit = options().limit;
    const Duration time = 3 * limit + end_slack;
    const Moment renewed_by = BootClock::now() + record.mark.margin() / 2;
    if (why == Ending::timed_out) {
        // The slot is held until all is done that the end takes; by what it was handed to, where it was.
        if (record.mark.is_handed_on) {
            if (!may_be_held(record)) why = Ending::gone;
        } else if (const auto renewed = renew(record, time, renewed_by); renewed && !*renewed) {
            why = Ending::gone;
        }
    }
    if (why == Ending::timed_out && call(record, from, backend_call::timeout) == Called::failed_and_keeps)
        return static_cast<void>(keep_running(record, from, BootClock::now() + limit));
    const Called stopped = call(record, from, backend_call::stop, why != Ending::gone);
    const bool is_held = why == Ending::timed_out && !record.mark.is_handed_on;
    if (stopped == Called::failed_and_keeps && is_held)
        return static_cast<void>(keep_running(record, from, BootClock::now() + limit));
    if (is_to_return(record, why)) give_back(record);
    say_detail(record.mark.backend + ": " + record.mark.id +
               (why == Ending::timed_out ? " timed out" : " has ended"));
    forget(record);
}

void SchedulerCore::keep_alive(const Record& record, backend& from) {
    for (bool is_again = true; is_again;) {
        if (call(record, from, backend_call::keepalive) == Called::failed_and_frees) {
            return end(record, from, Ending::asked);
        }
        const std::lock_guard lock(mutex_);
        is_again = table_.end_keepalive(record);
    }
}

}  // namespace sema
