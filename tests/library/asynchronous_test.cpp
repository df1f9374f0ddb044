// The calls that take a callback, on which <sema/asio.hpp> stands.
#include "tests/library/world.hpp"
#include "tests/support/proxy.hpp"

#include <fstream>
#include <future>
#include <thread>

using namespace sema;
using namespace sema::test;

namespace {

// What an asynchronous acquire ends with.
struct Ended {
    std::error_code code;
    lease held;
};

std::future<Ended> begin(semaphore& pool, const acquire_options& options, operation handle = {}) {
    auto ended = std::make_shared<std::promise<Ended>>();
    auto future = ended->get_future();
    pool.start_acquire(
        options,
        [ended](std::error_code code, lease held) {
            ended->set_value({code, std::move(held)});
        },
        handle);
    return future;
}

Ended result(std::future<Ended>& future) {
    REQUIRE(future.wait_for(patience) == std::future_status::ready);
    return future.get();
}

bool is_pending(std::future<Ended>& future) {
    return future.wait_for(0s) != std::future_status::ready;
}

int threads() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        int number = 0;
        if (word == "Threads:" && status >> number) return number;
    }
    return -1;
}

}  // namespace

TEST_CASE("an asynchronous acquire ends with a lease, or with why there is none") {
    World world(1);
    auto first = begin(world.pool, patient());
    Ended granted = result(first);
    CHECK_FALSE(granted.code);
    CHECK(granted.held);

    auto none = begin(world.pool, patient(0s));
    CHECK(result(none).code == errc::no_slot);
    auto late = begin(world.pool, patient(100ms));
    CHECK(result(late).code == errc::no_slot);
    auto next = begin(world.pool, patient());
    REQUIRE(eventually([&] { return world.slots.waiting() == 1; }));
    CHECK(is_pending(next));
    granted.held = lease();
    CHECK(result(next).held);
}

TEST_CASE("an acquire that is cancelled ends at once, and leaves the queue") {
    World world(1);
    const lease held = world.pool.acquire(patient());
    operation handle;
    auto waiting = begin(world.pool, patient(), handle);
    REQUIRE(eventually([&] { return world.slots.waiting() == 1; }));
    handle.cancel();
    CHECK(result(waiting).code == errc::cancelled);
    CHECK(eventually([&] { return world.slots.waiting() == 0; }));
    handle.cancel();

    auto never = begin(world.pool, patient(), handle);
    CHECK(result(never).code == errc::cancelled);
}

TEST_CASE("of acquires that are cancelled while slots are granted none is lost") {
    World world(1);
    for (int i = 0; i < 100; ++i) {
        operation handle;
        auto future = begin(world.pool, patient(), handle);
        if (i % 3 == 0) std::this_thread::yield();
        if (i % 3 == 1) std::this_thread::sleep_for(500us * (i % 7));
        handle.cancel();
        const Ended ended = result(future);
        CHECK((ended.held || ended.code == errc::cancelled));
    }
    CHECK(eventually([&] { return world.slots.in_use() == 0 && world.slots.waiting() == 0; }));
}

TEST_CASE("what waits in the client for a place is granted in its turn, and its time counts") {
    RunningServer server;
    TestPool slots(server, 1);
    client_options options;
    options.server = server.url();
    options.most_places = 2;
    client client(options);
    semaphore pool(client, slots.id());
    std::optional<lease> held = pool.acquire(patient());
    std::vector<std::future<Ended>> waiting;
    for (int i = 0; i < 5; ++i)
        waiting.push_back(begin(pool, patient()));
    auto impatient = begin(pool, patient(100ms));
    operation handle;
    auto cancelled = begin(pool, patient(), handle);
    CHECK(result(impatient).code == errc::no_slot);
    handle.cancel();
    CHECK(result(cancelled).code == errc::cancelled);
    CHECK(eventually([&] { return slots.waiting() == 2; }));
    // A pool of its own, or another priority, has places of its own.
    acquire_options urgent = patient();
    urgent.priority = 1;
    auto first = begin(pool, urgent);
    REQUIRE(eventually([&] { return slots.waiting() == 3; }));
    held.reset();
    result(first).held.give_back();
    std::uint64_t last = 0;
    for (auto& each : waiting) {
        Ended ended = result(each);
        REQUIRE(ended.held);
        CHECK(ended.held.fence() > last);
        last = ended.held.fence();
    }
}

TEST_CASE("ten thousand pending acquires cost no threads, few connections, and end with their client") {
    World world(0);
    const int before = threads();
    std::atomic<int> closed = 0;
    constexpr int many = 10'000;
    {
        client client(world.server.url());
        semaphore pool(client, world.slots.id());
        for (int i = 0; i < many; ++i) {
            pool.start_acquire(patient(5min), [&](std::error_code code, const lease&) {
                closed += code == errc::client_closed;
            });
        }
        REQUIRE(eventually([&] { return world.slots.waiting() == client_options().most_places; }));
        CHECK(threads() <= before + 2);
    }
    CHECK(closed == many);
    // One that was joined is counted for a moment more.
    CHECK(eventually([&] { return threads() == before; }));
}

TEST_CASE("the state is asked for asynchronously, and so is a lease given back") {
    World world(3);
    std::promise<pool_state> state;
    world.pool.start_state([&](std::error_code, pool_state answer) { state.set_value(answer); });
    CHECK(state.get_future().get().count == 3);

    std::promise<bool> was_held;
    lease held = world.pool.acquire(patient());
    held.start_give_back([&](std::error_code, bool answer) { was_held.set_value(answer); });
    CHECK(was_held.get_future().get());
    CHECK_FALSE(held);
    CHECK(world.slots.in_use() == 0);

    operation handle;
    handle.cancel();
    std::promise<std::error_code> cancelled;
    world.pool.start_state([&](std::error_code code, pool_state) { cancelled.set_value(code); }, handle);
    CHECK(cancelled.get_future().get() == errc::cancelled);
}

TEST_CASE("an outage, and a restart of the server, do not end a wait") {
    RunningServer server;
    TestPool slots(server, 1);
    Proxy proxy(server.port());
    client client(proxy.url());
    semaphore pool(client, slots.id());
    std::optional<lease> held = pool.acquire(patient());
    auto waiting = begin(pool, patient(5min));
    REQUIRE(eventually([&] { return slots.waiting() == 1; }));
    proxy.become(Proxy::State::cutting);
    server.kill9();
    server.start();
    CHECK(is_pending(waiting));
    proxy.become(Proxy::State::open);
    held.reset();
    CHECK(result(waiting).held);
}
