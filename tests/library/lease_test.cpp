#include "tests/library/world.hpp"
#include "tests/support/proxy.hpp"

using namespace sema;
using namespace sema::test;

TEST_CASE("a lease is renewed for as long as it is held") {
    World world(1);
    acquire_options options;
    options.ttl = 6s;
    const lease held = world.pool.acquire(options);
    const auto first = held.expires_at();
    REQUIRE(eventually([&] { return held.expires_at() > first + 6s; }));
    CHECK(held);
    CHECK_FALSE(held.lost().stop_requested());
    CHECK_FALSE(held.reason());
    CHECK(world.slots.in_use() == 1);
}

TEST_CASE("a lease that was waited for has its whole time when it comes") {
    World world(1);
    acquire_options first;
    first.ttl = 2s;
    first.renew = false;
    world.pool.acquire(first).detach();
    acquire_options next;
    next.ttl = 5s;
    next.renew = GENERATE(true, false);
    const lease held = world.pool.acquire(next);
    CHECK(held);
    CHECK(held.expires_at() - std::chrono::system_clock::now() > 3s);
}

TEST_CASE("give_back says whether the lease was still held, and a second time that it is not") {
    World world(1);
    lease held = world.pool.acquire(patient());
    CHECK(held.give_back());
    CHECK_FALSE(held);
    CHECK_FALSE(held.give_back());

    lease revoked = world.pool.acquire(patient());
    world.slots.revoke(R"({"position":0})");
    CHECK_FALSE(revoked.give_back());
}

TEST_CASE("an empty lease says that of itself, and breaks nothing") {
    lease none;
    CHECK_FALSE(none);
    CHECK(none.position() == 0);
    CHECK(none.positions().empty());
    CHECK(none.fence() == 0);
    CHECK(none.id().empty());
    CHECK(none.payload().empty());
    CHECK_FALSE(none.lost().stop_possible());
    CHECK(none.detach().empty());
    CHECK_FALSE(none.give_back());
    none.on_lost([] {});
    lease other = std::move(none);
    none = std::move(other);
}

TEST_CASE("a lease moves with its slot, and gives back what it held where another one takes its place") {
    World world(2);
    lease first = world.pool.acquire(patient());
    lease second = world.pool.acquire(patient());
    const auto fence = second.fence();
    first = std::move(second);
    CHECK(world.slots.in_use() == 1);
    CHECK(first.fence() == fence);
    CHECK_FALSE(second);
    first = lease();
    CHECK(world.slots.in_use() == 0);
}

TEST_CASE("a detached lease is not returned") {
    World world(1);
    const std::string id = world.pool.acquire(patient()).detach();
    CHECK(world.slots.in_use() == 1);
    CHECK(world.pool.give_back(id));
}

TEST_CASE("an exception that passes a lease gives it back") {
    World world(1);
    CHECK_THROWS_AS(
        [&] {
            const lease held = world.pool.acquire(patient());
            throw std::runtime_error("work failed");
        }(),
        std::runtime_error);
    CHECK(world.slots.in_use() == 0);
}

TEST_CASE(
    "a destructor ends within its bound while the server does not answer, and the lease is returned later") {
    RunningServer server;
    TestPool slots(server, 1);
    Proxy proxy(server.port());
    client client(proxy.url());
    {
        semaphore pool(client, slots.id());
        std::optional<lease> held = pool.acquire(patient());
        proxy.become(Proxy::State::silent);
        CHECK(time_of([&] { held.reset(); }) < bound);
    }
    CHECK(slots.in_use() == 1);
    proxy.become(Proxy::State::open);
    CHECK(eventually([&] { return slots.in_use() == 0; }));
}

TEST_CASE("give_back tells when it is not known whether the lease is returned") {
    RunningServer server;
    TestPool slots(server, 1);
    Proxy proxy(server.port());
    client_options options;
    options.server = proxy.url();
    options.call_timeout = 300ms;
    client client(options);
    semaphore pool(client, slots.id());
    lease held = pool.acquire(patient());
    proxy.become(Proxy::State::silent);
    std::error_code code;
    std::string what;
    const auto give_back = [&] {
        try {
            held.give_back();
        } catch (const error& error) {
            code = error.code();
            what = error.what();
        }
    };
    CHECK(time_of(give_back) < 300ms + slack);
    CHECK(code == errc::unavailable);
    CHECK_THAT(what, Catch::Matchers::StartsWith(proxy.url()));
    CHECK_FALSE(held);
}

TEST_CASE("a lease whose time is over is not held any more, and is given back without an error") {
    World world(1);
    acquire_options options;
    options.ttl = 1s;
    options.renew = false;
    lease held = world.pool.acquire(options);
    REQUIRE(eventually([&] { return held.expires_at() < std::chrono::system_clock::now(); }));
    std::error_code code;
    CHECK_FALSE(held.give_back(code));
    CHECK_FALSE(code);
}
