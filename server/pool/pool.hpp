#pragma once

#include "server/pool/forecast.hpp"
#include "server/pool/queue.hpp"
#include "server/pool/rows.hpp"

#include <boost/container/small_vector.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace sema {

/// Ascending. Most leases have one.
using Positions = boost::container::small_vector<Position, 2>;

/// One or several held slots.
struct Lease {
    LeaseId id;
    Positions positions;
    TimePoint granted_at;
    TimePoint expires_at;
    /// What was asked for last (after clamping).
    Duration ttl{};
    /// Greater than that of every lease of the pool that was granted before.
    std::uint64_t fence = 0;
    /// Whether the borrower chose the id.
    bool chosen = false;
    std::shared_ptr<const Holder> holder;

    Position position() const { return positions.front(); }
};

/// What a call did to borrowers other than the caller.
struct Outcome {
    struct Granted {
        Ticket ticket{};
        Lease lease;
        /// When it got it: later than `lease.granted_at` where the lease was there already.
        TimePoint at;
    };
    struct GaveUp {
        Ticket ticket{};
        std::size_t rank = 0;
        unsigned slots = 1;
    };
    struct Chosen {
        LeaseId lease;
        TimePoint until;
    };
    std::vector<Granted> granted;
    /// Waiters whose time ran out without a grant.
    std::vector<GaveUp> gave_up;
    /// Waiters whose place a newer call has taken over.
    std::vector<Ticket> superseded;
    /// Waiters whom somebody took out of the queue through another server.
    std::vector<Ticket> cancelled;
    /// How long each id that a borrower chose is taken from now on: for ever while it waits, not at all
    /// (TimePoint::min()) once it is done.
    std::vector<Chosen> chosen;
};

/// A pool as it is shown to everybody who may inspect it.
struct PoolView {
    /// Pool::revision() of what it shows.
    std::uint64_t revision = 0;
    /// The moment that it shows.
    TimePoint at;
    std::shared_ptr<const PoolSettings> settings;
    unsigned count = 0;
    unsigned in_use = 0;
    unsigned available = 0;
    /// By position.
    std::vector<Lease> leases;
    /// By rank.
    std::vector<Waiter> queue;
    /// For a borrower of one slot who comes now.
    std::optional<Duration> eta;
};

/// What holds for all pools.
struct PoolLimits {
    /// The longest life of a lease, from its grant, however often it is kept alive.
    Duration max_hold = longest_duration;
    /// How long a place in the queue is kept for a borrower who is away, and a lease for one whom its answer
    /// did not reach.
    Duration rejoin = std::chrono::seconds(15);
    /// This server, where several share the pools; else none.
    ServerId server{};
    /// By how much a shared store's time may be behind: a lease lasts so much longer than its ttl,
    /// and a slot rests so much longer than the cooldown.
    Duration clock_error{};
};

/// The rules of one semaphore, and nothing else: no I/O, no thread, no clock. Time is an argument of
/// every call and may stand still, but must not go back.
///
/// - A lease is live from its grant until it is given back or revoked, or its `expires_at` is reached. Never
///   are more slots lent than `count`, and a position has at most one live lease.
/// - A grant takes the lowest free positions below `count`: as many as were asked for, or none. A slot is not
///   free while it rests: for the pool's cooldown, from the end of its last lease on.
/// - Waiters are served in order of their priority, and first come, first served within one, in the same call
///   that frees a slot. A newcomer never overtakes those of its priority or above, and no smaller claim one
///   that does not fit yet. A claim for more than `count` keeps its place, and is passed over until `count`
///   allows it.
/// - A waiter who chose its lease's id may go away and come back: by calling again, or from a new connection,
///   it takes its place over. While it is away it is passed over, and it never is granted anything. The
///   place is kept for the time to rejoin, restarts included.
/// - Lowering `count` ends no lease: nothing is granted until fewer than `count` slots are lent.
/// - Where several servers share the pool, a waiter is granted a slot by the one server that can answer it.
///   To the others it is a waiter that must not be overtaken: what is free stays free until that server takes
///   it.
///
/// Every call first brings the pool up to `now` (waiters give up, leases expire, freed slots are handed
/// on), whose consequences are in the Outcome too. Rows that must be stored are added to `changes`; an
/// expiry is not among them, since the stored row shows by itself that its time has passed.
class Pool {
  public:
    /// A new pool, whose fences are all above `fence`.
    Pool(unsigned count, std::uint64_t fence, const PoolLimits& limits, Changes& changes);

    /// A pool as it was stored, without the leases whose time has passed. A lease gets what was left of it,
    /// and never more than its ttl (should the timeline have lost time over a restart). All waiters that have
    /// a place are away. `limits` must outlive the pool.
    Pool(const PoolRecord& record, TimePoint now, const PoolLimits& limits);

