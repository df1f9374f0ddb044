#include "tests/service/shared_bench.hpp"

// Servers that meet on one pool change it by turns.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

TEST_CASE(
    "a server that waits for its turn tries nothing until it has it, and then all that was asked meanwhile") {
    World world(4);
    world.b.in_use();
    world.memory.keep_waiting(world.b.store.self());
    const auto first = world.b.borrow();
    world.b.flush();
    const Lease taken = world.a.granted();
    bool is_tried = false;
    world.memory.before_next_commit([&] { is_tried = true; });
    const auto second = world.b.borrow();
    world.b.flush();
    CHECK_FALSE(is_tried);
    CHECK_FALSE(first.answered());
    world.memory.hand(world.b.store, world.id);
    const unsigned stale = world.memory.stale();
    world.b.flush();
    CHECK(is_tried);
    CHECK(world.memory.stale() == stale);
    CHECK(taken.position() == 0);
    CHECK(lease_of(first).position() == 1);
    CHECK(lease_of(second).position() == 2);
}

TEST_CASE("a server whose turn is not announced tries again after a twentieth of a second") {
    World world;
    world.b.in_use();
    world.memory.keep_waiting(world.b.store.self());
    const auto call = world.b.borrow();
    world.b.flush();
    bool is_tried = false;
    world.memory.before_next_commit([&] { is_tried = true; });
    world.pass(49ms);
    CHECK_FALSE(is_tried);
    world.pass(1ms);
    CHECK(is_tried);
    CHECK_FALSE(call.answered());
    world.memory.hand(world.b.store, world.id);
    world.b.flush();
    CHECK(lease_of(call).position() == 0);
}

TEST_CASE("a server that has a turn and nothing to change asks, so that the turn passes on") {
    World world;
    world.b.in_use();
    const unsigned before = world.memory.questions();
    world.memory.hand(world.b.store, world.id);
    world.b.flush();
    CHECK(world.memory.questions() == before + 1);
    world.b.flush();
    CHECK(world.memory.questions() == before + 1);
}

TEST_CASE("a turn of before the store was found anew is not believed") {
    World world;
    world.b.in_use();
    world.memory.keep_waiting(world.b.store.self());
    const auto call = world.b.borrow();
    world.b.flush();
    world.memory.hand(world.b.store, world.id, true);
    world.b.flush();
    CHECK_FALSE(call.answered());
    world.pass(50ms);
    CHECK(lease_of(call).position() == 0);
}

TEST_CASE("a borrower gives up in time while its server waits for a turn") {
    World world;
    world.a.granted();
    const auto waiter = world.b.waiting(10s);
    world.memory.keep_waiting(world.b.store.self());
    const auto other = world.b.borrow(60s, 30s);
    world.b.flush();
    world.pass(10s);
    CHECK(waiter.is(Refusal::no_resource));
    CHECK_FALSE(other.answered());
}
