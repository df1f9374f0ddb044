#include "server/history/replay.hpp"

#include <algorithm>
#include <utility>

namespace sema {
namespace {

Duration mean_hold_of(const Past& past) {
    Duration sum{};
    for (const HistoryEntry& lease : past.leases)
        sum += lease.held;
    return past.leases.empty() ? Duration::zero() : sum / static_cast<Duration::rep>(past.leases.size());
}

constexpr std::size_t between_questions = 16;

/// A lease's id for each arrival: the rules only compare them.
LeaseId numbered(std::uint64_t number) {
    boost::uuids::uuid id{};
    // Spread, so that the hash has bits to take.
    for (auto& byte : id) {
        byte = static_cast<std::uint8_t>(number);
        number = number >> 8 | number << 56;
    }
    return LeaseId(id);
}

}  // namespace

Replay::Replay(const Past& past)
    : since_(past.since), cooldown_(past.now->settings ? past.now->settings->cooldown : Duration::zero()) {
    const Duration mean_hold = mean_hold_of(past);
    for (const HistoryEntry& lease : past.leases)
        add_lease(lease);
    // Those of now have been held until now at least.
    for (const Lease& lease : past.now->leases)
        add_lease(end_of(lease, std::max(past.now->at, lease.granted_at), LeaseEnd::returned));
    for (const HistoryEntry& entry : past.rest) {
        if (entry.what == HistoryEntry::What::refused) add_refused(entry, mean_hold);
    }
    for (const Waiter& waiter : past.now->queue)
        add_waiter(waiter, mean_hold);
    std::sort(arrivals_.begin(), arrivals_.end(), [](const Arrival& a, const Arrival& b) {
        return std::tie(a.at, a.asked_at, a.fence) < std::tie(b.at, b.asked_at, b.fence);
    });
}

void Replay::add_lease(const HistoryEntry& lease) {
    const bool counts = lease.granted_at() >= since_;
    arrivals_.push_back({// One from before `since_` keeps its begin, to be held at `since_`.
                         .at = counts ? std::max(lease.asked_at(), since_) : lease.granted_at(),
                         .asked_at = lease.asked_at(),
                         .hold = std::max(lease.held, Duration(1)),
                         .give_up_at = Timeline::never,
                         .slots = lease.slots,
                         .priority = lease.priority,
                         .fence = lease.fence,
                         .was_granted = counts,
                         .waited = lease.waited});
}

void Replay::add_refused(const HistoryEntry& refused, Duration mean_hold) {
    const bool waited = refused.waited > Duration::zero();
    arrivals_.push_back({.at = std::max(refused.asked_at(), since_),
                         .asked_at = refused.asked_at(),
                         .hold = waited ? std::max(mean_hold, Duration(1)) : Duration::zero(),
                         .give_up_at = refused.at,
                         .slots = refused.slots,
                         .priority = refused.priority,
                         .was_refused = true});
}

void Replay::add_waiter(const Waiter& waiter, Duration mean_hold) {
    arrivals_.push_back({.at = std::max(waiter.queued_at, since_),
                         .asked_at = waiter.queued_at,
                         .hold = std::max(mean_hold, Duration(1)),
                         .give_up_at = Timeline::never,
                         .slots = waiter.claim.slots,
                         .priority = waiter.claim.priority});
}

Replayed Replay::as_it_was() const {
    Replayed replayed;
    for (const Arrival& arrival : arrivals_) {
        if (arrival.was_granted) replayed.waits.push_back(arrival.waited);
        if (arrival.was_refused) ++replayed.refusals;
    }
    std::sort(replayed.waits.begin(), replayed.waits.end());
    return replayed;
}

/// One pool, from the first arrival to the last wait.
class Replay::Run {
  public:
    Run(const Replay& replay, unsigned count) : replay_(replay), pool_(count, 0, limits_, changes_) {
        PoolSettings settings;
        settings.cooldown = replay.cooldown_;
        Effects effects(changes_);
        pool_.set(Timeline::long_ago, pool_.count(), settings, effects);
    }

    std::optional<Replayed> go(const std::function<bool()>& gives_up) && {
        for (std::size_t i = 0; i < replay_.arrivals_.size(); ++i) {
            const Arrival& arrival = replay_.arrivals_[i];
            if ((i + 1) % between_questions == 0 && gives_up()) return std::nullopt;
            advance_to(arrival.at);
            arrive(i);
        }
        // The remaining waiters are served with the slots that holders return.
        advance_to(Timeline::never);
        // What is left asks for more than there will ever be.
        for (const Arrival& arrival : replay_.arrivals_)
            replayed_.refusals += arrival.was_granted || arrival.was_refused ? 1 : 0;
        replayed_.refusals -= answered_;
        std::sort(replayed_.waits.begin(), replayed_.waits.end());
        return std::move(replayed_);
    }

  private:
    /// Does what is due before that, each at its time.
    void advance_to(TimePoint time) {
        for (auto next = pool_.next_deadline(); next && *next < time; next = pool_.next_deadline()) {
            Effects effects(changes_);
            pool_.advance_to(*next, effects);
            take(effects);
        }
    }

    void arrive(std::size_t index) {
        const Arrival& arrival = replay_.arrivals_[index];
        const Claim claim{.ticket = Ticket{index + 1},
                          .lease = numbered(index + 1),
                          .ttl = arrival.hold,
                          .give_up_at = arrival.give_up_at,
                          .slots = arrival.slots,
                          .priority = arrival.priority};
        Effects effects(changes_);
        const auto borrowed = pool_.borrow(arrival.at, claim, effects);
        take(effects);
        if (std::holds_alternative<Pool::Held>(borrowed)) grant(arrival, arrival.at);
        if (!std::holds_alternative<Pool::Held>(borrowed) || arrival.hold > Duration::zero()) return;
        // It only looked.
        Effects after(changes_);
        pool_.give_back(arrival.at, claim.lease, after);
        take(after);
    }

    void take(Effects& effects) {
        for (const auto& granted : effects.granted)
            grant(replay_.arrivals_[static_cast<std::size_t>(granted.ticket) - 1], granted.at);
        changes_.slots.clear();
    }

    void grant(const Arrival& arrival, TimePoint at) {
        if (arrival.was_granted) replayed_.waits.push_back(at - arrival.asked_at);
        if (arrival.was_granted || arrival.was_refused) ++answered_;
    }

    const Replay& replay_;
    const PoolLimits limits_{};
    Changes changes_;
    Pool pool_;
    Replayed replayed_;
    /// Of the arrivals that count, how many were granted a lease.
    std::size_t answered_ = 0;
};

std::optional<Replayed> Replay::with(unsigned count, const std::function<bool()>& gives_up) const {
    return Run(*this, count).go(gives_up);
}

Replayed Replay::with(unsigned count) const {
    return *with(count, [] { return false; });
}

}  // namespace sema