    struct Held {
        Lease lease;
    };
    struct Queued {};
    struct Unavailable {
        std::size_t rank = 0;
    };
    using Borrowed = std::variant<Held, Queued, Unavailable>;
    /// Queued: the claim's ticket appears in the Outcome of a later call, unless leave() or cancel() is
    /// called. A claim whose chosen id is live here already is answered with that lease; one whose id waits
    /// here takes that place over, with its own ttl and wait. REQUIRES: no queued claim has this ticket.
    Borrowed borrow(TimePoint now, const Claim& claim, Changes& changes, Outcome& outcome);

    /// Whether `lease` was live, and is not any more.
    bool give_back(TimePoint now, const LeaseId& lease, Changes& changes, Outcome& outcome);

    /// Ends the lease that holds `position`, with all its slots. False where there is none.
    bool revoke(TimePoint now, Position position, Changes& changes, Outcome& outcome);

    struct NotHeld {};
    struct NotRenewable {};
    using KeptAlive = std::variant<Lease, NotHeld, NotRenewable>;
    /// The lease then ends `ttl` from now, be it later or earlier than before, and never beyond the longest
    /// life of a lease.
    KeptAlive keep_alive(TimePoint now, const LeaseId& lease, Duration ttl, Changes& changes,
                         Outcome& outcome);

    /// What became of a grant may turn out late, when a borrower that chose its lease's id has another lease
    /// with that: only the fence distinguishes them.
    struct Grant {
        LeaseId lease;
        std::uint64_t fence = 0;
        /// Where it may not have been stored, the server that made it: another may have given the fence then.
        std::optional<ServerId> server{};

        bool operator==(const Grant&) const = default;
    };
    /// An answer that contained the grant did not arrive: once for each such answer. If no other answer with
    /// it can have arrived, a lease with a chosen id is kept for the time to rejoin, for its borrower to ask
    /// again; another ends now.
    void undelivered(TimePoint now, const Grant& grant, Changes& changes, Outcome& outcome);

    /// These grants were made to calls that were answered that they failed. Those leases that no other answer
    /// has contained since end now. REQUIRES: nothing was granted since the pool was restored.
    void withdraw(TimePoint now, const std::vector<Grant>& grants, Changes& changes, Outcome& outcome);

    void set_count(TimePoint now, unsigned count, Changes& changes, Outcome& outcome);
    void set(TimePoint now, PoolSettings settings, Changes& changes, Outcome& outcome);

    /// Brings the pool up to `now`.
    void advance_to(TimePoint now, Changes& changes, Outcome& outcome);

    /// The connection of a waiter is gone: it leaves the queue, or is away from now on where it chose its
    /// lease's id. False when it does not wait (any more).
    /// It may have kept others waiting who can be served now: advance_to() does that.
    bool leave(TimePoint now, Ticket ticket, Changes& changes);

    /// Takes the waiter for `lease` out of the queue, and returns its ticket (0 when it is away, or another
    /// server is to answer it). Nothing when there is none.
    std::optional<Ticket> cancel(TimePoint now, const LeaseId& lease, Changes& changes, Outcome& outcome);

    /// All waiters that this server can answer leave, and get nothing any more: their tickets, in their
    /// order.
    std::vector<Ticket> send_away(TimePoint now, Changes& changes);

    /// The waiters of that other server leave: they can no longer be answered.
    void expel(ServerId server, TimePoint now, Changes& changes, Outcome& outcome);
    /// The other servers that had waiters when the pool was last restored.
    const std::set<ServerId>& servers() const { return servers_; }

    /// Takes up to `most` of the waiters that are away out of the queue, the last in it first.
    void forget_away(std::size_t most, Changes& changes, Outcome& outcome);

    /// Whether the id is that of a live lease, or of a waiter.
    bool knows(const LeaseId& lease) const;

    /// The pool is deleted: the tickets of the waiters that this server can answer, in their order.
    std::vector<Ticket> dissolve(Outcome& outcome);

    /// Replaces all but the queue by what `record` says: for when what the pool did last could not be stored.
    /// Places that only the record has are taken from it, those that only the queue has are added to
    /// `changes`. Who waits for a lease that is live by the record is granted that. Other grants follow with
    /// the next call.
    void restore(const PoolRecord& record, TimePoint now, Changes& changes, Outcome& outcome);

    /// Replaces all by what `record` says and by those who wait here: for a pool that other servers change
    /// too. `here` are this server's waiters with the place each had when it was last stored. Who lost it
    /// since (this server had been taken for lost) gets it back. Who waits for a lease that is live by the
    /// record is granted that; who was cancelled, or has come back through another server, is told. Other
    /// grants follow with the next call.
    void restore(const PoolRecord& record, const std::vector<Waiter>& here, TimePoint now, Changes& changes,
                 Outcome& outcome);

    /// The waiter with that ticket; null when there is none.
    const Waiter* waiter(Ticket ticket) const;
    /// What it would be answered if it gave up now.
    std::optional<Outcome::GaveUp> place_of(Ticket ticket) const;

    /// When advance_to() next has an answer for a waiter, or something to store, if nothing else happens
    /// before.
    std::optional<TimePoint> next_deadline() const;
    /// When view() next changes by time alone.
    std::optional<TimePoint> next_change() const;

