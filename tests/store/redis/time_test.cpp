#include "tests/store/redis/redis_stores.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/recording_listener.hpp"
#include "tests/support/redis_server.hpp"

#include <fstream>
#include <thread>

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

/// A Redis whose wall clock can be stepped.
class SteppedRedis {
  public:
    SteppedRedis() {
        step(0s);
        test::RedisOptions options;
        options.program.environment = {{"LD_PRELOAD", WRONG_CLOCK_LIBRARY}, {"WRONG_CLOCK", file()}};
        redis.emplace(options);
    }

    void step(std::chrono::seconds from_true_time) {
        std::ofstream(file()) << from_true_time.count() << '\n';
    }

    Duration wall_time() const {
        const auto time = redis->command({"TIME"});
        return Duration(std::stoll(time[0]) * 1'000'000 + std::stoll(time[1]));
    }

    std::string corrections() const { return redis->command({"HGET", "sema:clock", "epoch"})[0]; }

    std::optional<RedisServer> redis;

  private:
    std::string file() const { return (folder_.path() / "step").string(); }

    TempDir folder_;
};

}  // namespace

TEST_CASE("a step of the store's wall clock moves no lease's end, and no server is lost by it") {
    SteppedRedis stepped;
    const auto store = open(stepped.redis->url());
    const auto other = open(stepped.redis->url());
    RecordingListener listener;
    const Listening listening(*store, listener);
    CHECK_FALSE(store->is_lost(other->self()));
    const auto began = std::chrono::steady_clock::now();
    const TimePoint start = store->now();
    int steps = 0;
    for (const auto step : {3600s, -3600s, -3599s}) {
        stepped.step(step);
        ++steps;
        REQUIRE(eventually([&] { return stepped.corrections() == std::to_string(steps); }));
        // Both know of it: what they take for the wall clock is its time again.
        REQUIRE(eventually([&] {
            const Duration wall = stepped.wall_time();
            return std::chrono::abs(store->unix_time(store->now()) - wall) < 300ms &&
                   std::chrono::abs(other->unix_time(other->now()) - wall) < 300ms;
        }));
        const auto elapsed = std::chrono::steady_clock::now() - began;
        CHECK(std::chrono::abs(store->now() - start - elapsed) < 500ms);
        CHECK(std::chrono::abs(store->now() - other->now()) < 300ms);
    }
    // Who comes later has the same time.
    const auto later = open(stepped.redis->url());
    CHECK(eventually([&] { return std::chrono::abs(later->now() - store->now()) < 300ms; }));
    CHECK(listener.lost_servers().empty());
    CHECK(store->reachable());
}

TEST_CASE("who comes right after a step of the store's clock, and has seen nothing of it, has the right time",
          "[alone]") {
    for (const auto step : {3600s, -3600s}) {
        SteppedRedis stepped;
        const auto store = open(stepped.redis->url());
        stepped.step(step);
        const auto newcomer = open(stepped.redis->url());
        CHECK(std::chrono::abs(newcomer->now() - store->now()) < 300ms);
        CHECK(stepped.corrections() == "1");
    }
}

TEST_CASE("with nobody else there, the store's clock is the truth, whatever it showed before") {
    SteppedRedis stepped;
    open(stepped.redis->url());
    stepped.step(3600s);
    const auto store = open(stepped.redis->url());
    CHECK(eventually(
        [&] { return std::chrono::abs(store->unix_time(store->now()) - stepped.wall_time()) < 300ms; }));
    CHECK(stepped.corrections() == "(nil)");
}

TEST_CASE("the time goes on evenly when the store loses what it knew of it") {
    SteppedRedis stepped;
    const auto store = open(stepped.redis->url());
    const auto other = open(stepped.redis->url());
    stepped.step(-3600s);
    REQUIRE(eventually([&] { return stepped.corrections() == "1"; }));
    // For both to see it.
    std::this_thread::sleep_for(600ms);
    const auto began = std::chrono::steady_clock::now();
    const TimePoint start = store->now();
    stepped.redis->command({"FLUSHALL"});
    REQUIRE(eventually([&] { return stepped.corrections() == "2"; }));
    std::this_thread::sleep_for(600ms);
    CHECK(stepped.corrections() == "2");
    for (const auto& handle : {store.get(), other.get()}) {
        const auto elapsed = std::chrono::steady_clock::now() - began;
        CHECK(std::chrono::abs(handle->now() - start - elapsed) < 300ms);
        CHECK(std::chrono::abs(handle->unix_time(handle->now()) - stepped.wall_time()) < 300ms);
    }
}

TEST_CASE("who has not seen yet that its time is another than the store's changes nothing") {
    SteppedRedis stepped;
    const auto store = open(stepped.redis->url());
    const PoolId pool = PoolId::random();
    Changes made;
    made.count = 3;
    // As a server that was halted does before anything else.
    stepped.redis->command({"HSET", "sema:clock", "offset", "20000000"});
    const auto refused = store->commit({{pool, 0, 5, made}}, std::nullopt);
    CHECK(std::get<StoreFailure>(refused[0]).message.find("set its clock") != std::string::npos);
    CHECK(store->reachable());
    CHECK(std::holds_alternative<Absent>(store->load(pool)));
    REQUIRE(eventually([&] {
        return std::holds_alternative<Committed>(store->commit({{pool, 0, 5, made}}, std::nullopt)[0]);
    }));
    CHECK(std::get<PoolRecord>(store->load(pool)).count == 3);
    CHECK(stepped.corrections() == "1");
}

TEST_CASE("a clock that is stepped to and fro leaves the timeline as it was") {
    SteppedRedis stepped;
    const auto store = open_patiently(stepped.redis->url());
    const auto other = open_patiently(stepped.redis->url());
    const auto began = std::chrono::steady_clock::now();
    const TimePoint start = store->now();
    const PoolId pool = PoolId::random();
    Changes made;
    made.count = 3;
    for (const auto there : {3600s, -3600s, -20s}) {
        for (const auto stay : {50ms, 150ms, 250ms, 300ms, 600ms, 1000ms}) {
            stepped.step(there);
            std::this_thread::sleep_for(stay);
            stepped.step(0s);
            for (int i = 0; i < 10; ++i) {
                std::this_thread::sleep_for(100ms);
                for (const auto& handle : {store.get(), other.get()}) {
                    const auto elapsed = std::chrono::steady_clock::now() - began;
                    REQUIRE(std::chrono::abs(handle->now() - start - elapsed) < 500ms);
                }
            }
            CAPTURE(there.count(), stay.count(), stepped.corrections());
            REQUIRE(eventually([&] {
                const auto done = other->commit({{pool, 0, 5, made}}, std::nullopt);
                return std::holds_alternative<Committed>(done[0]);
            }));
            Changes gone;
            gone.cleared = true;
            const auto cleared = other->commit({{pool, 5, 0, gone}}, std::nullopt);
            INFO(failure_text(cleared));
            REQUIRE(std::holds_alternative<Committed>(cleared[0]));
        }
    }
}
