#include "server/pool/pool.hpp"

#include <utility>
#include <vector>

// Borrowers who are to be called: what becomes of their grants, and which server sees to them.
namespace sema {

const Waiter* Pool::waiter_for(const LeaseId& lease) const {
    const auto& waiters = queue_.get<ByLease>();
    const auto waiter = waiters.find(lease);
    return waiter == waiters.end() ? nullptr : &*waiter;
}

std::size_t Pool::rank_of(const Waiter& waiter) const {
    const auto& places = queue_.get<ByPlace>();
    return places.rank(places.find(waiter.place)) + 1;
}

Pool::Leases::iterator Pool::find_to_call(const Grant& grant) {
    const auto live = find(grant);
    return live != leases_.end() && live->second.lease.delivery && is_keeper() ? live : leases_.end();
}

const Lease* Pool::to_call(const Grant& grant) const {
    const auto live = leases_.find(grant.lease);
    const bool is_it = live != leases_.end() && live->second.lease.fence == grant.fence;
    return is_it && live->second.lease.delivery && is_keeper() ? &live->second.lease : nullptr;
}

bool Pool::call_accepted(TimePoint now, const Grant& grant, Effects& effects) {
    advance_to(now, effects);
    const auto live = find_to_call(grant);
    if (live == leases_.end()) return false;
    end_delivery(live->second, effects);
    return true;
}

/// The borrower knows of the lease, and need not be called any more.
void Pool::end_delivery(Live& live, Effects& effects) {
    if (!live.lease.delivery) return;
    live.lease.delivery = nullptr;
    --callbacks_;
    write(live, effects.changes);
    drop_keeper(effects.changes);
    ++revision_;
}

bool Pool::call_given_up(TimePoint now, const Grant& grant, Effects& effects) {
    advance_to(now, effects);
    const auto live = find_to_call(grant);
    if (live == leases_.end()) return false;
    end(live, now, LeaseEnd::returned, effects);
    advance_to(now, effects);
    return true;
}

bool Pool::put_off(TimePoint now, const Grant& grant, Delivery delivery, Effects& effects) {
    advance_to(now, effects);
    const auto live = find_to_call(grant);
    if (live == leases_.end()) return false;
    live->second.lease.delivery = std::make_shared<const Delivery>(std::move(delivery));
    write(live->second, effects.changes);
    return true;
}

/// This server has to call all of them: it has just learnt of them.
void Pool::call_restored(Effects& effects) const {
    if (!has_callbacks()) return;
    for (const auto& [id, live] : leases_) {
        if (live.lease.delivery) effects.to_call.push_back(live.lease);
    }
}

/// Only the store knows which waiters are to be called, since they have no connection here: those that are
/// known here are dropped.
void Pool::drop_callbacks(Effects& effects) {
    if (callbacks_ == 0) return;
    std::vector<LeaseId> dropped;
    for (const Waiter& waiter : queue_) {
        if (waiter.claim.callback) dropped.push_back(waiter.claim.lease);
    }
    Changes none;
    for (const LeaseId& lease : dropped) {
        effects.chosen.push_back({lease, std::nullopt});
        forget(*queue_.get<ByLease>().find(lease), none);
    }
}

/// A borrower is to be called: where no server sees to that yet, this one does.
void Pool::find_keeper(Changes& changes) {
    if (!is_shared() || keeper_ != ServerId{}) return;
    keeper_ = limits_->server;
    changes.keeper = keeper_;
}

/// Unless there still is a borrower to call.
void Pool::drop_keeper(Changes& changes) {
    if (!is_shared() || callbacks_ > 0 || !is_keeper()) return;
    keeper_ = ServerId{};
    changes.keeper = keeper_;
}

}  // namespace sema
