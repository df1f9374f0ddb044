#pragma once

#include "server/pool/pool.hpp"
#include "server/time.hpp"

#include <chrono>
#include <cstddef>

namespace sema {

struct ServiceLimits {
    Duration max_ttl = std::chrono::hours(24);
    Duration max_wait = std::chrono::seconds(300);
    std::size_t max_pools = 200'000;
    std::size_t max_waiters = 100'000;
    unsigned max_count = 1000;
    PoolLimits pool;
};

}  // namespace sema
