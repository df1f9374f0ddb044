#pragma once

#include "common/error.hpp"
#include "server/pool/pool.hpp"
#include "server/store/store.hpp"
#include "server/time.hpp"

#include <cstddef>

namespace sema {

/// What a store has.
struct Stock {
    std::size_t pools = 0;
    /// Live ones.
    std::size_t leases = 0;
    /// Of borrowers who may come back to their place in a queue.
    std::size_t places = 0;
};

/// Reads all pools of the store, as a server does that uses them at `now` of its timeline. The error is that
/// of the first one that cannot be read.
Expected<Stock> take_stock(Store& store, TimePoint now, const PoolLimits& limits);

}  // namespace sema
