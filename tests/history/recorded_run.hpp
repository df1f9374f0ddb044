#pragma once

#include "server/history/past.hpp"
#include "server/pool/pool.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sema::test {

inline constexpr TimePoint start{std::chrono::hours(1000)};

/// What a borrower does.
struct Borrower {
    Duration comes{};
    Duration holds{};
    /// 0: it does not wait.
    Duration waits = std::chrono::hours(1000);
    unsigned slots = 1;
    int priority = 0;
    std::string name{};
};

/// A pool with borrowers who come, hold and give back, and whatever its history is told of that.
class RecordedRun {
  public:
    explicit RecordedRun(unsigned count, Duration cooldown = {}) : pool_(count, 0, limits_, changes_) {
        PoolSettings settings;
        settings.cooldown = cooldown;
        Effects effects(changes_);
        pool_.set(start, count, settings, effects);
    }

    void add(const Borrower& borrower) {
        events_.emplace(start + borrower.comes, [this, borrower](TimePoint now) { come(now, borrower); });
    }
    void resize(Duration when, unsigned count) {
        events_.emplace(start + when, [this, count](TimePoint now) {
            Effects effects(changes_);
            pool_.set_count(now, count, effects);
            take(effects);
        });
    }

    /// Until then. `since` is from when on the past is told.
    Past go(Duration until, Duration since = {}) {
        const TimePoint end = start + until;
        for (;;) {
            const auto deadline = pool_.next_deadline();
            const bool is_event = !events_.empty() && (!deadline || events_.begin()->first < *deadline);
            const TimePoint next = is_event ? events_.begin()->first : deadline.value_or(Timeline::never);
            if (next > end) break;
            if (is_event) {
                const auto event = events_.extract(events_.begin());
                event.mapped()(next);
            } else {
                Effects effects(changes_);
                pool_.advance_to(next, effects);
                take(effects);
            }
        }
        Effects effects(changes_);
        pool_.advance_to(end, effects);
        take(effects);
        Past past{.since = start + since, .now = std::make_shared<const PoolView>(pool_.view(end))};
        for (const HistoryEntry& entry : told_) {
            if (entry.at >= past.since) (entry.is_lease() ? past.leases : past.rest).push_back(entry);
        }
        return past;
    }

  private:
    void come(TimePoint now, const Borrower& borrower) {
        const Ticket ticket{++tickets_};
        borrowers_[ticket] = borrower;
        Claim claim{.ticket = ticket,
                    .lease = LeaseId::random(),
                    .ttl = std::chrono::hours(1000),
                    .give_up_at = now + borrower.waits,
                    .slots = borrower.slots,
                    .priority = borrower.priority};
        if (!borrower.name.empty()) claim.holder = std::make_shared<const Holder>(Holder{borrower.name, {}});
        Effects effects(changes_);
        const auto borrowed = pool_.borrow(now, claim, effects);
        if (const auto* held = std::get_if<Pool::Held>(&borrowed)) grant(held->lease, borrower, now);
        take(effects);
    }

    void grant(const Lease& lease, const Borrower& borrower, TimePoint now) {
        events_.emplace(now + borrower.holds, [this, id = lease.id](TimePoint then) {
            Effects effects(changes_);
            pool_.give_back(then, id, effects);
            take(effects);
        });
    }

    void take(const Effects& effects) {
        for (const auto& granted : effects.granted)
            grant(granted.lease, borrowers_.at(granted.ticket), granted.at);
        told_.insert(told_.end(), effects.past.begin(), effects.past.end());
        changes_ = {};
    }

    const PoolLimits limits_;
    Changes changes_;
    Pool pool_;
    std::multimap<TimePoint, std::function<void(TimePoint)>> events_;
    std::map<Ticket, Borrower> borrowers_;
    std::uint64_t tickets_ = 0;
    std::vector<HistoryEntry> told_;
};

}  // namespace sema::test
