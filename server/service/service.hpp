#pragma once

#include "common/wire.hpp"
#include "server/service/answers.hpp"
#include "server/service/clock.hpp"
#include "server/service/limits.hpp"
#include "server/store/store.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace sema {

class CommitDriver;
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
    /// text without secrets; once a minute while it lasts), and an empty text when it works again.
    ///
    /// The first is for a store of this server's own, the second for one that others use too.
    Service(Store& store, Clock& clock, const ServiceLimits& limits,
            std::function<void(const std::string&)> on_store_trouble = {});
    Service(SharedStore& store, Clock& clock, const ServiceLimits& limits,
            std::function<void(const std::string&)> on_store_trouble = {});
    ~Service();
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    /// Starts the thread that watches deadlines, and the one that commits while the store is slow.
    void start();

    /// Where the store is away, settle() then has the reason reported to `on_store_trouble`.
    Readiness readiness();

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
    /// All pools, by id: each as it was at some moment between the call and the answer, and in any case those
    /// that were there all the while. Pools that were not used since the start are read from the store and
    /// stay unloaded. It is made a few pools at a time, with other calls in between.
    ///
    /// Answer: PoolsListed, or too_many_lists: a list counts, among a few, until the last copy of its text is
    /// gone.
    void list_pools(Reply reply);
    /// Answer: PoolDeleted. Its waiters are answered no_such_pool.
    void remove(const PoolId& pool, Reply reply);

    /// Answer: LeaseGranted. ttl and wait are clamped to the limits. `ticket` comes from next_ticket().
    void borrow(const PoolId& pool, Ticket ticket, const wire::BorrowRequest& request, Reply reply);
    /// Answer: LeaseRenewed. Never no_such_pool.
    void keep_alive(const PoolId& pool, const LeaseId& lease, Duration ttl, Reply reply);
    /// Answer: LeaseReturned. Never no_such_pool.
    void give_back(const PoolId& pool, const LeaseId& lease, Reply reply);
    /// Answer: LeaseRevoked.
    void revoke(const PoolId& pool, Position position, Reply reply);
    /// Takes the waiter for `lease` out of the queue. Answer: BorrowCancelled. Never no_such_pool.
    void cancel(const PoolId& pool, const LeaseId& lease, Reply reply);
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
    void run_committer();
    void run_timer();

    const std::unique_ptr<Parts> parts_;
    PoolTable& table_;
    CommitDriver& driver_;
    std::atomic<std::uint64_t> tickets_{1};
};

}  // namespace sema
