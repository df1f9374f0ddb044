#pragma once

#include "server/service/commit_driver.hpp"
#include "server/service/pool_table.hpp"
#include "server/service/shared_entry.hpp"
#include "server/service/trouble_report.hpp"
#include "server/service/wakeups.hpp"
#include "server/store/store.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace sema {

/// Commits to a store that other servers change too: the store has the truth, and what is in memory is a copy
/// that may be old.
///
/// So calls are not done as they come, but in rounds: all calls of a round are done to the copy, then the
/// store is asked to take the changes if the copy was up to date, and then they are answered. If another
/// server was first, the store says how the pool is now, and the calls of the round are done again to that. A
/// round is at the store for a while; the calls that come meanwhile are done in the next one. Only commit()
/// changes a copy.
///
/// A waiter is in `Entry::waiters` until it has its answer. Its place in the queue is a row of the store.
/// From both the pool can be made anew at any time (Pool::rebuild()): after another server's change, and when
/// the store is found again.
class SharedDriver final : public CommitDriver, private StoreListener {
  public:
    /// All must outlive the driver.
    SharedDriver(SharedStore& store, PoolTable& table, Wakeups& wakeups, TroubleReport& trouble);
    ~SharedDriver() override;

    std::unique_ptr<Entry> new_entry() const override;
    void reply_when_committed(const Visit& visit, const Reply& reply, const Answer& answer) override;
    void reply_now(const Visit& visit, const Reply& reply, const Answer& answer) override;
    void reply_to_waiter(Entry& entry, Ticket ticket, const Answer& answer) override;
    bool is_committed(const Entry&) const override { return false; }
    void pool_made(Entry&) override { table_.add_pool(); }
    void pool_removed(Entry&) override {}
    void wait_begun(Entry& entry, const Claim& claim) override;
    void wait_ended(Entry& entry, Ticket ticket) override;
    bool adds_waiter(const Entry& entry) const override;
    void follow_up(Shard& shard, const PoolId& pool, Entry& entry) override REQUIRES(shard.mutex);
    bool refresh(Shard& shard, const Visit& visit) override REQUIRES(shard.mutex);
    void advance(Shard& shard, const Visit& visit) override REQUIRES(shard.mutex);
    bool leave(Shard& shard, const Visit& visit, Ticket ticket) override REQUIRES(shard.mutex);
    void send_away(Shard& shard, const Visit& visit) override REQUIRES(shard.mutex);
    void answer_lost(const PoolId& pool, const Lease& lease) override;
    void find_callbacks() override { finds_callbacks_ = true; }
    void commit() override;
    bool is_quick() const override { return false; }
    bool is_store_away() const override { return !store_.reachable(); }
    bool is_ahead_of_store(const PoolId&) override { return false; }
    void stop() override;

  private:
    struct Round;

    // From the store's own threads.
    void changed(const PoolId& pool, Version version) override;
    void lost(ServerId server) override;
    void reached() override;
    void handed(const PoolId& pool, const LoadResult& state, std::uint64_t generation) override;

    static SharedEntry& shared(Entry& entry);

    void follow(const PoolId& pool, SharedEntry& entry);
    void give_up(const Visit& visit);
    void lose_answer_later(SharedEntry& entry, const Lease& lease, std::optional<ServerId> server) const;
    void add_orphan(SharedEntry& entry, const Lease& lease) const;

    void count_pools();
    void take_over_callbacks();
    void begin_round(Shard& shard, Round& round);
    void load_for_round(Round& round);
    void do_calls(Shard& shard, const Visit& visit, Round& round) REQUIRES(shard.mutex);
    void do_duties(const Visit& visit, TimePoint now);
    void do_acts(const Visit& visit, TimePoint now);
    void bound_places(const PoolId& pool, SharedEntry& entry);
    void show(SharedEntry& entry);
    void end_round(Round& round);
    void take_committed(const Visit& visit, const PoolChange& change,
                        const std::vector<SharedEntry::RoundAnswer>& answers);
    void give_answers(const Visit& visit, const std::vector<SharedEntry::RoundAnswer>& answers);
    void take_stale(const Visit& visit, const Stale& stale, std::uint64_t generation);
    void take_failure(const Visit& visit, const std::vector<SharedEntry::RoundAnswer>& answers);
    bool take_turn(const Visit& visit, std::uint64_t generation);
    void notice_loss(SharedEntry& entry, const LoadResult& found);
    void take_state(const Visit& visit, std::uint64_t generation, const LoadResult& found);
    void take_record(const Visit& visit, const PoolRecord& record);
    void take_absence(const Visit& visit, std::uint64_t fence);

    SharedStore& store_;
    PoolTable& table_;
    Wakeups& wakeups_;
    TroubleReport& trouble_;
    TimePoint counted_pools_at_;
    std::atomic<bool> finds_callbacks_{false};
};

}  // namespace sema
