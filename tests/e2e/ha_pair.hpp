#pragma once

#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/postgresql_server.hpp"
#include "tests/support/redis_server.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

// What tests of several semads over one store share.
namespace sema::test {

/// What it takes at most until a server that died has no borrowers any more, and a busy machine's share: long
/// before a place that is kept would be given up, or a lease of these tests would end.
inline constexpr auto taken_out_within = std::chrono::seconds(3) + std::chrono::seconds(5);
/// What a call takes at most while the store is away, and a busy machine's share: much less than it is away.
inline constexpr auto told_of_failure_within = std::chrono::seconds(1) + std::chrono::seconds(2);
/// By this time after the store is back, all is as it should be, on a busy machine too.
inline constexpr std::chrono::milliseconds recovered_within = std::chrono::seconds(15);

/// A Redis, or Valkey, that the environment asks for.
RedisOptions store_options();

/// `options` with the store's URL.
std::vector<std::string> with_store(const std::string& url, std::vector<std::string> options = {});

/// A store that the environment asks for.
std::unique_ptr<StoreServer> make_store();

/// Two semads over one store.
struct Pair {
    explicit Pair(std::vector<std::string> options = {}, std::unique_ptr<StoreServer> made = make_store());

    /// The same pool, through the other server.
    TestPool there(const TestPool& pool) const { return {other, pool.id()}; }

    const std::unique_ptr<StoreServer> store;
    RunningServer one;
    RunningServer other;
};

/// Two semads over one Redis. The test talks to it.
struct RedisPair : Pair {
    explicit RedisPair(std::vector<std::string> options = {}, RedisOptions redis_options = store_options())
        : Pair(std::move(options), std::make_unique<RedisServer>(std::move(redis_options))),
          redis(static_cast<RedisServer&>(*store)) {}

    RedisServer& redis;
};

int status_of(const RunningServer& server, const std::string& path);
bool is_ready(const RunningServer& server);

/// Whether so many of the pool's queue are there soon, as that server has it.
bool shows_waiting(const TestPool& pool, std::size_t count);

/// Who waits, in their order.
std::vector<std::string> names_in_queue(const TestPool& pool);

/// These fields of a borrow, with the holder's name.
Json named(const std::string& name, Json more = Json::object());

/// Waits, and is seen by the other server before this returns.
RawClient queue_up_and_be_seen(const TestPool& pool, const TestPool& from_there, const Json& fields);

}  // namespace sema::test
