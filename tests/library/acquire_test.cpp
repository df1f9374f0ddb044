#include "tests/library/world.hpp"
#include "tests/support/proxy.hpp"
#include "tests/support/scripted_server.hpp"

#include <limits>
#include <mutex>
#include <thread>

using namespace sema;
using namespace sema::test;

TEST_CASE("acquire gives the slot with what is known of it, and the lease's end gives it back") {
    World world(0);
    world.slots.set({{"count", 2}, {"slots", {"/dev/a", {{"host", "b"}}}}});
    {
        const lease first = world.pool.acquire(patient());
        const lease second = world.pool.acquire(patient());
        CHECK(first);
        CHECK(first.position() == 0);
        CHECK(first.payload() == "/dev/a");
        CHECK(second.position() == 1);
        CHECK(second.payload() == R"({"host":"b"})");
        CHECK(second.fence() > first.fence());
        CHECK(first.id().size() == 36);
        const auto left = first.expires_at() - std::chrono::system_clock::now();
        CHECK(left > 2min);
        CHECK(left <= 5min);
        CHECK(world.slots.in_use() == 2);
    }
    CHECK(world.slots.in_use() == 0);
}

TEST_CASE("several slots are acquired all or none") {
    World world(3);
    acquire_options two = patient(0s);
    two.slots = 2;
    const lease held = world.pool.acquire(two);
    CHECK(held.positions() == std::vector<unsigned>{0, 1});
    CHECK(held.payloads().size() == 2);
    CHECK_FALSE(world.pool.try_acquire(two));
}

TEST_CASE("who waits in vain gets no_slot when the wait is over, as an exception or as a code") {
    World world(1);
    const lease held = world.pool.acquire(patient());
    std::error_code thrown;
    const auto time = time_of([&] { thrown = code_of([&] { world.pool.acquire(patient(300ms)); }); });
    CHECK(thrown == errc::no_slot);
    CHECK(thrown == std::errc::resource_unavailable_try_again);
    CHECK(time >= 300ms);
    CHECK(time < 300ms + slack);

    std::error_code code;
    CHECK_FALSE(world.pool.acquire(patient(1ms), code));
    CHECK(code == errc::no_slot);
}

TEST_CASE("the try calls give nothing where no slot is free in their time, and no error") {
    World world(1);
    const lease held = world.pool.acquire(patient());
    CHECK_FALSE(world.pool.try_acquire(patient()));
    CHECK_FALSE(world.pool.try_acquire_for(50ms, patient()));
    CHECK_FALSE(world.pool.try_acquire_for(-1s, patient()));
    CHECK_FALSE(world.pool.try_acquire_until(std::chrono::steady_clock::now() + 50ms, patient()));
    CHECK_FALSE(world.pool.try_acquire_until(std::chrono::system_clock::now() - 1h, patient()));
    std::error_code code = errc::rejected;
    CHECK_FALSE(world.pool.try_acquire(patient(), code));
    CHECK_FALSE(code);
}

TEST_CASE("who waits is granted the slot when it is given back") {
    World world(1);
    std::optional<lease> held = world.pool.acquire(patient());
    std::thread giver([&] {
        eventually([&] { return world.slots.waiting() == 1; });
        held->give_back();
    });
    const lease next = world.pool.acquire(patient());
    giver.join();
    CHECK(next);
    CHECK(next.fence() > held->fence());
}

TEST_CASE("who asks with a greater priority comes first") {
    World world(1);
    std::optional<lease> held = world.pool.acquire(patient());
    std::mutex mutex;
    std::vector<int> order;
    const auto wait = [&](int priority) {
        return std::thread([&, priority] {
            acquire_options options = patient();
            options.priority = priority;
            const lease mine = world.pool.acquire(options);
            const std::lock_guard lock(mutex);
            order.push_back(priority);
        });
    };
    std::thread later = wait(0);
    REQUIRE(eventually([&] { return world.slots.waiting() == 1; }));
    std::thread sooner = wait(5);
    REQUIRE(eventually([&] { return world.slots.waiting() == 2; }));
    held.reset();
    later.join();
    sooner.join();
    CHECK(order == std::vector<int>{5, 0});
}

TEST_CASE("a pool's state, holders and count") {
    World world(2);
    acquire_options options = patient();
    options.holder = "nightly";
    options.holder_url = "https://ci.example/7";
    const lease held = world.pool.acquire(options);
    const pool_state state = world.pool.state();
    CHECK(state.count == 2);
    CHECK(state.in_use == 1);
    CHECK(state.available == 1);

    const auto holders = world.pool.holders();
    REQUIRE(holders.size() == 1);
    CHECK(holders[0].name == "nightly");
    CHECK(holders[0].url == "https://ci.example/7");
    CHECK(holders[0].position == held.position());
    CHECK(holders[0].fence == held.fence());
    CHECK(holders[0].granted_at > std::chrono::system_clock::now() - 1h);
    CHECK(holders[0].expires_at > holders[0].granted_at);

    CHECK(world.pool.resize(3).count == 5);
    CHECK(world.pool.resize(-4).count == 1);
    CHECK(code_of([&] { world.pool.resize(-2); }) == errc::rejected);
    CHECK(world.pool.create(7).count == 7);
}

