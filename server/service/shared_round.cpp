#include "server/service/fresh_version.hpp"
#include "server/service/shared_driver.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <utility>

// One round: what is asked of the store, and what becomes of its answer.
namespace sema {
namespace {

// A message that is lost delays a waiter by this at most.
constexpr Duration check_interval = std::chrono::milliseconds(900);
// After a failure, changes that no caller waits for are tried again this often.
constexpr Duration retry_interval = std::chrono::milliseconds(200);

// A lease that is over since longer than this when the store has it is not answered any more: more than the
// way to the store takes, however short its ttl.
constexpr Duration slow_way = std::chrono::milliseconds(500);

// The message that says whose turn it is may be lost. Less than a turn lasts, so that none passes in vain.
constexpr Duration longest_wait = std::chrono::milliseconds(50);

// What is known of how many pools there are is as old as this at most, while fewer than the limit.
constexpr Duration count_interval = std::chrono::seconds(1);

/// The store is away: the calls that wait for a round fail.
void fail_deferred(const Visit& visit) {
    for (const auto& call : std::exchange(visit.entry.deferred, {}))
        visit.ready.add(call.reply, Refusal::store_failed);
}

/// What was done to the copy does not count.
void undo(SharedEntry& entry) {
    entry.changes = {};
    entry.answers.clear();
    entry.freed_ids.clear();
    undo_tally(entry);
}

/// `calls` are those of a round that does not count: the waiters that it queued are not queued.
void forget_queued(SharedEntry& entry, const std::vector<DeferredCall>& calls) {
    for (const auto& call : calls) {
        const auto kept = entry.kept.find(call.ticket);
        if (kept == entry.kept.end() || kept->second.stored) continue;
        entry.waiters.erase(call.ticket);
        entry.kept.erase(kept);
    }
}

/// What was done in a round is to be done again, before what came since.
template <class T>
void put_before(std::vector<T>&& done, std::vector<T>& since) {
    std::move(since.begin(), since.end(), std::back_inserter(done));
    since = std::move(done);
}

}  // namespace

struct SharedDriver::Round {
    std::uint64_t generation = 0;
    std::vector<PoolId> to_load;
    std::vector<PoolChange> changes;
    /// Per change, in the same order, the answers that rest on it.
    std::vector<std::vector<SharedEntry::RoundAnswer>> answers;
};

void SharedDriver::commit() {
    count_pools();
    if (finds_callbacks_.exchange(false)) take_over_callbacks();
    Round round;
    round.generation = store_.generation();
    for (const auto& shard : table_.shards())
        begin_round(*shard, round);
    load_for_round(round);
    end_round(round);
}

/// Other servers make pools too, and delete them.
void SharedDriver::count_pools() {
    const TimePoint now = table_.now();
    const bool is_due =
        now - counted_pools_at_ >= count_interval || table_.pools() >= table_.limits().max_pools;
    if (store_.reachable() && !is_due) return;
    // Where the store is away, the answer says at once why.
    if (const auto count = store_.pool_count()) {
        table_.set_pools(*count);
        counted_pools_at_ = now;
    } else {
        trouble_.add(count.error().message);
    }
}

/// Of pools whose keeper is lost.
void SharedDriver::take_over_callbacks() {
    if (!store_.reachable()) return;
    const auto pools = store_.pools_with_callbacks();
    if (!pools) return trouble_.add(pools.error().message);
    for (const auto& [id, keeper] : *pools) {
        if (keeper == store_.self() || !store_.is_lost(keeper)) continue;
        Shard& shard = table_.shard_of(id);
        const MutexLock lock(shard.mutex);
        std::unique_ptr<Entry>& found = shard.entries[id];
        if (!found) found = new_entry();
        // Once the pool is read anew, its servers are looked at, and the keeper's loss is noticed.
        shared(*found).behind = Version{};
        table_.mark_dirty(shard, id, *found);
    }
}

void SharedDriver::begin_round(Shard& shard, Round& round) {
    Ready ready;
    const MutexLock lock(shard.mutex);
    for (const PoolId& id : std::exchange(shard.dirty, {})) {
        SharedEntry& entry = shared(*shard.entries.at(id));
        const Visit visit{id, entry, ready};
        entry.dirty = false;
        if (!store_.reachable()) {
            fail_deferred(visit);
            follow_up(shard, id, entry);
        } else if (take_turn(visit, round.generation)) {
            do_calls(shard, visit, round);
        } else if (entry.waits_until && *entry.waits_until > table_.now()) {
            follow_up(shard, id, entry);
        } else if (entry.is_asked() || entry.retry_at <= table_.now()) {
            entry.waits_until.reset();
            const bool is_current =
                entry.is_loaded && !entry.is_behind() && entry.generation == round.generation;
            entry.behind.reset();
            is_current ? do_calls(shard, visit, round) : round.to_load.push_back(id);
        } else {
            follow_up(shard, id, entry);
        }
    }
}

void SharedDriver::load_for_round(Round& round) {
    for (const PoolId& id : round.to_load) {
        Shard& shard = table_.shard_of(id);
        bool is_unknown = false;
        {
            const MutexLock lock(shard.mutex);
            is_unknown = shared(*shard.entries.at(id)).is_outcome_unknown;
        }
        const LoadResult found = is_unknown ? store_.reload(id) : store_.load(id);
        Ready ready;
        const MutexLock lock(shard.mutex);
        SharedEntry& entry = shared(*shard.entries.at(id));
        const Visit visit{id, entry, ready};
        if (const auto* failure = std::get_if<StoreFailure>(&found)) {
            trouble_.add(failure->message);
            take_failure(visit, {});
            fail_deferred(visit);
            follow_up(shard, id, entry);
            continue;
        }
        entry.is_outcome_unknown = false;
        notice_loss(entry, found);
        take_state(visit, round.generation, found);
        do_calls(shard, visit, round);
    }
}

/// Does all that is to be done to the copy of a pool.
void SharedDriver::do_calls(Shard& shard, const Visit& visit, Round& round) {
    SharedEntry& entry = shared(visit.entry);
    const TimePoint now = table_.now();
    entry.over.clear();
    entry.counted_lost = std::exchange(entry.lost_answers, {});
    if (entry.pool) do_duties(visit, now);
    entry.gone.clear();
    // What the duties granted does not count as granted to a call of this round.
    entry.fence_before = entry.pool ? entry.pool->fence() : entry.fence;
    do_acts(visit, now);
    bound_places(visit.pool, entry);
    show(entry);
    const bool is_check = (entry.check_at && *entry.check_at <= now) || std::exchange(entry.has_turn, false);
    const bool is_asked = !entry.calls.empty() || !entry.counted_lost.empty() || is_check;
    if (entry.changes.empty() && entry.answers.empty() && !is_asked) {
        entry.orphans.clear();
        table_.count(visit.pool, entry);
        return follow_up(shard, visit.pool, entry);
    }

    const Version base = entry.version;
    const Version next = !entry.pool             ? 0
                         : entry.changes.empty() ? base
                         : base == 0             ? fresh_version()
                                                 : version_after(base);
    round.changes.push_back({.pool = visit.pool,
                             .base = base,
                             .next = next,
                             .changes = std::exchange(entry.changes, {}),
                             .attempt = entry.overtaken + 1});
    round.answers.push_back(std::exchange(entry.answers, {}));
    entry.is_in_flight = true;
    // Waiters that give up meanwhile are answered in time.
    follow_up(shard, visit.pool, entry);
}

/// What has to be done without a call.
void SharedDriver::do_duties(const Visit& visit, TimePoint now) {
    SharedEntry& entry = shared(visit.entry);
    Effects effects(entry.changes);
    if (!entry.orphans.empty()) entry.pool->withdraw(now, entry.orphans, effects);
    if (std::exchange(entry.look_at_servers, false)) {
        const std::set<ServerId> servers = entry.pool->servers();
        for (const ServerId server : servers) {
            if (store_.is_lost(server)) entry.pool->expel(server, now, effects);
        }
    }
    for (const Ticket ticket : entry.gone)
        entry.pool->leave(now, ticket, effects);
    entry.pool->advance_to(now, effects);
    // Before any call, which may be granted what that frees.
    for (const auto& [grant, is_once] : entry.counted_lost)
        entry.pool->undelivered(now, grant, effects);
    table_.pass_on(visit, effects);
}

void SharedDriver::do_acts(const Visit& visit, TimePoint now) {
    SharedEntry& entry = shared(visit.entry);
    entry.calls = std::exchange(entry.deferred, {});
    for (const auto& call : entry.calls) {
        table_.count_use(entry, entry.waiters.size());
        call.act(visit, call.reply);
        if (!call.left || entry.waiters.erase(call.ticket) == 0) continue;
        entry.kept.erase(call.ticket);
        Effects effects(entry.changes);
        entry.pool->leave(now, call.ticket, effects);
        table_.pass_on(visit, effects);
        reply_now(visit, call.reply, Refusal::no_resource);
    }
    table_.count_use(entry, entry.waiters.size());
}

/// Places of borrowers who are away need no connection, so that they alone could exhaust the limit. Each
/// server may have as many waiters in the pool.
void SharedDriver::bound_places(const PoolId& pool, SharedEntry& entry) {
    const std::size_t most = table_.limits().max_waiters;
    if (!entry.pool || entry.pool->waiting() <= most) return;
    table_.forget_away(pool, entry, entry.pool->waiting() - most);
    table_.count_use(entry, entry.waiters.size());
}

void SharedDriver::show(SharedEntry& entry) {
    const auto view = table_.next_view(entry);
    if (!view) return;
    for (const auto& [ticket, reply] : entry.watch->watchers)
        entry.answers.push_back({reply, view});
}

void SharedDriver::end_round(Round& round) {
    if (round.changes.empty()) return;
    const auto begun = std::chrono::steady_clock::now();
    const auto results = store_.commit(round.changes, std::nullopt);
    count_commit(round.changes, std::chrono::steady_clock::now() - begun);
    std::string trouble;
    for (std::size_t i = 0; i < round.changes.size(); ++i) {
        const PoolId& id = round.changes[i].pool;
        Ready ready;
        Shard& shard = table_.shard_of(id);
        const MutexLock lock(shard.mutex);
        SharedEntry& entry = shared(*shard.entries.at(id));
        const Visit visit{id, entry, ready};
        entry.is_in_flight = false;
        if (std::holds_alternative<Committed>(results[i])) {
            take_committed(visit, round.changes[i], round.answers[i]);
        } else if (const auto* stale = std::get_if<Stale>(&results[i])) {
            take_stale(visit, *stale, round.generation);
        } else {
            trouble = std::get<StoreFailure>(results[i]).message;
            // Where the store answered all the same, nothing of it comes later.
            entry.is_outcome_unknown = !store_.reachable() || store_.generation() != round.generation;
            take_failure(visit, round.answers[i]);
            if (!store_.reachable()) fail_deferred(visit);
        }
        follow_up(shard, id, entry);
    }
    trouble_.add(trouble);
}

void SharedDriver::take_committed(const Visit& visit, const PoolChange& change,
                                  const std::vector<SharedEntry::RoundAnswer>& answers) {
    SharedEntry& entry = shared(visit.entry);
    entry.version = change.next;
    entry.stored = {change.next, entry.pool ? entry.pool->fence() : entry.fence};
    entry.overtaken = 0;
    table_.count(visit.pool, entry);
    entry.orphans.clear();
    entry.counted_lost.clear();
    for (const auto& call : std::exchange(entry.calls, {})) {
        const auto kept = entry.kept.find(call.ticket);
        if (kept == entry.kept.end()) continue;
        if (const Waiter* queued = entry.pool ? entry.pool->waiter(call.ticket) : nullptr)
            kept->second.stored = *queued;
    }
    give_answers(visit, answers);
    for (const LeaseId& lease : std::exchange(entry.freed_ids, {})) {
        if (!entry.pool || !entry.pool->knows(lease)) table_.chosen_ids().free(lease, visit.pool);
    }
    if (change.next == 0) PoolTable::end_watch(visit, Refusal::no_such_pool);
    if (entry.check_at && entry.is_followed()) entry.check_at = table_.now() + check_interval;
}

void SharedDriver::give_answers(const Visit& visit, const std::vector<SharedEntry::RoundAnswer>& answers) {
    SharedEntry& entry = shared(visit.entry);
    // This server may have halted meanwhile.
    const TimePoint over = table_.now() - slow_way;
    const auto in_time = [&](const Answer& answer) -> Answer {
        const auto* granted = std::get_if<LeaseGranted>(&answer);
        const auto* renewed = std::get_if<LeaseRenewed>(&answer);
        if (granted && granted->lease.expires_at <= over) return Refusal::store_failed;
        if (renewed && renewed->lease && renewed->lease->expires_at <= over) return LeaseRenewed{};
        return answer;
    };
    for (const auto& [reply, answer, ticket] : answers) {
        if (!ticket) {
            visit.ready.add(reply, in_time(answer));
        } else if (const auto waiter = entry.waiters.extract(*ticket)) {
            entry.kept.erase(*ticket);
            visit.ready.add(waiter.mapped().reply, in_time(answer));
        } else if (const auto* granted = std::get_if<LeaseGranted>(&answer)) {
            // It gave up, or left, while its grant was at the store.
            lose_answer_later(entry, granted->lease, std::nullopt);
        }
    }
}

/// Another server was first: all is to be done again.
void SharedDriver::take_stale(const Visit& visit, const Stale& stale, std::uint64_t generation) {
    SharedEntry& entry = shared(visit.entry);
    ++entry.overtaken;
    put_before(std::exchange(entry.counted_lost, {}), entry.lost_answers);
    auto calls = std::exchange(entry.calls, {});
    std::erase_if(calls, [&](const auto& call) { return entry.over.contains(call.ticket); });
    forget_queued(entry, calls);
    put_before(std::move(calls), entry.deferred);
    if (stale.waits_for_turn) entry.waits_until = table_.now() + longest_wait;
    if (stale.now && !std::holds_alternative<StoreFailure>(*stale.now)) {
        notice_loss(entry, *stale.now);
        take_state(visit, generation, *stale.now);
    } else {
        entry.is_loaded = false;
        undo(entry);
    }
    entry.retry_at = Timeline::long_ago;
    if (!entry.is_loaded) entry.behind = Version{};
}

/// The store does not say whether it has what was done in the round. `answers` are those that rest on it.
void SharedDriver::take_failure(const Visit& visit, const std::vector<SharedEntry::RoundAnswer>& answers) {
    SharedEntry& entry = shared(visit.entry);
    undo(entry);
    entry.is_loaded = false;
    entry.retry_at = table_.now() + retry_interval;
    for (const auto& [reply, answer, ticket] : answers) {
        const auto* granted = std::get_if<LeaseGranted>(&answer);
        if (!ticket) {
            visit.ready.add(reply, Refusal::store_failed);
            if (granted && granted->lease.fence > entry.fence_before) add_orphan(entry, granted->lease);
            continue;
        }
        if (!granted) continue;
        const auto kept = entry.kept.find(*ticket);
        if (kept == entry.kept.end()) {
            lose_answer_later(entry, granted->lease, table_.limits().pool.server);
        } else if (kept->second.stored) {
            kept->second.granted = granted->lease;
        } else {
            // Its borrower is answered below.
            add_orphan(entry, granted->lease);
        }
    }
    const auto calls = std::exchange(entry.calls, {});
    for (const auto& call : calls) {
        const auto kept = entry.kept.find(call.ticket);
        if (kept != entry.kept.end() && !kept->second.stored)
            visit.ready.add(call.reply, Refusal::store_failed);
        if (entry.watch) PoolTable::stop_watching(entry, call.ticket);
    }
    forget_queued(entry, calls);
    auto lost = std::exchange(entry.counted_lost, {});
    std::erase_if(lost, [&](const auto& answer) { return answer.is_once && entry.is_outcome_unknown; });
    put_before(std::move(lost), entry.lost_answers);
}

/// Where it is this server's turn, makes the copy what the pool is then.
bool SharedDriver::take_turn(const Visit& visit, std::uint64_t generation) {
    SharedEntry& entry = shared(visit.entry);
    const auto handed = std::exchange(entry.handed, std::nullopt);
    if (!handed || handed->generation != generation || entry.is_outcome_unknown) return false;
    entry.waits_until.reset();
    entry.has_turn = true;
    // This server may have changed the pool since, having waited long enough.
    const auto* record = std::get_if<PoolRecord>(&handed->state);
    const bool is_current = entry.is_loaded && entry.generation == generation;
    if (!is_current || !record || record->version > entry.version)
        take_state(visit, generation, handed->state);
    if (!entry.is_behind()) entry.behind.reset();
    return true;
}

/// `found` is what the store has at this moment. Where it had confirmed more, the operator should know: the
/// fences that are known here are not given again, but slots that other servers lent may be lent again.
void SharedDriver::notice_loss(SharedEntry& entry, const LoadResult& found) {
    const auto* record = std::get_if<PoolRecord>(&found);
    const auto now = record ? SharedEntry::Stored{record->version, record->fence}
                            : SharedEntry::Stored{0, std::get<Absent>(found).fence};
    if (entry.is_forgotten_in(now))
        trouble_.add_loss(
            "the store has forgotten changes that it had confirmed (another one that was behind took its "
            "place, or it was put back to an earlier state): slots may be lent twice until the leases of "
            "then "
            "are over");
    entry.stored = now;
}

/// Makes the copy of the pool anew, from what the store has and the waiters of this server.
void SharedDriver::take_state(const Visit& visit, std::uint64_t generation, const LoadResult& found) {
    SharedEntry& entry = shared(visit.entry);
    undo(entry);
    entry.is_loaded = true;
    entry.generation = generation;
    if (const auto* record = std::get_if<PoolRecord>(&found)) return take_record(visit, *record);
    take_absence(visit, std::get<Absent>(found).fence);
}

void SharedDriver::take_record(const Visit& visit, const PoolRecord& record) {
    SharedEntry& entry = shared(visit.entry);
    const TimePoint now = table_.now();
    std::vector<Waiter> here;
    for (auto& [ticket, kept] : entry.kept) {
        kept.granted.reset();
        if (kept.stored) here.push_back(*kept.stored);
    }
    if (!entry.pool) entry.pool.emplace(PoolRecord{}, now, table_.limits().pool);
    Effects effects(entry.changes);
    entry.pool->rebuild(record, here, now, effects);
    entry.version = record.version;
    entry.look_at_servers = !entry.pool->servers().empty();
    table_.pass_on(visit, effects);
}

/// There is no pool to wait for or to watch. `fence`: the greatest one that the store knows of.
void SharedDriver::take_absence(const Visit& visit, std::uint64_t fence) {
    SharedEntry& entry = shared(visit.entry);
    entry.version = 0;
    if (entry.pool) entry.fence = std::max(entry.fence, entry.pool->fence());
    // A store that was emptied has forgotten it.
    if (entry.fence > fence) entry.changes.fence = entry.fence;
    entry.fence = std::max(entry.fence, fence);
    for (const auto& [ticket, call] : entry.waiters)
        visit.ready.add(call.reply, Refusal::no_such_pool);
    entry.waiters.clear();
    entry.kept.clear();
    entry.give_ups.clear();
    PoolTable::end_watch(visit, Refusal::no_such_pool);
    Effects effects(entry.changes);
    if (entry.pool) entry.pool->dissolve(table_.now(), effects);
    // Another server has deleted it.
    effects.ended.clear();
    effects.past.clear();
    table_.pass_on(visit, effects);
    entry.pool.reset();
}

}  // namespace sema
