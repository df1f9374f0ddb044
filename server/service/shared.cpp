#include "server/service/fresh_version.hpp"
#include "server/service/state.hpp"

#include <algorithm>
#include <utility>

// Pools that other servers change too.
//
// The store has the truth, and what is in memory is a copy that may be old. So calls are not done as they
// come, but in rounds: all calls of a round are done to the copy, then the store is asked to take the changes
// if the copy was up to date, and then they are answered. If another server was first, the store tells how
// the pool is now, and the calls of the round are done again to that. A round is at the store for a while;
// the calls that come meanwhile are done in the next one. Only do_round() changes a copy.
//
// A waiter is in `Entry::waiters` until it has its answer. Its place in the queue is a row of the store.
// From both the pool can be made anew at any time (Pool::restore()): after another server's change, and when
// the store is found again.
namespace sema {
namespace {

// A message that is lost delays a waiter by this at most.
constexpr Duration check_interval = std::chrono::milliseconds(900);
// To be told of changes takes effect a little after it is asked for.
constexpr Duration first_check = std::chrono::milliseconds(50);
// After a failure, what no caller waits for is tried again this often.
constexpr Duration retry_interval = std::chrono::milliseconds(200);

// A lease that is over since longer than this when the store has it is not told of any more: more than the
// way to the store takes, however short its ttl.
constexpr Duration slow_way = std::chrono::milliseconds(500);

// What is known of how many pools there are is as old as this at most, while fewer than the limit.
constexpr Duration count_interval = std::chrono::seconds(1);

// A version that is less than another by no more than this came before it. (A pool that is made again begins
// with a random one.)
constexpr Version versions_in_order = 1'000'000;

bool is_reached(Version wanted, Version present) {
    return wanted <= present && present - wanted < versions_in_order;
}

}  // namespace

/// What a round asks of the store.
struct Service::Round {
    std::uint64_t generation = 0;
    std::vector<PoolId> to_load;
    std::vector<PoolChange> changes;
    /// Per change, in the same order, the answers that rest on it.
    std::vector<std::vector<Answered>> answers;
};

void Service::changed(const PoolId& pool, Version version) {
    {
        Shard& shard = shard_of(pool);
        const MutexLock lock(shard.mutex);
        const auto found = shard.entries.find(pool);
        if (found == shard.entries.end() || !found->second.shared) return;
        found->second.shared->behind = version;
        if (!is_behind(found->second)) return;
        mark_dirty(shard, pool, found->second);
    }
    wake_committer();
}

/// Whether another server may have changed the pool since it was read.
bool Service::is_behind(const Entry& entry) {
    const auto& behind = entry.shared->behind;
    return behind && (*behind == 0 || !is_reached(*behind, entry.version));
}

void Service::lost(ServerId server) {
    for (const auto& shard : shards_) {
        const MutexLock lock(shard->mutex);
        for (auto& [id, entry] : shard->entries) {
            if (!entry.shared || !entry.pool || !entry.pool->servers().contains(server)) continue;
            entry.shared->look_at_servers = true;
            mark_dirty(*shard, id, entry);
        }
    }
    wake_committer();
}

void Service::reached() {
    for (const auto& shard : shards_) {
        const MutexLock lock(shard->mutex);
        for (auto& [id, entry] : shard->entries) {
            if (!entry.shared) continue;
            entry.shared->behind = Version{};
            entry.retry_at = TimePoint::min();
            if (has_duties(entry) || is_followed(entry)) mark_dirty(*shard, id, entry);
        }
    }
    wake_committer();
}

void Service::mark_dirty(Shard& shard, const PoolId& pool, Entry& entry) REQUIRES(shard.mutex) {
    if (!entry.shared) entry.shared = std::make_unique<Entry::Shared>();
    if (entry.dirty) return;
    entry.dirty = true;
    shard.dirty.push_back(pool);
    work_ = true;
}

/// Whether there is something to be done that nobody asks for (any more).
bool Service::has_duties(const Entry& entry) {
    const Entry::Shared& shared = *entry.shared;
    return shared.outcome_unknown || shared.look_at_servers || !shared.gone.empty() ||
           !shared.orphans.empty() || !entry.changes.empty() ||
           std::any_of(entry.deferred.begin(), entry.deferred.end(),
                       [](const auto& call) { return call.is_duty; });
}

/// Whether somebody here is to be told of what other servers do.
bool Service::is_followed(const Entry& entry) {
    return !entry.waiters.empty() || entry.watch;
}

void Service::do_round() {
    count_pools();
    Round round;
    round.generation = shared_->generation();
    for (const auto& shard : shards_)
        begin_round(*shard, round);
    load_for_round(round);
    end_round(round);
}

/// Other servers make pools too, and delete them.
void Service::count_pools() {
    const TimePoint now = clock_.now();
    const bool is_due = now - counted_pools_at_ >= count_interval || pools_ >= limits_.max_pools;
    if (shared_->reachable() && !is_due) return;
    // Where the store is away, the answer says at once why.
    if (const auto count = shared_->pool_count()) {
        pools_ = *count;
        counted_pools_at_ = now;
    } else {
        report(count.error().message);
    }
}

void Service::begin_round(Shard& shard, Round& round) {
    Ready ready;
    const MutexLock lock(shard.mutex);
    for (const PoolId& id : std::exchange(shard.dirty, {})) {
        Entry& entry = shard.entries.at(id);
        entry.dirty = false;
        if (!shared_->reachable()) {
            fail_deferred(entry, ready);
            plan(shard, id, entry);
        } else if (is_asked(entry) || entry.retry_at <= clock_.now()) {
            const bool is_current =
                entry.loaded && !is_behind(entry) && entry.shared->generation == round.generation;
            entry.shared->behind.reset();
            is_current ? do_calls(shard, id, entry, round, ready) : round.to_load.push_back(id);
        } else {
            plan(shard, id, entry);
        }
    }
}

/// Whether somebody waits for an answer to what was not done yet.
bool Service::is_asked(const Entry& entry) {
    return std::any_of(entry.deferred.begin(), entry.deferred.end(),
                       [](const auto& call) { return !call.is_duty; });
}

void Service::load_for_round(Round& round) {
    for (const PoolId& id : round.to_load) {
        Shard& shard = shard_of(id);
        bool is_unknown = false;
        {
            const MutexLock lock(shard.mutex);
            is_unknown = shard.entries.at(id).shared->outcome_unknown;
        }
        const LoadResult found = is_unknown ? shared_->reload(id) : shared_->load(id);
        Ready ready;
        const MutexLock lock(shard.mutex);
        Entry& entry = shard.entries.at(id);
        if (const auto* failure = std::get_if<StoreFailure>(&found)) {
            report(failure->message);
            take_failure(id, entry, {}, ready);
            fail_deferred(entry, ready);
            plan(shard, id, entry);
            continue;
        }
        entry.shared->outcome_unknown = false;
        take_record(id, entry, round.generation, found, ready);
        do_calls(shard, id, entry, round, ready);
    }
}

/// Does all that is to be done to the copy of a pool.
void Service::do_calls(Shard& shard, const PoolId& pool, Entry& entry, Round& round, Ready& ready)
    REQUIRES(shard.mutex) {
    Entry::Shared& shared = *entry.shared;
    const TimePoint now = clock_.now();
    if (entry.pool) do_duties(pool, entry, now, ready);
    shared.gone.clear();
    // What the duties granted is no caller's of this round.
    shared.fence = entry.pool ? entry.pool->fence() : entry.fence;
    shared.calls = std::exchange(entry.deferred, {});
    for (const auto& call : shared.calls) {
        count_waiters(entry);
        call.act(entry, call.reply, ready);
        if (!call.left || !entry.waiters.extract(call.ticket)) continue;
        entry.pool->leave(now, call.ticket, entry.changes);
        refuse(entry, call.reply, Refusal::no_resource, ready);
    }
    count_waiters(entry);
    bound_away(pool, entry);
    show(entry);
    const bool is_check = shared.check_at && *shared.check_at <= now;
    if (entry.changes.empty() && entry.answers.empty() && shared.calls.empty() && !is_check) {
        shared.orphans.clear();
        return plan(shard, pool, entry);
    }

    const Version base = entry.version;
    const Version next = !entry.pool             ? 0
                         : entry.changes.empty() ? base
                         : base == 0             ? fresh_version()
                                                 : base + 1;
    round.changes.push_back({pool, base, next, std::exchange(entry.changes, {}), shared.overtaken});
    round.answers.push_back(std::exchange(entry.answers, {}));
    shared.in_flight = true;
    // Whoever gives up meanwhile is told so in time.
    plan(shard, pool, entry);
}

void Service::do_duties(const PoolId& pool, Entry& entry, TimePoint now, Ready& ready) {
    Entry::Shared& shared = *entry.shared;
    Outcome outcome;
    if (!shared.orphans.empty()) entry.pool->withdraw(now, shared.orphans, entry.changes, outcome);
    if (std::exchange(shared.look_at_servers, false)) {
        const std::set<ServerId> servers = entry.pool->servers();
        for (const ServerId server : servers) {
            if (shared_->is_lost(server)) entry.pool->expel(server, now, entry.changes, outcome);
        }
    }
    for (const Ticket ticket : shared.gone)
        entry.pool->leave(now, ticket, entry.changes);
    entry.pool->advance_to(now, entry.changes, outcome);
    tell(pool, entry, outcome, ready);
}

void Service::end_round(Round& round) {
    if (round.changes.empty()) return;
    const auto results = shared_->commit(round.changes, std::nullopt);
    std::string trouble;
    for (std::size_t i = 0; i < round.changes.size(); ++i) {
        const PoolId& id = round.changes[i].pool;
        Ready ready;
        Shard& shard = shard_of(id);
        const MutexLock lock(shard.mutex);
        Entry& entry = shard.entries.at(id);
        entry.shared->in_flight = false;
        if (std::holds_alternative<Committed>(results[i])) {
            take_committed(round.changes[i], entry, round.answers[i], ready);
        } else if (const auto* stale = std::get_if<Stale>(&results[i])) {
            take_stale(id, entry, *stale, round.generation, ready);
        } else {
            trouble = std::get<StoreFailure>(results[i]).message;
            // Where the store answered all the same, nothing of it comes later.
            entry.shared->outcome_unknown =
                !shared_->reachable() || shared_->generation() != round.generation;
            take_failure(id, entry, round.answers[i], ready);
            if (!shared_->reachable()) fail_deferred(entry, ready);
        }
        plan(shard, id, entry);
    }
    report(trouble);
}

void Service::take_committed(const PoolChange& change, Entry& entry, const std::vector<Answered>& answers,
                             Ready& ready) {
    Entry::Shared& shared = *entry.shared;
    entry.version = change.next;
    shared.overtaken = 0;
    shared.orphans.clear();
    for (const auto& call : std::exchange(shared.calls, {})) {
        const auto waiter = entry.waiters.find(call.ticket);
        if (waiter == entry.waiters.end()) continue;
        if (const Waiter* queued = entry.pool ? entry.pool->waiter(call.ticket) : nullptr)
            waiter->second.stored = *queued;
    }
    // This server may have halted meanwhile.
    const TimePoint over = clock_.now() - slow_way;
    const auto in_time = [&](const Answer& answer) -> Answer {
        const auto* granted = std::get_if<LeaseGranted>(&answer);
        const auto* renewed = std::get_if<LeaseRenewed>(&answer);
        if (granted && granted->lease.expires_at <= over) return Refusal::store_failed;
        if (renewed && renewed->lease && renewed->lease->expires_at <= over) return LeaseRenewed{};
        return answer;
    };
    for (const auto& [reply, answer, ticket] : answers) {
        if (ticket == Ticket{}) {
            ready.add(reply, in_time(answer));
        } else if (const auto waiter = entry.waiters.extract(ticket)) {
            ready.add(waiter.mapped().reply, in_time(answer));
        } else if (const auto* granted = std::get_if<LeaseGranted>(&answer)) {
            // It gave up, or left, while its grant was at the store.
            give_up_later(change.pool, entry, granted->lease, std::nullopt);
        }
    }
    for (const LeaseId& lease : std::exchange(entry.freed_ids, {})) {
        if (!entry.pool || !entry.pool->knows(lease))
            chosen_ids_.set(lease, change.pool, TimePoint::min(), clock_.now());
    }
    if (change.next == 0) end_watch(entry, Refusal::no_such_pool, ready);
    if (shared.check_at && is_followed(entry)) shared.check_at = clock_.now() + check_interval;
}

/// Another server was first: all is to be done again.
void Service::take_stale(const PoolId& pool, Entry& entry, const Stale& stale, std::uint64_t generation,
                         Ready& ready) {
    ++entry.shared->overtaken;
    auto calls = std::exchange(entry.shared->calls, {});
    std::erase_if(calls, [](const auto& call) { return call.is_over; });
    forget_queued(entry, calls);
    std::move(entry.deferred.begin(), entry.deferred.end(), std::back_inserter(calls));
    entry.deferred = std::move(calls);
    if (stale.now && !std::holds_alternative<StoreFailure>(*stale.now)) {
        take_record(pool, entry, generation, *stale.now, ready);
    } else {
        entry.loaded = false;
        undo(entry);
    }
    entry.retry_at = TimePoint::min();
    if (!entry.loaded) entry.shared->behind = Version{};
}

/// Makes the copy of the pool anew, from what the store has and who waits here.
void Service::take_record(const PoolId& pool, Entry& entry, std::uint64_t generation, const LoadResult& found,
                          Ready& ready) {
    undo(entry);
    entry.loaded = true;
    entry.shared->generation = generation;
    const TimePoint now = clock_.now();
    const auto* record = std::get_if<PoolRecord>(&found);
    if (!record) {
        entry.version = 0;
        entry.fence = std::get<Absent>(found).fence;
        for (const auto& [ticket, call] : entry.waiters)
            ready.add(call.reply, Refusal::no_such_pool);
        entry.waiters.clear();
        entry.shared->give_ups.clear();
        end_watch(entry, Refusal::no_such_pool, ready);
        Outcome outcome;
        if (entry.pool) entry.pool->dissolve(outcome);
        tell(pool, entry, outcome, ready);
        entry.pool.reset();
        return;
    }
    std::vector<Waiter> here;
    for (auto& [ticket, call] : entry.waiters) {
        call.granted.reset();
        if (call.stored) here.push_back(*call.stored);
    }
    if (!entry.pool) entry.pool.emplace(PoolRecord{}, now, limits_.pool);
    Outcome outcome;
    entry.pool->restore(*record, here, now, entry.changes, outcome);
    entry.version = record->version;
    entry.shared->look_at_servers = !entry.pool->servers().empty();
    tell(pool, entry, outcome, ready);
}

/// The store does not tell whether it has what was done in the round. `answers` are those that rest on it.
void Service::take_failure(const PoolId& pool, Entry& entry, const std::vector<Answered>& answers,
                           Ready& ready) {
    Entry::Shared& shared = *entry.shared;
    undo(entry);
    entry.loaded = false;
    entry.retry_at = clock_.now() + retry_interval;
    for (const auto& [reply, answer, ticket] : answers) {
        const auto* granted = std::get_if<LeaseGranted>(&answer);
        const auto waiter = entry.waiters.find(ticket);
        if (ticket == Ticket{}) {
            ready.add(reply, Refusal::store_failed);
            if (granted && granted->lease.fence > shared.fence) add_orphan(entry, granted->lease);
        } else if (granted && waiter == entry.waiters.end()) {
            give_up_later(pool, entry, granted->lease, limits_.pool.server);
        } else if (granted && waiter->second.stored) {
            waiter->second.granted = granted->lease;
        } else if (granted) {
            // It is told of the failure below.
            add_orphan(entry, granted->lease);
        }
    }
    auto calls = std::exchange(shared.calls, {});
    for (const auto& call : calls) {
        const auto waiter = entry.waiters.find(call.ticket);
        if (waiter != entry.waiters.end() && !waiter->second.stored)
            ready.add(call.reply, Refusal::store_failed);
        if (entry.watch) stop_watching(entry, call.ticket);
    }
    forget_queued(entry, calls);
    std::erase_if(
        calls, [&](const auto& call) { return !call.is_duty || (call.is_once && shared.outcome_unknown); });
    std::move(entry.deferred.begin(), entry.deferred.end(), std::back_inserter(calls));
    entry.deferred = std::move(calls);
}

/// Once for each grant, however often it was tried.
void Service::add_orphan(Entry& entry, const Lease& lease) const {
    auto& orphans = entry.shared->orphans;
    const Pool::Grant orphan{lease.id, lease.fence, limits_.pool.server};
    if (std::find(orphans.begin(), orphans.end(), orphan) == orphans.end()) orphans.push_back(orphan);
}

/// In the next round, the answer that told of that grant counts as lost. `server`: as in Pool::Grant.
void Service::give_up_later(const PoolId& pool, Entry& entry, const Lease& lease,
                            std::optional<ServerId> server) {
    // Several answers may tell of a lease with a chosen id. Were a lost one counted twice, whoever got
    // another would lose the lease; not to count it costs at most that nobody has the lease for its ttl.
    const bool is_once = lease.chosen;
    // Before any call: where the grant turns out not to be stored, its fence is given again.
    entry.deferred.insert(entry.deferred.begin(),
                          {Ticket{}, [](const Answer&) {}, giving_up(pool, {lease.id, lease.fence, server}),
                           false, true, is_once});
}

/// The store is away: nothing can be done for who asks.
void Service::fail_deferred(Entry& entry, Ready& ready) {
    for (const auto& call : entry.deferred) {
        if (!call.is_duty) ready.add(call.reply, Refusal::store_failed);
    }
    std::erase_if(entry.deferred, [](const auto& call) { return !call.is_duty; });
}

/// Those who were queued in the round that does not count.
template <class Calls>
void Service::forget_queued(Entry& entry, const Calls& calls) {
    for (const auto& call : calls) {
        const auto waiter = entry.waiters.find(call.ticket);
        if (waiter != entry.waiters.end() && !waiter->second.stored) entry.waiters.erase(waiter);
    }
}

/// What was done to the copy does not count.
void Service::undo(Entry& entry) {
    entry.changes = {};
    entry.answers.clear();
    entry.freed_ids.clear();
}

/// Sees to it that what is due is done in a round, and what will be due in time.
void Service::plan(Shard& shard, const PoolId& pool, Entry& entry) REQUIRES(shard.mutex) {
    Entry::Shared& shared = *entry.shared;
    const TimePoint now = clock_.now();
    count_waiters(entry);
    if (is_followed(entry) && !shared.check_at) {
        shared_->follow(pool);
        shared.check_at = now + first_check;
    } else if (!is_followed(entry) && shared.check_at && *shared.check_at <= now) {
        shared_->unfollow(pool);
        shared.check_at.reset();
    }

    std::optional<TimePoint> next;
    bool is_due = is_asked(entry);
    const auto is_due_at = [&](TimePoint time) {
        if (time <= now) {
            is_due = true;
        } else {
            next = next ? std::min(*next, time) : time;
        }
    };
    if (shared_->reachable()) {
        const auto not_before_retry = [&](TimePoint time) { is_due_at(std::max(time, entry.retry_at)); };
        if (has_duties(entry) || !entry.answers.empty()) not_before_retry(now);
        if (is_behind(entry) && is_followed(entry)) not_before_retry(now);
        if (shared.check_at) not_before_retry(*shared.check_at);
        if (entry.loaded && entry.has_news()) not_before_retry(entry.watch->due);
        if (entry.loaded && entry.pool && !shared.in_flight) {
            const auto deadline = entry.watch ? entry.pool->next_change() : entry.pool->next_deadline();
            if (deadline) not_before_retry(*deadline);
        }
    }
    while (!shared.give_ups.empty() && !entry.waiters.contains(shared.give_ups.begin()->second))
        shared.give_ups.erase(shared.give_ups.begin());
    // Not in a round, which may not come before the store does.
    if (!shared.give_ups.empty()) {
        const TimePoint first = shared.give_ups.begin()->first;
        next = next ? std::min(*next, first) : first;
    }
    if (is_due) mark_dirty(shard, pool, entry);
    if (next) wake_at(shard, pool, entry, *next);
    drop_if_gone(shard, pool, entry);
}

/// Something is due. Who gives up is answered at once, wherever the store is.
void Service::advance_shared(Shard& shard, const PoolId& pool, Entry& entry, Ready& ready)
    REQUIRES(shard.mutex) {
    Entry::Shared& shared = *entry.shared;
    const TimePoint now = clock_.now();
    Outcome outcome;
    while (!shared.give_ups.empty() && shared.give_ups.begin()->first <= now) {
        const Ticket ticket = shared.give_ups.extract(shared.give_ups.begin()).value().second;
        if (!entry.waiters.contains(ticket)) continue;
        const auto place = entry.pool ? entry.pool->place_of(ticket) : std::nullopt;
        outcome.gave_up.push_back(place.value_or(Outcome::GaveUp{ticket, 1, 1}));
        shared.gone.push_back(ticket);
    }
    tell(pool, entry, outcome, ready);
    if (shared_->reachable()) mark_dirty(shard, pool, entry);
    if (!entry.dirty) plan(shard, pool, entry);
}

/// It has left or is refused: not to be queued again if the round does not count, and to be granted nothing.
void Service::end_wait(const PoolId& pool, Entry& entry, Ticket ticket, const WaitingCall& waiter) {
    for (auto& call : entry.shared->calls) {
        if (call.ticket == ticket) call.is_over = true;
    }
    if (waiter.granted) give_up_later(pool, entry, *waiter.granted, limits_.pool.server);
}

bool Service::leave_shared(Shard& shard, const PoolId& pool, Entry& entry, Ticket ticket)
    REQUIRES(shard.mutex) {
    if (stop_watching(entry, ticket)) return true;
    const auto waiter = entry.waiters.extract(ticket);
    if (!waiter) return false;
    end_wait(pool, entry, ticket, waiter.mapped());
    entry.shared->gone.push_back(ticket);
    mark_dirty(shard, pool, entry);
    return true;
}

void Service::drain_shared(Shard& shard, const PoolId& pool, Entry& entry, Ready& ready)
    REQUIRES(shard.mutex) {
    if (!entry.shared || entry.waiters.empty()) return;
    for (const auto& [ticket, call] : entry.waiters) {
        ready.add(call.reply, Refusal::shutting_down);
        end_wait(pool, entry, ticket, call);
        entry.shared->gone.push_back(ticket);
    }
    entry.waiters.clear();
    mark_dirty(shard, pool, entry);
}

}  // namespace sema
