#include "server/pool/pool.hpp"

#include <algorithm>
#include <bit>
#include <iterator>

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
            .callback = waiter.claim.callback,
            .ttl = waiter.claim.callback ? waiter.claim.ttl : Duration::zero(),
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

/// The rows of leases that ended long ago would have their slots rest anew, by another cooldown. With them
/// goes what is known of how long slots have been idle: rows have that only while it matters.
void Pool::drop_ended_rows(Changes& changes) {
    idle_since_.clear();
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
        end(live, live->second.lease.expires_at, LeaseEnd::expired, effects);
    }
    while (!resting_.empty() && rested_at(resting_.begin()->first) <= now) {
        set_free(resting_.begin()->second, resting_.begin()->first);
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
            effects.chosen.push_back({waiter.claim.lease, std::nullopt});
            forget_without_lease(waiter, away_since(waiter), effects);
            continue;
        }
        if (waiter.claim.callback) {
            effects.chosen.push_back({waiter.claim.lease, std::nullopt});
            ++effects.lapsed;
        } else if (is_here(waiter)) {
            effects.gave_up.push_back(*as_giving_up(waiter.claim.ticket));
        }
        step_away(waiter, now, effects);
    }
}

void Pool::serve(TimePoint now, Effects& effects) {
    for (const Waiter* next = next_to_serve();
         next != nullptr && is_here(*next) && next->claim.slots <= available(); next = next_to_serve()) {
        const Lease lease = grant(now, next->claim, next->queued_at, effects);
        if (lease.delivery) {
            effects.to_call.push_back(lease);
        } else {
            effects.granted.push_back({next->claim.ticket, lease, now, now - next->queued_at});
        }
        forget(*next, effects.changes);
    }
}

Lease Pool::grant(TimePoint now, const Claim& claim, TimePoint asked_at, Effects& effects) {
    if (fence_ == reserved_fence_) {
        reserved_fence_ += is_shared() ? shared_fence_block : fence_block;
        effects.changes.fence = reserved_fence_;
    }
    const Duration ttl = std::min(claim.ttl, limits_->max_hold);
    Lease lease{.id = claim.lease,
                .positions = take(claim.slots),
                .granted_at = now,
                .expires_at = now + ttl,
                .ttl = ttl,
                .fence = ++fence_,
                .chosen = claim.chosen,
                .holder = claim.holder,
                .waited = now - asked_at,
                .priority = claim.priority};
    if (claim.callback) {
        lease.delivery =
            std::make_shared<const Delivery>(Delivery{.callback = claim.callback, .next_attempt = now});
        ++callbacks_;
    }
    ends_.emplace(lease.expires_at, lease.id);
    in_use_ += claim.slots;
    if (lease.chosen) effects.chosen.push_back({lease.id, lease.expires_at});
    ++revision_;
    const Live& live =
        leases_.emplace(lease.id, Live{.lease = lease, .server = limits_->server}).first->second;
    write(live, effects.changes);
    effects.waits.push_back(now - asked_at);
    return live.lease;
}

void Pool::end(Leases::iterator live, TimePoint ended_at, LeaseEnd how, Effects& effects) {
    const Lease& lease = live->second.lease;
    const bool is_written = how != LeaseEnd::expired;
    const Duration held = std::max(ended_at - lease.granted_at, Duration::zero());
    const bool rests = cooldown() > Duration::zero();
    for (const Position position : lease.positions) {
        if (rests) {
            resting_.emplace(ended_at, position);
        } else {
            set_free(position, ended_at);
        }
        if (!is_written) continue;
        auto& row = effects.changes.slots[position];
        row.reset();
        if (!rests && !picks_idle()) continue;
        row = HeldSlot{.lease = lease.id,
                       .position = position,
                       .granted_at = lease.granted_at,
                       .expires_at = ended_at,
                       .fence = lease.fence};
    }
    in_use_ -= static_cast<unsigned>(lease.positions.size());
    hold_times_.add(held);
    // Any server that looks at the pool sees that its time has passed.
    if (is_written || live->second.server == limits_->server) effects.ended.push_back({held, how});
    effects.past.push_back(end_of(lease, ended_at, how));
    if (lease.chosen) effects.chosen.push_back({lease.id, std::nullopt});
    ends_.erase({lease.expires_at, lease.id});
    if (lease.delivery) --callbacks_;
    leases_.erase(live);
    drop_keeper(effects.changes);
    ++revision_;
}