TEST_CASE("a pool that is not there is no_such_pool in every call") {
    World world(1);
    semaphore other(world.client, new_lease());
    std::error_code code;
    CHECK(code_of([&] { other.acquire(patient()); }) == errc::no_such_pool);
    CHECK(code_of([&] { other.try_acquire(); }) == errc::no_such_pool);
    CHECK(code_of([&] { other.state(); }) == errc::no_such_pool);
    CHECK(code_of([&] { other.holders(); }) == errc::no_such_pool);
    CHECK(code_of([&] { other.resize(1); }) == errc::no_such_pool);
    other.state(code);
    CHECK(code == errc::no_such_pool);
    CHECK(other.create(1).count == 1);
    other.state(code);
    CHECK_FALSE(code);
}

TEST_CASE("a pool that is deleted answers those who wait for it") {
    World world(1);
    const lease held = world.pool.acquire(patient());
    std::thread deleter([&] {
        eventually([&] { return world.slots.waiting() == 1; });
        world.slots.remove();
    });
    CHECK(code_of([&] { world.pool.acquire(patient()); }) == errc::no_such_pool);
    deleter.join();
}

TEST_CASE("what is wrong with an argument is said before anybody is asked") {
    client nowhere("http://127.0.0.1:9");
    const auto invalid = std::errc::invalid_argument;
    CHECK(code_of([&] { semaphore(nowhere, "vsim"); }) == invalid);
    CHECK(code_of([] { client("ftp://server"); }) == invalid);
    CHECK(code_of([] { client(client_options{.call_timeout = 0s}); }) == invalid);
    CHECK(code_of([] { client(client_options{.most_places = 0}); }) == invalid);
    CHECK(code_of([] { client(client_options{.key_file = "key.pem"}); }) == invalid);
    semaphore pool(nowhere, new_lease());
    for (const auto& spoil : std::vector<std::function<void(acquire_options&)>>{
             [](auto& o) { o.ttl = 0s; }, [](auto& o) { o.ttl = 999ms; }, [](auto& o) { o.wait = -1ns; },
             [](auto& o) { o.slots = 0; }, [](auto& o) { o.priority = 101; },
             [](auto& o) { o.priority = -101; },
             [](auto& o) { o.priority = std::numeric_limits<int>::min(); }, [](auto& o) { o.grace = -1s; },
             [](auto& o) { o.id = "mine"; }}) {
        acquire_options options;
        spoil(options);
        CHECK(code_of([&] { pool.acquire(options); }) == invalid);
    }
    acquire_options hasty;
    hasty.grace = -1s;
    CHECK_THROWS_WITH(pool.acquire(hasty), Catch::Matchers::StartsWith("acquire_options::grace: "));
    CHECK(code_of([&] { pool.attach(new_lease(), hasty); }) == invalid);
    acquire_options short_lived;
    short_lived.ttl = 999ms;
    CHECK(code_of([&] { pool.attach(new_lease(), short_lived); }) == invalid);
    CHECK(code_of([&] { pool.keepalive("mine", 1s); }) == invalid);
    CHECK(code_of([&] { pool.give_back("mine"); }) == invalid);
}

TEST_CASE("without a server a call fails in its time, and says which server, but no secret") {
    const ReservedPort port;
    client_options options;
    options.server = "http://127.0.0.1:" + std::to_string(port.number());
    client nobody(options);
    const std::string id = new_lease();
    semaphore pool(nobody, id);
    const auto fails = [&](auto call) {
        try {
            call();
        } catch (const error& error) {
            const std::string what = error.what();
            CHECK(what.find(options.server) != std::string::npos);
            CHECK(what.find(id) == std::string::npos);
            return error.code() == errc::unavailable;
        }
        return false;
    };
    CHECK(fails([&] { pool.state(); }));
    CHECK(fails([&] { pool.try_acquire(); }));
    CHECK(fails([&] { counting_semaphore(nobody, id); }));
    CHECK(fails([&] { sema::mutex(nobody, id); }));
    CHECK(time_of([&] { CHECK(fails([&] { pool.acquire(patient(200ms)); })); }) < 200ms + slack);
}

