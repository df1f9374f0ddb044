#pragma once

#include "server/store/redis/redis_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/proxy.hpp"
#include "tests/support/store_changes.hpp"

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace sema::test {

inline RedisStoreOptions options_for(const std::string& url) {
    RedisStoreOptions options;
    options.address = parse_redis_address(url).value();
    return options;
}

inline std::unique_ptr<SharedStore> open(const RedisStoreOptions& options) {
    auto store = open_redis_store(options);
    if (!store) throw std::runtime_error(store.error().message);
    return *std::move(store);
}

inline std::unique_ptr<SharedStore> open(const std::string& url) {
    return open(options_for(url));
}

/// For tests that are not about how long a store takes to answer: a busy machine's disk may take seconds.
inline std::unique_ptr<SharedStore> open_patiently(const std::string& url) {
    RedisStoreOptions options = options_for(url);
    options.answer_limit = std::chrono::seconds(20);
    return open(options);
}

inline std::vector<CommitResult> commit(Store& store, const std::vector<PoolChange>& batch) {
    return store.commit(batch, std::nullopt);
}

inline PoolRecord reloaded(SharedStore& store, const PoolId& id) {
    LoadResult result = store.reload(id);
    INFO(failure_text(result));
    REQUIRE(std::holds_alternative<PoolRecord>(result));
    return std::get<PoolRecord>(std::move(result));
}

inline std::string through(const Proxy& proxy) {
    return "redis://" + proxy.host_and_port();
}

/// Has the store, which is open through the proxy, wonder what became of a commit to the pool. It never
/// arrived.
inline void lose_commit(SharedStore& store, Proxy& proxy, const PoolId& id) {
    proxy.become(Proxy::State::cutting);
    REQUIRE_FALSE(failure_text(commit(store, {change(id).from(1).to(2)})).empty());
    proxy.become(Proxy::State::open);
    REQUIRE(eventually([&] { return store.reachable(); }));
}

/// How long a call takes.
template <class Call>
std::chrono::steady_clock::duration time_of(const Call& call) {
    const auto before = std::chrono::steady_clock::now();
    call();
    return std::chrono::steady_clock::now() - before;
}

}  // namespace sema::test
