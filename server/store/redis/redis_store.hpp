#pragma once

#include "server/store/redis/address.hpp"
#include "server/store/store.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace sema {

struct RedisStoreOptions {
    RedisAddress address;
    /// Of the Sentinels; empty: they want none.
    std::string sentinel_password;
    /// On how many replicas a change has to be before it counts as committed.
    unsigned wait_replicas = 0;
    /// How long an answer may take before the store counts as away. Longer than a disk or a network that is
    /// busy needs, and short enough that waiters hear of it and another primary is looked for in time.
    std::chrono::milliseconds answer_limit{700};
};

/// Opens the store in a database of a Redis (6.2 or later) or Valkey, which any number of servers may have
/// open, and tries to for 3 seconds. Errors, each saying what to do: it cannot be reached; it refuses the
/// password; it is too old; it lacks a command, or has it not for this user; it holds data of a newer format.
///
/// What is `Committed` was applied by Redis, and is on `wait_replicas` replicas. Whether it outlives a killed
/// Redis, a power cut or a failover is a matter of Redis's settings: redis_store_warnings() says what is
/// missing. A change is applied in one step; those of one batch each on their own, so that one that is stale
/// keeps no other from being applied. A Stale contains the pool. Anchors are not kept.
///
/// One change can have half a million rows: one with more fails.
///
/// The user that it logs in as needs the commands AUTH, SELECT, PING, ROLE, WAIT, SUBSCRIBE, UNSUBSCRIBE,
/// PUBLISH, EVAL, EVALSHA, SCRIPT LOAD, TIME, GET, SET, DEL, MGET, PERSIST, EXPIRE, PEXPIRE, SCAN, H*, Z* on
/// the keys and channels that begin with `sema:`.
Expected<std::unique_ptr<SharedStore>> open_redis_store(const RedisStoreOptions& options);

/// Whether that database, of a Redis that could be used, surely holds no store yet: open_redis_store() would
/// make it.
bool is_new_redis_store(const RedisStoreOptions& options);

/// What in the settings of that Redis lets answers be lost that were given, or leases be granted twice after
/// it: a sentence each, that says what to set.
std::vector<std::string> redis_store_warnings(const RedisStoreOptions& options);

}  // namespace sema
