// The words of std::counting_semaphore, and what the library that they are modelled on promises: bounded and
// unbounded, timeouts that fire, and what others on the pool see.
#include "tests/library/world.hpp"
#include "tests/support/proxy.hpp"

#include <future>
#include <limits>
#include <memory>
#include <utility>

using namespace sema;
using namespace sema::test;

namespace {

acquire_options lasting() {
    return patient();
}

struct Permits {
    RunningServer server;
    sema::client client{server.url()};
    std::string pool = new_lease();
};

}  // namespace

TEST_CASE("a counting semaphore makes its pool, and its permits are acquired and released") {
    Permits world;
    counting_semaphore permits(world.client, world.pool, 3, lasting());
    CHECK(permits.value() == 3);
    CHECK(permits.initial_value() == 3);
    permits.acquire();
    CHECK(permits.try_acquire());
    CHECK(permits.value() == 1);
    CHECK_FALSE(permits.locked());
    CHECK(permits.try_acquire_for(1s));
    CHECK(permits.locked());
    CHECK(permits.held() == 3);
    permits.release(2);
    permits.release();
    CHECK(permits.value() == 3);
    CHECK(permits.held() == 0);
}

TEST_CASE("a counting semaphore has one permit where nothing else is said") {
    Permits world;
    CHECK(counting_semaphore(world.client, world.pool).value() == 1);
}

TEST_CASE("making a semaphore again with another value leaves the pool's count") {
    Permits world;
    const counting_semaphore first(world.client, world.pool, 3);
    const counting_semaphore second(world.client, world.pool, 5);
    CHECK(second.value() == 3);
    CHECK(second.initial_value() == 3);
    CHECK(first.value() == 3);
}

TEST_CASE("a bounded semaphore cannot be released more often than this object acquired it") {
    Permits world;
    counting_semaphore permits(world.client, world.pool, 2, lasting());
    counting_semaphore other(world.client, world.pool, 2, lasting());
    other.acquire();
    CHECK(code_of([&] { permits.release(); }) == errc::not_held);
    permits.acquire();
    CHECK(code_of([&] { permits.release(2); }) == errc::not_held);
    CHECK(permits.held() == 1);
    CHECK(permits.value() == 0);
    permits.release();
    CHECK(permits.value() == 1);
}

TEST_CASE("an unbounded semaphore that is released beyond what it holds has more permits") {
    Permits world;
    counting_semaphore permits(world.client, world.pool, 1, unbounded, lasting());
    permits.release();
    CHECK(permits.value() == 2);
    permits.acquire();
    permits.release(3);
    CHECK(permits.value() == 4);
    CHECK(permits.initial_value() == 1);
}

TEST_CASE("an unbounded semaphore whose pool cannot be raised so far keeps what it holds") {
    Permits world;
    counting_semaphore permits(world.client, world.pool, 1, unbounded, lasting());
    permits.acquire();
    CHECK(code_of([&] { permits.release(std::numeric_limits<std::ptrdiff_t>::max()); }) == errc::rejected);
    CHECK(permits.held() == 1);
    CHECK(permits.value() == 0);
    permits.release();
    CHECK(permits.value() == 1);
}

TEST_CASE("to release nothing, or less, is an invalid argument, and so is a negative value") {
    Permits world;
    counting_semaphore permits(world.client, world.pool, 1, unbounded);
    CHECK(code_of([&] { permits.release(0); }) == std::errc::invalid_argument);
    CHECK(code_of([&] { permits.release(-1); }) == std::errc::invalid_argument);
    CHECK(permits.value() == 1);
    CHECK(code_of([&] { counting_semaphore(world.client, new_lease(), -1); }) == std::errc::invalid_argument);
    CHECK(code_of([&] { counting_semaphore(world.client, "permits", 1); }) == std::errc::invalid_argument);
}

