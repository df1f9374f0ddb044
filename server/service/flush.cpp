#include "server/service/fresh_version.hpp"
#include "server/service/state.hpp"

#include <algorithm>
#include <utility>

namespace sema {
namespace {

// The timer thread never sleeps longer than this, since a thread's sleep does not count the time for
// which the machine was suspended, and the timeline does.
constexpr Duration longest_sleep = std::chrono::seconds(1);

// A refusal is due within 20 ms of the end of its wait, and needs no commit: a commit may delay it by no more
// than this, unless the store became slow just now.
constexpr std::chrono::milliseconds slow_commit(10);
constexpr std::chrono::seconds slow_for(1);

// A store in trouble is told of this often, and that it works again once it was well for this long: with a
// full disk each call may fail, or every other one.
constexpr Duration trouble_interval = std::chrono::minutes(1);
constexpr Duration calm = std::chrono::seconds(1);

// To make the text of a view, and to send it, takes some microseconds per entry and per watcher. After each
// one there is a pause of about twenty times that, so that those who watch are no brake to those who borrow.
constexpr Duration pause_per_view_entry = std::chrono::microseconds(100);

// What is left to store after a failed commit is tried again this often, if nobody asks for more.
constexpr Duration retry_interval = std::chrono::seconds(1);

// Entries, where long texts count for more.
std::size_t effort(const PoolView& view) {
    constexpr std::size_t bytes_like_an_entry = 64;
    std::size_t texts = 0;
    const auto add = [&texts](const std::shared_ptr<const Holder>& holder) {
        if (holder) texts += holder->name.value_or("").size() + holder->url.value_or("").size();
    };
    for (const Lease& lease : view.leases)
        add(lease.holder);
    for (const Waiter& waiter : view.queue)
        add(waiter.claim.holder);
    return view.leases.size() + view.queue.size() + texts / bytes_like_an_entry;
}

}  // namespace

bool Service::settle() {
    if (!slow_ && !shared_) return flush();
    if (work_) wake_committer();
    return false;
}

bool Service::flush() {
    // Whoever is turned away here left its work where the thread that is at it looks once more.
    if (!work_ || flushing_.exchange(true)) return false;
    work_ = false;
    if (shared_) {
        do_round();
        go_on_listing();
        flushing_ = false;
        return work_;
    }
    Batch batch;
    batch.number = ++taken_;
    for (const auto& shard : shards_)
        take(*shard, batch);
    commit(batch);
    for (const PoolId& id : batch.to_load)
        load(id);
    go_on_listing();
    flushing_ = false;
    return work_;
}

void Service::take(Shard& shard, Batch& batch) {
    const MutexLock lock(shard.mutex);
    for (const PoolId& id : shard.dirty) {
        Entry& entry = shard.entries.at(id);
        entry.dirty = false;
        show(entry);
        const Version base = entry.version;
        const Version next = !entry.pool ? 0 : base == 0 ? fresh_version() : base + 1;
        for (const LeaseId& lease : std::exchange(entry.freed_ids, {}))
            batch.freed_ids.emplace_back(id, lease);
        if (entry.changes.empty()) {
            std::move(entry.answers.begin(), entry.answers.end(), std::back_inserter(batch.settled));
            entry.answers.clear();
            drop_if_gone(shard, id, entry);
            continue;
        }
        batch.changes.push_back({id, base, next, std::exchange(entry.changes, {})});
        batch.answers.push_back(std::exchange(entry.answers, {}));
        entry.version = next;
        entry.batch = batch.number;
    }
    shard.dirty.clear();
    batch.to_load.insert(batch.to_load.end(), shard.to_load.begin(), shard.to_load.end());
    shard.to_load.clear();
}

/// Prepares a view for those who watch the pool, if it is time for one.
void Service::show(Entry& entry) {
    if (!entry.loaded || !entry.has_news()) return;
    const TimePoint now = clock_.now();
    if (entry.watch->due > now) return;
    const auto view = std::make_shared<const PoolView>(entry.pool->view(now));
    for (const auto& [ticket, reply] : entry.watch->watchers)
        entry.answers.push_back({reply, view, {}});
    entry.watch->due =
        now + static_cast<Duration::rep>(effort(*view) + entry.watch->watchers.size()) * pause_per_view_entry;
    entry.watch->shown = view->revision;
}

void Service::commit(Batch& batch) {
    Ready ready;
    ready.add(std::move(batch.settled));
    if (!batch.changes.empty()) {
        const auto anchor = clock_.anchor_to_store();
        const auto begun = std::chrono::steady_clock::now();
        const auto results = store_.commit(batch.changes, anchor);
        const auto ended = std::chrono::steady_clock::now();
        if (ended - begun > slow_commit) last_slow_commit_ = ended;
        slow_ = ended - last_slow_commit_ < slow_for;
        // All or none.
        if (const auto& result = results.front(); !std::holds_alternative<Committed>(result)) {
            const auto* failure = std::get_if<StoreFailure>(&result);
            report(failure ? failure->message : "another program changed a pool at the same time");
            return roll_back(batch, ready);
        }
        if (anchor) clock_.anchor_stored(*anchor);
        report("");
    }
    committed_ = batch.number;
    for (auto& answers : batch.answers)
        ready.add(std::move(answers));
    free_ids(batch);
    forget_gone(batch);
}

/// Unless they are in use again by now.
void Service::free_ids(const Batch& batch) {
    for (const auto& [pool, lease] : batch.freed_ids) {
        Shard& shard = shard_of(pool);
        const MutexLock lock(shard.mutex);
        const auto found = shard.entries.find(pool);
        const bool is_known =
            found != shard.entries.end() && found->second.pool && found->second.pool->knows(lease);
        if (!is_known) chosen_ids_.set(lease, pool, TimePoint::min(), clock_.now());
    }
}

/// The batch could not be stored: what it did, and what was done on top of it, did not happen.
void Service::roll_back(Batch& batch, Ready& ready) {
    std::vector<Answered> failed;
    for (std::size_t i = 0; i < batch.changes.size(); ++i) {
        const PoolId& id = batch.changes[i].pool;
        std::move(batch.answers[i].begin(), batch.answers[i].end(), std::back_inserter(failed));
        Shard& shard = shard_of(id);
        const MutexLock lock(shard.mutex);
        Entry& entry = shard.entries.at(id);
        std::move(entry.answers.begin(), entry.answers.end(), std::back_inserter(failed));
        entry.answers.clear();
        entry.changes = {};
        entry.freed_ids.clear();
        entry.loaded = false;
        set_present(entry, batch.changes[i].base != 0);
        batch.to_load.push_back(id);
    }
    committed_ = batch.number;
    for (const Answered& answered : failed)
        ready.add(answered.reply, Refusal::store_failed);
}

/// Drops what is left of pools that the batch deleted.
void Service::forget_gone(const Batch& batch) {
    for (const PoolChange& change : batch.changes) {
        if (change.next != 0) continue;
        Shard& shard = shard_of(change.pool);
        const MutexLock lock(shard.mutex);
        const auto found = shard.entries.find(change.pool);
        if (found != shard.entries.end()) drop_if_gone(shard, change.pool, found->second);
    }
}

void Service::load(const PoolId& pool) {
    LoadResult result = store_.load(pool);
    Ready ready;
    Shard& shard = shard_of(pool);
    const MutexLock lock(shard.mutex);
    Entry& entry = shard.entries.at(pool);
    auto* record = std::get_if<PoolRecord>(&result);

    if (!record) {
        // Whoever waits or watches here was told of a pool that is not there, or that cannot be read.
        for (auto& [ticket, call] : entry.waiters)
            ready.add(call.reply, Refusal::store_failed);
        entry.waiters.clear();
        end_watch(entry, std::holds_alternative<Absent>(result) ? Refusal::no_such_pool : Refusal::watch_lost,
                  ready);
        if (entry.pool) {
            Outcome outcome;
            entry.pool->dissolve(outcome);
            tell(pool, entry, outcome, ready);
            entry.pool.reset();
        }
        count_waiters(entry);
        entry.version = 0;
    }
    if (const auto* failure = std::get_if<StoreFailure>(&result)) {
        report(failure->message);
        for (const auto& call : entry.deferred)
            ready.add(call.reply, Refusal::store_failed);
        if (entry.scheduled) shard.deadlines.erase({*entry.scheduled, pool});
        std::erase(shard.dirty, pool);
        shard.entries.erase(pool);
        return;
    }

    const TimePoint now = clock_.now();
    if (record) {
        Outcome outcome;
        if (!entry.pool) entry.pool.emplace(PoolRecord{}, now, limits_.pool);
        // Another pool may have got an id meanwhile that somebody waited for here before a restart.
        std::erase_if(record->places, [&](const KeptPlace& place) {
            if (chosen_ids_.take(place.lease, pool, now)) return false;
            entry.changes.places[place.lease] = std::nullopt;
            return true;
        });
        entry.pool->restore(*record, now, entry.changes, outcome);
        tell(pool, entry, outcome, ready);
        count_waiters(entry);
        entry.version = record->version;
    } else {
        entry.fence = std::get<Absent>(result).fence;
    }
    if (!entry.present) entry.present = record != nullptr;
    set_present(entry, record != nullptr);
    entry.loaded = true;
    if (entry.pool) bring_up_to_date(pool, entry, ready);
    if (!entry.changes.empty()) entry.retry_at = now + retry_interval;
    for (const auto& call : std::exchange(entry.deferred, {})) {
        call.act(entry, call.reply, ready);
        if (call.left && leave(entry, call.ticket)) ready.add(call.reply, Refusal::no_resource);
    }
    finish(shard, pool, entry);
}

void Service::report(const std::string& trouble) {
    const TimePoint now = clock_.now();
    if (!trouble.empty()) {
        const bool is_known = in_trouble_ && now < told_at_ + trouble_interval;
        in_trouble_ = true;
        if (is_known) return;
    } else if (in_trouble_ && now >= told_at_ + calm) {
        in_trouble_ = false;
    } else {
        return;
    }
    told_at_ = now;
    if (on_store_trouble_) on_store_trouble_(trouble);
}

void Service::wake_committer() {
    if (committer_wanted_.exchange(1) == 0) committer_wanted_.notify_one();
}

void Service::run_committer() {
    while (!stopping_) {
        committer_wanted_.wait(0);
        committer_wanted_ = 0;
        while (flush()) {
        }
    }
}

void Service::schedule(TimePoint deadline) {
    const MutexLock lock(timer_mutex_);
    if (deadline >= wake_at_) return;
    wake_at_ = deadline;
    timer_changed_.notify_one();
}

void Service::run_timer() {
    while (!stopping_) {
        {
            const MutexLock lock(timer_mutex_);
            const TimePoint now = clock_.now();
            if (wake_at_ > now && !stopping_) {
                timer_changed_.wait_for(timer_mutex_, std::min(wake_at_ - now, longest_sleep));
                if (wake_at_ > clock_.now()) continue;
            }
            wake_at_ = TimePoint::max();
        }
        if (const auto next = advance()) schedule(*next);
        while (settle()) {
        }
    }
}

}  // namespace sema
