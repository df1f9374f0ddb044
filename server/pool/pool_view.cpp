#include "server/pool/pool.hpp"

#include <algorithm>
#include <utility>

// What a pool shows of itself.
namespace sema {
namespace {

std::optional<TimePoint> earliest(std::optional<TimePoint> a, std::optional<TimePoint> b) {
    if (!a || !b) return a ? a : b;
    return std::min(*a, *b);
}

}  // namespace

const Waiter* Pool::waiter(Ticket ticket) const {
    const auto& tickets = queue_.get<ByTicket>();
    const auto waiter = tickets.find(static_cast<std::uint64_t>(ticket));
    return waiter == tickets.end() ? nullptr : &*waiter;
}

std::optional<Effects::GaveUp> Pool::as_giving_up(Ticket ticket) const {
    const Waiter* const found = waiter(ticket);
    if (!found) return std::nullopt;
    const auto& places = queue_.get<ByPlace>();
    return Effects::GaveUp{ticket, places.rank(places.find(found->place)) + 1, found->claim.slots};
}

bool Pool::knows(const LeaseId& lease) const {
    return leases_.count(lease) != 0 || queue_.get<ByLease>().count(lease) != 0;
}

std::optional<TimePoint> Pool::next_deadline() const {
    const Waiter* const first = next_to_serve();
    const bool is_awaited = first != nullptr && is_here(*first);
    std::optional<TimePoint> next = is_awaited ? next_free() : std::nullopt;
    if (!queue_.empty()) next = earliest(next, queue_.get<ByDeadline>().begin()->deadline);
    return next;
}

std::optional<TimePoint> Pool::next_change() const {
    if (queue_.empty()) return next_free();
    return earliest(queue_.get<ByDeadline>().begin()->deadline, next_free());
}

std::optional<TimePoint> Pool::next_free() const {
    std::optional<TimePoint> next;
    if (!ends_.empty()) next = ends_.begin()->first + limits_->clock_error;
    if (!resting_.empty()) next = earliest(next, rested_at(resting_.begin()->first));
    return next;
}

unsigned Pool::available() const {
    const unsigned taken = std::max(in_use_, busy_below_count_);
    return count_ > taken ? count_ - taken : 0;
}

PoolView Pool::view(TimePoint now) const {
    PoolView view{.revision = revision_,
                  .at = now,
                  .settings = settings_,
                  .count = count_,
                  .in_use = in_use_,
                  .available = available()};
    view.leases.reserve(leases_.size());
    for (const auto& [id, live] : leases_)
        view.leases.push_back(live.lease);
    std::sort(view.leases.begin(), view.leases.end(),
              [](const Lease& a, const Lease& b) { return a.position() < b.position(); });
    view.queue.assign(queue_.begin(), queue_.end());
    // Those who are away, or want more slots than there are, keep no free slot from a newcomer.
    const bool nobody_is_next = next_to_serve() == nullptr;
    view.eta = eta(forecast(now), nobody_is_next && available() > 0 ? 1 : queue_.size() + 1, 1);
    return view;
}

Forecast Pool::forecast(TimePoint now) const {
    const auto mean = hold_times_.mean();
    std::vector<Duration> ends;
    if (mean) {
        for (const auto& [end, id] : ends_) {
            const Lease& lease = leases_.at(id).lease;
            // One that has lasted longer than most is expected to last longer still.
            const Duration left = std::chrono::abs(*mean - (now - lease.granted_at));
            ends.insert(ends.end(), lease.positions.size(), std::min(left, end - now) + cooldown());
        }
        for (const auto& [ended_at, position] : resting_)
            ends.push_back(rested_at(ended_at) - now);
    }
    return {std::move(ends), count_, mean ? std::optional(*mean + cooldown()) : std::nullopt};
}

std::optional<Duration> Pool::eta(const Forecast& forecast, std::size_t rank, unsigned slots) const {
    if (slots > count_) return std::nullopt;
    const std::uint64_t before = rank - 1;
    return forecast.until((queue_.empty() ? 0 : before * queued_slots_ / queue_.size()) + slots);
}

}  // namespace sema
