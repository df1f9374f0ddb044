#include "server/pool/pool.hpp"

#include <algorithm>
#include <bit>

// The slots, the leases that hold them, and the queue for them.
namespace sema {
namespace {

constexpr Position bits_per_word = 64;

// Fences are reserved on stable storage in blocks, so that not every grant has to write there. What is left
// of a block when the pool is read anew is skipped. Where other servers change the pool it is read anew all
// the time.
constexpr std::uint64_t fence_block = 1000;
constexpr std::uint64_t shared_fence_block = 1;

}  // namespace

Pool::Pool(unsigned count, std::uint64_t fence, const PoolLimits& limits, Changes& changes)
    : limits_(&limits),
      count_(count),
      fence_(fence),
      reserved_fence_(fence + (is_shared() ? 0 : fence_block)) {
    changes.count = count_;
    changes.fence = reserved_fence_;
}

KeptPlace Pool::row_of(const Waiter& waiter) {
    return {.lease = waiter.claim.lease,
            .priority = waiter.claim.priority,
            .arrival = waiter.place.second,
            .slots = waiter.claim.slots,
            .queued_at = waiter.queued_at,
            .holder = waiter.claim.holder,
            .chosen = waiter.claim.chosen,
            .server = waiter.server,
            .deadline = waiter.away ? waiter.deadline : waiter.claim.give_up_at};
}

/// One answer that named the lease is lost. False where no other one named it.
bool Pool::lose_answer(Live& live, Changes& changes) {
    if (live.answers > 0) --live.answers;
    if (live.answers > 0 && is_shared()) write(live, changes);
    return live.answers > 0;
}

/// The rows of leases that ended long ago would have their slots rest anew, by another cooldown.
void Pool::drop_ended_rows(Changes& changes) const {
    for (std::size_t word = 0; word < busy_.size(); ++word) {
        for (Position bit = 0; bit < bits_per_word; ++bit) {
            if ((busy_[word] >> bit & 1) == 0)
                changes.slots[static_cast<Position>(word) * bits_per_word + bit] = std::nullopt;
        }
    }
}

std::uint64_t Pool::next_arrival(TimePoint now) {
    // Never one that was given before, not even by a server whose waiters have left since.
    if (is_shared())
        next_arrival_ = std::max(next_arrival_, static_cast<std::uint64_t>(now.time_since_epoch().count()));
    return next_arrival_++;
}

void Pool::advance_to(TimePoint now, Effects& effects) {
    // Waiters give up first: a slot that came free while nobody looked must not go to a waiter whose
    // time has run out meanwhile.
    give_up(now, effects);
    while (!ends_.empty() && ends_.begin()->first + limits_->clock_error <= now) {
        const auto live = leases_.find(ends_.begin()->second);
        // The row shows by itself that its time has passed.
        end(live, live->second.lease.expires_at, false, effects);
    }
    while (!resting_.empty() && rested_at(resting_.begin()->first) <= now) {
        mark(resting_.begin()->second, false);
        resting_.erase(resting_.begin());
        ++revision_;
    }
    serve(now, effects);
}

void Pool::give_up(TimePoint now, Effects& effects) {
    const auto& deadlines = queue_.get<ByDeadline>();
    while (!deadlines.empty() && deadlines.begin()->deadline <= now) {
        const Waiter& waiter = *deadlines.begin();
        if (waiter.away) {
            effects.chosen.push_back({waiter.claim.lease, TimePoint::min()});
            forget(waiter, effects.changes);
            continue;
        }
        if (is_here(waiter)) effects.gave_up.push_back(*as_giving_up(waiter.claim.ticket));
        step_away(waiter, now, effects.changes);
    }
}

void Pool::serve(TimePoint now, Effects& effects) {
    for (const Waiter* next = next_to_serve();
         next != nullptr && is_here(*next) && next->claim.slots <= available(); next = next_to_serve()) {
        effects.granted.push_back({next->claim.ticket, grant(now, next->claim, effects), now});
        forget(*next, effects.changes);
    }
}

Lease Pool::grant(TimePoint now, const Claim& claim, Effects& effects) {
    if (fence_ == reserved_fence_) {
        reserved_fence_ += is_shared() ? shared_fence_block : fence_block;
        effects.changes.fence = reserved_fence_;
    }
    const Duration ttl = std::min(claim.ttl, limits_->max_hold);
    Lease lease{.id = claim.lease,
                .positions = take_lowest(claim.slots),
                .granted_at = now,
                .expires_at = now + ttl,
                .ttl = ttl,
                .fence = ++fence_,
                .chosen = claim.chosen,
                .holder = claim.holder};
    ends_.emplace(lease.expires_at, lease.id);
    in_use_ += claim.slots;
    if (lease.chosen) effects.chosen.push_back({lease.id, lease.expires_at});
    ++revision_;
    const Live& live =
        leases_.emplace(lease.id, Live{.lease = lease, .server = limits_->server}).first->second;
    write(live, effects.changes);
    return live.lease;
}

void Pool::end(Leases::iterator live, TimePoint ended_at, bool is_written, Effects& effects) {
    const Lease& lease = live->second.lease;
    const bool rests = cooldown() > Duration::zero();
    for (const Position position : lease.positions) {
        if (rests) {
            resting_.emplace(ended_at, position);
        } else {
            mark(position, false);
        }
        if (!is_written) continue;
        auto& row = effects.changes.slots[position];
        row.reset();
        if (!rests) continue;
        row = HeldSlot{.lease = lease.id,
                       .position = position,
                       .granted_at = lease.granted_at,
                       .expires_at = ended_at,
                       .fence = lease.fence};
    }
    in_use_ -= static_cast<unsigned>(lease.positions.size());
    hold_times_.add(std::max(ended_at - lease.granted_at, Duration::zero()));
    if (lease.chosen) effects.chosen.push_back({lease.id, TimePoint::min()});
    ends_.erase({lease.expires_at, lease.id});
    leases_.erase(live);
    ++revision_;
}

void Pool::write(const Live& live, Changes& changes) {
    const Lease& lease = live.lease;
    for (const Position position : lease.positions) {
        changes.slots[position] = HeldSlot{.lease = lease.id,
                                           .position = position,
                                           .granted_at = lease.granted_at,
                                           .expires_at = lease.expires_at,
                                           .ttl = lease.ttl,
                                           .fence = lease.fence,
                                           .chosen = lease.chosen,
                                           .holder = position == lease.position() ? lease.holder : nullptr,
                                           .told = live.answers,
                                           .full_end = live.full_end,
                                           .server = live.server};
    }
}

void Pool::set_end(Live& live, TimePoint expires_at, Effects& effects) {
    ends_.erase({live.lease.expires_at, live.lease.id});
    live.lease.expires_at = expires_at;
    ends_.emplace(expires_at, live.lease.id);
    write(live, effects.changes);
    if (live.lease.chosen) effects.chosen.push_back({live.lease.id, expires_at});
    ++revision_;
}

/// Another answer names the lease.
void Pool::count_answer(Live& live, Effects& effects) {
    if (live.answers++ == 0 && live.full_end) {
        set_end(live, *live.full_end, effects);
    } else if (is_shared()) {
        write(live, effects.changes);
    }
}

bool Pool::enqueue(Waiter waiter) {
    waiter.too_wide = waiter.claim.slots > count_;
    if (!queue_.insert(waiter).second) return false;
    if (!waiter.too_wide) queued_slots_ += waiter.claim.slots;
    ++revision_;
    return true;
}

/// After `count_` has changed.
void Pool::weigh_waiters() {
    for (auto waiter = queue_.begin(); waiter != queue_.end(); ++waiter) {
        const unsigned slots = waiter->claim.slots;
        const bool too_wide = slots > count_;
        if (too_wide == waiter->too_wide) continue;
        queue_.modify(waiter, [too_wide](Waiter& it) { it.too_wide = too_wide; });
        too_wide ? queued_slots_ -= slots : queued_slots_ += slots;
    }
}

/// The one who is served next, once there are slots enough. Null where nobody is there who could be.
const Waiter* Pool::next_to_serve() const {
    const auto& waiters = queue_.get<ByServing>();
    if (waiters.empty() || waiters.begin()->away || waiters.begin()->too_wide) return nullptr;
    return &*waiters.begin();
}

/// Takes the waiter out of the queue.
void Pool::forget(const Waiter& waiter, Changes& changes) {
    if (has_row(waiter)) changes.places[waiter.claim.lease] = std::nullopt;
    if (!waiter.too_wide) queued_slots_ -= waiter.claim.slots;
    queue_.erase(queue_.iterator_to(waiter));
    ++revision_;
}

/// The waiter's connection is gone, or its wait is over.
void Pool::step_away(const Waiter& waiter, TimePoint now, Changes& changes) {
    if (!waiter.claim.chosen) return forget(waiter, changes);
    queue_.modify(queue_.iterator_to(waiter), [&](Waiter& it) {
        it.away = true;
        it.deadline = now + limits_->rejoin;
        it.server = ServerId{};
    });
    if (is_shared()) changes.places[waiter.claim.lease] = row_of(waiter);
}

Positions Pool::take_lowest(unsigned slots) {
    Positions positions;
    positions.reserve(slots);
    for (std::size_t word = 0; positions.size() < slots; ++word) {
        if (word == busy_.size()) busy_.push_back(0);
        while (positions.size() < slots && ~busy_[word] != 0) {
            positions.push_back(static_cast<Position>(word * bits_per_word) +
                                static_cast<Position>(std::countr_one(busy_[word])));
            mark(positions.back(), true);
        }
    }
    return positions;
}

void Pool::mark(Position position, bool is_busy) {
    const std::size_t word = position / bits_per_word;
    const std::uint64_t bit = std::uint64_t{1} << (position % bits_per_word);
    if (word >= busy_.size()) busy_.resize(word + 1);
    const bool was_busy = (busy_[word] & bit) != 0;
    if (was_busy == is_busy) return;
    busy_[word] ^= bit;
    if (position < count_) is_busy ? ++busy_below_count_ : --busy_below_count_;
}

void Pool::count_busy() {
    busy_below_count_ = 0;
    for (std::size_t word = 0; word < busy_.size() && word * bits_per_word < count_; ++word) {
        const std::size_t below = std::min<std::size_t>(count_ - word * bits_per_word, bits_per_word);
        const std::uint64_t mask =
            below == bits_per_word ? ~std::uint64_t{0} : (std::uint64_t{1} << below) - 1;
        busy_below_count_ += static_cast<unsigned>(std::popcount(busy_[word] & mask));
    }
}

}  // namespace sema
