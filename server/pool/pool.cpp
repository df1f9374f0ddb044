#include "server/pool/pool.hpp"

#include <algorithm>
#include <bit>

namespace sema {
namespace {
constexpr Position bits_per_word = 64;
}  // namespace

Pool::Pool(const PoolRecord& record, TimePoint now) {
    take_rows(record, now);
}

Pool::Borrowed Pool::borrow(TimePoint now, const Claim& claim, Changes& changes, Outcome& outcome) {
    settle(now, changes, outcome);
    if (queue_.empty() && in_use() < count_) return grant(now, claim, changes);
    if (claim.give_up_at <= now) return Unavailable{};
    const Place place = next_place_++;
    queue_.emplace(place, claim);
    places_.emplace(claim.ticket, place);
    give_ups_.emplace(claim.give_up_at, place);
    return Queued{};
}

bool Pool::give_back(TimePoint now, const LeaseId& lease, Changes& changes, Outcome& outcome) {
    settle(now, changes, outcome);
    const auto found = leases_.find(lease);
    if (found == leases_.end()) return false;
    const Position position = found->second.position;
    expiries_.erase({found->second.expires_at, lease});
    leases_.erase(found);
    mark(position, false);
    changes.slots[position] = std::nullopt;
    settle(now, changes, outcome);
    return true;
}

void Pool::set_count(TimePoint now, unsigned count, Changes& changes, Outcome& outcome) {
    settle(now, changes, outcome);
    if (count != count_) {
        count_ = count;
        changes.count = count;
        settle(now, changes, outcome);
    }
}

void Pool::advance_to(TimePoint now, Changes& changes, Outcome& outcome) {
    settle(now, changes, outcome);
}

bool Pool::cancel(Ticket ticket) {
    const auto place = places_.find(ticket);
    if (place == places_.end()) return false;
    forget(queue_.find(place->second));
    return true;
}

std::vector<Ticket> Pool::cancel_all() {
    std::vector<Ticket> tickets;
    tickets.reserve(queue_.size());
    for (const auto& [place, claim] : queue_)
        tickets.push_back(claim.ticket);
    queue_.clear();
    places_.clear();
    give_ups_.clear();
    return tickets;
}

void Pool::restore(const PoolRecord& record, TimePoint now) {
    leases_.clear();
    expiries_.clear();
    held_.clear();
    take_rows(record, now);
}

std::optional<TimePoint> Pool::next_deadline() const {
    if (queue_.empty()) return std::nullopt;
    const TimePoint give_up = give_ups_.begin()->first;
    if (expiries_.empty()) return give_up;
    return std::min(give_up, expiries_.begin()->first);
}

void Pool::take_rows(const PoolRecord& record, TimePoint now) {
    count_ = record.count;
    for (Lease lease : record.leases) {
        lease.expires_at = std::min(lease.expires_at, now + lease.ttl);
        if (lease.expires_at <= now) continue;
        leases_.emplace(lease.id, lease);
        expiries_.emplace(lease.expires_at, lease.id);
        mark(lease.position, true);
    }
}

void Pool::settle(TimePoint now, Changes& changes, Outcome& outcome) {
    // Waiters give up first: a slot that came free while nobody looked must not go to a waiter whose
    // time has run out meanwhile.
    while (!give_ups_.empty() && give_ups_.begin()->first <= now) {
        const auto waiter = queue_.find(give_ups_.begin()->second);
        outcome.gave_up.push_back(waiter->second.ticket);
        forget(waiter);
    }
    while (!expiries_.empty() && expiries_.begin()->first <= now) {
        const auto lease = leases_.find(expiries_.begin()->second);
        mark(lease->second.position, false);
        leases_.erase(lease);
        expiries_.erase(expiries_.begin());
    }
    while (!queue_.empty() && in_use() < count_) {
        const auto head = queue_.begin();
        outcome.granted.push_back({head->second.ticket, grant(now, head->second, changes)});
        forget(head);
    }
}

Lease Pool::grant(TimePoint now, const Claim& claim, Changes& changes) {
    const Lease lease{claim.lease, lowest_free(), now, now + claim.ttl, claim.ttl};
    leases_.emplace(lease.id, lease);
    expiries_.emplace(lease.expires_at, lease.id);
    mark(lease.position, true);
    changes.slots[lease.position] = lease;
    return lease;
}

void Pool::forget(std::map<Place, Claim>::iterator waiter) {
    give_ups_.erase({waiter->second.give_up_at, waiter->first});
    places_.erase(waiter->second.ticket);
    queue_.erase(waiter);
}

Position Pool::lowest_free() const {
    Position base = 0;
    for (const std::uint64_t word : held_) {
        const auto ones = static_cast<Position>(std::countr_one(word));
        if (ones < bits_per_word) return base + ones;
        base += bits_per_word;
    }
    return base;
}

void Pool::mark(Position position, bool held) {
    const std::size_t word = position / bits_per_word;
    const std::uint64_t bit = std::uint64_t{1} << (position % bits_per_word);
    if (word >= held_.size()) held_.resize(word + 1);
    held_[word] = held ? held_[word] | bit : held_[word] & ~bit;
}

}  // namespace sema
