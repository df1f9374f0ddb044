#pragma once

#include "server/service/clock.hpp"
#include "server/service/commit_driver.hpp"
#include "server/service/pool_table.hpp"
#include "server/service/trouble_report.hpp"
#include "server/store/store.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace sema {

/// Commits to a store that nobody else changes: what is in memory is the truth.
///
/// A pool is loaded when it is first used, and its entry is open from then on. Calls are done at once, and
/// answered when the batch that takes what they changed is committed. What is asked for while a batch is at
/// the store goes into the next one. If a batch fails, its pools are read anew, and their entries are closed
/// until then; their queues stay.
class OwnDriver final : public CommitDriver {
  public:
    /// All must outlive the driver.
    OwnDriver(Store& store, Clock& clock, PoolTable& table, TroubleReport& trouble);

    std::unique_ptr<Entry> new_entry() const override;
    void reply_when_committed(const Visit& visit, const Reply& reply, const Answer& answer) override;
    void reply_now(const Visit& visit, const Reply& reply, const Answer& answer) override;
    void reply_to_waiter(Entry& entry, Ticket ticket, const Answer& answer) override;
    bool is_committed(const Entry& entry) const override;
    void pool_made(Entry& entry) override;
    void pool_removed(Entry& entry) override;
    void wait_begun(Entry&, const Claim&) override {}
    void wait_ended(Entry&, Ticket) override {}
    bool adds_waiter(const Entry& entry) const override;
    void follow_up(Shard& shard, const PoolId& pool, Entry& entry) override REQUIRES(shard.mutex);
    bool refresh(Shard& shard, const Visit& visit) override REQUIRES(shard.mutex);
    void advance(Shard& shard, const Visit& visit) override REQUIRES(shard.mutex);
    bool leave(Shard& shard, const Visit& visit, Ticket ticket) override REQUIRES(shard.mutex);
    void send_away(Shard& shard, const Visit& visit) override REQUIRES(shard.mutex);
    void answer_lost(const PoolId& pool, const Lease& lease) override;
    void find_callbacks() override { finds_callbacks_ = !has_found_callbacks_; }
    void commit() override;
    bool is_quick() const override { return !is_slow_; }
    bool is_store_away() const override { return false; }
    bool is_ahead_of_store(const PoolId& pool) override;
    void stop() override {}

  private:
    struct OwnEntry;
    struct Batch;

    static OwnEntry& own(Entry& entry);
    static const OwnEntry& own(const Entry& entry);
    void count_use(Entry& entry);
    void set_present(OwnEntry& entry, bool is_present);
    bool leave(Entry& entry, Ticket ticket);
    void drop_if_gone(Shard& shard, const PoolId& pool, Entry& entry) REQUIRES(shard.mutex);

    void take_up_callbacks();
    void take(Shard& shard, Batch& batch);
    void show(OwnEntry& entry);
    void store(Batch& batch);
    bool commit_changes(const Batch& batch);
    void free_ids(const Batch& batch);
    void forget_gone(const Batch& batch);
    void roll_back(Batch& batch, Ready& ready);
    void load(const PoolId& pool);
    void take_record(const Visit& visit, PoolRecord& record);
    void take_absence(const Visit& visit, Refusal end_of_watch);

    Store& store_;
    Clock& clock_;
    PoolTable& table_;
    TroubleReport& trouble_;

    /// Batches are numbered as they are taken; a change is on stable storage once its batch's number is not
    /// above `committed_`.
    std::uint64_t taken_ = 0;
    std::atomic<std::uint64_t> committed_{0};
    /// The pools with callbacks are to be found; they were.
    std::atomic<bool> finds_callbacks_{false};
    std::atomic<bool> has_found_callbacks_{false};
    /// A commit took long, not long ago.
    std::atomic<bool> is_slow_{false};
    std::chrono::steady_clock::time_point last_slow_commit_;
};

}  // namespace sema
