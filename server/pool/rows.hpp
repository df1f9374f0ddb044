#pragma once

#include "common/holder.hpp"
#include "common/ids.hpp"
#include "common/pool_settings.hpp"
#include "server/time.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sema {

/// A slot's number in its pool, 0..count-1.
using Position = unsigned;

/// One run of a server, among those that share a store. 0 names none.
enum class ServerId : std::uint64_t {};

/// One held slot. A lease has such a row for each of its slots, alike but for the position and the holder,
/// whom the first of them names.
struct HeldSlot {
    LeaseId lease;
    Position position = 0;
    TimePoint granted_at;
    TimePoint expires_at;
    /// What was asked for last (after clamping). A restart never gives a lease more than this. 0 for a lease
    /// that was ended before its time, at `expires_at`: the row tells how long the slot has rested since.
    Duration ttl{};
    /// Of the grants of one pool, a later one has the greater fence.
    std::uint64_t fence = 0;
    /// Whether the borrower chose the lease's id.
    bool chosen = false;
    std::shared_ptr<const Holder> holder{};

    /// What only a shared store keeps: how many answers told of the lease, but for those that are known not
    /// to have arrived; where there were none once, when it ends if somebody asks for it; and the server that
    /// granted it.
    unsigned told = 1;
    std::optional<TimePoint> full_end{};
    ServerId server{};
};

/// A place in the queue. A store that is one server's keeps those that outlive the connection of their
/// borrower, who chose the lease's id; a shared one keeps them all.
struct KeptPlace {
    LeaseId lease;
    /// Higher comes first.
    int priority = 0;
    /// Within one priority, lower comes first.
    std::uint64_t arrival = 0;
    unsigned slots = 1;
    TimePoint queued_at;
    std::shared_ptr<const Holder> holder{};

    /// What only a shared store keeps: whether the borrower chose the lease's id; the server that can answer
    /// the borrower, none while it is away; and when the borrower gives up, or loses its place while it is
    /// away.
    bool chosen = true;
    ServerId server{};
    TimePoint deadline{};
    /// Somebody took the borrower out of the queue, and its server has not told it yet.
    bool cancelled = false;
};

/// Counts a pool's changes: 0 for a pool that is not there, and a new value at each commit that touches
/// the pool. A pool that is made again starts at a fresh random value, so that a version never recurs. A
/// store that nobody else can have open may keep versions to itself: opened again, it tells other ones.
using Version = std::uint64_t;

/// What is known of a pool on stable storage. Leases whose time has passed may still be among `slots`:
/// that they ended needs no write, so whoever loads them drops them.
struct PoolRecord {
    Version version = 0;
    unsigned count = 0;
    /// No fence above this was given to a lease.
    std::uint64_t fence = 0;
    /// Null where nothing was ever set.
    std::shared_ptr<const PoolSettings> settings{};
    std::vector<HeldSlot> slots{};
    std::vector<KeptPlace> places{};
};

/// The rows of one pool that changed since they were last committed. Applied in this order: `cleared`, then
/// the others.
struct Changes {
    /// The pool and all its rows go away, but for its fence: that stays known for the id. Where the pool is
    /// gone afterwards, `fence` raises it.
    bool cleared = false;
    /// The pool exists and has this count.
    std::optional<unsigned> count{};
    std::optional<std::uint64_t> fence{};
    /// Null: they stay as they are.
    std::shared_ptr<const PoolSettings> settings{};
    /// Per position, the lease that now holds it, or nothing. At most one lease per position: that is
    /// what keeps two holders off one slot in whatever order the rows are read.
    std::map<Position, std::optional<HeldSlot>> slots{};
    /// Per lease's id, its place in the queue, or nothing.
    std::map<LeaseId, std::optional<KeptPlace>> places{};

    bool empty() const {
        return !cleared && !count && !fence && !settings && slots.empty() && places.empty();
    }
};

}  // namespace sema
