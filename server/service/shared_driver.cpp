#include "server/service/shared_driver.hpp"

#include "server/service/fresh_version.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

// What comes from outside a round: calls and borrowers who leave, deadlines, and the store's messages.
namespace sema {
namespace {

// To hear of changes takes effect a little after it is asked for.
constexpr Duration first_check = std::chrono::milliseconds(50);

// A version that is less than another by no more than this came before it: by millions of changes. (A pool
// that is made again begins with a random one.)
constexpr Version versions_in_order = greatest_step * greatest_step;

bool is_reached(Version wanted, Version present) {
    return wanted <= present && present - wanted < versions_in_order;
}

}  // namespace

bool SharedEntry::has_duties() const {
    return is_outcome_unknown || look_at_servers || !gone.empty() || !orphans.empty() || !changes.empty() ||
           !lost_answers.empty();
}

bool SharedEntry::is_behind() const {
    return behind && (*behind == 0 || !is_reached(*behind, version));
}

bool SharedEntry::is_forgotten_in(const Stored& now) const {
    if (!stored) return false;
    if (now.fence < stored->fence) return true;
    // A pool that was deleted and made anew has any version.
    return stored->version != 0 && now.version != 0 && now.version != stored->version &&
           stored->version - now.version <= most_forgotten;
}

bool SharedEntry::is_over() const {
    return is_loaded && is_idle() && answers.empty() && lost_answers.empty() && orphans.empty() &&
           !is_in_flight && !is_outcome_unknown;
}

SharedDriver::SharedDriver(SharedStore& store, PoolTable& table, Wakeups& wakeups, TroubleReport& trouble)
    : store_(store), table_(table), wakeups_(wakeups), trouble_(trouble) {
    store_.listen(this);
}

SharedDriver::~SharedDriver() {
    stop();
}

void SharedDriver::stop() {
    store_.listen(nullptr);
}

SharedEntry& SharedDriver::shared(Entry& entry) {
    return static_cast<SharedEntry&>(entry);
}

std::unique_ptr<Entry> SharedDriver::new_entry() const {
    return std::make_unique<SharedEntry>();
}

void SharedDriver::changed(const PoolId& pool, Version version) {
    {
        Shard& shard = table_.shard_of(pool);
        const MutexLock lock(shard.mutex);
        const auto found = shard.entries.find(pool);
        if (found == shard.entries.end()) return;
        SharedEntry& entry = shared(*found->second);
        entry.behind = version;
        if (!entry.is_behind()) return;
        table_.mark_dirty(shard, pool, entry);
    }
    wakeups_.wake_committer();
}

void SharedDriver::lost(ServerId server) {
    for (const auto& shard : table_.shards()) {
        const MutexLock lock(shard->mutex);
        for (auto& [id, found] : shard->entries) {
            if (!found->pool || !found->pool->servers().contains(server)) continue;
            shared(*found).look_at_servers = true;
            table_.mark_dirty(*shard, id, *found);
        }
    }
    wakeups_.wake_committer();
}

void SharedDriver::reached() {
    for (const auto& shard : table_.shards()) {
        const MutexLock lock(shard->mutex);
        for (auto& [id, found] : shard->entries) {
            SharedEntry& entry = shared(*found);
            entry.behind = Version{};
            entry.retry_at = Timeline::long_ago;
            entry.waits_until.reset();
            if (entry.has_duties() || entry.is_followed() || entry.had_waiters)
                table_.mark_dirty(*shard, id, entry);
        }
    }
    wakeups_.wake_committer();
}

void SharedDriver::handed(const PoolId& pool, const LoadResult& state, std::uint64_t generation) {
    {
        Shard& shard = table_.shard_of(pool);
        const MutexLock lock(shard.mutex);
        const auto found = shard.entries.find(pool);
        if (found == shard.entries.end()) return;
        shared(*found->second).handed = SharedEntry::Handed{state, generation};
        table_.mark_dirty(shard, pool, *found->second);
    }
    wakeups_.wake_committer();
}

void SharedDriver::reply_when_committed(const Visit& visit, const Reply& reply, const Answer& answer) {
    shared(visit.entry).answers.push_back({reply, answer});
}

void SharedDriver::reply_now(const Visit& visit, const Reply& reply, const Answer& answer) {
    shared(visit.entry).answers.push_back({reply, answer});
}

void SharedDriver::reply_to_waiter(Entry& entry, Ticket ticket, const Answer& answer) {
    shared(entry).answers.push_back({{}, answer, ticket});
}

void SharedDriver::wait_begun(Entry& entry, const Claim& claim) {
    shared(entry).had_waiters = true;
    shared(entry).kept.try_emplace(claim.ticket);
    shared(entry).give_ups.emplace(claim.give_up_at, claim.ticket);
}

void SharedDriver::wait_ended(Entry& entry, Ticket ticket) {
    shared(entry).over.insert(ticket);
    const auto kept = shared(entry).kept.extract(ticket);
    if (kept && kept.mapped().granted)
        lose_answer_later(shared(entry), *kept.mapped().granted, table_.limits().pool.server);
}

bool SharedDriver::adds_waiter(const Entry& entry) const {
    return entry.waiters.size() >= entry.counted_waiters;
}

/// Sees to it that what is due is done in a round, and what will be due in time.
void SharedDriver::follow_up(Shard& shard, const PoolId& pool, Entry& any) {
    SharedEntry& entry = shared(any);
    table_.count_use(entry, entry.waiters.size());
    follow(pool, entry);

    const TimePoint now = table_.now();
    std::optional<TimePoint> next;
    bool is_due = entry.is_asked();
    const auto is_due_at = [&](TimePoint wanted) {
        const TimePoint time = std::max(wanted, entry.retry_at);
        if (time <= now) {
            is_due = true;
        } else {
            next = next ? std::min(*next, time) : time;
        }
    };
    if (store_.reachable()) {
        if (entry.has_duties() || !entry.answers.empty()) is_due_at(now);
        if (entry.is_behind() && entry.is_followed()) is_due_at(now);
        if (entry.check_at) is_due_at(*entry.check_at);
        if (entry.is_loaded && entry.has_news()) is_due_at(entry.watch->due);
        if (entry.is_loaded && entry.pool && !entry.is_in_flight) {
            const auto deadline = entry.watch ? entry.pool->next_change() : entry.pool->next_deadline();
            if (deadline) is_due_at(*deadline);
        }
    }
    // All of that waits for this server's turn.
    if (store_.reachable() && entry.waits_until && *entry.waits_until > now && !entry.handed) {
        is_due = false;
        next = entry.waits_until;
    }
    while (!entry.give_ups.empty() && !entry.waiters.contains(entry.give_ups.begin()->second))
        entry.give_ups.erase(entry.give_ups.begin());
    // Not in a round, which may not come before the store does.
    if (!entry.give_ups.empty()) {
        const TimePoint first = entry.give_ups.begin()->first;
        next = next ? std::min(*next, first) : first;
    }
    if (is_due) table_.mark_dirty(shard, pool, entry);
    if (next) table_.wake_at(shard, pool, entry, *next);
    if (!entry.is_over()) return;
    if (entry.check_at) store_.unfollow(pool);
    table_.forget(shard, pool, entry);
}

/// Begins or ends to hear of changes.
void SharedDriver::follow(const PoolId& pool, SharedEntry& entry) {
    const TimePoint now = table_.now();
    if (entry.is_followed() && !entry.check_at) {
        store_.follow(pool);
        entry.check_at = now + first_check;
    } else if (!entry.is_followed() && entry.check_at && *entry.check_at <= now) {
        store_.unfollow(pool);
        entry.check_at.reset();
    }
}

bool SharedDriver::refresh(Shard&, const Visit& visit) {
    return shared(visit.entry).is_followed();
}

void SharedDriver::advance(Shard& shard, const Visit& visit) {
    give_up(visit);
    if (store_.reachable()) table_.mark_dirty(shard, visit.pool, visit.entry);
    if (!visit.entry.dirty) follow_up(shard, visit.pool, visit.entry);
}

/// Those whose time has run out are answered at once, wherever the store is.
void SharedDriver::give_up(const Visit& visit) {
    SharedEntry& entry = shared(visit.entry);
    const TimePoint now = table_.now();
    Effects effects(entry.changes);
    while (!entry.give_ups.empty() && entry.give_ups.begin()->first <= now) {
        const Ticket ticket = entry.give_ups.extract(entry.give_ups.begin()).value().second;
        if (!entry.waiters.contains(ticket)) continue;
        const auto queued = entry.pool ? entry.pool->as_giving_up(ticket) : std::nullopt;
        effects.gave_up.push_back(queued.value_or(Effects::GaveUp{ticket, 1, 1}));
        entry.gone.push_back(ticket);
    }
    table_.pass_on(visit, effects);
}

bool SharedDriver::leave(Shard& shard, const Visit& visit, Ticket ticket) {
    SharedEntry& entry = shared(visit.entry);
    if (PoolTable::stop_watching(entry, ticket)) return true;
    if (entry.waiters.erase(ticket) == 0) return false;
    wait_ended(entry, ticket);
    entry.gone.push_back(ticket);
    table_.mark_dirty(shard, visit.pool, entry);
    return true;
}

void SharedDriver::send_away(Shard& shard, const Visit& visit) {
    SharedEntry& entry = shared(visit.entry);
    if (entry.waiters.empty()) return;
    for (const auto& [ticket, call] : entry.waiters) {
        visit.ready.add(call.reply, Refusal::shutting_down);
        wait_ended(entry, ticket);
        entry.gone.push_back(ticket);
    }
    entry.waiters.clear();
    table_.mark_dirty(shard, visit.pool, entry);
}

void SharedDriver::answer_lost(const PoolId& pool, const Lease& lease) {
    Shard& shard = table_.shard_of(pool);
    const MutexLock lock(shard.mutex);
    std::unique_ptr<Entry>& entry = shard.entries[pool];
    if (!entry) entry = new_entry();
    lose_answer_later(shared(*entry), lease, std::nullopt);
    table_.mark_dirty(shard, pool, *entry);
}

/// In the next round, an answer that named that grant counts as lost. `server`: as in Pool::Grant.
void SharedDriver::lose_answer_later(SharedEntry& entry, const Lease& lease,
                                     std::optional<ServerId> server) const {
    // Several answers may name a lease with a chosen id. Were a lost one counted twice, the borrower who got
    // another would lose the lease; not to count it costs at most that nobody has the lease for its ttl.
    entry.lost_answers.push_back({{lease.id, lease.fence, server}, lease.chosen});
}

/// Once for each grant, however often it was tried.
void SharedDriver::add_orphan(SharedEntry& entry, const Lease& lease) const {
    const Pool::Grant orphan{lease.id, lease.fence, table_.limits().pool.server};
    if (std::find(entry.orphans.begin(), entry.orphans.end(), orphan) == entry.orphans.end())
        entry.orphans.push_back(orphan);
}

}  // namespace sema
