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

/// How to notify a borrower that is not connected of its grant, as it has asked for it. The rules and the
/// stores do not look into it. It may hold secrets.
using CallbackText = std::string;

/// A grant whose borrower has not been notified yet.
struct Delivery {
    std::shared_ptr<const CallbackText> callback;
    /// How often it was tried in vain, when it is tried next, and why the last attempt failed.
    unsigned attempts = 0;
    TimePoint next_attempt;
    std::string last_error{};
};

/// One held slot. A lease has such a row for each of its slots. They are alike but for the position and the
/// holder, which only the first of them names.
struct HeldSlot {
    LeaseId lease;
    Position position = 0;
    TimePoint granted_at;
    TimePoint expires_at;
    /// What was asked for last (after clamping). A restart never gives a lease more than this. 0 for a lease
    /// that was ended before its time, at `expires_at`: then the row says since when the slot rests, or is
    /// idle.
    Duration ttl{};
    /// Of the grants of one pool, a later one has the greater fence.
    std::uint64_t fence = 0;
    /// Whether the borrower chose the lease's id.
    bool chosen = false;
    std::shared_ptr<const Holder> holder{};
    /// How long its borrower had waited, and with what priority: for the pool's history.
    Duration waited{};
    int priority = 0;
    /// Null once the borrower was notified. Like the holder, only the first slot names it.
    std::shared_ptr<const Delivery> delivery{};

    /// The rest only a shared store keeps. How many answers contained the lease, but for those that are known
    /// not to have arrived.
    unsigned answers = 1;
    /// Where that was 0 once: when the lease ends if its borrower asks for it again.
    std::optional<TimePoint> full_end{};
    /// The server that granted it.
    ServerId server{};

    bool ended_early() const { return ttl == Duration::zero(); }
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
    /// Of a borrower who is to be called; else null. Such a place has a `ttl` and a `deadline` in any store,
    /// and no `server`: the pool's keeper has it.
    std::shared_ptr<const CallbackText> callback{};
    Duration ttl{};

    /// The rest only a shared store keeps. Whether the borrower chose the lease's id.
    bool chosen = true;
    /// The server that can answer the borrower; none while it is away.
    ServerId server{};
    /// When the borrower gives up, or loses its place while it is away.
    TimePoint deadline{};
    /// The place was cancelled through another server, and its own server has not answered the borrower yet.
    bool cancelled = false;
};

/// A slot that is out of service.
struct OutOfService {
    TimePoint since;
    /// For people; may be empty.
    std::string reason{};

    bool operator==(const OutOfService&) const = default;
};

/// Counts a pool's changes: 0 for a pool that is not there, and a new value at each commit that touches
/// the pool. A pool that is made again starts at a fresh random value, so that a version never recurs. A
/// store that only one process can have open need not keep them: opened again, it has other ones.
using Version = std::uint64_t;

/// A pool as it is on stable storage. Leases whose time has passed may still be among `slots`: their end is
/// not written, and Pool drops them when it takes the record over.
struct PoolRecord {
    Version version = 0;
    unsigned count = 0;
    /// No fence above this was given to a lease.
    std::uint64_t fence = 0;
    /// Null where nothing was ever set.
    std::shared_ptr<const PoolSettings> settings{};
    std::vector<HeldSlot> slots{};
    std::vector<KeptPlace> places{};
    std::map<Position, OutOfService> out{};
    /// The server that grants to borrowers that are to be called, and calls them; none while there are none.
    /// Only a shared store keeps it.
    ServerId keeper{};
};

/// A pool in which a borrower is to be called.
struct PoolWithCallbacks {
    PoolId pool;
    ServerId keeper{};
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
    /// Per position, that the slot is out of service, or in it.
    std::map<Position, std::optional<OutOfService>> out{};
    std::optional<ServerId> keeper{};

    bool empty() const {
        return !cleared && !count && !fence && !settings && slots.empty() && places.empty() && out.empty() &&
               !keeper;
    }
};

}  // namespace sema
