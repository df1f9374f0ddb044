#pragma once

#include "client/scheduler/lease_source.hpp"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <vector>

namespace sema::test {

/// A pool of slots in memory, whose time passes when the test says so, and whose server is away when it says
/// so.
class FakeLeases {
  public:
    explicit FakeLeases(unsigned count) : count_(count) {}

    /// Called before each borrow. To be set while none is under way.
    std::function<void()> on_borrow{};

    /// One for a scheduler; this must outlive it.
    std::unique_ptr<LeaseSource> source() { return std::make_unique<Source>(*this); }

    void pass(std::chrono::seconds time) {
        const std::lock_guard lock(mutex_);
        now_ += time.count();
        expire();
    }

    void set_away(bool away) {
        const std::lock_guard lock(mutex_);
        is_away_ = away;
    }

    /// How often it was asked for what there is, away or not.
    std::size_t views() {
        const std::lock_guard lock(mutex_);
        return views_;
    }

    /// How many renewals and returns had no answer since it was away.
    std::size_t refusals() {
        const std::lock_guard lock(mutex_);
        return refusals_;
    }

    /// To ask it throws from then on, as where the system has no descriptors.
    void set_failing(bool fails) {
        const std::lock_guard lock(mutex_);
        fails_ = fails;
    }

    /// What it lends a slot for at most.
    void set_longest(std::chrono::seconds ttl) {
        const std::lock_guard lock(mutex_);
        longest_ = ttl;
    }

    /// Others' waiters in the queue.
    void set_waiters(bool wait) {
        const std::lock_guard lock(mutex_);
        waiters_.assign(wait ? 1 : 0, {});
    }
    void add_waiter(const wire::PoolDetails::QueueEntry& waiter) {
        const std::lock_guard lock(mutex_);
        waiters_.push_back(waiter);
    }

    /// How long the last borrow would have waited.
    Duration last_wait() {
        const std::lock_guard lock(mutex_);
        return last_wait_;
    }

    std::size_t in_use() {
        const std::lock_guard lock(mutex_);
        expire();
        return leases_.size();
    }

    /// The same lease as its borrower gets, by another one.
    bool borrow(const LeaseId& lease, const Holder& holder, std::chrono::seconds ttl) {
        const std::lock_guard lock(mutex_);
        return lend(lease, std::make_shared<const Holder>(holder), ttl) != nullptr;
    }
    bool give_back(const LeaseId& lease) {
        const std::lock_guard lock(mutex_);
        expire();
        return leases_.erase(lease) > 0;
    }
    bool renew(const LeaseId& lease, std::chrono::seconds ttl) {
        const std::lock_guard lock(mutex_);
        expire();
        const auto found = leases_.find(lease);
        if (found == leases_.end()) return false;
        found->second.expires_at = now_ + ttl.count();
        return true;
    }

    /// Answers to borrows are lost from then on.
    void set_losing(bool loses) {
        const std::lock_guard lock(mutex_);
        loses_ = loses;
    }

    /// A place in the queue whose borrower is away.
    void leave_place(const Holder& holder, const LeaseId& place) {
        const std::lock_guard lock(mutex_);
        enter(holder, place);
    }
    bool has_place(const LeaseId& place) {
        const std::lock_guard lock(mutex_);
        return queue_.count(place) != 0;
    }
    /// Whose place it is.
    std::optional<Holder> waiter(const LeaseId& place) {
        const std::lock_guard lock(mutex_);
        const auto found = queue_.find(place);
        return found == queue_.end() ? std::nullopt : std::optional(found->second);
    }
    void lose_place(const LeaseId& place) {
        const std::lock_guard lock(mutex_);
        queue_.erase(place);
    }

    /// An ask that waits in the queue, and whether it was answered.
    void ask(const Holder& holder, const LeaseId& place) {
        const std::lock_guard lock(mutex_);
        queue_.emplace(place, holder);
    }
    bool is_answered(const LeaseId& place) {
        const std::lock_guard lock(mutex_);
        return queue_.count(place) == 0;
    }

  private:
    struct Lease {
        unsigned position = 0;
        std::uint64_t fence = 0;
        std::int64_t granted_at = 0;
        std::int64_t expires_at = 0;
        std::shared_ptr<const Holder> holder;
    };

    class Source : public LeaseSource {
      public:
        explicit Source(FakeLeases& pool) : pool_(pool) {}

        LeaseOutcome<wire::PoolDetails> view() override {
            const std::lock_guard lock(pool_.mutex_);
            ++pool_.views_;
            if (pool_.is_away_) return away();
            return pool_.details();
        }

