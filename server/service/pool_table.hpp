#pragma once

#include "server/service/chosen_ids.hpp"
#include "server/service/clock.hpp"
#include "server/service/commit_driver.hpp"
#include "server/service/entry.hpp"
#include "server/service/limits.hpp"
#include "server/service/wakeups.hpp"

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace sema {

/// The pools that are in use here, with those who wait for their slots and who watch them. Thread-safe; what
/// takes an entry is called under the lock of its shard.
class PoolTable {
  public:
    /// `chosen` and `pools`: what the store has at the start. `clock` and `wakeups` must outlive the table.
    PoolTable(const Clock& clock, const ServiceLimits& limits, const std::vector<ChosenLease>& chosen,
              std::size_t pools, Wakeups& wakeups);
    /// Who commits. REQUIRES: called before anything else, once.
    void attach(CommitDriver& driver) { driver_ = &driver; }

    TimePoint now() const { return clock_.now(); }
    const ServiceLimits& limits() const { return limits_; }
    ChosenIds& chosen_ids() { return chosen_ids_; }

    const std::vector<std::unique_ptr<Shard>>& shards() const { return shards_; }
    Shard& shard_of(const PoolId& pool) const { return *shards_[std::hash<PoolId>()(pool) % shards_.size()]; }

    // What comes from outside.

    /// Does `act` to the pool: at once, or later where its entry is not open.
    template <class AnyAct>
    void perform(const PoolId& pool, Ticket ticket, const Reply& reply, AnyAct act);
    /// See Service::leave().
    bool leave(const PoolId& pool, Ticket ticket);
    /// See Service::advance().
    std::optional<TimePoint> advance();
    /// See Service::drain().
    void drain();
    bool is_draining() const { return draining_; }

    // For acts and drivers.

    void bring_up_to_date(const Visit& visit);
    /// Hands on what a call to the pool meant for its waiters, and for ids that borrowers chose.
    void pass_on(const Visit& visit, const Effects& effects);
    /// False where nobody with that ticket watches.
    static bool stop_watching(Entry& entry, Ticket ticket);
    /// Answers all who watch why there will be no more views.
    static void end_watch(const Visit& visit, Refusal why);
    /// A view for all who watch the pool, if it is time for one.
    std::shared_ptr<const PoolView> next_view(Entry& entry) const;

    /// So many of those who wait for the pool are to be counted.
    void count_waiters(Entry& entry, std::size_t waiting);
    /// Over all pools.
    std::size_t waiters() const { return waiters_; }
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
    std::optional<WaitingCall> end_wait(Entry& entry, Ticket ticket);

    const Clock& clock_;
    const ServiceLimits limits_;
    Wakeups& wakeups_;
    CommitDriver* driver_ = nullptr;
    std::vector<std::unique_ptr<Shard>> shards_;
    ChosenIds chosen_ids_;
    std::atomic<std::size_t> pools_;
    std::atomic<std::size_t> waiters_{0};
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
    act(Visit{pool, entry, ready}, reply);
    driver_->follow_up(shard, pool, entry);
}

}  // namespace sema
