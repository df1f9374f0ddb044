// What becomes of a lease that cannot be kept. The holder is told before the slot can be lent again.
#include "tests/library/world.hpp"
#include "tests/support/proxy.hpp"

#include <atomic>
#include <ctime>
#include <future>
#include <mutex>
#include <sstream>

using namespace sema;
using namespace sema::test;

namespace {

acquire_options short_lived(std::chrono::nanoseconds ttl) {
    acquire_options options;
    options.ttl = ttl;
    return options;
}

std::int64_t since_boot() {
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return std::int64_t{time.tv_sec} * 1'000'000 + time.tv_nsec / 1000;
}

// When the slot is lent to the next one.
std::int64_t lent_again(const TestPool& slots) {
    const auto next = fully_granted(slots.borrow(R"({"ttl":60,"wait":60,"slots":1})"));
    REQUIRE(next.position == 0);
    return since_boot();
}

// A program that holds the pool's slot.
struct Holder {
    Holder(const std::string& url, const TestPool& slots, const std::string& ttl)
        : program({LEASE_HOLDER, url, slots.id(), ttl}) {
        REQUIRE(program.prints("held 0"));
    }
    // When it used the slot last, once it has been told of the loss.
    std::int64_t last_use() {
        REQUIRE(program.prints("lost "));
        REQUIRE(program.wait() == 0);
        const std::string out = program.out();
        return std::stoll(out.substr(out.rfind(' ') + 1));
    }
    Program program;
};

}  // namespace

TEST_CASE("a lease that is revoked is lost as soon as its next renewal says so") {
    World world(1);
    lease held = world.pool.acquire(short_lived(5s));
    std::atomic<int> calls = 0;
    held.on_lost([&] { ++calls; });
    world.slots.revoke(R"({"position":0})");
    REQUIRE(eventually([&] { return held.lost().stop_requested(); }));
    CHECK(eventually([&] { return calls == 1; }));
    CHECK_FALSE(held);
    CHECK(held.reason() == errc::lease_lost);
    held.on_lost([&] { ++calls; });
    CHECK(calls == 2);
    CHECK_FALSE(held.give_back());
}

TEST_CASE("a lease whose pool is deleted is lost") {
    World world(1);
    const lease held = world.pool.acquire(short_lived(5s));
    world.slots.remove();
    REQUIRE(eventually([&] { return held.lost().stop_requested(); }));
    CHECK(held.reason() == errc::lease_lost);
}

TEST_CASE("in an outage a holder is told before its slot is lent to the next one") {
    RunningServer server;
    TestPool slots(server, 1);
    Proxy proxy(server.port());
    Holder holder(proxy.url(), slots, "3");
    proxy.become(GENERATE(Proxy::State::silent, Proxy::State::cutting, Proxy::State::mute));
    const std::int64_t lent = lent_again(slots);
    CHECK(holder.last_use() < lent);
    CHECK(holder.program.out().find("no server is available") != std::string::npos);
}

TEST_CASE("a process that is stopped past the end of its lease does not use the slot when it goes on") {
    RunningServer server;
    TestPool slots(server, 1);
    Holder holder(server.url(), slots, "2");
    holder.program.signal(SIGSTOP);
    const std::int64_t lent = lent_again(slots);
    holder.program.signal(SIGCONT);
    CHECK(holder.last_use() < lent);
}

TEST_CASE("a lease that is over is known to be lost before the client's thread has come to it") {
    World world(3);
    const acquire_options options = short_lived(2s);
    const lease held = world.pool.acquire(options);
    counting_semaphore permits(world.client, world.slots.id(), 3, options);
    permits.acquire();
    sema::mutex mutex(world.client, world.slots.id(), options);
    const std::lock_guard lock(mutex);
    // As after a stop of the process, where another thread may be the first to go on.
    std::promise<void> end;
    std::atomic<bool> is_held_up = false;
    world.pool.start_state([&, over = end.get_future().share()](std::error_code, pool_state) {
        is_held_up = true;
        over.wait();
    });
    REQUIRE(eventually([&] { return is_held_up.load(); }));
    REQUIRE(eventually([&] { return world.slots.in_use() == 0; }));
    CHECK(permits.lost().stop_requested());
    CHECK(mutex.lost().stop_requested());
    CHECK_FALSE(held);
    CHECK(held.reason() == errc::unavailable);
    CHECK(held.lost().stop_requested());
    end.set_value();
}

TEST_CASE("a slot of a process that is killed comes back at the end of its lease") {
    RunningServer server;
    TestPool slots(server, 1);
    Holder holder(server.url(), slots, "1");
    holder.program.signal(SIGKILL);
    CHECK(lent_again(slots) > 0);
}

TEST_CASE("a server that restarts does not lose a lease") {
    World world(1);
    const lease held = world.pool.acquire(short_lived(20s));
    const auto before = held.expires_at();
    world.server.kill9();
    world.server.start();
    REQUIRE(eventually([&] { return held.expires_at() > before + 1s; }));
    CHECK_FALSE(held.lost().stop_requested());
    CHECK(world.slots.in_use() == 1);
}

TEST_CASE("a lease that is not to be renewed is lost before it ends") {
    World world(1);
    acquire_options options = short_lived(5s);
    options.renew = false;
    const lease held = world.pool.acquire(options);
    REQUIRE(eventually([&] { return held.lost().stop_requested(); }));
    CHECK(held.reason() == errc::timed_out);
    CHECK_FALSE(held);
}

TEST_CASE("a lease of a pool that forbids renewals is lost before it ends") {
    World world(1);
    world.slots.set({{"renewable", false}, {"count", 1}});
    const lease held = world.pool.acquire(short_lived(5s));
    REQUIRE(eventually([&] { return held.lost().stop_requested(); }));
    CHECK(held.reason() == errc::not_renewable);
}

TEST_CASE("on_lost is not called once the lease is given back") {
    World world(2);
    acquire_options options = short_lived(5s);
    options.renew = false;
    std::atomic<bool> called = false;
    lease held = world.pool.acquire(options);
    held.on_lost([&] { called = true; });
    const lease later = world.pool.acquire(options);
    CHECK(held.give_back());
    REQUIRE(eventually([&] { return later.lost().stop_requested(); }));
    CHECK_FALSE(called);
}

TEST_CASE("a call that waits is refused on the client's own thread, where it would wait for ever") {
    World world(1);
    lease held = world.pool.acquire(short_lived(3s));
    std::atomic<int> refusals = 0;
    held.on_lost([&] {
        std::error_code code;
        world.pool.state(code);
        refusals += code == std::errc::resource_deadlock_would_occur;
        world.pool.acquire(patient(), code);
        refusals += code == std::errc::resource_deadlock_would_occur;
        held.give_back(code);
        refusals += code == std::errc::resource_deadlock_would_occur;
    });
    world.slots.revoke(R"({"position":0})");
    CHECK(eventually([&] { return refusals == 3; }));
}