TEST_CASE("a semaphore of no permits is one to wait at until somebody raises it") {
    Permits world;
    counting_semaphore waiting(world.client, world.pool, 0, lasting());
    CHECK(waiting.locked());
    CHECK_FALSE(waiting.try_acquire());
    counting_semaphore raising(world.client, world.pool, 0, unbounded, lasting());
    TestPool slots(world.server, world.pool);
    std::thread raiser([&] {
        eventually([&] { return slots.waiting() == 1; });
        raising.release();
    });
    waiting.acquire();
    raiser.join();
    CHECK(waiting.held() == 1);
}

TEST_CASE("a time that is over on an exhausted semaphore ends the wait") {
    Permits world;
    counting_semaphore permits(world.client, world.pool, 1, lasting());
    permits.acquire();
    const auto time = time_of([&] { CHECK_FALSE(permits.try_acquire_for(200ms)); });
    CHECK(time >= 200ms);
    CHECK(time < 200ms + slack);
    CHECK_FALSE(permits.try_acquire_until(std::chrono::steady_clock::now() + 50ms));
    CHECK_FALSE(permits.try_acquire_until(std::chrono::system_clock::now() - 50ms));
}

TEST_CASE("a permit that is released wakes whoever waits, in any form") {
    Permits world;
    counting_semaphore permits(world.client, world.pool, 1, lasting());
    semaphore pool(world.client, world.pool);
    TestPool slots(world.server, world.pool);
    permits.acquire();
    std::thread releaser([&] {
        eventually([&] { return slots.waiting() == 1; });
        permits.release();
    });
    std::optional<lease> held = pool.acquire(patient());
    releaser.join();
    CHECK(permits.locked());

    std::thread giver([&] {
        eventually([&] { return slots.waiting() == 1; });
        held.reset();
    });
    permits.acquire();
    giver.join();
}

TEST_CASE("a semaphore's end releases what it holds") {
    Permits world;
    counting_semaphore watching(world.client, world.pool, 3);
    {
        counting_semaphore permits(world.client, world.pool, 3, lasting());
        permits.acquire();
        permits.acquire();
        CHECK(watching.value() == 1);
    }
    CHECK(watching.value() == 3);
}

TEST_CASE("a semaphore with many permits ends within its bound while the server does not answer") {
    RunningServer server;
    Proxy proxy(server.port());
    client client(proxy.url());
    auto permits = std::make_unique<counting_semaphore>(client, new_lease(), 8, lasting());
    for (int i = 0; i < 8; ++i)
        permits->acquire();
    proxy.become(Proxy::State::silent);
    CHECK(time_of([&] { permits.reset(); }) < bound);
}

TEST_CASE("a permit that was lost is told of, and its release says so") {
    Permits world;
    acquire_options options;
    options.ttl = 3s;
    counting_semaphore permits(world.client, world.pool, 1, options);
    permits.acquire();
    TestPool(world.server, world.pool).revoke(R"({"position":0})");
    REQUIRE(eventually([&] { return permits.lost().stop_requested(); }));
    CHECK(code_of([&] { permits.release(); }) == errc::lease_lost);
    CHECK(permits.held() == 0);
    CHECK(permits.value() == 1);
}

TEST_CASE("in a callback a release is refused, and a semaphore's end does not wait") {
    Permits world;
    auto permits = std::make_unique<counting_semaphore>(world.client, world.pool, 2, lasting());
    permits->acquire();
    permits->acquire();
    semaphore pool(world.client, world.pool);
    std::promise<std::pair<std::error_code, std::chrono::milliseconds>> seen;
    pool.start_state([&](std::error_code, pool_state) {
        const std::error_code code = code_of([&] { permits->release(); });
        const auto time = time_of([&] { permits.reset(); });
        seen.set_value({code, time});
    });
    auto answer = seen.get_future();
    REQUIRE(answer.wait_for(patience) == std::future_status::ready);
    const auto [code, time] = answer.get();
    CHECK(code == std::errc::resource_deadlock_would_occur);
    CHECK(time < 1s);
    CHECK(eventually([&] { return pool.state().in_use == 0; }));
}
