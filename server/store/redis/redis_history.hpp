#pragma once

#include "server/store/history_store.hpp"
#include "server/store/redis/redis_store.hpp"

#include <memory>

namespace sema {

/// The histories of the pools in that Redis, those that other servers write included: three sorted sets for
/// each pool, `sema:history:POOL`, `sema:refusals:POOL` and `sema:counts:POOL`, whose members are the entries
/// and whose scores their times. They go by themselves when nothing was added to them for as long as anything
/// is kept. Over a connection of its own, which the first call opens. No replica is waited for.
std::unique_ptr<HistoryStore> make_redis_history(const RedisStoreOptions& options);

}  // namespace sema
