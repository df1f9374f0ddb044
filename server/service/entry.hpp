#pragma once

#include "common/ids.hpp"
#include "server/pool/pool.hpp"
#include "server/service/answers.hpp"
#include "server/service/service_metrics.hpp"
#include "server/sync.hpp"

#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace sema {

struct Answered {
    Reply reply;
    Answer answer;
};

/// Answers to give once no lock is held any more: they go when this ends, so that it stands before the lock.
class Ready {
  public:
    Ready() = default;
    Ready(const Ready&) = delete;
    Ready& operator=(const Ready&) = delete;
    ~Ready() {
        for (const Answered& answered : answers_)
            answered.reply(answered.answer);
    }

    void add(const Reply& reply, const Answer& answer) { answers_.push_back({reply, answer}); }
    void add(std::vector<Answered>&& answers) {
        std::move(answers.begin(), answers.end(), std::back_inserter(answers_));
    }

  private:
    std::vector<Answered> answers_;
};

struct Entry;

/// A pool to which something is done, under its shard's lock.
struct Visit {
    const PoolId& pool;
    Entry& entry;
    Ready& ready;
};

/// What a call does to its pool.
///
/// It may be done more than once: where other servers change the pool too, it is done to a copy, and what it
/// did counts only if the copy turns out to have been the newest. So it changes nothing but the entry, asks
/// for the time itself, and answers by way of the CommitDriver, which drops the answers of an attempt that
/// does not count.
using Act = std::function<void(const Visit&, const Reply&)>;

/// A call whose act is not done yet.
struct DeferredCall {
    Ticket ticket{};
    Reply reply;
    Act act;
    /// The borrower has left: it takes what is free, and does not wait.
    bool left = false;
};

/// A borrow that waits in its pool's queue.
struct WaitingCall {
    Reply reply;
    bool is_extended = false;
};

/// The watchers of a pool.
struct Watch {
    std::vector<std::pair<Ticket, Reply>> watchers;
    /// The pool's revision that they were shown last, and when they may be shown the next one.
    std::uint64_t shown = 0;
    TimePoint due;
};

/// A pool, or the knowledge that there is none, with what goes on around it. Each commit driver derives what
/// it keeps beside.
struct Entry {
    Entry() = default;
    virtual ~Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    /// Calls are done as they come. Else they are deferred, and the driver does them.
    bool is_open = false;
    std::optional<Pool> pool;
    /// While there is no pool: the greatest fence of one that had its id before.
    std::uint64_t fence = 0;
    std::unordered_map<Ticket, WaitingCall> waiters;
    /// How many of the pool's waiters are among those of all pools.
    std::size_t counted_waiters = 0;
    /// The same of its leases.
    std::size_t counted_leases = 0;
    /// Null while nobody watches.
    std::unique_ptr<Watch> watch;
    /// Null where nothing was counted yet.
    std::unique_ptr<Tally> tally;
    std::vector<DeferredCall> deferred;

    /// The version that the next change is made from.
    Version version = 0;
    /// Changes that the driver has not taken to the store yet.
    Changes changes;
    /// Ids that borrowers chose and that are free again once the changes are stored.
    std::vector<LeaseId> freed_ids;
    /// Changes that no call waits for are not stored before this.
    TimePoint retry_at = Timeline::long_ago;
    /// It is among its shard's `dirty`.
    bool dirty = false;
    /// Its time among its shard's `deadlines`.
    std::optional<TimePoint> scheduled;

    /// Whether nothing is to be kept of it here. The driver knows more reasons to keep it.
    bool is_idle() const { return !pool && !dirty && changes.empty() && deferred.empty(); }
    /// Whether the pool has changed since its watchers were shown it.
    bool has_news() const { return watch && pool && pool->revision() != watch->shown; }
};

/// What was done to the pool and not committed did not happen.
inline void undo_tally(Entry& entry) {
    if (!entry.tally) return;
    entry.tally->happened.clear();
    entry.tally->past.clear();
}

struct Shard {
    Mutex mutex;
    std::unordered_map<PoolId, std::unique_ptr<Entry>> entries GUARDED_BY(mutex);
    /// Entries with something for the driver to do at its next turn, each once.
    std::vector<PoolId> dirty GUARDED_BY(mutex);
    /// At most one deadline per entry: its `scheduled`, which is not later than the pool's next one.
    std::set<std::pair<TimePoint, PoolId>> deadlines GUARDED_BY(mutex);
};

}  // namespace sema
