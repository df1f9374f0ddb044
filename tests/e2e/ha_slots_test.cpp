#include "tests/e2e/ha_pair.hpp"

// Slots that are out of service, where two servers share the pool.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

void set_slot(const RunningServer& server, const TestPool& pool, int position, const Json& body) {
    const std::string target = pool.path() + "/slots/" + std::to_string(position);
    REQUIRE(call(server.port(), "PUT", target, body.dump()).status == 200);
}

}  // namespace

TEST_CASE("what one server takes out of service, no other lends") {
    Pair pair;
    const TestPool pool(pair.one, 2);
    const TestPool there = pair.there(pool);
    CHECK(there.available() == 2);
    set_slot(pair.one, pool, 0, {{"out", true}, {"reason", "fan"}});
    CHECK(there.available() == 1);
    CHECK(there.take().position == 1);
    CHECK_FALSE(there.takes_one());
    CHECK(there.view().at("out").at(0).at("reason") == "fan");
    set_slot(pair.other, pool, 0, {{"out", true}, {"reason", "waits for a fan"}});
    CHECK(pool.view().at("out").at(0).at("reason") == "waits for a fan");
    pair.one.kill9();
    CHECK_FALSE(there.takes_one());
    pair.one.start();
    CHECK(pool.available() == 0);
}

TEST_CASE("a slot that is put back on one server goes to who waits on another, at once", "[alone]") {
    Pair pair(one_thread);
    const TestPool pool(pair.one, 1);
    set_slot(pair.other, pool, 0, {{"out", true}});
    RawClient waiter = pair.there(pool).queue_up();
    REQUIRE(shows_waiting(pool, 1));
    set_slot(pair.one, pool, 0, {{"out", false}});
    const Stopwatch since_back;
    CHECK(granted(waiter.receive()).position == 0);
    CHECK(since_back.elapsed() < promptly);
}

TEST_CASE("two servers lend the slot that has been idle longest over both") {
    Pair pair;
    const TestPool pool(pair.one, 2);
    const TestPool there = pair.there(pool);
    pool.set({{"count", 2}, {"pick", "idle"}});
    const Slot zero = pool.take();
    const Slot one = there.take();
    CHECK(there.returns(one));
    CHECK(pool.returns(zero));
    CHECK(pool.take().position == 1);
    CHECK(there.take().position == 0);
}
