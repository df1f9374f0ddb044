#pragma once

#include "common/error.hpp"
#include "common/ids.hpp"
#include "server/time.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace sema {

/// A slot's number in its pool, 0..count-1.
using Position = unsigned;

/// One held slot.
struct Lease {
    LeaseId id;
    Position position = 0;
    TimePoint granted_at;
    TimePoint expires_at;
    /// What was asked for (after clamping). A restart never gives a lease more than this.
    Duration ttl{};

    bool operator==(const Lease&) const = default;
};

/// Counts a pool's changes: 0 for a pool that is not there, and a new value at each commit that touches
/// the pool. A pool that is made again starts at a fresh random value, so that a version never recurs. A
/// store that nobody else can have open may keep versions to itself: opened again, it tells other ones.
using Version = std::uint64_t;

/// What is known of a pool on stable storage. Leases whose time has passed may still be among `leases`:
/// that they ended needs no write, so whoever loads them drops them.
struct PoolRecord {
    Version version = 0;
    unsigned count = 0;
    std::vector<Lease> leases;
};

/// The rows of one pool that changed since they were last committed. Applied in this order: `cleared`,
/// `count`, `slots`.
struct Changes {
    /// The pool and all its rows go away.
    bool cleared = false;
    /// The pool exists and has this count.
    std::optional<unsigned> count;
    /// Per position, the lease that now holds it, or nothing. At most one lease per position: that is
    /// what keeps two holders off one slot in whatever order the rows are read.
    std::map<Position, std::optional<Lease>> slots;

    bool empty() const { return !cleared && !count && slots.empty(); }
};

/// The changes of one pool in a batch. `base` is the version they were made from; the pool has `next`
/// once they are committed. `next` is 0 where the pool is gone afterwards.
///
/// REQUIRES: a pool that comes into being has a `count`; slots are set only in a pool that is there
/// afterwards; `next` differs from `base` unless both are 0.
struct PoolChange {
    PoolId pool;
    Version base = 0;
    Version next = 0;
    Changes changes;
};

/// The pairing of the server's timeline with the operating system's clocks, kept so that a restart can
/// go on where the last run stopped. server/clock.hpp gives its meaning.
struct ClockAnchor {
    std::string boot_id;
    Duration boot_time{};
    Duration wall_time{};
    TimePoint timeline;

    bool operator==(const ClockAnchor&) const = default;
};

struct Committed {};
/// A pool's version was not the change's base: another server changed it. Nothing was applied.
struct Stale {};
/// The store could not do it. Nothing was applied, or everything was and it could not be confirmed:
/// load() tells.
using StoreFailure = Error;

struct Absent {};

using CommitResult = std::variant<Committed, Stale, StoreFailure>;
using LoadResult = std::variant<PoolRecord, Absent, StoreFailure>;

/// Where pools outlive the process. It knows rows and versions, and none of the semaphore's rules.
///
/// Calls block for as long as the storage takes. One thread at a time may use a store; two stores opened
/// on shared data are independent of each other. tests/contract holds every implementation to this text.
class Store {
  public:
    virtual ~Store() = default;
    Store() = default;
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    /// The pool as last committed. Leases come in order of their position.
    virtual LoadResult load(const PoolId& pool) = 0;

    /// Applies every change of the batch, or none. On `Committed` all of it is on stable storage: it
    /// outlives a killed process and a power cut (as far as the implementation's header promises).
    /// A pool stands at most once in a batch. `anchor`, where given, replaces the stored one in the same
    /// step. An empty batch is `Committed`.
    virtual CommitResult commit(const std::vector<PoolChange>& batch,
                                const std::optional<ClockAnchor>& anchor) = 0;

    /// How many pools there are.
    virtual Expected<std::size_t> pool_count() = 0;

    /// The anchor last committed; none in a new store.
    virtual Expected<std::optional<ClockAnchor>> anchor() = 0;
};

}  // namespace sema