void Pool::write(const Live& live, Changes& changes) {
    const Lease& lease = live.lease;
    for (const Position position : lease.positions) {
        changes.slots[position] =
            HeldSlot{.lease = lease.id,
                     .position = position,
                     .granted_at = lease.granted_at,
                     .expires_at = lease.expires_at,
                     .ttl = lease.ttl,
                     .fence = lease.fence,
                     .chosen = lease.chosen,
                     .holder = position == lease.position() ? lease.holder : nullptr,
                     .waited = lease.waited,
                     .priority = lease.priority,
                     .delivery = position == lease.position() ? lease.delivery : nullptr,
                     .answers = live.answers,
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
    waiter.too_wide = waiter.claim.slots > slots_in_service();
    if (!queue_.insert(waiter).second) return false;
    if (!waiter.too_wide) queued_slots_ += waiter.claim.slots;
    if (waiter.claim.callback) ++callbacks_;
    ++revision_;
    return true;
}

/// After `count_` or `out_` has changed.
void Pool::weigh_waiters() {
    const unsigned most = slots_in_service();
    for (auto waiter = queue_.begin(); waiter != queue_.end(); ++waiter) {
        const unsigned slots = waiter->claim.slots;
        const bool too_wide = slots > most;
        if (too_wide == waiter->too_wide) continue;
        queue_.modify(waiter, [too_wide](Waiter& it) { it.too_wide = too_wide; });
        too_wide ? queued_slots_ -= slots : queued_slots_ += slots;
    }
}

/// The waiter that is served next, once there are slots enough. Null where none could be.
const Waiter* Pool::next_to_serve() const {
    const auto& waiters = queue_.get<ByServing>();
    if (waiters.empty() || waiters.begin()->away || waiters.begin()->too_wide) return nullptr;
    return &*waiters.begin();
}

/// Takes the waiter out of the queue.
void Pool::forget(const Waiter& waiter, Changes& changes) {
    if (has_row(waiter)) changes.places[waiter.claim.lease] = std::nullopt;
    if (!waiter.too_wide) queued_slots_ -= waiter.claim.slots;
    if (waiter.claim.callback) --callbacks_;
    queue_.erase(queue_.iterator_to(waiter));
    drop_keeper(changes);
    ++revision_;
}

/// Its borrower has left then, and does not come back.
void Pool::forget_without_lease(const Waiter& waiter, TimePoint left_at, Effects& effects) {
    effects.past.push_back({.what = HistoryEntry::What::refused,
                            .at = left_at,
                            .waited = std::max(left_at - waiter.queued_at, Duration::zero()),
                            .priority = waiter.claim.priority,
                            .slots = waiter.claim.slots,
                            .holder = waiter.claim.holder});
    forget(waiter, effects.changes);
}

/// No longer than its call was: or borrowers that are hardly ever here would keep what is free from all.
Duration Pool::time_to_ask_again(const Waiter& waiter) const {
    return std::min({time_to_ask_again_at_most, limits_->rejoin, waiter.call});
}

/// Has what is held back for a waiter stay so for a moment, since its call has just ended in time. False
/// where the waiter is to be away: nothing is held back for one that wants one slot.
bool Pool::let_ask_again(Waiter& waiter, TimePoint now) const {
    const TimePoint until = waiter.deadline + time_to_ask_again(waiter);
    if (!is_here(waiter) || waiter.claim.slots == 1 || waiter.deadline > now || until <= now) return false;
    waiter.asks_again = true;
    waiter.deadline = until;
    return true;
}

void Pool::set_away(Waiter& waiter, TimePoint left_at) const {
    waiter.asks_again = false;
    waiter.away = true;
    waiter.deadline = left_at + limits_->rejoin;
    waiter.server = ServerId{};
}

/// The waiter's connection is gone, or its wait is over.
void Pool::step_away(const Waiter& waiter, TimePoint now, Effects& effects) {
    if (!waiter.claim.chosen || waiter.claim.callback) return forget_without_lease(waiter, now, effects);
    queue_.modify(queue_.iterator_to(waiter), [&](Waiter& it) {
        if (let_ask_again(it, now)) return;
        set_away(it, it.asks_again ? it.claim.give_up_at : now);
    });
    if (is_shared() && waiter.away) effects.changes.places[waiter.claim.lease] = row_of(waiter);
}

unsigned Pool::slots_in_service() const {
    return count_ - static_cast<unsigned>(std::distance(out_.begin(), out_.lower_bound(count_)));
}

/// REQUIRES: so many are available.
Positions Pool::take(unsigned slots) {
    Positions positions = picks_idle() ? idlest_free(slots) : lowest_free(slots);
    for (const Position position : positions)
        mark(position, true);
    return positions;
}

Positions Pool::lowest_free(unsigned slots) const {
    Positions positions;
    positions.reserve(slots);
    for (std::size_t word = 0; positions.size() < slots; ++word) {
        std::uint64_t taken = word < busy_.size() ? busy_[word] : 0;
        const auto first = static_cast<Position>(word * bits_per_word);
        for (auto out = out_.lower_bound(first); out != out_.end() && out->first - first < bits_per_word;
             ++out)
            taken |= std::uint64_t{1} << (out->first - first);
        for (; positions.size() < slots && ~taken != 0; taken |= taken + 1)
            positions.push_back(first + static_cast<Position>(std::countr_one(taken)));
    }
    return positions;
}

Positions Pool::idlest_free(unsigned slots) const {
    std::vector<std::pair<TimePoint, Position>> free;
    for (Position position = 0; position < count_; ++position) {
        if (is_busy(position) || out_of_service(position)) continue;
        free.emplace_back(position < idle_since_.size() ? idle_since_[position] : Timeline::long_ago,
                          position);
    }
    const auto end = free.begin() + slots;
    std::partial_sort(free.begin(), end, free.end());
    Positions positions;
    std::transform(free.begin(), end, std::back_inserter(positions),
                   [](const auto& slot) { return slot.second; });
    std::sort(positions.begin(), positions.end());
    return positions;
}

bool Pool::is_busy(Position position) const {
    const std::size_t word = position / bits_per_word;
    return word < busy_.size() && (busy_[word] >> (position % bits_per_word) & 1) != 0;
}

/// Its last lease ended then.
void Pool::set_free(Position position, TimePoint since) {
    mark(position, false);
    if (!picks_idle()) return;
    if (position >= idle_since_.size()) idle_since_.resize(position + 1, Timeline::long_ago);
    idle_since_[position] = since;
}

void Pool::mark(Position position, bool is_busy) {
    const std::size_t word = position / bits_per_word;
    const std::uint64_t bit = std::uint64_t{1} << (position % bits_per_word);
    if (word >= busy_.size()) busy_.resize(word + 1);
    const bool was_busy = (busy_[word] & bit) != 0;
    if (was_busy == is_busy) return;
    const bool counts = position < count_ && !out_of_service(position);
    busy_[word] ^= bit;
    if (counts) is_busy ? ++taken_below_count_ : --taken_below_count_;
}

void Pool::count_taken() {
    taken_below_count_ = 0;
    for (std::size_t word = 0; word < busy_.size() && word * bits_per_word < count_; ++word) {
        const std::size_t below = std::min<std::size_t>(count_ - word * bits_per_word, bits_per_word);
        const std::uint64_t mask =
            below == bits_per_word ? ~std::uint64_t{0} : (std::uint64_t{1} << below) - 1;
        taken_below_count_ += static_cast<unsigned>(std::popcount(busy_[word] & mask));
    }
    for (auto out = out_.begin(); out != out_.end() && out->first < count_; ++out) {
        if (!is_busy(out->first)) ++taken_below_count_;
    }
}

}  // namespace sema
