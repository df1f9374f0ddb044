#include "tests/service/shared_bench.hpp"

// Slots that are taken out of service and put back, leases that are revoked by their fence, and pools that
// lend the idlest slot: on one server, and where several share the pool.

using namespace std::chrono_literals;
using namespace sema;
using sema::test::Bench;
using sema::test::Calls;
using sema::test::lease_of;
using sema::test::view_of;
using sema::test::World;

namespace {

unsigned available(Calls& server) {
    const auto call = server.inspect();
    server.flush();
    return call.as<PoolCounts>().available;
}

SlotSet taken_out(Calls& server, Position position, std::optional<std::string> reason = {}) {
    const auto call = server.set_slot(position, {true, std::move(reason)});
    server.flush();
    return call.as<SlotSet>();
}

SlotSet put_back(Calls& server, Position position) {
    const auto call = server.set_slot(position, {false});
    server.flush();
    return call.as<SlotSet>();
}

}  // namespace

TEST_CASE("that a slot is out of service is told once it is stored, and undone where it could not be") {
    Bench bench;
    bench.made(2);
    bench.faults->fail_commits(1);
    const auto failed = bench.set_slot(0, {true, "fan"});
    bench.flush();
    CHECK(failed.is(Refusal::store_failed));
    CHECK(available(bench) == 2);

    const TimePoint since = bench.clock.now();
    const auto out = bench.set_slot(0, {true, "fan"});
    CHECK_FALSE(out.answered());
    bench.flush();
    CHECK(out.as<SlotSet>().position == 0);
    CHECK(out.as<SlotSet>().out == OutOfService{since, "fan"});

    bench.clock.pass(5s);
    bench.restart();
    CHECK(available(bench) == 1);
    CHECK(taken_out(bench, 0).out == OutOfService{since, "fan"});

    bench.faults->fail_commits(1);
    const auto back = bench.set_slot(0, {false});
    bench.flush();
    CHECK(back.is(Refusal::store_failed));
    CHECK(available(bench) == 1);
    CHECK_FALSE(put_back(bench, 0).out);
    bench.restart();
    CHECK(available(bench) == 2);
}

TEST_CASE("a waiter is served with a slot that is put back, stored before it is told") {
    Bench bench;
    bench.made(1);
    taken_out(bench, 0);
    const auto waiter = bench.borrow(60s, 300s);
    bench.flush();
    CHECK_FALSE(waiter.answered());
    bench.set_slot(0, {false});
    CHECK_FALSE(waiter.answered());
    bench.flush();
    CHECK(lease_of(waiter).position() == 0);
}

TEST_CASE("a slot that the pool does not have, and one of a pool that is not there, are refused") {
    Bench bench;
    bench.made(2);
    for (const bool out : {true, false}) {
        const auto call = bench.set_slot(2, {out});
        bench.flush();
        CHECK(call.is(Refusal::no_such_slot));
    }
    bench.pool = PoolId::random();
    const auto nowhere = bench.set_slot(0, {true});
    bench.flush();
    CHECK(nowhere.is(Refusal::no_such_pool));
    bench.service->drain();
    CHECK(bench.set_slot(0, {true}).is(Refusal::shutting_down));
}

TEST_CASE("a pool that is made again has all of its slots in service") {
    Bench bench;
    bench.made(1);
    taken_out(bench, 0);
    bench.remove();
    bench.made(1);
    CHECK(available(bench) == 1);
    bench.restart();
    CHECK(available(bench) == 1);
}

TEST_CASE("what one server takes out of service, the others do not lend") {
    World world(2);
    CHECK(available(world.b) == 2);
    taken_out(world.a, 0, "fan");
    CHECK(world.b.granted().position() == 1);
    const auto refused = world.c.borrow();
    world.c.flush();
    CHECK(refused.is(Refusal::no_resource));
    CHECK(view_of(world.c)->out.at(0).reason == "fan");
    const auto again = taken_out(world.b, 0, "waits for its fan");
    CHECK(again.out->since == view_of(world.c)->out.at(0).since);
    CHECK(view_of(world.a)->out.at(0).reason == "waits for its fan");
}

TEST_CASE("a slot that is put back on one server goes to the waiter on another") {
    World world;
    taken_out(world.a, 0);
    const auto waiter = world.b.waiting();
    put_back(world.c, 0);
    world.settle();
    CHECK(lease_of(waiter).position() == 0);
    CHECK(available(world.a) == 0);
}

TEST_CASE("a slot that another server lends at the same time is out once its lease is over") {
    World world;
    world.memory.before_next_commit([&] { world.b.granted(10s); });
    CHECK(taken_out(world.a, 0).out);
    CHECK(world.c.in_use() == 1);
    const auto waiter = world.c.waiting();
    world.pass(11s);
    CHECK_FALSE(waiter.answered());
    CHECK(world.b.in_use() == 0);
    put_back(world.b, 0);
    world.settle();
    CHECK(lease_of(waiter).position() == 0);
}

TEST_CASE("a slot that another server takes out at the same time is not lent") {
    World world(2);
    world.b.in_use();
    world.memory.before_next_commit([&] { taken_out(world.b, 0); });
    const auto call = world.a.borrow();
    world.a.flush();
    CHECK(lease_of(call).position() == 1);
}

TEST_CASE("a revoke by a fence does not hit the holder that another server let in before it") {
    World world;
    const Lease lease = world.a.granted();
    world.b.in_use();
    world.memory.before_next_commit([&] {
        world.a.give_back(lease.id);
        world.a.flush();
        world.c.granted();
    });
    const auto revoked = world.b.revoke(0, lease.fence);
    world.b.flush();
    CHECK_FALSE(revoked.as<LeaseRevoked>().revoked);
    CHECK(world.a.in_use() == 1);
}

TEST_CASE("servers that share a pool lend the slot that has been idle longest over all of them") {
    World world(3);
    const auto set = world.a.put({.count = 3, .settings = {.pick = Pick::idle}});
    world.a.flush();
    REQUIRE(set.as<PoolCounts>().count == 3);
    const Lease zero = world.a.granted();
    const Lease one = world.b.granted();
    const Lease two = world.c.granted();
    for (const auto& [server, lease] : {std::pair{&world.c, one}, {&world.a, two}, {&world.b, zero}}) {
        world.pass(1s);
        server->give_back(lease.id);
        server->flush();
    }
    CHECK(world.b.granted().position() == 1);
    CHECK(world.c.granted().position() == 2);
    CHECK(world.a.granted().position() == 0);
}
