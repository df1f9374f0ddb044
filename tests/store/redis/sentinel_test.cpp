#include "tests/store/redis/redis_stores.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/recording_listener.hpp"
#include "tests/support/sentinel_set.hpp"

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

const PoolId pool = PoolId::random();

// Replicas of a busy machine are slow.
std::unique_ptr<SharedStore> open_on_two(const SentinelSet& set,
                                         std::chrono::milliseconds answer_limit = 3s) {
    RedisStoreOptions options = options_for(set.url());
    options.wait_replicas = 1;
    options.answer_limit = answer_limit;
    auto store = open_redis_store(options);
    if (!store) throw std::runtime_error(store.error().message);
    return *std::move(store);
}

}  // namespace

TEST_CASE("a replica takes over with all that was committed, and the store with it") {
    SentinelSet set;
    const auto store = open_on_two(set);
    const auto other = open_on_two(set, 15s);
    RecordingListener listener;
    const Listening listening(*store, listener);
    store->follow(pool);
    REQUIRE(eventually([&] {
        return set.server(set.primary()).command({"PUBSUB", "NUMSUB", "sema:{" + pool.str() + "}"})[1] == "1";
    }));
    CHECK_FALSE(store->is_lost(other->self()));
    Version version = 1;
    REQUIRE(committed(commit(*other, {change(pool).to(version).count(4)})));
    CHECK(listener.hears_of(pool, version));
    const TimePoint before = store->now();
    const auto generation = store->generation();
    const std::size_t first = set.primary();

    set.server(first).kill9();
    for (SharedStore* each : {store.get(), other.get()}) {
        CHECK(time_of([&] { CHECK_FALSE(failure_text(each->load(pool)).empty()); }) < 1s);
        CHECK_FALSE(each->reachable());
    }
    // The Sentinels need two seconds or so.
    REQUIRE(eventually([&] { return store->reachable() && other->reachable(); }));
    CHECK(set.primary() != first);
    CHECK(store->generation() > generation);
    CHECK(listener.times_reached() > 0);
    CHECK(store->now() > before);
    CHECK(loaded(*store, pool).version == version);
    REQUIRE(committed(commit(*other, {change(pool).from(version).to(version + 1).count(5)})));
    CHECK(listener.hears_of(pool, version + 1));

    // The old one comes back as a replica.
    set.server(first).start();
    REQUIRE(eventually([&] { return set.replicas_online() == 2; }));
    CHECK(loaded(*store, pool).version == version + 1);
    CHECK(listener.lost_servers().empty());
}

TEST_CASE("a primary that hung and was replaced is not taken for one when it goes on") {
    SentinelSet set;
    const auto store = open_on_two(set);
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4)})));
    const std::size_t first = set.primary();
    set.server(first).pause();
    CHECK_FALSE(failure_text(commit(*store, {change(pool).from(1).to(2).count(5)})).empty());
    REQUIRE(eventually([&] { return store->reachable(); }));
    LoadResult found;
    REQUIRE(eventually([&] {
        found = store->reload(pool);
        return std::holds_alternative<PoolRecord>(found);
    }));
    const auto record = std::get<PoolRecord>(found);
    CHECK(record.count == 4);
    set.server(first).resume();
    REQUIRE(eventually([&] { return set.replicas_online() == 2; }));
    CHECK(loaded(*store, pool).version == record.version);
    CHECK(loaded(*store, pool).count == 4);
}

TEST_CASE("one Sentinel that answers is enough, and an unknown name is an error") {
    SentinelSet set;
    set.sentinel(0).kill9();
    set.sentinel(1).pause();
    CHECK(open_on_two(set)->reachable());
    set.sentinel(1).resume();
    RedisStoreOptions options = options_for(set.url());
    options.address.master = "another";
    const auto store = open_redis_store(options);
    REQUIRE_FALSE(store);
    CHECK_THAT(store.error().message, has_text("knows no master called another"));

    options = options_for(set.url());
    const auto warnings = redis_store_warnings(options);
    REQUIRE(warnings.size() == 1);
    CHECK_THAT(warnings[0], has_text("--redis-wait-replicas"));
}
