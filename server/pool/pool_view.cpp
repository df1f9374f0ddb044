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

const Waiter* Pool::find_waiter(const std::function<bool(const LeaseId&)>& is_it) const {
    const auto found = std::find_if(queue_.begin(), queue_.end(),
                                    [&](const Waiter& waiter) { return is_it(waiter.claim.lease); });
    return found == queue_.end() ? nullptr : &*found;
}

std::optional<Effects::GaveUp> Pool::as_giving_up(Ticket ticket) const {
    const Waiter* const found = waiter(ticket);
    if (!found) return std::nullopt;
    const auto& places = queue_.get<ByPlace>();
    return Effects::GaveUp{ticket, places.rank(places.find(found->place)) + 1, found->claim.slots};
}

const OutOfService* Pool::out_of_service(Position position) const {
    const auto out = out_.find(position);
    return out == out_.end() ? nullptr : &out->second;
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
    const unsigned taken = std::max(in_use_, taken_below_count_);
    return count_ > taken ? count_ - taken : 0;
}

PoolFigures Pool::figures(TimePoint now) const {
    PoolFigures figures{.slots = count_,
                        .in_use = in_use_,
                        .resting = static_cast<unsigned>(resting_.size()),
                        .out = count_ - slots_in_service(),
                        .waiters = queue_.size()};
    unsigned taken = taken_below_count_;
    const auto count_free = [&](Position position) {
        if (position < count_ && !out_of_service(position)) --taken;
    };
    for (auto end = ends_.begin(); end != ends_.end() && end->first + limits_->clock_error <= now; ++end) {
        const Lease& lease = leases_.at(end->second).lease;
        figures.in_use -= static_cast<unsigned>(lease.positions.size());
        if (rested_at(lease.expires_at) > now) continue;
        for (const Position position : lease.positions)
            count_free(position);
    }
    for (auto rest = resting_.begin(); rest != resting_.end() && rested_at(rest->first) <= now; ++rest) {
        --figures.resting;
        count_free(rest->second);
    }
    figures.available = count_ - std::min(count_, std::max(figures.in_use, taken));
    // Within one priority the first has waited longest.
    const auto& places = queue_.get<ByPlace>();
    for (auto first = places.begin(); first != places.end();
         first = places.lower_bound(Place{first->place.first + 1, 0}))
        figures.oldest_wait = std::max(figures.oldest_wait, now - first->queued_at);
    return figures;
}

PoolView Pool::view(TimePoint now) const {
    PoolView view{.revision = revision_,
                  .at = now,
                  .settings = settings_,
                  .count = count_,
                  .in_use = in_use_,
                  .available = available(),
                  .out = {out_.begin(), out_.lower_bound(count_)}};
    view.leases.reserve(leases_.size());
    for (const auto& [id, live] : leases_)
        view.leases.push_back(live.lease);
    std::sort(view.leases.begin(), view.leases.end(),
              [](const Lease& a, const Lease& b) { return a.position() < b.position(); });
    view.queue.assign(queue_.begin(), queue_.end());
    // Waiters that are away, or want more slots than there are, keep no free slot from a newcomer.
    const bool nobody_is_next = next_to_serve() == nullptr;
    const Forecast waits = forecast(now);
    view.eta = nobody_is_next && available() > 0 ? Duration::zero() : eta(waits, queue_.size() + 1, 1);
    view.etas.reserve(view.queue.size());
    for (const Waiter& waiter : view.queue)
        view.etas.push_back(eta(waits, view.etas.size() + 1, waiter.claim.slots));
    for (const auto& [ended_at, position] : resting_)
        view.resting.emplace(position, rested_at(ended_at));
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
            const auto coming_back = std::count_if(lease.positions.begin(), lease.positions.end(),
                                                   [&](Position it) { return !out_of_service(it); });
            ends.insert(ends.end(), static_cast<std::size_t>(coming_back),
                        std::min(left, end - now) + cooldown());
        }
        for (const auto& [ended_at, position] : resting_)
            if (!out_of_service(position)) ends.push_back(rested_at(ended_at) - now);
    }
    return {std::move(ends), slots_in_service(), mean ? std::optional(*mean + cooldown()) : std::nullopt};
}

std::optional<Duration> Pool::eta(const Forecast& forecast, std::size_t rank, unsigned slots) const {
    if (slots > slots_in_service()) return std::nullopt;
    const std::uint64_t before = rank - 1;
    const std::uint64_t needed = (queue_.empty() ? 0 : before * queued_slots_ / queue_.size()) + slots;
    // What is free is held back for the first.
    const Waiter* const first = before > 0 ? next_to_serve() : nullptr;
    return forecast.until(first ? std::max<std::uint64_t>(needed, first->claim.slots) : needed);
}

}  // namespace sema