    unsigned count() const { return count_; }
    /// Slots lent, as of the last call's `now`, at whatever position.
    unsigned in_use() const { return in_use_; }
    /// How many slots could be lent now.
    unsigned available() const;
    std::size_t waiting() const { return queue_.size(); }
    /// No fence above this has been given.
    std::uint64_t fence() const { return reserved_fence_; }
    const std::shared_ptr<const PoolSettings>& settings() const { return settings_; }

    PoolView view(TimePoint now) const;
    /// Estimates waits as of `now`.
    Forecast forecast(TimePoint now) const;
    /// The estimated wait of a borrower at `rank` of the queue. Of those before it only the mean size counts.
    /// Nothing where nothing is known, or where it can never fit.
    std::optional<Duration> eta(const Forecast& forecast, std::size_t rank, unsigned slots) const;

    /// Grows with every change of what view() shows.
    std::uint64_t revision() const { return revision_; }

  private:
    struct Live {
        Lease lease;
        /// How many answers contained it, but for those that are known not to have arrived.
        unsigned told = 1;
        /// Where that was 0 once: when the lease ends if its borrower asks for it again. Until then it ends
        /// sooner.
        std::optional<TimePoint> full_end{};
        /// The server that granted it, where several share the pool.
        ServerId server{};
    };
    using Leases = std::unordered_map<LeaseId, Live>;

    bool is_shared() const { return limits_->server != ServerId{}; }
    bool is_here(const Waiter& waiter) const { return !waiter.away && waiter.server == limits_->server; }
    void clear_leases(Outcome& outcome);
    void take_rows(const PoolRecord& record, TimePoint now, Outcome& outcome);
    void take_kept_places(const PoolRecord& record, TimePoint now, Outcome& outcome);
    void take_place(const KeptPlace& row, const Waiter* here, TimePoint now, Changes& changes,
                    Outcome& outcome);
    void take_slot(const HeldSlot& row, TimePoint now);
    void settle(TimePoint now, Changes& changes, Outcome& outcome);
    void give_up(TimePoint now, Changes& changes, Outcome& outcome);
    void serve(TimePoint now, Changes& changes, Outcome& outcome);
    Borrowed rejoin(TimePoint now, const Claim& claim, Changes& changes, Outcome& outcome);
    Lease grant(TimePoint now, const Claim& claim, Changes& changes, Outcome& outcome);
    Leases::iterator find(const Grant& grant);
    void end(Leases::iterator live, TimePoint ended_at, bool is_written, Changes& changes, Outcome& outcome);
    static void write(const Live& live, Changes& changes);
    bool has_row(const Waiter& waiter) const { return is_shared() || waiter.claim.chosen; }
    std::uint64_t next_arrival(TimePoint now);
    void set_end(Live& live, TimePoint expires_at, Changes& changes, Outcome& outcome);
    void tell_again(Live& live, Changes& changes, Outcome& outcome);
    bool is_told(Live& live, Changes& changes) const;
    void drop_ended_rows(Changes& changes) const;
    void answer_restored(TimePoint now, Changes& changes, Outcome& outcome);
    bool enqueue(Waiter waiter);
    void weigh_waiters();
    const Waiter* next_in_turn() const;
    void forget(const Waiter& waiter, Changes& changes);
    void step_away(const Waiter& waiter, TimePoint now, Changes& changes);
    std::optional<TimePoint> next_free() const;
    Positions take_lowest(unsigned slots);
    void mark(Position position, bool is_busy);
    void count_busy();
    Duration cooldown() const { return settings_ ? settings_->cooldown : Duration::zero(); }
    /// When a slot that rests since then is lent again; without a cooldown at once, whatever the clocks'
    /// doubt.
    TimePoint rested_at(TimePoint ended_at) const {
        return cooldown() == Duration::zero() ? TimePoint::min()
                                              : ended_at + cooldown() + limits_->clock_error;
    }

    const PoolLimits* limits_;
    unsigned count_ = 0;
    unsigned in_use_ = 0;
    std::shared_ptr<const PoolSettings> settings_;
    Leases leases_;
    /// Each lease's end.
    std::set<std::pair<TimePoint, LeaseId>> ends_;
    /// Slots that rest, by the end of their last lease.
    std::set<std::pair<TimePoint, Position>> resting_;
    /// One bit per position, set where it is lent or rests.
    std::vector<std::uint64_t> busy_;
    /// Bits set below `count_`.
    unsigned busy_below_count_ = 0;

    std::uint64_t fence_ = 0;
    std::uint64_t reserved_fence_ = 0;
    Queue queue_;
    /// Over all waiters, but for those who are too wide: nobody waits for these.
    std::uint64_t queued_slots_ = 0;
    std::uint64_t next_arrival_ = 0;
    std::set<ServerId> servers_;
    std::uint64_t revision_ = 0;
    HoldTimes hold_times_;
};

}  // namespace sema
