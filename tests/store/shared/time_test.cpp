#include "server/store/shared/shared_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/fake_engine.hpp"
#include "tests/support/store_changes.hpp"

// The timeline that all servers share, whatever is done to the store's clock.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;
using Call = FakeEngine::Call;

namespace {

Duration off(const FakeServer& a, const FakeServer& b) {
    return std::chrono::abs(a.store->now() - b.store->now());
}

/// Two servers, and how far the timeline is from where it should be.
struct TwoServers {
    FakeStore fake;
    FakeServer one{fake};
    FakeServer two{fake};
    Duration began = one.engine->boot_time();
    TimePoint start = one.store->now();

    Duration error() {
        const TimePoint right = start + (two.engine->boot_time() - began);
        return std::max(std::chrono::abs(one.store->now() - right),
                        std::chrono::abs(two.store->now() - right));
    }
    bool knows_wall(const FakeServer& server) {
        return std::chrono::abs(server.store->unix_time(server.store->now()) - fake.wall()) < 300ms;
    }
};

}  // namespace

TEST_CASE(
    "a step of the store's clock is taken back once, by whichever server, and the time goes on evenly") {
    for (const auto step : {3600s, -3600s, 1s}) {
        TwoServers servers;
        servers.fake.advance(1s);
        servers.fake.step_clock(step);
        servers.fake.advance(900ms);
        CHECK(servers.fake.corrections() == 0);
        CHECK(servers.error() < 10ms);
        servers.fake.advance(1s);
        CHECK(servers.fake.corrections() == 1);
        CHECK(servers.error() < 10ms);
        CHECK(servers.knows_wall(servers.one));
        CHECK(servers.knows_wall(servers.two));
        servers.fake.advance(1min);
        CHECK(servers.fake.corrections() == 1);
        CHECK(servers.one.store->reachable());
    }
}

TEST_CASE("a correction whose answer is lost, or that does not arrive, comes about once") {
    for (const bool is_applied : {false, true}) {
        TwoServers servers;
        servers.fake.step_clock(3600s);
        for (FakeServer* server : {&servers.one, &servers.two}) {
            is_applied ? server->engine->lose_answer(Call::correct) : server->engine->fail(Call::correct);
        }
        servers.fake.advance(4s);
        CHECK(servers.fake.corrections() == 1);
        CHECK(servers.error() < 10ms);
        CHECK(servers.one.store->reachable());
        CHECK(servers.two.store->reachable());
    }
}

TEST_CASE("a clock that is set to and fro between two looks moves nothing") {
    TwoServers servers;
    for (const auto there : {3600s, -20s}) {
        for (const auto stay : {50ms, 300ms, 600ms, 1000ms, 1300ms, 2600ms}) {
            servers.fake.step_clock(there);
            servers.fake.advance(stay);
            servers.fake.step_clock(-there);
            for (int i = 0; i < 30; ++i) {
                servers.fake.advance(100ms);
                REQUIRE(servers.error() < 20ms);
            }
        }
    }
    CHECK(servers.one.store->reachable());
}

TEST_CASE("who comes just after a step waits until others have taken it back") {
    for (const auto step : {3600s, -3600s}) {
        TwoServers servers;
        servers.fake.advance(1s);
        servers.fake.step_clock(step);
        const FakeServer newcomer(servers.fake);
        CHECK(off(newcomer, servers.one) < 10ms);
        CHECK(servers.fake.corrections() == 1);
    }
}

TEST_CASE("with nobody else there, the store's clock is the truth, whatever it showed before") {
    FakeStore fake;
    std::optional<FakeServer> before(fake);
    before.reset();
    fake.step_clock(3600s);
    const FakeServer server(fake);
    CHECK(server.store->unix_time(server.store->now()) == fake.wall());
    fake.advance(10s);
    CHECK(fake.corrections() == 0);
}

TEST_CASE("a store that forgets what it knew of the time is told it again at once") {
    TwoServers servers;
    servers.fake.step_clock(-3600s);
    servers.fake.advance(3s);
    REQUIRE(servers.fake.corrections() == 1);
    servers.fake.forget_clock();
    servers.fake.advance(250ms);
    CHECK(servers.fake.corrections() == 2);
    servers.fake.advance(5s);
    CHECK(servers.fake.corrections() == 2);
    CHECK(servers.error() < 10ms);
    CHECK(servers.knows_wall(servers.one));
}

TEST_CASE("a machine that stood still, its clock too, changes nothing until it goes by the others' time") {
    TwoServers servers;
    const PoolId pool = PoolId::random();
    servers.fake.advance(1s);
    servers.one.engine->halt(20s);
    // It commits before its watch has looked.
    const auto refused = servers.one.store->commit({change(pool).to(1).count(3)}, std::nullopt);
    CHECK_THAT(failure_text(refused), has_text("set its clock"));
    CHECK(servers.one.store->reachable());
    CHECK(absent(*servers.two.store, pool));
    servers.fake.advance(3s);
    CHECK(servers.error() < 20ms);
    CHECK(servers.fake.corrections() == 0);
    CHECK(committed(servers.one.store->commit({change(pool).to(1).count(3)}, std::nullopt)));
}

TEST_CASE("the time never goes back, and stands still where it was ahead") {
    TwoServers servers;
    // Less than what counts as a step is followed.
    const TimePoint before = servers.one.store->now();
    servers.fake.step_clock(-400ms);
    servers.fake.advance(250ms);
    CHECK(servers.one.store->now() >= before);
    TimePoint last = servers.one.store->now();
    for (int i = 0; i < 20; ++i) {
        servers.fake.advance(50ms);
        REQUIRE(servers.one.store->now() >= last);
        last = servers.one.store->now();
    }
    CHECK(std::chrono::abs(servers.one.store->unix_time(last) - servers.fake.wall()) < 10ms);
}
