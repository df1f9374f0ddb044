#include "server/service/own_driver.hpp"

#include "server/service/fresh_version.hpp"

#include <algorithm>
#include <utility>

namespace sema {
namespace {

// A refusal is due within 20 ms of the end of its wait, and needs no commit: a commit may delay it by no more
// than this, unless the store became slow just now.
constexpr std::chrono::milliseconds slow_commit(10);
constexpr std::chrono::seconds slow_for(1);

// What is left to store after a failed commit is tried again this often, if nobody waits for it.
constexpr Duration retry_interval = std::chrono::seconds(1);

}  // namespace

struct OwnDriver::OwnEntry final : Entry {
    /// Whether it is counted among all pools; unknown until it was loaded once.
    std::optional<bool> present;
    /// The last batch that took changes from here.
    std::uint64_t batch = 0;
    /// Answers that rest on the changes, or on a batch under way.
    std::vector<Answered> answers;
};

struct OwnDriver::Batch {
    std::uint64_t number = 0;
    std::vector<PoolChange> changes;
    /// Per change, in the same order, the answers that rest on it.
    std::vector<std::vector<Answered>> answers;
    /// Answers that rested on an earlier batch.
    std::vector<Answered> earlier;
    std::vector<PoolId> to_load;
    std::vector<std::pair<PoolId, LeaseId>> freed_ids;
    std::vector<std::pair<std::shared_ptr<PoolSeries>, std::vector<Happening>>> happened;
    std::vector<PoolPast> past;
};

OwnDriver::OwnDriver(Store& store, Clock& clock, PoolTable& table, TroubleReport& trouble)
    : store_(store), clock_(clock), table_(table), trouble_(trouble) {}

OwnDriver::OwnEntry& OwnDriver::own(Entry& entry) {
    return static_cast<OwnEntry&>(entry);
}

const OwnDriver::OwnEntry& OwnDriver::own(const Entry& entry) {
    return static_cast<const OwnEntry&>(entry);
}

std::unique_ptr<Entry> OwnDriver::new_entry() const {
    return std::make_unique<OwnEntry>();
}

void OwnDriver::reply_when_committed(const Visit& visit, const Reply& reply, const Answer& answer) {
    if (is_committed(visit.entry)) {
        visit.ready.add(reply, answer);
    } else {
        own(visit.entry).answers.push_back({reply, answer});
    }
}

void OwnDriver::reply_now(const Visit& visit, const Reply& reply, const Answer& answer) {
    visit.ready.add(reply, answer);
}

void OwnDriver::reply_to_waiter(Entry& entry, Ticket ticket, const Answer& answer) {
    own(entry).answers.push_back({std::move(entry.waiters.extract(ticket).mapped().reply), answer});
    entry.retry_at = Timeline::long_ago;
}

bool OwnDriver::is_committed(const Entry& entry) const {
    return entry.changes.empty() && own(entry).batch <= committed_;
}

void OwnDriver::pool_made(Entry& entry) {
    set_present(own(entry), true);
}

void OwnDriver::pool_removed(Entry& entry) {
    set_present(own(entry), false);
    if (!entry.watch) return;
    // Should the pool turn out to stay, they have missed what was done to it meanwhile.
    for (auto& [ticket, watcher] : entry.watch->watchers) {
        auto reply = [to = std::move(watcher)](const Answer& given) {
            const auto* refusal = std::get_if<Refusal>(&given);
            const bool is_failure = refusal && *refusal == Refusal::store_failed;
            to(is_failure ? Answer(Refusal::watch_lost) : given);
        };
        own(entry).answers.push_back({std::move(reply), Refusal::no_such_pool});
    }
    entry.watch.reset();
}

bool OwnDriver::adds_waiter(const Entry& entry) const {
    return entry.pool->waiting() > entry.counted_waiters;
}

void OwnDriver::count_use(Entry& entry) {
    table_.count_use(entry, entry.pool ? entry.pool->waiting() : 0);
}

void OwnDriver::set_present(OwnEntry& entry, bool is_present) {
    if (entry.present == is_present) return;
    is_present ? table_.add_pool() : table_.drop_pool();
    entry.present = is_present;
}

void OwnDriver::follow_up(Shard& shard, const PoolId& pool, Entry& entry) {
    count_use(entry);
    if (entry.tally && is_committed(entry)) table_.count(pool, entry);
    // Places of borrowers who are away need no connection, so that they alone could exhaust the limit.
    const std::size_t most = table_.limits().max_waiters / 2;
    if (entry.is_open && entry.pool && table_.waiters() > most) {
        table_.forget_away(pool, entry, table_.waiters() - most);
        count_use(entry);
    }
    auto next =
        entry.pool ? entry.watch ? entry.pool->next_change() : entry.pool->next_deadline() : std::nullopt;
    bool is_due = false;
    const auto is_due_at = [&](TimePoint wanted) {
        const TimePoint time = std::max(wanted, entry.retry_at);
        if (time <= table_.now()) {
            is_due = true;
        } else {
            next = next ? std::min(*next, time) : time;
        }
    };
    if (!entry.changes.empty() || !own(entry).answers.empty()) is_due_at(Timeline::long_ago);
    if (entry.has_news()) is_due_at(entry.watch->due);
    if (is_due) table_.mark_dirty(shard, pool, entry);
    if (next) table_.wake_at(shard, pool, entry, *next);
    drop_if_gone(shard, pool, entry);
}

void OwnDriver::drop_if_gone(Shard& shard, const PoolId& pool, Entry& entry) {
    if (entry.is_open && entry.is_idle() && own(entry).answers.empty() && is_committed(entry))
        table_.forget(shard, pool, entry);
}

bool OwnDriver::refresh(Shard& shard, const Visit& visit) {
    const auto next = visit.entry.is_open ? visit.entry.pool->next_change() : std::nullopt;
    if (next && *next <= table_.now()) advance(shard, visit);
    if (is_committed(visit.entry)) table_.count(visit.pool, visit.entry);
    return true;
}

void OwnDriver::advance(Shard& shard, const Visit& visit) {
    // A pool that is being read anew is brought up to date once that is done.
    if (!visit.entry.is_open || !visit.entry.pool) return;
    table_.bring_up_to_date(visit);
    follow_up(shard, visit.pool, visit.entry);
}

bool OwnDriver::leave(Shard& shard, const Visit& visit, Ticket ticket) {
    if (!leave(visit.entry, ticket)) return false;
    if (visit.entry.is_open && visit.entry.pool) table_.bring_up_to_date(visit);
    follow_up(shard, visit.pool, visit.entry);
    return true;
}

bool OwnDriver::leave(Entry& entry, Ticket ticket) {
    if (PoolTable::stop_watching(entry, ticket)) return true;
    if (!entry.pool) return false;
    Effects effects(entry.changes);
    if (!entry.pool->leave(table_.now(), ticket, effects)) return false;
    for (const HistoryEntry& past : effects.past)
        table_.note(entry, past);
    entry.waiters.erase(ticket);
    return true;
}

void OwnDriver::send_away(Shard&, const Visit& visit) {
    Entry& entry = visit.entry;
    if (!entry.pool) return;
    for (const Ticket ticket : entry.pool->send_away(table_.now(), entry.changes))
        visit.ready.add(entry.waiters.extract(ticket).mapped().reply, Refusal::shutting_down);
    count_use(entry);
}

void OwnDriver::answer_lost(const PoolId& pool, const Lease& lease) {
    const Reply nobody = [](const Answer&) {};
    table_.perform(pool, no_ticket, nobody,
                   [this, grant = Pool::Grant{lease.id, lease.fence}](const Visit& visit, const Reply&) {
                       if (!visit.entry.pool) return;
                       Effects effects(visit.entry.changes);
                       visit.entry.pool->undelivered(table_.now(), grant, effects);
                       table_.pass_on(visit, effects);
                   });
}

bool OwnDriver::is_ahead_of_store(const PoolId& pool) {
    Shard& shard = table_.shard_of(pool);
    const MutexLock lock(shard.mutex);
    return shard.entries.contains(pool);
}

void OwnDriver::commit() {
    if (finds_callbacks_.exchange(false)) take_up_callbacks();
    Batch batch;
    batch.number = ++taken_;
    for (const auto& shard : table_.shards())
        take(*shard, batch);
    store(batch);
    for (const PoolId& id : batch.to_load)
        load(id);
}

/// Loads the pools in which somebody is to be called. All that is due there follows from that.
void OwnDriver::take_up_callbacks() {
    const auto pools = store_.pools_with_callbacks();
    if (!pools) return trouble_.add(pools.error().message);
    has_found_callbacks_ = true;
    const Reply nobody = [](const Answer&) {};
    for (const PoolWithCallbacks& found : *pools) {
        table_.perform(found.pool, no_ticket, nobody, [this](const Visit& visit, const Reply&) {
            if (visit.entry.pool) table_.bring_up_to_date(visit);
        });
    }
}

void OwnDriver::take(Shard& shard, Batch& batch) {
    const MutexLock lock(shard.mutex);
    for (const PoolId& id : shard.dirty) {
        OwnEntry& entry = own(*shard.entries.at(id));
        entry.dirty = false;
        if (!entry.is_open) {
            batch.to_load.push_back(id);
            continue;
        }
        show(entry);
        for (const LeaseId& lease : std::exchange(entry.freed_ids, {}))
            batch.freed_ids.emplace_back(id, lease);
        if (entry.changes.empty()) {
            table_.count(id, entry);
            std::move(entry.answers.begin(), entry.answers.end(), std::back_inserter(batch.earlier));
            entry.answers.clear();
            drop_if_gone(shard, id, entry);
            continue;
        }
        const Version base = entry.version;
        entry.version = !entry.pool ? 0 : base == 0 ? fresh_version() : base + 1;
        entry.batch = batch.number;
        batch.changes.push_back(
            {.pool = id, .base = base, .next = entry.version, .changes = std::exchange(entry.changes, {})});
        batch.answers.push_back(std::exchange(entry.answers, {}));
        if (entry.tally && !entry.tally->happened.empty())
            batch.happened.emplace_back(entry.tally->series, std::exchange(entry.tally->happened, {}));
        if (entry.tally && !entry.tally->past.empty())
            batch.past.push_back({id, std::exchange(entry.tally->past, {})});
    }
    shard.dirty.clear();
}

void OwnDriver::show(OwnEntry& entry) {
    const auto view = table_.next_view(entry);
    if (!view) return;
    for (const auto& [ticket, reply] : entry.watch->watchers)
        entry.answers.push_back({reply, view});
}

void OwnDriver::store(Batch& batch) {
    Ready ready;
    ready.add(std::move(batch.earlier));
    if (!batch.changes.empty() && !commit_changes(batch)) return roll_back(batch, ready);
    committed_ = batch.number;
    for (const auto& [series, happened] : batch.happened)
        series->count(happened);
    if (!batch.past.empty()) table_.add_to_history(std::move(batch.past));
    for (auto& answers : batch.answers)
        ready.add(std::move(answers));
    free_ids(batch);
    forget_gone(batch);
}

/// False where nothing of the batch counts.
bool OwnDriver::commit_changes(const Batch& batch) {
    const auto anchor = clock_.anchor_to_store();
    const auto begun = std::chrono::steady_clock::now();
    const auto results = store_.commit(batch.changes, anchor);
    const auto ended = std::chrono::steady_clock::now();
    if (ended - begun > slow_commit) last_slow_commit_ = ended;
    is_slow_ = ended - last_slow_commit_ < slow_for;
    // All or none.
    if (const auto& result = results.front(); !std::holds_alternative<Committed>(result)) {
        const auto* failure = std::get_if<StoreFailure>(&result);
        trouble_.add(failure ? failure->message : "another program changed a pool at the same time");
        return false;
    }
    count_commit(batch.changes, ended - begun);
    if (anchor) clock_.anchor_stored(*anchor);
    trouble_.add("");
    return true;
}

/// Unless they are in use again by now.
void OwnDriver::free_ids(const Batch& batch) {
    for (const auto& [pool, lease] : batch.freed_ids) {
        Shard& shard = table_.shard_of(pool);
        const MutexLock lock(shard.mutex);
        const auto found = shard.entries.find(pool);
        const bool is_known =
            found != shard.entries.end() && found->second->pool && found->second->pool->knows(lease);
        if (!is_known) table_.chosen_ids().free(lease, pool);
    }
}

/// Drops what is left of pools that the batch deleted.
void OwnDriver::forget_gone(const Batch& batch) {
    for (const PoolChange& change : batch.changes) {
        if (change.next != 0) continue;
        Shard& shard = table_.shard_of(change.pool);
        const MutexLock lock(shard.mutex);
        const auto found = shard.entries.find(change.pool);
        if (found != shard.entries.end()) drop_if_gone(shard, change.pool, *found->second);
    }
}

/// What the batch did, and what was done on top of it, did not happen.
void OwnDriver::roll_back(Batch& batch, Ready& ready) {
    std::vector<Answered> failed;
    for (std::size_t i = 0; i < batch.changes.size(); ++i) {
        const PoolId& id = batch.changes[i].pool;
        std::move(batch.answers[i].begin(), batch.answers[i].end(), std::back_inserter(failed));
        Shard& shard = table_.shard_of(id);
        const MutexLock lock(shard.mutex);
        OwnEntry& entry = own(*shard.entries.at(id));
        std::move(entry.answers.begin(), entry.answers.end(), std::back_inserter(failed));
        entry.answers.clear();
        entry.changes = {};
        entry.freed_ids.clear();
        undo_tally(entry);
        entry.is_open = false;
        set_present(entry, batch.changes[i].base != 0);
        batch.to_load.push_back(id);
    }
    committed_ = batch.number;
    for (const Answered& answered : failed)
        ready.add(answered.reply, Refusal::store_failed);
}

void OwnDriver::load(const PoolId& pool) {
    LoadResult result = store_.load(pool);
    Ready ready;
    Shard& shard = table_.shard_of(pool);
    const MutexLock lock(shard.mutex);
    OwnEntry& entry = own(*shard.entries.at(pool));
    const Visit visit{pool, entry, ready};
    entry.retry_at = table_.now() + retry_interval;
    if (const auto* failure = std::get_if<StoreFailure>(&result)) {
        trouble_.add(failure->message);
        take_absence(visit, Refusal::watch_lost);
        for (const auto& call : entry.deferred)
            ready.add(call.reply, Refusal::store_failed);
        // Somebody may be to be called there: that is looked for again.
        has_found_callbacks_ = false;
        return table_.forget(shard, pool, entry);
    }
    auto* record = std::get_if<PoolRecord>(&result);
    if (record) {
        take_record(visit, *record);
    } else {
        take_absence(visit, Refusal::no_such_pool);
        entry.fence = std::get<Absent>(result).fence;
    }
    if (!entry.present) entry.present = record != nullptr;
    set_present(entry, record != nullptr);
    entry.is_open = true;
    if (entry.pool) table_.bring_up_to_date(visit);
    if (entry.changes.empty() || !entry.deferred.empty()) entry.retry_at = Timeline::long_ago;
    for (const auto& call : std::exchange(entry.deferred, {})) {
        call.act(visit, call.reply);
        if (call.left && leave(entry, call.ticket)) ready.add(call.reply, Refusal::no_resource);
    }
    follow_up(shard, pool, entry);
}

void OwnDriver::take_record(const Visit& visit, PoolRecord& record) {
    Entry& entry = visit.entry;
    const TimePoint now = table_.now();
    Effects effects(entry.changes);
    if (!entry.pool) entry.pool.emplace(PoolRecord{}, now, table_.limits().pool);
    // Another pool may have got an id meanwhile that somebody waited for here before a restart.
    std::erase_if(record.places, [&](const KeptPlace& place) {
        if (table_.chosen_ids().take(place.lease, visit.pool, now)) return false;
        entry.changes.places[place.lease] = std::nullopt;
        return true;
    });
    entry.pool->roll_back_to(record, now, effects);
    table_.pass_on(visit, effects);
    count_use(entry);
    entry.version = record.version;
}

/// The pool is not there, or cannot be read: nobody can wait for it or watch it.
void OwnDriver::take_absence(const Visit& visit, Refusal end_of_watch) {
    Entry& entry = visit.entry;
    for (auto& [ticket, call] : entry.waiters)
        visit.ready.add(call.reply, Refusal::store_failed);
    entry.waiters.clear();
    PoolTable::end_watch(visit, end_of_watch);
    if (entry.pool) {
        Effects effects(entry.changes);
        entry.pool->dissolve(table_.now(), effects);
        effects.ended.clear();
        effects.past.clear();
        table_.pass_on(visit, effects);
        entry.pool.reset();
    }
    count_use(entry);
    entry.version = 0;
}

}  // namespace sema
