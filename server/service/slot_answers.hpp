#pragma once

#include "server/service/answers.hpp"

#include <algorithm>

namespace sema {

/// `now`: when the borrower got it.
inline LeaseGranted granted(const Pool& pool, const Lease& lease, TimePoint now, bool is_extended) {
    // It may be asked for again when its time has passed, and it is not over yet.
    return {.lease = lease,
            .remaining = std::max(lease.expires_at - now, Duration::zero()),
            .is_extended = is_extended,
            .settings = is_extended ? pool.settings() : nullptr};
}

inline NotGranted not_granted(const Pool& pool, const Forecast& forecast, std::size_t rank, unsigned slots) {
    return {.rank = rank,
            .queue = pool.waiting(),
            .in_use = pool.in_use(),
            .count = pool.count(),
            .eta = pool.eta(forecast, rank, slots)};
}

}  // namespace sema
