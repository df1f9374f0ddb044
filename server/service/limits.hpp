#pragma once

#include "server/pool/pool.hpp"
#include "server/time.hpp"

#include <chrono>
#include <cstddef>

namespace sema {

struct ServiceLimits {
    Duration max_ttl = std::chrono::hours(24);
    Duration max_wait = std::chrono::seconds(300);
    /// Of a borrower who is to be called.
    Duration max_callback_wait = std::chrono::hours(24);
    std::size_t max_pools = 200'000;
    std::size_t max_waiters = 100'000;
    unsigned max_count = 1000;
    PoolLimits pool;

    bool operator==(const ServiceLimits&) const = default;
};

}  // namespace sema
