#pragma once

#include "common/durations.hpp"

#include <sema/semaphore.hpp>

#include <deque>
#include <optional>

namespace sema {
inline namespace v1 {
namespace detail {

/// Makes the pool with so many slots where there is none, and gives how many it has.
unsigned ensure_pool(semaphore& pool, unsigned count);

/// Returns leases, all at the same time, and waits for that for up to `limit`. The first trouble; nothing
/// where the time was too short.
std::optional<std::error_code> give_back_all(std::deque<lease> leases, Duration limit);

}  // namespace detail
}  // namespace v1
}  // namespace sema
