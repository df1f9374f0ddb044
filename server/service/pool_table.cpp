#include "server/service/pool_table.hpp"

#include "server/service/slot_answers.hpp"

#include <algorithm>

namespace sema {
namespace {

// Pools of different shards do not wait for each other's lock. More than a machine's cores, so that a
// few busy pools seldom meet in one.
constexpr std::size_t shard_count = 16;

// To make the text of a view, and to send it, takes some microseconds per entry and per watcher. After each
// one there is a pause of about twenty times that, so that those who watch are no brake to those who borrow.
constexpr Duration pause_per_view_entry = std::chrono::microseconds(100);

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

PoolTable::PoolTable(const Clock& clock, const ServiceLimits& limits, const std::vector<ChosenLease>& chosen,
                     std::size_t pools, Wakeups& wakeups)
    : clock_(clock), limits_(limits), wakeups_(wakeups), chosen_ids_(chosen), pools_(pools) {
    for (std::size_t i = 0; i < shard_count; ++i)
        shards_.push_back(std::make_unique<Shard>());
}

bool PoolTable::leave(const PoolId& pool, Ticket ticket) {
    Ready ready;
    Shard& shard = shard_of(pool);
    const MutexLock lock(shard.mutex);
    const auto found = shard.entries.find(pool);
    if (found == shard.entries.end()) return false;
    Entry& entry = *found->second;
    for (auto& call : entry.deferred) {
        if (call.ticket == ticket) call.left = true;
    }
    return driver_->leave(shard, {pool, entry, ready}, ticket);
}

std::optional<TimePoint> PoolTable::advance() {
    std::optional<TimePoint> next;
    for (const auto& shard : shards_) {
        Ready ready;
        const MutexLock lock(shard->mutex);
        while (!shard->deadlines.empty() && shard->deadlines.begin()->first <= now()) {
            const PoolId id = shard->deadlines.begin()->second;
            shard->deadlines.erase(shard->deadlines.begin());
            Entry& entry = *shard->entries.at(id);
            entry.scheduled.reset();
            driver_->advance(*shard, {id, entry, ready});
        }
        if (!shard->deadlines.empty()) {
            const TimePoint first = shard->deadlines.begin()->first;
            next = next ? std::min(*next, first) : first;
        }
    }
    return next;
}

void PoolTable::drain() {
    draining_ = true;
    for (const auto& shard : shards_) {
        Ready ready;
        const MutexLock lock(shard->mutex);
        for (auto& [id, entry] : shard->entries) {
            const Visit visit{id, *entry, ready};
            end_watch(visit, Refusal::shutting_down);
            driver_->send_away(*shard, visit);
        }
    }
}

void PoolTable::bring_up_to_date(const Visit& visit) {
    Effects effects(visit.entry.changes);
    visit.entry.pool->advance_to(now(), effects);
    pass_on(visit, effects);
}

void PoolTable::pass_on(const Visit& visit, const Effects& effects) {
    Entry& entry = visit.entry;
    std::optional<Forecast> forecast;
    for (const auto& [ticket, rank, slots] : effects.gave_up) {
        const auto call = end_wait(entry, ticket);
        if (!call) continue;
        if (!call->is_extended) {
            visit.ready.add(call->reply, Refusal::no_resource);
            continue;
        }
        if (!forecast) forecast = entry.pool->forecast(now());
        visit.ready.add(call->reply, not_granted(*entry.pool, *forecast, rank, slots));
    }
    for (const Ticket ticket : effects.superseded) {
        if (const auto call = end_wait(entry, ticket)) visit.ready.add(call->reply, Refusal::superseded);
    }
    for (const Ticket ticket : effects.cancelled) {
        if (const auto call = end_wait(entry, ticket)) visit.ready.add(call->reply, Refusal::cancelled);
    }
    for (const auto& [ticket, lease, at] : effects.granted) {
        const auto call = entry.waiters.find(ticket);
        const bool is_extended = call != entry.waiters.end() && call->second.is_extended;
        driver_->reply_to_waiter(entry, ticket, granted(*entry.pool, lease, at, is_extended));
    }
    for (const auto& [lease, until] : effects.chosen) {
        // What frees an id may turn out not to have happened.
        if (until == TimePoint::min() && !driver_->is_committed(entry)) {
            entry.freed_ids.push_back(lease);
        } else {
            chosen_ids_.set(lease, visit.pool, until, now());
        }
    }
}

/// Nothing where there is no such waiter: with a shared store it may have left just now.
std::optional<WaitingCall> PoolTable::end_wait(Entry& entry, Ticket ticket) {
    auto node = entry.waiters.extract(ticket);
    if (!node) return std::nullopt;
    driver_->wait_ended(entry, ticket);
    return std::move(node.mapped());
}

bool PoolTable::stop_watching(Entry& entry, Ticket ticket) {
    if (!entry.watch) return false;
    auto& watchers = entry.watch->watchers;
    const auto gone = std::erase_if(watchers, [&](const auto& watcher) { return watcher.first == ticket; });
    if (watchers.empty()) entry.watch.reset();
    return gone > 0;
}

void PoolTable::end_watch(const Visit& visit, Refusal why) {
    if (!visit.entry.watch) return;
    for (const auto& [ticket, reply] : visit.entry.watch->watchers)
        visit.ready.add(reply, why);
    visit.entry.watch.reset();
}

std::shared_ptr<const PoolView> PoolTable::next_view(Entry& entry) const {
    if (!entry.has_news() || entry.watch->due > now()) return nullptr;
    auto view = std::make_shared<const PoolView>(entry.pool->view(now()));
    const std::size_t entries = effort(*view) + entry.watch->watchers.size();
    entry.watch->due = view->at + static_cast<Duration::rep>(entries) * pause_per_view_entry;
    entry.watch->shown = view->revision;
    return view;
}

void PoolTable::count_waiters(Entry& entry, std::size_t waiting) {
    waiters_ += waiting - entry.counted_waiters;
    entry.counted_waiters = waiting;
}

void PoolTable::forget_away(const PoolId& pool, Entry& entry, std::size_t most) {
    Ready nobody;
    Effects effects(entry.changes);
    entry.pool->forget_away(most, effects);
    pass_on({pool, entry, nobody}, effects);
}

void PoolTable::mark_dirty(Shard& shard, const PoolId& pool, Entry& entry) {
    if (entry.dirty) return;
    entry.dirty = true;
    shard.dirty.push_back(pool);
    wakeups_.add_work();
}

void PoolTable::wake_at(Shard& shard, const PoolId& pool, Entry& entry, TimePoint time) {
    if (entry.scheduled && *entry.scheduled <= time) return;
    if (entry.scheduled) shard.deadlines.erase({*entry.scheduled, pool});
    entry.scheduled = time;
    const auto added = shard.deadlines.emplace(time, pool).first;
    if (added == shard.deadlines.begin()) wakeups_.schedule(time);
}

void PoolTable::forget(Shard& shard, const PoolId& pool, Entry& entry) {
    if (entry.scheduled) shard.deadlines.erase({*entry.scheduled, pool});
    if (entry.dirty) std::erase(shard.dirty, pool);
    shard.entries.erase(pool);
}

}  // namespace sema
