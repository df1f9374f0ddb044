#pragma once

#include "server/service/entry.hpp"
#include "server/store/store.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

namespace sema {

/// How what is done to pools becomes durable, and when it is answered. There are two ways: OwnDriver, where
/// the copy in memory is the truth and the store follows; and SharedDriver, where the store has the truth,
/// and what is done to the copy is asked of it.
///
/// What takes an entry is called under the lock of its shard, all else with no lock.
class CommitDriver {
  public:
    CommitDriver() = default;
    virtual ~CommitDriver() = default;
    CommitDriver(const CommitDriver&) = delete;
    CommitDriver& operator=(const CommitDriver&) = delete;

    /// For a pool that is used for the first time. It is marked dirty next.
    virtual std::unique_ptr<Entry> new_entry() const = 0;

    // Answers. What an Act gave in vain (see there) is never sent.

    /// Answers once everything done to the pool so far is on stable storage; with store_failed where it
    /// cannot be. Own: at once where nothing is uncommitted. Shared: after the round, even where nothing was
    /// changed, since the store has to confirm that what the answer says is so.
    virtual void reply_when_committed(const Visit& visit, const Reply& reply, const Answer& answer) = 0;
    /// For an answer that claims nothing that must be stored. Own: at once, whatever is under way. Shared:
    /// like reply_when_committed(), since another server may have changed what it rests on.
    virtual void reply_now(const Visit& visit, const Reply& reply, const Answer& answer) = 0;
    /// Like reply_when_committed(), to a waiter, and ends its wait. Own: it is no waiter from now on. Shared:
    /// it waits on until the answer goes, and longer where the round does not count.
    virtual void reply_to_waiter(Entry& entry, Ticket ticket, const Answer& answer) = 0;
    /// Whether all that was done to the pool is on stable storage: nothing of it is undone any more.
    virtual bool is_committed(const Entry& entry) const = 0;

    // What an act has done beside.

    /// A pool was made where there was none. Own: it counts among the pools, until it turns out not to be
    /// stored. Shared: it counts until the store is asked how many there are.
    virtual void pool_made(Entry& entry) = 0;
    /// The pool is gone, and has watchers perhaps. Own: they are answered once that is committed, with
    /// watch_lost where it cannot be. Shared: nothing yet, since they watch on where the round does not
    /// count.
    virtual void pool_removed(Entry& entry) = 0;
    /// The claim waits in the queue, and its call is among the entry's waiters from now on.
    virtual void wait_begun(Entry& entry, const Claim& claim) = 0;
    /// The call was taken out of the entry's waiters, and is answered at once. Shared: it is granted nothing
    /// any more, and is not queued again where the round does not count.
    virtual void wait_ended(Entry& entry, Ticket ticket) = 0;
    /// Whether the claim that an act has queued just now is one more waiter. If not, it took over the place
    /// of another. Own: all waiters of the pool count, those that are away too. Shared: those of this server.
    virtual bool adds_waiter(const Entry& entry) const = 0;

    // What comes from outside an act.

    /// The pool is about to be read without a call, for metrics. Whether its queue is known as it is now.
    /// Own: what time has brought about is done. Shared: nothing is, since that takes a round, and the queue
    /// is known only where this server has a waiter or a watcher.
    virtual bool refresh(Shard& shard, const Visit& visit) REQUIRES(shard.mutex) = 0;

    /// Something was done to the open entry: sees to it that it is committed, and that advance() is called in
    /// time. The entry may be gone afterwards.
    virtual void follow_up(Shard& shard, const PoolId& pool, Entry& entry) REQUIRES(shard.mutex) = 0;
    /// The time that the entry was scheduled for has come.
    virtual void advance(Shard& shard, const Visit& visit) REQUIRES(shard.mutex) = 0;
    /// See Service::leave(). Own: at once. Shared: the place in the queue is given up with the next round.
    virtual bool leave(Shard& shard, const Visit& visit, Ticket ticket) REQUIRES(shard.mutex) = 0;
    /// Answers all waiters with shutting_down.
    virtual void send_away(Shard& shard, const Visit& visit) REQUIRES(shard.mutex) = 0;
    /// See Service::undelivered(). Own: done like a call. Shared: done with the next round before any call,
    /// and again where that fails.
    virtual void answer_lost(const PoolId& pool, const Lease& lease) = 0;

    // The store.

    /// Commits and loads what is due, once, and gives the answers that waited for it. Blocks for as long as
    /// the store takes. For one thread at a time.
    virtual void commit() = 0;
    /// See Service::find_callbacks(): the next commit() does it. Own: once is enough. Shared: each time, for
    /// those of servers that are lost.
    virtual void find_callbacks() = 0;
    /// Whether a thread that made calls may call commit() itself, and wait for it. Own: unless the store is
    /// slow. Shared: never.
    virtual bool is_quick() const = 0;
    /// Whether calls cannot be served since the store is away. Own: that is only known once it is tried.
    virtual bool is_store_away() const = 0;
    /// Whether more may be known of the pool here than the store has. Asked between two calls of commit().
    virtual bool is_ahead_of_store(const PoolId& pool) = 0;
    /// Nothing comes from the store's own threads any more.
    virtual void stop() = 0;

    /// Counts the commits from now on. REQUIRES: called before any commit.
    void keep_metrics(StoreMetrics& metrics) { metrics_ = &metrics; }

  protected:
    /// The store has taken the changes in.
    void count_commit(const std::vector<PoolChange>& changes, std::chrono::steady_clock::duration time);
    bool counts_commits() const { return metrics_ != nullptr; }

  private:
    StoreMetrics* metrics_ = nullptr;
};

}  // namespace sema
