#include "server/service/chosen_ids.hpp"

namespace sema {

ChosenIds::ChosenIds(const std::vector<ChosenLease>& stored) {
    for (const ChosenLease& lease : stored)
        uses_[lease.lease] = {lease.pool, lease.expires_at};
}

bool ChosenIds::take(const LeaseId& id, const PoolId& pool, TimePoint now) {
    const MutexLock lock(mutex_);
    const auto [use, is_new] = uses_.try_emplace(id, Use{pool, Timeline::never});
    if (is_new || use->second.pool == pool) return true;
    // Nobody may have looked at the other pool since the lease expired.
    if (use->second.until > now) return false;
    use->second = {pool, Timeline::never};
    return true;
}

void ChosenIds::keep(const LeaseId& id, const PoolId& pool, TimePoint until, TimePoint now) {
    const MutexLock lock(mutex_);
    const auto [use, is_new] = uses_.try_emplace(id, Use{pool, until});
    if (is_new || use->second.pool == pool || use->second.until <= now) use->second = {pool, until};
}

void ChosenIds::free(const LeaseId& id, const PoolId& pool) {
    const MutexLock lock(mutex_);
    const auto use = uses_.find(id);
    if (use != uses_.end() && use->second.pool == pool) uses_.erase(use);
}

}  // namespace sema
