#pragma once

#include "server/store/store.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <variant>
#include <vector>

namespace sema {

/// Names one borrow call while it waits. Unique for the life of the process.
enum class Ticket : std::uint64_t {};

/// What a borrower asks for.
struct Claim {
    Ticket ticket{};
    /// The id its lease will have, if there is one: chosen beforehand, so that the rules need no entropy.
    LeaseId lease;
    Duration ttl{};
    /// The claim is not granted at or after this point. A claim whose point has come is one that does
    /// not wait: it is granted at once or not at all.
    TimePoint give_up_at;
};

/// What a call did to borrowers other than the caller.
struct Outcome {
    struct Granted {
        Ticket ticket{};
        Lease lease;
    };
    std::vector<Granted> granted;
    /// Waiters whose time ran out without a grant.
    std::vector<Ticket> gave_up;
};

/// The rules of one semaphore, and nothing else: no I/O, no thread, no clock. Time is an argument of
/// every call and may stand still, but must not go back.
///
/// - A lease is live from its grant until it is given back or its `expires_at` is reached. Never are
///   more leases granted than `count`, and a position has at most one live lease.
/// - A grant takes the lowest free position below `count`.
/// - Waiters are served first come, first served, in the same call that frees a slot; a newcomer never
///   overtakes them. So while anyone waits, no slot is free.
/// - Lowering `count` ends no lease: nothing is granted until fewer than `count` are live.
///
/// Every call first brings the pool up to `now` (waiters give up, leases expire, freed slots are handed
/// on), whose consequences are in the Outcome too. Rows that must be stored are added to `changes`; an
/// expiry is not among them, since the stored row tells by itself that its time has passed.
class Pool {
  public:
    /// A pool as its stored rows tell, without the leases whose time has passed. A lease gets what was
    /// left of it, and never more than its ttl (should the timeline have lost time over a restart).
    Pool(const PoolRecord& record, TimePoint now);

    struct Queued {};
    struct Unavailable {};
    using Borrowed = std::variant<Lease, Queued, Unavailable>;
    /// Queued: the claim's ticket appears in the Outcome of a later call, unless cancel() is called.
    /// REQUIRES: no queued claim has this ticket.
    Borrowed borrow(TimePoint now, const Claim& claim, Changes& changes, Outcome& outcome);

    /// Whether `lease` was live, and is not any more.
    bool give_back(TimePoint now, const LeaseId& lease, Changes& changes, Outcome& outcome);

    void set_count(TimePoint now, unsigned count, Changes& changes, Outcome& outcome);

    /// Brings the pool up to `now`.
    void advance_to(TimePoint now, Changes& changes, Outcome& outcome);

    /// Takes a waiter out of the queue. False when it is not there (any more).
    bool cancel(Ticket ticket);

    /// Takes every waiter out of the queue, in its order.
    std::vector<Ticket> cancel_all();

    /// Replaces count and leases by those of `record`, keeping the queue: for when what the pool did
    /// last could not be stored. Grants follow with the next call.
    void restore(const PoolRecord& record, TimePoint now);

    /// When advance_to() next has something to tell, if nothing else happens before. An expiry that
    /// nobody waits for tells nobody anything.
    std::optional<TimePoint> next_deadline() const;

    unsigned count() const { return count_; }
    /// Live leases, as of the last call's `now`, at whatever position.
    unsigned in_use() const { return static_cast<unsigned>(leases_.size()); }
    unsigned available() const { return count_ > in_use() ? count_ - in_use() : 0; }
    std::size_t waiting() const { return queue_.size(); }

  private:
    /// A waiter's place: its arrival. (A priority would come first here.)
    using Place = std::uint64_t;

    void take_rows(const PoolRecord& record, TimePoint now);
    void settle(TimePoint now, Changes& changes, Outcome& outcome);
    Lease grant(TimePoint now, const Claim& claim, Changes& changes);
    void forget(std::map<Place, Claim>::iterator waiter);
    Position lowest_free() const;
    void mark(Position position, bool held);

    unsigned count_ = 0;
    std::unordered_map<LeaseId, Lease> leases_;
    std::set<std::pair<TimePoint, LeaseId>> expiries_;
    /// One bit per position, set where a live lease holds it.
    std::vector<std::uint64_t> held_;

    Place next_place_ = 0;
    std::map<Place, Claim> queue_;
    std::unordered_map<Ticket, Place> places_;
    std::set<std::pair<TimePoint, Place>> give_ups_;
};

}  // namespace sema
