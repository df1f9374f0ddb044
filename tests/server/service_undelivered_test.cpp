#include "tests/server/shared_bench.hpp"

// Answers that turn out lost late: when their leases are over, and others have taken their ids.

using namespace std::chrono_literals;
using namespace sema;
using sema::test::Bench;
using sema::test::Calls;
using sema::test::lease_of;
using sema::test::Server;
using sema::test::World;

TEST_CASE("an answer that turns out lost late ends no later lease of the same id, ended as it may be") {
    Bench bench;
    bench.made(1);
    const LeaseId id = LeaseId::random();
    const auto lost = bench.borrow(id, {}, 600s);
    bench.flush();
    SECTION("by its return") {
        bench.give_back(id);
    }
    SECTION("by a revocation") {
        bench.revoke(0);
    }
    SECTION("by its time") {
        bench.pass(600s);
    }
    const auto second = bench.borrow(id, {}, 600s);
    bench.flush();
    bench.lose_answer_of(lease_of(lost));
    bench.flush();
    CHECK(lease_of(second).fence > lease_of(lost).fence);
    bench.pass(600s - 1us);
    CHECK(bench.in_use() == 1);
}

TEST_CASE("an answer that turns out lost late ends no later lease of the same id, lent by whichever server") {
    World world;
    const LeaseId id = LeaseId::random();
    const auto lost = world.a.borrow(id, {}, 600s);
    world.a.flush();
    if (GENERATE(true, false)) {
        world.b.revoke(0);
    } else {
        world.b.give_back(id);
    }
    world.b.flush();
    Server& lender = GENERATE(true, false) ? world.a : world.c;
    const auto second = lender.borrow(id, {}, 600s);
    lender.flush();
    world.a.lose_answer_of(lease_of(lost));
    world.a.flush();
    CHECK(lease_of(second).fence > lease_of(lost).fence);
    CHECK(world.memory.record(world.id).slots.front().expires_at == lease_of(second).expires_at);
}

TEST_CASE("a waiter that left while its grant was at the store ends no later lease of its id") {
    World world;
    const Lease held = world.a.granted();
    const LeaseId id = LeaseId::random();
    const auto waiter = world.b.borrow(id, 300s, 600s);
    world.b.flush();
    world.a.give_back(held.id);
    world.a.flush();
    Calls::Call second;
    world.memory.before_next_commit([&] {
        CHECK(world.b.service->leave(world.id, waiter.ticket));
        // Before what follows from that is stored, the borrower has been at another server.
        world.memory.before_next_commit([&] {
            world.c.give_back(id);
            second = world.c.borrow(id, {}, 600s);
            world.c.flush();
        });
    });
    world.b.flush();
    world.settle();
    CHECK_FALSE(waiter.answered());
    REQUIRE(world.memory.record(world.id).slots.size() == 1);
    CHECK(world.memory.record(world.id).slots.front().expires_at == lease_of(second).expires_at);
}
