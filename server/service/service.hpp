#pragma once

#include "common/wire.hpp"
#include "server/pool/pool.hpp"
#include "server/service/chosen_ids.hpp"
#include "server/service/clock.hpp"
#include "server/store/store.hpp"
#include "server/sync.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <variant>
#include <vector>

namespace sema {

struct ServiceLimits {
    Duration max_ttl = std::chrono::hours(24);
    Duration max_wait = std::chrono::seconds(300);
    std::size_t max_pools = 200'000;
    std::size_t max_waiters = 100'000;
    unsigned max_count = 1000;
    PoolLimits pool;
};

struct PoolCounts {
    unsigned count = 0;
    unsigned in_use = 0;
    unsigned available = 0;
};
struct LeaseGranted {
    Lease lease;
    /// What is left of it.
    Duration remaining{};
    /// Whether the extended answer was asked for, and then the pool's settings.
    bool is_extended = false;
    std::shared_ptr<const PoolSettings> settings{};
};
struct LeaseRenewed {
    /// Nothing where it is not held.
    std::optional<Lease> lease;
    Duration remaining{};
};
struct LeaseReturned {
    bool returned = false;
};
struct LeaseRevoked {
    bool revoked = false;
};
struct BorrowCancelled {
    bool cancelled = false;
};
struct PoolDeleted {
    bool deleted = false;
};
/// All pools, by id: a wire::PoolList as text, since that is long.
struct PoolsListed {
    std::shared_ptr<const std::string> json;
};
/// No slot came free within the wait: told so where the extended answer was asked for.
struct NotGranted {
    std::size_t rank = 0;
    std::size_t queue = 0;
    unsigned in_use = 0;
    unsigned count = 0;
    std::optional<Duration> eta;
};
enum class Refusal {
    no_such_pool,
    no_resource,   ///< no slot came free within the wait
    store_failed,  ///< nothing changed, or the caller may safely try again
    shutting_down,
    too_many_waiters,
    too_many_pools,
    too_many_lists,      ///< of pools, under way or not yet delivered
    lease_id_in_use,     ///< by another pool
    superseded,          ///< a newer call has taken the place in the queue over
    cancelled,           ///< somebody took the borrower out of the queue
    not_renewable,       ///< the pool's leases cannot be kept alive
    count_out_of_range,  ///< below 0 or above max_count
    watch_lost,          ///< the store failed: the watcher may ask anew
};

using Answer =
    std::variant<LeaseGranted, PoolCounts, LeaseReturned, PoolDeleted, LeaseRenewed, LeaseRevoked,
                 BorrowCancelled, NotGranted, std::shared_ptr<const PoolView>, PoolsListed, Refusal>;

/// Takes the answer of a call: at most once (but for watch()), from any thread, with no lock held. Must not
/// throw.
using Reply = std::function<void(const Answer&)>;

/// Whether calls can be served. A store of this server's own counts as one that works: whether it does is
/// only known once it is tried.
enum class Readiness { ready, store_away, shutting_down };

struct Answered;

/// The semaphore service without its HTTP: pools, their queues, and the order in which things become
/// durable.
///
/// - Calls return at once; the answer goes to the Reply, perhaps before the call returns. An answer that
///   is neither NotGranted nor a Refusal tells nothing that is not on stable storage: it is held
///   back until every change that it rests on is committed. If that commit fails, the answer is
///   store_failed, and the pools concerned go back to what the store says.
/// - Changes are committed in groups: what is asked for while a commit is under way goes into the next one.
/// - Pools are loaded when first used, and stay loaded.
/// - Where the store is shared, each call is done to what the store has, changes of other servers included:
///   what an answer tells was so at some moment between the call and the answer. A waiter waits on while the
///   store is away; every other call is answered store_failed then.
///
/// Thread-safe. A thread that made calls goes on to settle(), or their answers may never come. Deadlines
/// are kept from start() on; before it, a test calls advance() and flush() instead.
class Service : private StoreListener {
  public:
    /// `store` and `clock` must outlive the service. `on_store_trouble` is told of failures of the
    /// store (a text without secrets; once a minute while it lasts), and gets an empty text when it works
    /// again.
    Service(Store& store, Clock& clock, const ServiceLimits& limits,
            std::function<void(const std::string&)> on_store_trouble = {});
    ~Service() override;
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    /// Starts the thread that watches deadlines, and the one that commits while the store is slow.
    void start();

    /// Where the store is away, settle() then has the reason told to `on_store_trouble`.
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
    /// An answer that told of that grant of the lease did not arrive: see Pool::undelivered().
    void undelivered(const PoolId& pool, const Lease& lease);

    /// Answer: a PoolView now, and one again and again after changes, until leave(). The last of several
    /// quick changes is always shown, those before it perhaps not. Ends with no_such_pool when the pool is
    /// deleted, with shutting_down, or with watch_lost. store_failed after the first view tells that one
    /// could not be shown, and that there will be another. Two views may come in the wrong order: their
    /// revision tells.
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
    struct WaitingCall;
    struct Entry;
    struct Shard;
    struct Batch;
    struct Listing;
    class Ready;
    /// What a call does to its pool once that is loaded.
    using Act = std::function<void(Entry&, const Reply&, Ready&)>;

