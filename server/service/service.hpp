#pragma once

#include "common/wire.hpp"
#include "server/service/answers.hpp"
#include "server/service/clock.hpp"
#include "server/service/limits.hpp"
#include "server/store/store.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace sema {

class Caller;
class CommitDriver;
class History;
struct HistoryQuery;
class MetricsText;
class PoolTable;
struct Visit;
struct WaitingCall;

/// Whether calls can be served. A store of this server's own counts as one that works: whether it does is
/// only known once it is tried.
enum class Readiness { ready, store_away, shutting_down };

/// The semaphore service without its HTTP: pools, their queues, and the order in which things become
/// durable.
///
/// - Calls return at once; the answer goes to the Reply, perhaps before the call returns. An answer that is
///   neither NotGranted nor a Refusal says nothing that is not on stable storage: it is held back until every
///   change that it rests on is committed. If that commit fails, the answer is store_failed, and the pools
///   concerned go back to what the store says.
/// - Changes are committed in groups: what is asked for while a commit is under way goes into the next one.
/// - Pools are loaded when first used, and stay loaded.
/// - Where the store is shared, each call is done to what the store has, changes of other servers included:
///   what an answer says was so at some moment between the call and the answer. A waiter waits on while the
///   store is away; every other call is answered store_failed then.
///
/// Thread-safe. A thread that made calls goes on to settle(), or their answers may never come. Deadlines
/// are kept from start() on; before it, a test calls advance() and flush() instead.
class Service {
  public:
    /// `store` and `clock` must outlive the service. `on_store_trouble` is given the failures of the store (a
    /// text without secrets; once a minute while it lasts), and an empty text when it works again. So it is
    /// what a shared store has lost of what it had confirmed, once a minute at most.
    ///
    /// The first is for a store of this server's own, the second for one that others use too.
    Service(Store& store, Clock& clock, const ServiceLimits& limits,
            std::function<void(const std::string&)> on_store_trouble = {});
    Service(SharedStore& store, Clock& clock, const ServiceLimits& limits,
            std::function<void(const std::string&)> on_store_trouble = {});
    ~Service();
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    /// From now on what happens is counted, for write_metrics(). To be called before start() and before any
    /// call.
    void keep_metrics();
    /// Adds what was counted, and how the pools are at the moment, but for those that were not used since the
    /// start. Takes about a microsecond for each pool, and keeps no call waiting. REQUIRES: metrics are kept.
    void write_metrics(MetricsText& text) const;

    /// From now on it records what becomes of leases; it has to outlive the service. To be called before
    /// start() and before any call.
    void keep_history(History& history);
    /// `caller` calls the borrowers that are to be called, and must live until stop(). To be called before
    /// start() and before any call.
    void deliver_by(Caller& caller);
    /// Has the pools taken into use in which this server has to call a borrower, now or once there is a slot.
    /// To be called after the start, and again every few seconds: another server may be lost.
    void find_callbacks();

    /// Starts the thread that watches deadlines, and the one that commits while the store is slow.
    void start();

    /// From now on these hold. A limit that is lowered ends nothing that there is already. From one thread at
    /// a time.
    void set_limits(ServiceLimits limits);

    /// Where the store is away, settle() then has the reason reported to `on_store_trouble`.
    Readiness readiness();
    /// Why the store failed when it was used last; empty where it did not.
    std::string store_trouble() const;

    /// Answers every waiter and watcher, and from now on every call but give_back(), with shutting_down. What
    /// is in flight is finished.
    void drain();

    /// Commits what is left and ends the threads. No call may come during it or after it.
    void stop();

    Ticket next_ticket() { return Ticket{tickets_.fetch_add(1, std::memory_order_relaxed)}; }

    /// Makes the pool, or sets what the request names. Answer: PoolCounts.
    void put(const PoolId& pool, const wire::RegisterRequest& request, Reply reply);
    /// Adds to the count. Answer: PoolCounts.
    void resize(const PoolId& pool, std::int64_t by, Reply reply);
    /// Answer: PoolCounts.
    void inspect(const PoolId& pool, Reply reply);
    /// Answer: a PoolView.
    void list_holders(const PoolId& pool, Reply reply);
    /// Asks the pool's history, which answers in its own time. Answer: HistoryListed, or one of
    /// History::ask().
    /// REQUIRES: a history is kept.
    void look_back(const PoolId& pool, const HistoryQuery& query, Reply reply);
    /// Answer: SlotsListed.
    void list_slots(const PoolId& pool, Reply reply);
    /// All pools, by id: each as it was at some moment between the call and the answer, and in any case those
    /// that were there all the while. Pools that were not used since the start are read from the store and
    /// stay unloaded. It is made a few pools at a time, with other calls in between.
    ///
    /// Answer: PoolsListed, or too_many_lists: a list counts, among a few, until the last copy of its text is
    /// gone.
    void list_pools(Reply reply);
    /// All that is stored, as a file: it has what was answered before this call, and perhaps some that was
    /// answered later. It is made a piece at a time, with other calls in between. Answer: StoreCopied or
    /// StoreNotCopied; or too_many_copies: there is one at a time, which counts until the last of its bytes
    /// is gone.
    void copy_store(Reply reply);
    /// How much there is at the moment. Leases count that the pools which were used since the start have.
    struct Use {
        std::size_t pools = 0;
        std::size_t leases = 0;
        std::size_t waiters = 0;
    };
    Use use() const;
    /// Answer: PoolDeleted. Its waiters are answered no_such_pool.
    void remove(const PoolId& pool, Reply reply);

