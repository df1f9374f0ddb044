#include "tests/service/shared_bench.hpp"

#include <optional>

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

TEST_CASE("an answer that is lost while the store fails counts once, though what was stored is not known") {
    World world;
    const LeaseId id = LeaseId::random();
    const auto lost = world.a.borrow(id, {}, 600s);
    world.a.flush();
    const auto told = world.b.borrow(id, {}, 600s);
    world.b.flush();
    REQUIRE(lease_of(told).fence == lease_of(lost).fence);
    const bool is_applied = GENERATE(true, false);
    is_applied ? world.memory.leave_commits_unconfirmed(1) : world.memory.fail_commits(1);
    world.a.lose_answer_of(lease_of(lost));
    world.a.flush();
    world.pass(1s);
    REQUIRE(world.memory.record(world.id).slots.size() == 1);
    CHECK(world.memory.record(world.id).slots.front().answers == 1);
    CHECK(world.memory.record(world.id).slots.front().expires_at == lease_of(told).expires_at);
}

TEST_CASE("a lease whose answer is lost while the store fails is given back, though that may be stored") {
    World world;
    const Lease lost = world.a.granted(600s);
    const bool is_applied = GENERATE(true, false);
    is_applied ? world.memory.leave_commits_unconfirmed(1) : world.memory.fail_commits(1);
    world.a.lose_answer_of(lost);
    world.a.flush();
    world.pass(1s);
    CHECK(world.memory.record(world.id).slots.empty());
}

namespace {

/// The slot of one server goes to a waiter of another, whose store fails in that moment.
struct LosesSight : World {
    /// The waiter's id, if it chose one.
    explicit LosesSight(std::optional<LeaseId> chosen) {
        const Lease held = a.granted();
        waiter = chosen ? b.borrow(*chosen, 300s, 600s) : b.borrow(600s, 300s);
        b.flush();
        a.give_back(held.id);
        a.flush();
        is_applied ? memory.leave_commits_unconfirmed(1) : memory.fail_commits(1);
    }
    void leave() { CHECK(b.service->leave(id, waiter.ticket)); }

    const bool is_applied = GENERATE(true, false);
    Calls::Call waiter;
};

}  // namespace

TEST_CASE("a waiter that leaves before it is known whether its grant is stored leaves no lease behind") {
    const bool is_chosen = GENERATE(true, false);
    LosesSight world(is_chosen ? std::optional(LeaseId::random()) : std::nullopt);
    SECTION("while that is at the store") {
        world.memory.before_next_commit([&] { world.leave(); });
        world.b.service->flush();
    }
    SECTION("after the store failed") {
        world.b.service->flush();
        world.leave();
    }
    world.pass(1s);
    // Who chose the id may come back for it.
    CHECK(world.a.in_use() == (is_chosen && world.is_applied ? 1 : 0));
    CHECK(view_of(world.a)->queue.size() == (is_chosen && !world.is_applied ? 1 : 0));
    world.pass(15s);
    CHECK(world.a.in_use() == 0);
    CHECK(view_of(world.a)->queue.empty());
}

TEST_CASE("a waiter whose grant was not stored leaves, and another server's lease under that fence stays") {
    World world;
    const Lease held = world.a.granted();
    const LeaseId id = LeaseId::random();
    const auto waiter = world.b.borrow(id, 300s, 600s);
    world.b.flush();
    world.a.give_back(held.id);
    world.a.flush();
    world.memory.fail_commits(1);
    world.b.service->flush();
    const auto again = world.c.borrow(id, 300s, 600s);
    world.c.flush();
    REQUIRE(again.answered());
    CHECK(world.b.service->leave(world.id, waiter.ticket));
    world.pass(1s);
    REQUIRE(world.memory.record(world.id).slots.size() == 1);
    CHECK(world.memory.record(world.id).slots.front().expires_at == lease_of(again).expires_at);
}

TEST_CASE("a borrow that waits and is granted in one round holds nothing where that round failed") {
    World world;
    const Lease held = world.a.granted();
    const auto borrow = world.a.borrow(60s, 60s);
    const auto back = world.a.give_back(held.id);
    const bool is_applied = GENERATE(true, false);
    is_applied ? world.memory.leave_commits_unconfirmed(1) : world.memory.fail_commits(1);
    world.a.service->flush();
    CHECK(borrow.is(Refusal::store_failed));
    CHECK(back.is(Refusal::store_failed));
    world.pass(1s);
    CHECK(world.a.in_use() == (is_applied ? 0 : 1));
    CHECK(view_of(world.a)->queue.empty());
}
