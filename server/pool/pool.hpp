#pragma once

#include "server/pool/forecast.hpp"
#include "server/pool/history_entry.hpp"
#include "server/pool/queue.hpp"
#include "server/pool/rows.hpp"

#include <boost/container/small_vector.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace sema {

/// One or several held slots.
struct Lease {
    LeaseId id;
    Positions positions{};
    TimePoint granted_at;
    TimePoint expires_at;
    /// What was asked for last (after clamping).
    Duration ttl{};
    /// Greater than that of every lease of the pool that was granted before.
    std::uint64_t fence = 0;
    /// Whether the borrower chose the id.
    bool chosen = false;
    std::shared_ptr<const Holder> holder;
    /// How long its borrower had waited, and with what priority.
    Duration waited{};
    int priority = 0;
    /// Null unless its borrower is to be called, and was not yet.
    std::shared_ptr<const Delivery> delivery{};

    Position position() const { return positions.front(); }
};

HistoryEntry end_of(const Lease& lease, TimePoint ended_at, LeaseEnd how);

/// What calls did beside what they return: to the rows, and to borrowers other than the caller; and what is
/// worth counting.
struct Effects {
    explicit Effects(Changes& to) : changes(to) {}

    struct Granted {
        Ticket ticket{};
        Lease lease;
        /// When it got it: later than `lease.granted_at` where the lease was there already.
        TimePoint at;
        /// Since its borrower first asked.
        Duration waited{};
    };
    struct GaveUp {
        Ticket ticket{};
        std::size_t rank = 0;
        unsigned slots = 1;
    };
    struct Chosen {
        LeaseId lease;
        /// For how long the id is taken from now on: for ever (Timeline::never) while it waits; nothing once
        /// it is free.
        std::optional<TimePoint> until;
    };
    struct Ended {
        Duration held{};
        LeaseEnd how{};
    };
    /// Rows that must be stored: added to those that were there.
    Changes& changes;
    std::vector<Granted> granted;
    /// Leases whose borrowers this server has to call from now on.
    std::vector<Lease> to_call;
    /// Waiters whose time ran out without a grant, but for those who were to be called.
    std::vector<GaveUp> gave_up;
    /// How many waiters that were to be called lost their places, since their time ran out.
    unsigned lapsed = 0;
    /// Waiters whose place a newer call has taken over.
    std::vector<Ticket> superseded;
    /// Waiters that were cancelled through another server.
    std::vector<Ticket> cancelled;
    /// What became of ids that borrowers chose.
    std::vector<Chosen> chosen;
    /// For each lease that was granted, how long its borrower had waited.
    boost::container::small_vector<Duration, 2> waits;
    /// The leases that ended. Of those that expire, each server has those alone that it granted.
    boost::container::small_vector<Ended, 2> ended;
    /// For the pool's history. An expiry may come more than once: from each server that sees it, and whenever
    /// the pool is read anew. It is the same each time.
    boost::container::small_vector<HistoryEntry, 1> past;
};

/// A pool in numbers.
struct PoolFigures {
    unsigned slots = 0;
    unsigned in_use = 0;
    unsigned resting = 0;
    /// Out of service, those included that are lent still, or rest.
    unsigned out = 0;
    /// What could be lent.
    unsigned available = 0;
    std::size_t waiters = 0;
    /// Zero where nobody waits.
    Duration oldest_wait{};
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
    std::vector<Lease> leases{};
    /// By rank.
    std::vector<Waiter> queue{};
    /// The slots that are out of service.
    std::map<Position, OutOfService> out{};
    /// By rank: until each of those is granted.
    std::vector<std::optional<Duration>> etas{};
    /// Slots that rest, by position, and until when.
    std::map<Position, TimePoint> resting{};
    /// For a borrower of one slot who comes now.
    std::optional<Duration> eta{};
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

    bool operator==(const PoolLimits&) const = default;
};