    /// Answer: LeaseGranted. ttl and wait are clamped to the limits. `ticket` comes from next_ticket(). With
    /// a callback the answer is CallbackQueued, unless the lease is live already, and comes without a wait.
    void borrow(const PoolId& pool, Ticket ticket, const wire::BorrowRequest& request, Reply reply);
    /// Answer: LeaseRenewed. Never no_such_pool. With a fence, only the lease that has that one is meant.
    void keep_alive(const PoolId& pool, const LeaseId& lease, Duration ttl, Reply reply,
                    std::optional<std::uint64_t> fence = std::nullopt);
    /// Answer: LeaseReturned. Never no_such_pool. The fence as in keep_alive().
    void give_back(const PoolId& pool, const LeaseId& lease, Reply reply,
                   std::optional<std::uint64_t> fence = std::nullopt);
    /// Answer: LeaseRevoked.
    void revoke(const PoolId& pool, const wire::RevokeRequest& request, Reply reply);
    /// Takes the slot out of service, or puts it back. Answer: SlotSet.
    void set_slot(const PoolId& pool, Position position, const wire::SlotRequest& request, Reply reply);
    /// Takes the waiter for `lease` out of the queue. Answer: BorrowCancelled. Never no_such_pool.
    void cancel(const PoolId& pool, const LeaseId& lease, Reply reply);
    /// The borrowers that are to be called. Answer: CallbacksListed.
    void list_callbacks(const PoolId& pool, Reply reply);
    /// Whether the borrower has yet to be notified of the grant. To be asked before each attempt. Answer:
    /// DeliveryState, never no_such_pool.
    void check_delivery(const PoolId& pool, const Pool::Grant& grant, Reply reply);
    /// What came of the attempt. Answer: DeliveryState, never no_such_pool.
    void end_attempt(const PoolId& pool, const Pool::Grant& grant, const AttemptEnd& end, Reply reply);
    /// The same with the first waiter for whose lease's id `is_it` holds, in whatever thread.
    void cancel_waiter(const PoolId& pool, std::function<bool(const LeaseId&)> is_it, Reply reply);
    /// An answer that contained that grant of the lease did not arrive: see Pool::undelivered().
    void undelivered(const PoolId& pool, const Lease& lease);

    /// Answer: a PoolView now, and one again and again after changes, until leave(). The last of several
    /// quick changes is always shown, those before it perhaps not. Ends with no_such_pool when the pool is
    /// deleted, with shutting_down, or with watch_lost. store_failed after the first view says that one
    /// could not be shown, and that there will be another. Two views may come in the wrong order: their
    /// revisions show it.
    void watch(const PoolId& pool, Ticket ticket, Reply reply);

    /// The borrower or watcher is gone. True: its Reply is not called again, but for what is under way to a
    /// watcher. False: its answer is under way, and comes without any wait.
    bool leave(const PoolId& pool, Ticket ticket);
    /// Whether the borrower waits for a slot, rather than for the store.
    bool is_queued(const PoolId& pool, Ticket ticket) const;

    /// Does what is due by now; the next deadline, if there is one.
    std::optional<TimePoint> advance();

    /// Sees to it that what is due is committed: with flush(), in this thread, which spares every answer two
    /// changes of thread; or, while the store is slow, in a thread of its own, so that the caller goes on
    /// with what needs no commit.
    bool settle();

    /// Commits and loads what is due, once, and gives the answers that waited for it. True: more came up
    /// meanwhile, and the caller has to call again, be it after other work. Blocks for as long as the store
    /// takes, but not while another thread is at it: that one will see to everything.
    bool flush();

  private:
    struct Parts;
    explicit Service(std::unique_ptr<Parts> parts);

    void borrow(const Visit& visit, const Claim& claim, WaitingCall call);
    void queue_callback(const Visit& visit, const Claim& claim, const Reply& reply);
    void cancel(const Visit& visit, const LeaseId& lease, const Reply& reply);
    void run_committer();
    void run_timer();

    const std::unique_ptr<Parts> parts_;
    PoolTable& table_;
    CommitDriver& driver_;
    std::atomic<std::uint64_t> tickets_{1};
};

}  // namespace sema
