// What becomes of what a client has under way when it is destroyed.
#include "tests/library/world.hpp"
#include "tests/support/proxy.hpp"

#include <thread>
#include <vector>

using namespace sema;
using namespace sema::test;

TEST_CASE("acquires that wait end with their client, in threads and in callbacks") {
    RunningServer server;
    TestPool slots(server, 0);
    std::optional<client> owner(std::in_place, server.url());
    semaphore pool(*owner, slots.id());
    std::error_code waited;
    std::thread waiting([&] { pool.acquire(patient(5min), waited); });
    std::atomic<bool> told = false;
    pool.start_acquire(patient(5min),
                       [&](std::error_code code, const lease&) { told = code == errc::client_closed; });
    REQUIRE(eventually([&] { return slots.waiting() == 2; }));
    CHECK(time_of([&] { owner.reset(); }) < bound);
    CHECK(told);
    waiting.join();
    CHECK(waited == errc::client_closed);
    CHECK(eventually([&] { return slots.waiting() == 0; }));

    std::error_code code;
    CHECK_FALSE(pool.acquire(patient(), code));
    CHECK(code == errc::client_closed);
    pool.state(code);
    CHECK(code == errc::client_closed);
}

TEST_CASE("a lease that outlives its client is lost, and not returned while it may be in use") {
    RunningServer server;
    TestPool slots(server, 1);
    std::optional<client> owner(std::in_place, server.url());
    lease held = semaphore(*owner, slots.id()).acquire(patient());
    const std::stop_token lost = held.lost();
    CHECK_FALSE(lost.stop_requested());
    owner.reset();
    CHECK(lost.stop_requested());
    CHECK_FALSE(held);
    CHECK(held.reason() == errc::client_closed);
    CHECK(slots.in_use() == 1);
    std::error_code code;
    CHECK_FALSE(held.give_back(code));
    CHECK(code == errc::client_closed);
}

TEST_CASE("a client waits for leases that are being returned, but not for a server that does not answer") {
    RunningServer server;
    TestPool slots(server, 1);
    Proxy proxy(server.port());
    std::optional<client> owner(std::in_place, server.url());
    semaphore(*owner, slots.id()).acquire(patient()).start_give_back([](std::error_code, bool) {});
    owner.reset();
    CHECK(slots.in_use() == 0);

    owner.emplace(proxy.url());
    lease held = semaphore(*owner, slots.id()).acquire(patient());
    // Its last try is under way, or the pause before the next one.
    proxy.become(GENERATE(Proxy::State::silent, Proxy::State::cutting));
    std::atomic<bool> told = false;
    held.start_give_back([&](std::error_code code, bool) { told = code == errc::client_closed; });
    CHECK(time_of([&] { owner.reset(); }) < bound);
    CHECK(told);
}

TEST_CASE("a client ends though a call is begun anew whenever one fails") {
    RunningServer server;
    TestPool slots(server, 0);
    std::optional<client> owner(std::in_place, server.url());
    semaphore pool(*owner, slots.id());
    // Of the client's thread.
    int open = 1;
    bool is_beginning = false;
    bool was_refused = false;
    semaphore::acquired anew = [&](std::error_code code, const lease&) {
        --open;
        if (code != errc::client_closed) return;
        if (is_beginning) {
            was_refused = true;
            return;
        }
        is_beginning = true;
        ++open;
        pool.start_acquire(patient(5min), anew);
        is_beginning = false;
    };
    pool.start_acquire(patient(5min), anew);
    REQUIRE(eventually([&] { return slots.waiting() == 1; }));
    CHECK(time_of([&] { owner.reset(); }) < bound);
    CHECK(was_refused);
    CHECK(open == 0);
}

TEST_CASE("a client that does nothing, or whose server is away, ends at once") {
    CHECK(time_of([] { client("http://127.0.0.1:9"); }) < bound);
    client_options options;
    options.server = "http://127.0.0.1:9";
    std::optional<client> owner(options);
    semaphore pool(*owner, new_lease());
    std::error_code code;
    std::thread waiting([&] { pool.acquire(patient(), code); });
    CHECK(time_of([&] { owner.reset(); }) < bound);
    waiting.join();
    CHECK(code == errc::client_closed);
}

TEST_CASE("two clients in one process do not get in each other's way") {
    RunningServer server;
    TestPool slots(server, 1);
    client one(server.url());
    std::optional<client> two(std::in_place, server.url());
    const lease held = semaphore(one, slots.id()).acquire(patient());
    semaphore(*two, slots.id()).start_acquire(patient(), [](std::error_code, const lease&) {});
    REQUIRE(eventually([&] { return slots.waiting() == 1; }));
    two.reset();
    CHECK(held);
    CHECK_FALSE(held.lost().stop_requested());
    CHECK(semaphore(one, slots.id()).state().in_use == 1);
}
