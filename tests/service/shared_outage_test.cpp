#include "tests/service/shared_bench.hpp"

using namespace std::chrono_literals;
using namespace sema;
using sema::test::lease_of;
using sema::test::view_of;
using sema::test::World;

TEST_CASE("while the store is away calls fail and waiters wait on") {
    World world;
    const Lease lease = world.a.granted();
    const auto patient = world.b.waiting(60s);
    const auto hasty = world.b.waiting(5s);
    world.memory.be_away();
    const auto look = world.b.inspect();
    const auto borrow = world.b.borrow(60s, 60s);
    world.b.flush();
    CHECK(look.is(Refusal::store_failed));
    CHECK(borrow.is(Refusal::store_failed));
    CHECK(world.b.service->readiness() == Readiness::store_away);
    world.pass(5s);
    CHECK(hasty.is(Refusal::no_resource));
    CHECK_FALSE(patient.answered());
    world.memory.heal();
    CHECK(world.b.service->readiness() == Readiness::ready);
    world.a.give_back(lease.id);
    world.a.flush();
    world.settle();
    CHECK(patient.answered());
    CHECK(world.memory.record(world.id).places.empty());
}

TEST_CASE("whoever asks for readiness while the store is away has the reason logged") {
    World world;
    world.memory.be_away();
    CHECK(world.a.service->readiness() == Readiness::store_away);
    world.a.flush();
    CHECK(world.a.trouble == std::vector<std::string>{"the store is away"});
}

TEST_CASE("a borrow that was answered that the store failed holds nothing, whether it was stored or not") {
    World world;
    const bool is_applied = GENERATE(true, false);
    is_applied ? world.memory.leave_commits_unconfirmed(1) : world.memory.fail_commits(1);
    const auto borrow = world.a.borrow();
    world.a.service->flush();
    CHECK(borrow.is(Refusal::store_failed));
    CHECK(world.memory.record(world.id).slots.size() == (is_applied ? 1 : 0));
    world.pass(1s);
    CHECK(world.memory.record(world.id).slots.empty());
}

TEST_CASE("a borrow that failed holds nothing, though its return is overtaken at the store") {
    World world;
    world.memory.leave_commits_unconfirmed(1);
    const auto borrow = world.a.borrow();
    world.a.service->flush();
    REQUIRE(borrow.is(Refusal::store_failed));
    REQUIRE(world.memory.record(world.id).slots.size() == 1);
    world.memory.before_next_commit([&] {
        world.b.put(2);
        world.b.flush();
    });
    world.pass(1s);
    REQUIRE(world.memory.stale() > 0);
    CHECK(world.memory.record(world.id).slots.empty());
}

TEST_CASE("a waiter whose grant may or may not be stored gets it in either case") {
    World world;
    const Lease lease = world.a.granted();
    const auto waiter = world.b.waiting();
    world.a.give_back(lease.id);
    world.a.flush();
    const bool is_applied = GENERATE(true, false);
    is_applied ? world.memory.leave_commits_unconfirmed(1) : world.memory.fail_commits(1);
    world.b.service->flush();
    CHECK_FALSE(waiter.answered());
    world.pass(1s);
    CHECK(lease_of(waiter).position() == 0);
    CHECK(world.memory.record(world.id).slots.size() == 1);
}

TEST_CASE("a borrower whose place may or may not be stored is told that the store failed, and has none") {
    World world;
    world.a.granted();
    const bool is_applied = GENERATE(true, false);
    is_applied ? world.memory.leave_commits_unconfirmed(1) : world.memory.fail_commits(1);
    const auto borrow = world.b.borrow(60s, 60s);
    world.b.service->flush();
    CHECK(borrow.is(Refusal::store_failed));
    world.memory.heal();
    world.pass(1s);
    const auto look = world.b.inspect();
    world.settle();
    CHECK(world.memory.record(world.id).places.empty());
}

TEST_CASE("a lease whose answer does not arrive while the store is away is given back later") {
    World world;
    const Lease lease = world.a.granted();
    world.memory.be_away();
    world.a.lose_answer_of(lease);
    world.a.flush();
    world.memory.heal();
    world.settle();
    CHECK(world.memory.record(world.id).slots.empty());
}

TEST_CASE("a server that stops sends its waiters away and leaves no place behind") {
    World world;
    const Lease lease = world.a.granted();
    const auto waiter = world.b.waiting();
    const LeaseId id = LeaseId::random();
    const auto keyed = world.b.borrow(id, 60s);
    world.b.flush();
    world.b.service->drain();
    CHECK(waiter.is(Refusal::shutting_down));
    CHECK(keyed.is(Refusal::shutting_down));
    world.b.service->stop();
    const auto view = view_of(world.a);
    REQUIRE(view->queue.size() == 1);
    CHECK(view->queue.front().away);
}

TEST_CASE("after the store is found again nothing is believed that was read before") {
    World world(2);
    world.b.in_use();
    world.memory.come_back_with(world.id, 9);
    const auto look = world.b.inspect();
    world.b.flush();
    CHECK(look.as<PoolCounts>().count == 9);
}

TEST_CASE("a failed borrow's lease that another server has told of stays, however often it is withdrawn") {
    World world;
    const LeaseId id = LeaseId::random();
    world.memory.leave_commits_unconfirmed(1);
    const auto failed = world.a.borrow(id);
    world.a.service->flush();
    REQUIRE(failed.is(Refusal::store_failed));
    const auto again = world.b.borrow(id);
    world.b.flush();
    REQUIRE(lease_of(again).id == id);
    // Done, and not known to be done.
    world.memory.leave_commits_unconfirmed(1);
    world.pass(1s);
    world.pass(1s);
    CHECK(world.memory.record(world.id).slots.size() == 1);
    CHECK(world.a.in_use() == 1);
}