/// The rules of one semaphore, and nothing else: no I/O, no thread, no clock. Time is an argument of
/// every call and may stand still, but must not go back.
///
/// - A lease is live from its grant until it is given back or revoked, or its `expires_at` is reached. Never
///   are more slots lent than `count`, and a position has at most one live lease.
/// - A grant takes free positions below `count`: as many as were asked for, or none. It takes the lowest
///   ones, or, where the pool's settings say so, those that have been idle longest. A slot is not free while
///   it rests: for the pool's cooldown, from the end of its last lease on.
/// - Nor is a slot free while it is out of service. The lease that holds it then goes on, renewals included.
///   A slot stays out of service while `count` is below it, too.
/// - Waiters are served in order of their priority, and first come, first served within one, in the same call
///   that frees a slot. A newcomer never overtakes those of its priority or above, and no smaller claim one
///   that does not fit yet. A claim for more slots than are in service keeps its place, and is passed over
///   until there are enough.
/// - A waiter who chose its lease's id may go away and come back: by calling again, or from a new connection,
///   it takes its place over. While it is away it is passed over, and it never is granted anything. The
///   place is kept for the time to rejoin, restarts included.
/// - A claim for several slots is not passed over at once when its call has ended in time: slots that were
///   held back for it would be lost to it at each of its calls. For a moment its borrower may ask again.
/// - A waiter who is to be called is always there, and is granted like one who is connected, restarts
///   included. The grant then has a delivery, until its borrower is notified or the lease is over.
/// - Lowering `count` ends no lease: nothing is granted until fewer than `count` slots are lent.
/// - Where several servers share the pool, a waiter is granted a slot by the one server that can answer it.
///   To the others it is a waiter that must not be overtaken: what is free stays free until that server takes
///   it. Waiters that are to be called all are one server's: the pool's keeper.
///
/// Every call first brings the pool up to `now` (waiters give up, leases expire, freed slots are handed
/// on), whose consequences are among the effects too. No row is written for an expiry, since the stored one
/// shows by itself that its time has passed.
class Pool {
  public:
    /// A new pool, whose fences are all above `fence`.
    Pool(unsigned count, std::uint64_t fence, const PoolLimits& limits, Changes& changes);

    /// A pool as it was stored, without the leases whose time has passed. A lease gets what was left of it,
    /// and never more than its ttl (should the timeline have lost time over a restart). All waiters that have
    /// a place are away. `limits` must outlive the pool.
    Pool(const PoolRecord& record, TimePoint now, const PoolLimits& limits);

    /// From now on these hold, for leases and places that there are as from their next change on. They must
    /// outlive the pool.
    void set_limits(const PoolLimits& limits) { limits_ = &limits; }

    struct Held {
        Lease lease;
    };
    struct Queued {};
    struct Unavailable {
        std::size_t rank = 0;
    };
    using Borrowed = std::variant<Held, Queued, Unavailable>;
    /// Queued: the claim's ticket appears in the effects of a later call, unless leave() or cancel() is
    /// called. A claim whose chosen id is live here already is answered with that lease, and unless the claim
    /// has a callback, its borrower counts as notified; one whose id waits here takes that place over, with
    /// its own ttl, wait and callback. A claim with a callback is Queued even where it was granted at once.
    /// REQUIRES: no queued claim has this ticket.
    Borrowed borrow(TimePoint now, const Claim& claim, Effects& effects);

    /// Whether `lease` was live, and is not any more. With a fence, only the lease that has it is meant.
    bool give_back(TimePoint now, const LeaseId& lease, Effects& effects,
                   std::optional<std::uint64_t> fence = std::nullopt);

    /// Ends the lease that holds `position`, with all its slots. False where there is none, or where it has
    /// another fence than the one that is given.
    bool revoke(TimePoint now, Position position, std::optional<std::uint64_t> fence, Effects& effects);

    /// The slot is out of service from now on. One that is out already stays so since then. Without a reason,
    /// the one stays that it had. False where the pool has no such slot.
    bool take_out(TimePoint now, Position position, const std::optional<std::string>& reason,
                  Effects& effects);
    /// The slot is in service. False where the pool has no such slot, nor one that is out since it had.
    bool put_back(TimePoint now, Position position, Effects& effects);
    /// Null while the slot is in service.
    const OutOfService* out_of_service(Position position) const;

