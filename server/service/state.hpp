#pragma once

#include "server/service/service.hpp"

#include <iterator>

// What service.cpp, service_flush.cpp and service_list.cpp share.
namespace sema {

struct Answered {
    Reply reply;
    Answer answer;
    /// In a shared pool, the waiter that it is for, who waits on until the answer is given; else 0.
    Ticket waiter{};
};

/// Answers to give once no lock is held any more.
class Service::Ready {
  public:
    Ready() = default;
    Ready(const Ready&) = delete;
    Ready& operator=(const Ready&) = delete;
    ~Ready() {
        for (const Answered& answered : answers_)
            answered.reply(answered.answer);
    }

    void add(const Reply& reply, const Answer& answer) { answers_.push_back({reply, answer, {}}); }
    void add(std::vector<Answered>&& answers) {
        std::move(answers.begin(), answers.end(), std::back_inserter(answers_));
    }

  private:
    std::vector<Answered> answers_;
};

/// A borrow that waits in its pool's queue.
struct Service::WaitingCall {
    Reply reply;
    bool is_extended = false;
    /// In a shared pool: as it was stored last; nothing before that.
    std::optional<Waiter> stored{};
    /// In a shared pool: what it was granted, while it is not known whether that was stored.
    std::optional<Lease> granted{};
};

/// A pool, or the knowledge that there is none, with what goes on around it.
struct Service::Entry {
    struct Watch {
        std::vector<std::pair<Ticket, Reply>> watchers;
        /// The pool's revision that they were shown last, and when they may be shown the next one.
        std::uint64_t shown = 0;
        TimePoint due;
    };
    struct Deferred {
        Ticket ticket{};
        Reply reply;
        Act act;
        /// The borrower has left: it takes what is free, and does not wait.
        bool left = false;
        /// Nobody waits for it, and it is done even if the store is away for long.
        bool is_duty = false;
        /// It is not done again where the store may have it.
        bool is_once = false;
        /// In a shared pool: its borrower was queued, and has left or got its answer. It is not done again.
        bool is_over = false;
    };
    /// What a pool takes that other servers change too. See service_shared.cpp.
    struct Shared {
        /// What was done in the round under way, to be done again if another server was first.
        std::vector<Deferred> calls;
        /// The greatest fence before the round.
        std::uint64_t fence = 0;
        /// A round is at the store.
        bool in_flight = false;
        /// When each waiter gives up.
        std::set<std::pair<TimePoint, Ticket>> give_ups;
        /// Waiters who left, and whose places are still in the queue.
        std::vector<Ticket> gone;
        /// Grants to calls which were answered that they failed.
        std::vector<Pool::Grant> orphans;
        /// The store is not known to have all of the last round, or nothing of it.
        bool outcome_unknown = false;
        /// How many rounds in a row other servers were first.
        unsigned overtaken = 0;
        /// The version that another server has made; 0 where it is not known, or the pool is gone.
        std::optional<Version> behind;
        /// Another server may have been lost.
        bool look_at_servers = false;
        /// SharedStore::generation() when the pool was read last.
        std::uint64_t generation = 0;
        /// While the pool is followed: when the store is asked whether it has changed, should nothing else
        /// be asked before.
        std::optional<TimePoint> check_at;
    };

    /// False until the store was read, and again after a failed commit until it was read anew: calls
    /// are deferred meanwhile.
    bool loaded = false;
    /// Whether the pool is counted among `pools_`; unknown until it was loaded once. Not used where the store
    /// is shared.
    std::optional<bool> present;
    std::optional<Pool> pool;
    /// While there is no pool: the greatest fence of one that had its id before.
    std::uint64_t fence = 0;
    std::unordered_map<Ticket, WaitingCall> waiters;
    /// How many of the pool's waiters are among all `waiters_`.
    std::size_t counted_waiters = 0;
    /// Null while nobody watches.
    std::unique_ptr<Watch> watch;
    std::vector<Deferred> deferred;

    /// The version after every change that was taken into a batch.
    Version version = 0;
    /// The last batch that took changes from here.
    std::uint64_t batch = 0;
    /// Changes that no batch has taken yet, and the answers that rest on them or on a batch under way.
    Changes changes;
    std::vector<Answered> answers;
    /// Ids that borrowers chose and that are free again once the changes are stored.
    std::vector<LeaseId> freed_ids;
    /// Changes that no answer rests on are not stored before this.
    TimePoint retry_at = TimePoint::min();
    bool dirty = false;
    std::optional<TimePoint> scheduled;
    /// Null in a pool of this server's own.
    std::unique_ptr<Shared> shared;

    bool idle() const {
        return loaded && !pool && !dirty && changes.empty() && answers.empty() && deferred.empty() &&
               (!shared || (!shared->in_flight && !shared->outcome_unknown && shared->orphans.empty()));
    }
    /// Whether the pool has changed since its watchers were shown it.
    bool has_news() const { return watch && pool && pool->revision() != watch->shown; }
};

struct Service::Shard {
    Mutex mutex;
    std::unordered_map<PoolId, Entry> entries GUARDED_BY(mutex);
    /// Entries with something for the next batch, each once.
    std::vector<PoolId> dirty GUARDED_BY(mutex);
    std::vector<PoolId> to_load GUARDED_BY(mutex);
    /// At most one deadline per entry: its `scheduled`, which is not later than the pool's next one.
    std::set<std::pair<TimePoint, PoolId>> deadlines GUARDED_BY(mutex);
};

/// A list of all pools under way. Only the thread that is at the store touches it.
struct Service::Listing {
    Reply reply;
    /// Counts it among all lists.
    std::shared_ptr<void> place;
    wire::PoolListWriter list;
    /// What is to be added to the list next, in any order, once no answer is awaited any more.
    std::vector<wire::PoolList::Entry> page{};
    std::size_t awaited = 0;
    /// The last of the page's pools.
    std::optional<PoolId> last{};
    bool is_last_page = false;
    std::optional<Refusal> refusal{};
};

struct Service::Batch {
    std::uint64_t number = 0;
    std::vector<PoolChange> changes;
    /// Per change, in the same order, the answers that rest on it.
    std::vector<std::vector<Answered>> answers;
    /// Answers that rested on an earlier batch.
    std::vector<Answered> settled;
    std::vector<PoolId> to_load;
    std::vector<std::pair<PoolId, LeaseId>> freed_ids;
};

/// Does `act` to the pool: at once, or when it is loaded.
template <class AnyAct>
void Service::perform(const PoolId& pool, Ticket ticket, const Reply& reply, AnyAct act) {
    Ready ready;
    Shard& shard = shard_of(pool);
    const MutexLock lock(shard.mutex);
    const auto [found, is_new] = shard.entries.try_emplace(pool);
    Entry& entry = found->second;
    if (shared_) {
        entry.deferred.push_back({ticket, reply, std::move(act)});
        return mark_dirty(shard, pool, entry);
    }
    if (is_new) {
        shard.to_load.push_back(pool);
        work_ = true;
    }
    if (!entry.loaded) {
        entry.deferred.push_back({ticket, reply, std::move(act)});
        return;
    }
    act(entry, reply, ready);
    finish(shard, pool, entry);
}

}  // namespace sema
