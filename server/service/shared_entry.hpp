#pragma once

#include "server/service/entry.hpp"

#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace sema {

/// An entry that a SharedDriver keeps. It is never open: all calls are done in rounds.
struct SharedEntry final : Entry {
    struct KeptWaiter {
        /// As it was stored last; nothing before that.
        std::optional<Waiter> stored{};
        /// What it was granted, while it is not known whether that was stored.
        std::optional<Lease> granted{};
    };
    struct RoundAnswer {
        Reply reply;
        Answer answer;
        /// The waiter that it is for, if any: that waits on until the answer is given.
        std::optional<Ticket> waiter{};
    };
    /// An answer that counts as lost from the next round on.
    struct LostAnswer {
        Pool::Grant grant;
        /// It is not counted again where the store may have counted it.
        bool is_once = false;
    };

    struct Handed {
        LoadResult state;
        /// SharedStore::generation() when it was read.
        std::uint64_t generation = 0;
    };

    /// The copy is what the store had at some time, with what was done since.
    bool is_loaded = false;
    /// Of each waiter, beside its call.
    std::unordered_map<Ticket, KeptWaiter> kept;
    /// When each waiter gives up. Some may have left.
    std::set<std::pair<TimePoint, Ticket>> give_ups;
    /// Waiters who left, and whose places are still in the queue.
    std::vector<Ticket> gone;
    /// Somebody waited here once: a store that goes back to an earlier moment may have the place again.
    bool had_waiters = false;
    std::vector<LostAnswer> lost_answers;
    /// Grants to calls which were answered that they failed.
    std::vector<Pool::Grant> orphans;

    // The round under way.

    /// It is at the store.
    bool is_in_flight = false;
    /// What was done in it, to be done again if another server was first.
    std::vector<DeferredCall> calls;
    std::vector<LostAnswer> counted_lost;
    /// Borrowers who have left or got their answers since: not to be queued again.
    std::unordered_set<Ticket> over;
    /// What rests on it.
    std::vector<RoundAnswer> answers;
    /// The greatest fence before it.
    std::uint64_t fence_before = 0;

    // What the store has.

    /// The store is not known to have all of the last round, or nothing of it.
    bool is_outcome_unknown = false;
    /// How many rounds in a row other servers were first.
    unsigned overtaken = 0;
    /// The version that another server has made; 0 where it is not known, or the pool is gone.
    std::optional<Version> behind;
    /// Another server may have been lost.
    bool look_at_servers = false;
    /// SharedStore::generation() when the pool was read last.
    std::uint64_t generation = 0;
    /// The pool as the store last confirmed it; version 0: it is gone.
    struct Stored {
        Version version = 0;
        std::uint64_t fence = 0;
    };
    std::optional<Stored> stored;
    /// While the pool is followed: when the store is asked whether it has changed, should nothing else be
    /// asked before.
    std::optional<TimePoint> check_at;
    /// It is other servers' turn, until then at the most.
    std::optional<TimePoint> waits_until;
    /// It is this server's turn, and the pool is like that.
    std::optional<Handed> handed;
    /// The turn is this server's, and has to be ended.
    bool has_turn = false;

    /// Whether a call waits for a round.
    bool is_asked() const { return !deferred.empty(); }
    /// Whether a waiter, a watcher or a callback of this server depends on what other servers do.
    bool is_followed() const { return !waiters.empty() || watch || (pool && pool->has_callbacks()); }
    /// Whether there is something to be done without a call.
    bool has_duties() const;
    /// Whether another server may have changed the pool since it was read.
    bool is_behind() const;
    /// Whether a store that now has this has forgotten what it had confirmed.
    bool is_forgotten_in(const Stored& now) const;
    /// Whether nothing is to be kept of it here.
    bool is_over() const;
};

}  // namespace sema