    struct NotHeld {};
    struct NotRenewable {};
    using KeptAlive = std::variant<Lease, NotHeld, NotRenewable>;
    /// The lease then ends `ttl` from now, be it later or earlier than before, and never beyond the longest
    /// life of a lease. A borrower who was to be called counts as notified. With a fence, only the lease that
    /// has that one is meant.
    KeptAlive keep_alive(TimePoint now, const LeaseId& lease, Duration ttl, Effects& effects,
                         std::optional<std::uint64_t> fence = std::nullopt);

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
    void undelivered(TimePoint now, const Grant& grant, Effects& effects);

    /// These grants were made to calls that were answered that they failed. Those leases that no other answer
    /// has contained since end now. REQUIRES: nothing was granted since rebuild().
    void withdraw(TimePoint now, const std::vector<Grant>& grants, Effects& effects);

    /// The lease of that grant where its borrower has yet to be called, and that is up to this server; else
    /// null.
    const Lease* to_call(const Grant& grant) const;
    /// What came of the call to a borrower; each false where to_call() is null. After call_accepted(), the
    /// lease goes on as if it had been answered. After call_given_up(), which no other attempt follows, the
    /// lease is over.
    bool call_accepted(TimePoint now, const Grant& grant, Effects& effects);
    bool call_given_up(TimePoint now, const Grant& grant, Effects& effects);
    /// To be tried once more: `delivery` says when, and what came of it so far.
    bool put_off(TimePoint now, const Grant& grant, Delivery delivery, Effects& effects);

    void set_count(TimePoint now, unsigned count, Effects& effects);
    /// Both at once: waiters that a greater count serves are served by these settings.
    void set(TimePoint now, unsigned count, PoolSettings settings, Effects& effects);

    /// Brings the pool up to `now`.
    void advance_to(TimePoint now, Effects& effects);

    /// The connection of a waiter is gone: it leaves the queue, or is away from now on where it chose its
    /// lease's id. False when it does not wait (any more).
    /// It may have kept others waiting who can be served now: advance_to() does that.
    bool leave(TimePoint now, Ticket ticket, Effects& effects);
    /// Likewise, for a borrower who does not give up.
    bool leave(TimePoint now, Ticket ticket, Changes& changes);

    /// Takes the waiter for `lease` out of the queue, and returns its ticket (0 when it is away or to be
    /// called, or another server is to answer it). A lease ends whose borrower was to be called, and was not
    /// yet: 0 too. Nothing when there is neither.
    std::optional<Ticket> cancel(TimePoint now, const LeaseId& lease, Effects& effects);

    /// All waiters that this server can answer leave, and get nothing any more: their tickets, in their
    /// order. Those who are to be called stay.
    std::vector<Ticket> send_away(TimePoint now, Changes& changes);

    /// The waiters of that other server leave: they can no longer be answered. Where it was the keeper, this
    /// one is from now on.
    void expel(ServerId server, TimePoint now, Effects& effects);
    /// The other servers that had waiters, or were the keeper, at the last rebuild().
    const std::set<ServerId>& servers() const { return servers_; }

    /// Takes up to `most` of the waiters that are away out of the queue, the last in it first.
    void forget_away(std::size_t most, Effects& effects);

    /// Whether the id is that of a live lease, or of a waiter.
    bool knows(const LeaseId& lease) const;

    /// The pool is deleted: the tickets of the waiters that this server can answer, in their order.
    std::vector<Ticket> dissolve(TimePoint now, Effects& effects);

    /// What the pool did last could not be stored: replaces all but the queue by what `record` says. Places
    /// that only the record has are taken from it, those that only the queue has are added to the changes.
    /// A waiter for a lease that is live by the record is granted that. Other grants follow with the next
    /// call.
    void roll_back_to(const PoolRecord& record, TimePoint now, Effects& effects);