    Shard& shard_of(const PoolId& pool);
    template <class AnyAct>
    void perform(const PoolId& pool, Ticket ticket, const Reply& reply, AnyAct act);
    void finish(Shard& shard, const PoolId& pool, Entry& entry);
    void wake_at(Shard& shard, const PoolId& pool, Entry& entry, TimePoint time);
    void drop_if_gone(Shard& shard, const PoolId& pool, Entry& entry);
    Act giving_up(const PoolId& pool, const Pool::Grant& grant);
    void give_up_later(const PoolId& pool, Entry& entry, const Lease& lease, std::optional<ServerId> server);
    void tell(const PoolId& pool, Entry& entry, const Outcome& outcome, Ready& ready);
    void bring_up_to_date(const PoolId& pool, Entry& entry, Ready& ready);
    void borrow(const PoolId& id, Entry& entry, const Claim& claim, const WaitingCall& call, Ready& ready);
    bool leave(Entry& entry, Ticket ticket);
    static bool stop_watching(Entry& entry, Ticket ticket);
    bool adds_waiter(const Entry& entry) const;
    void count_waiters(Entry& entry);
    void bound_away(const PoolId& pool, Entry& entry);
    void free_ids(const Batch& batch);
    void answer(Entry& entry, const Reply& reply, const Answer& answer, Ready& ready);
    void refuse(Entry& entry, const Reply& reply, const Answer& answer, Ready& ready);
    void answer_waiter(Entry& entry, Ticket ticket, const Answer& answer);
    bool uncommitted(const Entry& entry) const;
    void set_present(Entry& entry, bool present);
    static void end_watch(Entry& entry, Refusal why, Ready& ready);

    void take(Shard& shard, Batch& batch);
    void show(Entry& entry);
    void commit(Batch& batch);
    void roll_back(Batch& batch, Ready& ready);
    void forget_gone(const Batch& batch);
    void load(const PoolId& pool);
    void go_on_listing();
    void list_next(const std::shared_ptr<Listing>& listing);
    void list_used(const std::shared_ptr<Listing>& listing, const PoolId& pool);
    void list_unused(Listing& listing, const PoolId& pool);
    bool is_used(const PoolId& pool);
    void report(const std::string& trouble);

    // Of pools that other servers change too.
    void changed(const PoolId& pool, Version version) override;
    void lost(ServerId server) override;
    void reached() override;
    struct Round;
    void mark_dirty(Shard& shard, const PoolId& pool, Entry& entry);
    static bool has_duties(const Entry& entry);
    static bool is_asked(const Entry& entry);
    static bool is_followed(const Entry& entry);
    static bool is_behind(const Entry& entry);
    void end_wait(const PoolId& pool, Entry& entry, Ticket ticket, const WaitingCall& waiter);
    void do_round();
    void count_pools();
    void begin_round(Shard& shard, Round& round);
    void load_for_round(Round& round);
    void do_calls(Shard& shard, const PoolId& pool, Entry& entry, Round& round, Ready& ready);
    void do_duties(const PoolId& pool, Entry& entry, TimePoint now, Ready& ready);
    void end_round(Round& round);
    void take_committed(const PoolChange& change, Entry& entry, const std::vector<Answered>& answers,
                        Ready& ready);
    void take_stale(const PoolId& pool, Entry& entry, const Stale& stale, std::uint64_t generation,
                    Ready& ready);
    void take_record(const PoolId& pool, Entry& entry, std::uint64_t generation, const LoadResult& found,
                     Ready& ready);
    void take_failure(const PoolId& pool, Entry& entry, const std::vector<Answered>& answers, Ready& ready);
    void add_orphan(Entry& entry, const Lease& lease) const;
    static void fail_deferred(Entry& entry, Ready& ready);
    template <class Calls>
    static void forget_queued(Entry& entry, const Calls& calls);
    static void undo(Entry& entry);
    void plan(Shard& shard, const PoolId& pool, Entry& entry);
    void advance_shared(Shard& shard, const PoolId& pool, Entry& entry, Ready& ready);
    bool leave_shared(Shard& shard, const PoolId& pool, Entry& entry, Ticket ticket);
    void drain_shared(Shard& shard, const PoolId& pool, Entry& entry, Ready& ready);

    void wake_committer();
    void run_committer();
    void schedule(TimePoint deadline);
    void run_timer();

    Store& store_;
    /// The store, if it is a shared one.
    SharedStore* const shared_;
    Clock& clock_;
    const ServiceLimits limits_;
    const std::function<void(const std::string&)> on_store_trouble_;
    bool in_trouble_ = false;
    TimePoint told_at_;

    std::vector<std::unique_ptr<Shard>> shards_;
    ChosenIds chosen_ids_;
    std::atomic<std::uint64_t> tickets_{1};
    /// Where the store is shared: as many as it had when it was last asked, and those made here since.
    std::atomic<std::size_t> pools_{0};
    TimePoint counted_pools_at_;
    std::atomic<std::size_t> waiters_{0};
    std::atomic<bool> draining_{false};
    std::atomic<bool> stopping_{false};

    /// Batches are numbered as they are taken; a change is on stable storage once its batch's number is
    /// not above this.
    std::atomic<std::uint64_t> committed_{0};
    std::uint64_t taken_ = 0;
    /// There may be something to commit or load.
    std::atomic<bool> work_{false};
    Mutex listings_mutex_;
    /// The first is the one that is being made.
    std::deque<std::shared_ptr<Listing>> listings_ GUARDED_BY(listings_mutex_);
    /// How many there are, those on their way to whoever asked included. It may outlive the service.
    const std::shared_ptr<std::atomic<unsigned>> lists_ = std::make_shared<std::atomic<unsigned>>(0);

    /// A thread is in flush().
    std::atomic<bool> flushing_{false};
    /// A commit took long, not long ago.
    std::atomic<bool> slow_{false};
    std::chrono::steady_clock::time_point last_slow_commit_;
    /// 1 while the committer is called for. (An int: the kernel can wait on it directly.)
    std::atomic<int> committer_wanted_{0};
    std::thread committer_;

    Mutex timer_mutex_;
    ConditionVariable timer_changed_;
    TimePoint wake_at_ GUARDED_BY(timer_mutex_) = TimePoint::max();
    std::thread timer_;
};

}  // namespace sema