TEST_CASE("a server's own words are shown on one line, without control characters and UUIDs") {
    const std::string id = new_lease();
    ScriptedServer server(
        {{Scene::Wait::for_request,
          http("400 Bad Request", R"({"error":"lease\u001b[2J: no )" + id + R"(\n here"})")}});
    client client(server.url());
    std::string what;
    try {
        semaphore(client, id).state();
    } catch (const error& error) {
        what = error.what();
    }
    CHECK_THAT(what, has_text("refused: lease [2J: no <UUID>  here (status 400"));
}

TEST_CASE("without an answer a call ends by its limit, and a wait soon after its end") {
    RunningServer server;
    Proxy proxy(server.port());
    TestPool slots(server, 1);
    client_options options;
    options.server = proxy.url();
    options.call_timeout = 300ms;
    client client(options);
    semaphore pool(client, slots.id());
    // What is asked for arrives, and its answer does not.
    proxy.become(Proxy::State::mute);
    const auto time_to_fail = [&](auto call) {
        return time_of([&] { CHECK(code_of(call) == errc::unavailable); });
    };
    CHECK(time_to_fail([&] { pool.try_acquire(patient()); }) < 300ms + slack);
    CHECK(time_to_fail([&] { pool.acquire(patient(0s)); }) < 300ms + slack);
    CHECK(time_to_fail([&] { pool.acquire(patient(500ms)); }) < 800ms + slack);
    // What was granted without being heard of is withdrawn.
    CHECK(eventually([&] { return slots.in_use() == 0 && slots.waiting() == 0; }));
}

TEST_CASE("a moment that is further away than a clock can count is over, or far away") {
    World world(1);
    const lease held = world.pool.acquire(patient());
    using std::chrono::steady_clock;
    using std::chrono::system_clock;
    using fractional = std::chrono::duration<double>;
    CHECK_FALSE(world.pool.try_acquire_until(steady_clock::time_point::min(), patient()));
    CHECK_FALSE(world.pool.try_acquire_until(system_clock::time_point::min(), patient()));
    CHECK_FALSE(
        world.pool.try_acquire_until(std::chrono::sys_days(std::chrono::days(-10'000'000)), patient()));
    CHECK_FALSE(world.pool.try_acquire_for(fractional(std::numeric_limits<double>::quiet_NaN()), patient()));

    mutex mutex(world.client, world.slots.id(), patient());
    const auto waits = [&](auto moment) {
        std::thread locker([&] {
            if (mutex.try_lock_until(moment)) mutex.unlock();
        });
        const bool is_waiting = eventually([&] { return world.slots.waiting() == 1; });
        world.slots.revoke(R"({"position":0})");
        locker.join();
        return is_waiting;
    };
    CHECK(waits(std::chrono::sys_days(std::chrono::year(9999) / 12 / 31)));
    CHECK(eventually([&] { return world.slots.in_use() == 0; }));
    const lease again = world.pool.acquire(patient());
    CHECK(waits(steady_clock::time_point::max()));
}

TEST_CASE("a lease's id that the caller chose is the same lease, however often it is asked for") {
    World world(2);
    acquire_options options = patient();
    options.id = new_lease();
    lease first = world.pool.acquire(options);
    lease again = world.pool.acquire(options);
    CHECK(first.id() == options.id);
    CHECK(again.fence() == first.fence());
    CHECK(world.slots.in_use() == 1);
    CHECK(again.give_back());
    CHECK_FALSE(first.give_back());
}

TEST_CASE("a lease that another one left is taken over, renewed and returned by its id") {
    World world(1);
    const std::string id = world.pool.acquire(patient()).detach();
    CHECK(world.slots.in_use() == 1);
    CHECK(world.pool.keepalive(id, 5min));
    {
        const lease attached = world.pool.attach(id, patient());
        CHECK(attached);
        CHECK(attached.id() == id);
    }
    CHECK(world.slots.in_use() == 0);
    CHECK_FALSE(world.pool.keepalive(id, 5min));
    CHECK_FALSE(world.pool.give_back(id));
    CHECK(code_of([&] { world.pool.attach(id, patient()); }) == errc::lease_lost);
    CHECK(world.pool.give_back(world.pool.acquire(patient()).detach()));
}

TEST_CASE("a pool whose leases cannot be renewed says so") {
    World world(1);
    world.slots.set({{"renewable", false}, {"count", 1}});
    const lease held = world.pool.acquire(patient());
    CHECK(code_of([&] { world.pool.keepalive(held.id(), 5min); }) == errc::not_renewable);
}

TEST_CASE("an error's code and category have names of their own") {
    const std::error_code code = errc::lease_lost;
    CHECK(code.category().name() == std::string("sema"));
    CHECK(code.message() == "the lease is not held any more");
    CHECK(std::error_code(errc::timed_out) == std::errc::timed_out);
    CHECK(std::error_code(errc::cancelled) == std::errc::operation_canceled);
    CHECK(std::error_code(errc::no_slot) != std::error_code(errc::no_such_pool));
}