    /// Other servers change the pool too: makes it anew of `record` and of `here`, which are this server's
    /// waiters, as each was when it was last stored. One that lost its place since (this server had been
    /// taken for lost) gets it back. A waiter for a lease that is live by the record is granted that; one
    /// that was cancelled, or has come back through another server, is among the effects. Other grants follow
    /// with the next call.
    void rebuild(const PoolRecord& record, const std::vector<Waiter>& here, TimePoint now, Effects& effects);

    /// The waiter with that ticket; null when there is none.
    const Waiter* waiter(Ticket ticket) const;
    /// The first waiter in the queue for whose lease's id `is_it` holds; null when there is none.
    const Waiter* find_waiter(const std::function<bool(const LeaseId&)>& is_it) const;
    /// What it would be answered if it gave up now.
    std::optional<Effects::GaveUp> as_giving_up(Ticket ticket) const;

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
    /// Whether there is a borrower that this server has to call, now or once there is a slot.
    bool has_callbacks() const { return is_keeper() && callbacks_ > 0; }
    /// The waiter for that lease; null when there is none.
    const Waiter* waiter_for(const LeaseId& lease) const;
    /// Where it stands in the queue.
    std::size_t rank_of(const Waiter& waiter) const;
    /// Live ones, as of the last call's `now`.
    std::size_t leases() const { return leases_.size(); }
    /// No fence above this has been given.
    std::uint64_t fence() const { return reserved_fence_; }
    const std::shared_ptr<const PoolSettings>& settings() const { return settings_; }

    /// As of `now`, though nothing that time brings about is done. Takes no longer with a longer queue.
    PoolFigures figures(TimePoint now) const;
    PoolView view(TimePoint now) const;
    /// Estimates waits as of `now`.
    Forecast forecast(TimePoint now) const;
    /// The estimated wait of a borrower at `rank` of the queue. Of those before it only the mean size counts,
    /// and that of the first. Nothing where nothing is known, or where it can never fit.
    std::optional<Duration> eta(const Forecast& forecast, std::size_t rank, unsigned slots) const;

    /// Grows with every change of what view() shows.
    std::uint64_t revision() const { return revision_; }

  private:
    struct Live {
        Lease lease;
        /// How many answers contained it, but for those that are known not to have arrived.
        unsigned answers = 1;
        /// Where that was 0 once: when the lease ends if its borrower asks for it again. Until then it ends
        /// sooner.
        std::optional<TimePoint> full_end{};
        /// The server that granted it, where several share the pool.
        ServerId server{};
    };
    using Leases = std::unordered_map<LeaseId, Live>;

