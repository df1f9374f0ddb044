#pragma once

#include "server/service/caller.hpp"
#include "server/service/chosen_ids.hpp"
#include "server/service/clock.hpp"
#include "server/service/commit_driver.hpp"
#include "server/service/entry.hpp"
#include "server/service/history.hpp"
#include "server/service/limits.hpp"
#include "server/service/wakeups.hpp"

#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace sema {

/// The pools that are in use here, with their waiters and watchers. Thread-safe; what takes an entry is
/// called under the lock of its shard.
class PoolTable {
  public:
    /// `chosen` and `pools`: what the store has at the start. `clock` and `wakeups` must outlive the table.
    PoolTable(const Clock& clock, const ServiceLimits& limits, const std::vector<ChosenLease>& chosen,
              std::size_t pools, Wakeups& wakeups);
    /// `driver` commits. REQUIRES: called before anything else, once.
    void attach(CommitDriver& driver) { driver_ = &driver; }
    /// From now on what happens to pools is counted. REQUIRES: called before any call.
    void keep_metrics(PoolSeriesTable& series) { series_ = &series; }
    /// From now on it is recorded. REQUIRES: called before any call.
    void keep_history(History& history) { history_ = &history; }

    /// `caller` calls borrowers; until then none is called. REQUIRES: called before any call.
    void deliver_by(Caller& caller) { caller_ = &caller; }

    TimePoint now() const { return clock_.now(); }
    /// They stay as they are, and stay there, also when others are set.
    const ServiceLimits& limits() const { return *limits_.load(std::memory_order_acquire); }
    /// From one thread at a time.
    void set_limits(const ServiceLimits& limits);
    ChosenIds& chosen_ids() { return chosen_ids_; }

    const std::vector<std::unique_ptr<Shard>>& shards() const { return shards_; }
    Shard& shard_of(const PoolId& pool) const { return *shards_[std::hash<PoolId>()(pool) % shards_.size()]; }

    // What comes from outside.

    /// Does `act` to the pool: at once, or later where its entry is not open.
    template <class AnyAct>
    void perform(const PoolId& pool, Ticket ticket, const Reply& reply, AnyAct act);
    /// See Service::leave().
    bool leave(const PoolId& pool, Ticket ticket);
    /// See Service::is_queued().
    bool is_queued(const PoolId& pool, Ticket ticket) const;
    /// See Service::advance().
    std::optional<TimePoint> advance();
    /// See Service::drain().
    void drain();
    bool is_draining() const { return draining_; }
    /// The sums over all pools, by what they are counted in. The pools of a shard are looked at a few at a
    /// time, with calls in between. REQUIRES: metrics are kept.
    SeriesFigures figures();

    // For acts and drivers.

    void bring_up_to_date(const Visit& visit);
    /// Hands on what a call to the pool meant for its waiters, and for ids that borrowers chose.
    void pass_on(const Visit& visit, const Effects& effects);
    /// False where nobody with that ticket watches.
    static bool stop_watching(Entry& entry, Ticket ticket);
    /// Answers all watchers why there will be no more views.
    static void end_watch(const Visit& visit, Refusal why);
    /// A view for the pool's watchers, if it is time for one.
    std::shared_ptr<const PoolView> next_view(Entry& entry) const;

    /// To be counted with the pool's changes; where no metrics are kept, never. REQUIRES: there is a pool.
    void note(Entry& entry, const Happening& happening);
    /// What was noted is committed.
    void count(const PoolId& pool, Entry& entry);
    /// For the pool's history, once it is committed.
    void note(Entry& entry, const HistoryEntry& past);
    /// It is committed. With no lock held.
    void add_to_history(std::vector<PoolPast>&& past);
    History* history() const { return history_; }

    /// So many of the pool's waiters are to be counted, and its leases as they are.
    void count_use(Entry& entry, std::size_t waiting);
    /// Over all pools.
    std::size_t waiters() const { return waiters_; }
    std::size_t leases() const { return leases_; }
    /// Takes so many places of borrowers who are away out of the queue, or all there are.
    void forget_away(const PoolId& pool, Entry& entry, std::size_t most);

    std::size_t pools() const { return pools_; }
    void add_pool() { ++pools_; }
    void drop_pool() { --pools_; }
    void set_pools(std::size_t pools) { pools_ = pools; }

    // For drivers.

    /// The entry has something for the driver's next turn.
    void mark_dirty(Shard& shard, const PoolId& pool, Entry& entry) REQUIRES(shard.mutex);
    /// Has the driver's advance() called then, or before.
    void wake_at(Shard& shard, const PoolId& pool, Entry& entry, TimePoint time) REQUIRES(shard.mutex);
    /// Drops the entry.
    void forget(Shard& shard, const PoolId& pool, Entry& entry) REQUIRES(shard.mutex);

  private:
    void pass_to_caller(const Visit& visit, const Lease& lease);
    std::optional<WaitingCall> end_wait(Entry& entry, Ticket ticket);
    static Tally& tally_in(Entry& entry);
    static void drop_known_expiries(Tally& tally, std::vector<HistoryEntry>& past);
    Tally& tally_of(Entry& entry);
    void add_figures(Shard& shard, const PoolId& pool, Ready& ready, SeriesFigures& sums)
        REQUIRES(shard.mutex);

    const Clock& clock_;
    /// All that were set so far: pools and calls under way refer to them.
    std::deque<ServiceLimits> all_limits_;
    std::atomic<const ServiceLimits*> limits_;
    Wakeups& wakeups_;
    CommitDriver* driver_ = nullptr;
    PoolSeriesTable* series_ = nullptr;
    History* history_ = nullptr;
    Caller* caller_ = nullptr;
    std::vector<std::unique_ptr<Shard>> shards_;
    ChosenIds chosen_ids_;
    std::atomic<std::size_t> pools_;
    std::atomic<std::size_t> waiters_{0};
    std::atomic<std::size_t> leases_{0};
    std::atomic<bool> draining_{false};
};

template <class AnyAct>
void PoolTable::perform(const PoolId& pool, Ticket ticket, const Reply& reply, AnyAct act) {
    Ready ready;
    Shard& shard = shard_of(pool);
    const MutexLock lock(shard.mutex);
    std::unique_ptr<Entry>& found = shard.entries[pool];
    if (!found) found = driver_->new_entry();
    Entry& entry = *found;
    if (!entry.is_open) {
        entry.deferred.push_back({ticket, reply, std::move(act)});
        return mark_dirty(shard, pool, entry);
    }
    // A call does not wait for what is tried again.
    entry.retry_at = Timeline::long_ago;
    act(Visit{pool, entry, ready}, reply);
    driver_->follow_up(shard, pool, entry);
}

}  // namespace sema
