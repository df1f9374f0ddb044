#pragma once

#include "common/error.hpp"
#include "common/ids.hpp"
#include "server/pool/history_entry.hpp"
#include "server/time.hpp"

#include <cstddef>
#include <functional>
#include <vector>

namespace sema {

/// What a history keeps of one pool is in parts, each with a bound of its own: so no borrower who asks again
/// and again without a wait pushes anything else out.
enum class HistoryPart {
    leases = 0,    ///< that ended
    refusals = 1,  ///< borrowers who got none; of earlier versions, changes of the count too
    counts = 2     ///< changes of the count
};

inline HistoryPart part_of(const HistoryEntry& entry) {
    if (entry.is_lease()) return HistoryPart::leases;
    return entry.what == HistoryEntry::What::refused ? HistoryPart::refusals : HistoryPart::counts;
}

/// What happened to one pool.
struct PoolPast {
    PoolId pool;
    std::vector<HistoryEntry> entries;
};

/// How much is kept.
struct HistoryBounds {
    /// What was before this goes: `age` before now.
    TimePoint oldest;
    Duration age{};
    /// Of each part of each pool so many are kept, and a thousand more perhaps.
    std::size_t most = 0;
};

/// Where the histories of pools are kept. Nothing in it is needed to lend a slot.
///
/// It may lose what was appended last when the machine fails, but not when the process is killed. An entry
/// that is appended twice may be there twice. Calls block for as long as the storage takes; one thread at a
/// time. A failure leaves the history usable: the next call tries again. tests/contract holds every
/// implementation to this text.
class HistoryStore {
  public:
    HistoryStore() = default;
    virtual ~HistoryStore() = default;
    HistoryStore(const HistoryStore&) = delete;
    HistoryStore& operator=(const HistoryStore&) = delete;

    /// All of it or nothing; where other servers use the store too, perhaps a part. What the bounds leave no
    /// room for in these pools goes, as far as that takes little time.
    virtual Expected<void> append(const std::vector<PoolPast>& past, const HistoryBounds& bounds) = 0;

    /// Hands over a part of a pool's history, from `since` on, the latest first, until `take` returns false.
    /// What happened within the same ten seconds may come in another order.
    virtual Expected<void> read(const PoolId& pool, HistoryPart part, TimePoint since,
                                const std::function<bool(HistoryEntry&&)>& take) = 0;

    /// Takes a little of what is too old out of the pools that nothing is appended to. Whether there is more.
    virtual Expected<bool> prune(const HistoryBounds& bounds) = 0;

    /// Takes a little of all that there is, of all pools. Whether there is more. What others append meanwhile
    /// may stay. Nothing is made that was not there.
    virtual Expected<bool> clear() = 0;
};

}  // namespace sema