    bool is_shared() const { return limits_->server != ServerId{}; }
    bool is_keeper() const { return keeper_ == limits_->server; }
    /// Whether this server grants to it.
    bool is_here(const Waiter& waiter) const {
        if (waiter.claim.callback) return is_keeper();
        return !waiter.away && !waiter.asks_again && waiter.server == limits_->server;
    }
    static KeptPlace row_of(const Waiter& waiter);
    void clear_leases(Effects& effects);
    void take_rows(const PoolRecord& record, TimePoint now, Effects& effects);
    void take_kept_places(const PoolRecord& record, TimePoint now, Effects& effects);
    void take_place(const KeptPlace& row, const Waiter* here, const Waiter* before, TimePoint now,
                    Effects& effects);
    TimePoint end_of_slot(const HeldSlot& row, TimePoint now) const;
    bool is_over(const HeldSlot& row, TimePoint now) const;
    void take_callback(const KeptPlace& row, const Waiter* here, TimePoint now, Effects& effects);
    void take_slot(const HeldSlot& row, TimePoint now);
    void supersede(Leases::iterator earlier, TimePoint now);
    void take_unheld(Position position, TimePoint end, TimePoint now);
    void record_expired(const PoolRecord& record, TimePoint now, Effects& effects) const;
    void give_up(TimePoint now, Effects& effects);
    void serve(TimePoint now, Effects& effects);
    Borrowed rejoin(TimePoint now, const Claim& claim, Effects& effects);
    Lease grant(TimePoint now, const Claim& claim, TimePoint asked_at, Effects& effects);
    Leases::iterator find(const LeaseId& lease, std::optional<std::uint64_t> fence);
    Leases::iterator find(const Grant& grant);
    Leases::iterator find_to_call(const Grant& grant);
    void set_delivery(Live& live, std::shared_ptr<const Delivery> delivery);
    void find_keeper(Changes& changes);
    void end_delivery(Live& live, Effects& effects);
    void drop_keeper(Changes& changes);
    void call_restored(Effects& effects) const;
    void drop_callbacks(Effects& effects);
    void end(Leases::iterator live, TimePoint ended_at, LeaseEnd how, Effects& effects);
    bool end_early(TimePoint now, Leases::iterator live, LeaseEnd how, Effects& effects);
    static void write(const Live& live, Changes& changes);
    bool has_row(const Waiter& waiter) const { return is_shared() || waiter.claim.chosen; }
    std::uint64_t next_arrival(TimePoint now);
    void set_end(Live& live, TimePoint expires_at, Effects& effects);
    void count_answer(Live& live, Effects& effects);
    void set_free(Position position, TimePoint since);
    bool lose_answer(Live& live, Changes& changes);
    bool take_count(TimePoint now, unsigned count, Effects& effects);
    bool take_settings(PoolSettings settings, Changes& changes);
    void drop_ended_rows(Changes& changes);
    void answer_restored(TimePoint now, Effects& effects);
    bool enqueue(Waiter waiter);
    unsigned slots_in_service() const;
    void out_changed();
    void weigh_waiters();
    const Waiter* next_to_serve() const;
    void forget(const Waiter& waiter, Changes& changes);
    void forget_without_lease(const Waiter& waiter, TimePoint left_at, Effects& effects);
    TimePoint away_since(const Waiter& waiter) const { return waiter.deadline - limits_->rejoin; }
    /// In which a client whose call is over asks again.
    static constexpr Duration time_to_ask_again_at_most = std::chrono::seconds(2);
    Duration time_to_ask_again(const Waiter& waiter) const;
    bool let_ask_again(Waiter& waiter, TimePoint now) const;
    void set_away(Waiter& waiter, TimePoint left_at) const;
    void step_away(const Waiter& waiter, TimePoint now, Effects& effects);
    std::optional<TimePoint> next_free() const;
    Positions take(unsigned slots);
    Positions lowest_free(unsigned slots) const;
    Positions idlest_free(unsigned slots) const;
    bool is_busy(Position position) const;
    void mark(Position position, bool is_busy);
    void count_taken();
    bool picks_idle() const { return settings_ && settings_->pick == Pick::idle; }
    Duration cooldown() const { return settings_ ? settings_->cooldown : Duration::zero(); }
    /// When a slot that rests since then is lent again; without a cooldown at once, whatever the clocks'
    /// doubt.
    TimePoint rested_at(TimePoint ended_at) const {
        return cooldown() == Duration::zero() ? Timeline::long_ago
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
    std::map<Position, OutOfService> out_;
    /// Slots below `count_` that are not free: busy, or out of service.
    unsigned taken_below_count_ = 0;
    /// Where the idlest slot is picked: for each that is not busy, when its last lease ended. A slot beyond
    /// its end was never lent.
    std::vector<TimePoint> idle_since_;

    std::uint64_t fence_ = 0;
    std::uint64_t reserved_fence_ = 0;
    Queue queue_;
    /// Of all waiters, but for those that are too wide: no other one waits for these.
    std::uint64_t queued_slots_ = 0;
    std::uint64_t next_arrival_ = 0;
    std::set<ServerId> servers_;
    /// Waiters who are to be called, and leases whose borrower was not called yet.
    std::size_t callbacks_ = 0;
    ServerId keeper_{};
    std::uint64_t revision_ = 0;
    HoldTimes hold_times_;
};

}  // namespace sema
