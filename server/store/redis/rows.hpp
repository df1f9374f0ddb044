#pragma once

#include "server/store/redis/connection.hpp"
#include "server/store/store.hpp"

#include <string>

namespace sema::redis {

// What a pool's hash holds, by its fields, numbers in decimal; v, c and b are there if and only if the
// pool is:
//
//     v          the version
//     c          the count
//     f          the fence
//     b          the index's mark of it: see `sema:pools` in redis.cpp
//     g          the guard that redis_reload.lua left
//     t          the settings
//     sPOSITION  the lease that holds the slot
//     pLEASE     the place of that lease in the queue
//
// A row is one text of fields between spaces, numbers in decimal; texts of other people come last, each with
// its length before, so that any byte may stand in them.

/// 16 digits.
std::string hex(std::uint64_t number);

std::string slot_field(Position position);
std::string place_field(const LeaseId& lease);

/// `row` is replaced.
void write_row(const HeldSlot& slot, std::string& row);
void write_row(const KeptPlace& place, std::string& row);
void write_row(const PoolSettings& settings, std::string& row);

/// What a hash tells beside the pool.
struct StoredPool {
    LoadResult pool;
    std::string guard;
    std::string born;
};

/// Reads the answer to HGETALL. A StoreFailure where there is anything in it that was not written like this.
StoredPool read_pool(const Reply& fields);

/// All of the text, or nothing.
template <class Number>
std::optional<Number> parse_number(std::string_view text);

}  // namespace sema::redis