        LeaseOutcome<Borrowed> borrow(const wire::BorrowRequest& request, WaitControl&) override {
            if (pool_.on_borrow) pool_.on_borrow();
            const std::lock_guard lock(pool_.mutex_);
            if (pool_.fails_) throw std::system_error(EMFILE, std::generic_category(), "a socket");
            if (pool_.is_away_) return away();
            pool_.last_wait_ = request.wait;
            // As long as there is a place its holder stays.
            const auto place = pool_.queue_.find(*request.lease);
            const auto holder =
                place == pool_.queue_.end() ? request.holder : std::make_shared<const Holder>(place->second);
            const Lease* const lease = pool_.lend(*request.lease, holder, request.ttl);
            if (lease != nullptr)
                pool_.queue_.erase(*request.lease);
            else if (request.wait > Duration::zero())
                pool_.enter(*request.holder, *request.lease);
            if (pool_.loses_) return away();
            if (lease == nullptr) return Borrowed{};
            wire::LeaseGrant grant{*request.lease, lease->position, lease->expires_at,
                                   lease->expires_at - pool_.now_};
            grant.details = {{lease->position}, lease->fence, {wire::payload_of("slot")}, lease->granted_at};
            return Borrowed{grant};
        }

        LeaseOutcome<std::optional<Renewal>> renew(const LeaseId& lease, std::uint64_t fence,
                                                   Duration ttl) override {
            if (is_away()) return away();
            if (!pool_.has(lease, fence)) return std::nullopt;
            const auto seconds = std::min(std::chrono::ceil<std::chrono::seconds>(ttl), pool_.longest_);
            if (!pool_.renew(lease, seconds)) return std::nullopt;
            const std::lock_guard lock(pool_.mutex_);
            return Renewal{pool_.now_ + seconds.count(), seconds.count()};
        }

        LeaseOutcome<bool> give_back(const LeaseId& lease, std::uint64_t fence) override {
            if (is_away()) return away();
            return pool_.has(lease, fence) && pool_.give_back(lease);
        }

        LeaseOutcome<bool> cancel(const LeaseId& place) override {
            const std::lock_guard lock(pool_.mutex_);
            if (pool_.is_away_) return away();
            return pool_.queue_.erase(place) > 0;
        }

      private:
        bool is_away() {
            const std::lock_guard lock(pool_.mutex_);
            if (pool_.is_away_) ++pool_.refusals_;
            return pool_.is_away_;
        }
        static tl::unexpected<LeaseTrouble> away() {
            return tl::unexpected(LeaseTrouble{LeaseTrouble::Kind::unavailable, "away"});
        }

        FakeLeases& pool_;
    };

    bool has(const LeaseId& lease, std::uint64_t fence) {
        const std::lock_guard lock(mutex_);
        expire();
        const auto found = leases_.find(lease);
        return found != leases_.end() && found->second.fence == fence;
    }

    void expire() {
        std::erase_if(leases_, [&](const auto& entry) { return entry.second.expires_at <= now_; });
    }

    void enter(const Holder& holder, const LeaseId& place) {
        queue_.emplace(place, holder);
        away_.insert(place);
    }

    const Lease* lend(const LeaseId& id, std::shared_ptr<const Holder> holder, Duration ttl) {
        expire();
        if (const auto held = leases_.find(id); held != leases_.end()) return &held->second;
        if (leases_.size() >= count_) return nullptr;
        unsigned position = 0;
        const auto is_taken = [&] {
            return std::any_of(leases_.begin(), leases_.end(),
                               [&](const auto& entry) { return entry.second.position == position; });
        };
        while (is_taken())
            ++position;
        const std::int64_t seconds = std::chrono::ceil<std::chrono::seconds>(ttl).count();
        return &leases_.emplace(id, Lease{position, ++fence_, now_, now_ + seconds, std::move(holder)})
                    .first->second;
    }

    wire::PoolDetails details() {
        expire();
        wire::PoolDetails view;
        view.count = count_;
        view.in_use = static_cast<unsigned>(leases_.size());
        view.available = count_ - view.in_use;
        for (const auto& [id, lease] : leases_) {
            wire::PoolDetails::HolderEntry entry;
            entry.position = lease.position;
            entry.holder = lease.holder;
            entry.granted_at_unix = lease.granted_at;
            entry.expires_at_unix = lease.expires_at;
            entry.expires_in = lease.expires_at - now_;
            entry.fence = lease.fence;
            view.holders.push_back(std::move(entry));
        }
        for (const auto& [place, holder] : queue_) {
            wire::PoolDetails::QueueEntry entry;
            entry.holder = std::make_shared<const Holder>(holder);
            entry.away = away_.count(place) != 0;
            view.queue.push_back(std::move(entry));
        }
        view.queue.insert(view.queue.end(), waiters_.begin(), waiters_.end());
        return view;
    }

    std::mutex mutex_;
    const unsigned count_;
    std::int64_t now_ = 1'700'000'000;
    std::uint64_t fence_ = 0;
    std::size_t views_ = 0;
    std::size_t refusals_ = 0;
    Duration last_wait_{};
    std::chrono::seconds longest_ = std::chrono::seconds::max();
    bool is_away_ = false;
    bool fails_ = false;
    bool loses_ = false;
    std::map<LeaseId, Lease> leases_;
    std::map<LeaseId, Holder> queue_;
    std::set<LeaseId> away_;
    std::vector<wire::PoolDetails::QueueEntry> waiters_;
};

}  // namespace sema::test
