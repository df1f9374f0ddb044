#include "tests/service/shared_bench.hpp"

using namespace std::chrono_literals;
using namespace sema;
using sema::test::lease_of;
using sema::test::view_of;
using sema::test::World;

TEST_CASE("a lost message delays a waiter by a second at most") {
    World world;
    const Lease lease = world.a.granted();
    const auto waiter = world.b.waiting();
    world.pass(100ms);
    world.memory.lose_messages();
    world.a.give_back(lease.id);
    world.a.flush();
    world.settle();
    CHECK_FALSE(waiter.answered());
    world.pass(1s);
    CHECK(waiter.answered());
}

TEST_CASE("a waiter gives up in time, and its place is gone everywhere") {
    World world;
    world.a.granted();
    const auto waiter = world.b.waiting(5s);
    world.pass(5s - 1us);
    CHECK_FALSE(waiter.answered());
    world.pass(1us);
    CHECK(waiter.is(Refusal::no_resource));
    CHECK(world.memory.record(world.id).places.empty());
}

TEST_CASE("a waiter that hangs up is out of the queue, and the next one is served by its own server") {
    World world;
    const Lease lease = world.a.granted();
    const auto first = world.b.waiting();
    const auto second = world.c.waiting();
    CHECK(world.b.service->leave(world.id, first.ticket));
    world.a.give_back(lease.id);
    world.a.flush();
    world.settle();
    CHECK_FALSE(first.answered());
    CHECK(second.answered());
    CHECK(world.memory.record(world.id).places.empty());
}

TEST_CASE("a grant whose waiter left while it was on its way to the store is given back") {
    World world;
    const Lease lease = world.a.granted();
    const auto waiter = world.b.waiting();
    const auto next = world.c.waiting();
    world.a.give_back(lease.id);
    world.a.flush();
    world.memory.before_next_commit([&] { CHECK(world.b.service->leave(world.id, waiter.ticket)); });
    world.b.flush();
    world.settle();
    CHECK_FALSE(waiter.answered());
    CHECK(next.answered());
}

TEST_CASE("whoever gives up while the store is away is told so without any round") {
    World world;
    world.a.granted();
    const auto waiter = world.b.waiting(5s);
    world.memory.be_away();
    world.memory.clock().pass(5s);
    // A round comes before anybody looks at deadlines, and leaves nothing to do in another one.
    world.b.inspect();
    world.b.flush();
    CHECK_FALSE(world.b.service->flush());
    world.b.service->advance();
    CHECK(waiter.is(Refusal::no_resource));
}

TEST_CASE("a borrower that was never queued gives up in time while its round is at the store") {
    World world;
    world.a.granted();
    const auto borrow = world.b.borrow(60s, 5s);
    world.memory.before_next_commit([&] {
        world.memory.clock().pass(5s);
        world.b.service->advance();
        CHECK(borrow.is(Refusal::no_resource));
    });
    world.settle();
    CHECK(borrow.is(Refusal::no_resource));
    CHECK(world.memory.record(world.id).places.empty());
}

TEST_CASE("a waiter that gives up while its grant is on its way to the store is told so, and holds nothing") {
    World world;
    const Lease lease = world.a.granted();
    const auto waiter = world.b.waiting(5s);
    world.a.give_back(lease.id);
    world.a.flush();
    world.memory.before_next_commit([&] {
        world.memory.clock().pass(5s);
        world.b.service->advance();
        CHECK(waiter.is(Refusal::no_resource));
    });
    world.b.flush();
    world.settle();
    CHECK(waiter.is(Refusal::no_resource));
    CHECK(world.a.in_use() == 0);
}

TEST_CASE("the waiters of a server that is lost are out, and those of others go on") {
    World world;
    const Lease lease = world.a.granted();
    const auto dead = world.b.waiting();
    const auto alive = world.c.waiting();
    world.a.give_back(lease.id);
    world.a.flush();
    world.c.flush();
    CHECK_FALSE(alive.answered());
    world.memory.lose(world.b.store.self());
    world.c.flush();
    CHECK(alive.answered());
    CHECK(world.memory.record(world.id).places.empty());
}

TEST_CASE("who reads a pool for the first time leaves out the waiters of servers that were lost before") {
    World world;
    const Lease lease = world.a.granted();
    world.b.waiting();
    world.memory.lose(world.b.store.self());
    const auto waiter = world.c.waiting();
    const auto view = view_of(world.c);
    CHECK(view->queue.size() == 1);
    world.a.give_back(lease.id);
    world.a.flush();
    world.c.flush();
    CHECK(waiter.answered());
}

TEST_CASE("a server that was taken for lost has its waiters back where they were") {
    World world;
    const Lease lease = world.a.granted();
    const auto first = world.b.waiting();
    const auto second = world.c.waiting();
    world.memory.lose(world.b.store.self());
    world.c.flush();
    CHECK(world.memory.record(world.id).places.size() == 1);
    // It was only slow.
    world.memory.find(world.b.store.self());
    world.b.flush();
    world.pass(1s);
    CHECK(world.memory.record(world.id).places.size() == 2);
    world.a.give_back(lease.id);
    world.a.flush();
    world.settle();
    CHECK(first.answered());
    CHECK_FALSE(second.answered());
}

TEST_CASE("a keyed waiter comes back through another server and keeps its place") {
    World world;
    const Lease lease = world.a.granted();
    const LeaseId id = LeaseId::random();
    const auto before = world.b.borrow(id, 60s);
    world.b.flush();
    const auto behind = world.a.waiting();
    const bool hangs_up = GENERATE(true, false);
    if (hangs_up) {
        CHECK(world.b.service->leave(world.id, before.ticket));
        world.b.flush();
    }
    const auto again = world.c.borrow(id, 60s);
    world.settle();
    CHECK(before.is(Refusal::superseded) == !hangs_up);
    world.a.give_back(lease.id);
    world.a.flush();
    world.settle();
    CHECK(lease_of(again).id == id);
    CHECK_FALSE(behind.answered());
}

TEST_CASE("slots that are held back for a large claim stay so on all servers while it asks again") {
    World world(2);
    const Lease lease = world.a.granted();
    const LeaseId id = LeaseId::random();
    const auto wide = world.b.borrow_several(id, 2, 5s);
    world.b.flush();
    const auto small = world.c.waiting();
    world.pass(5s);
    CHECK(wide.answered());
    // Whatever is done to the pool meanwhile.
    world.a.keep_alive(lease.id, 60s);
    world.pass(1900ms);
    CHECK_FALSE(small.answered());
    SECTION("it comes back, through any of them") {
        sema::test::Server& server = GENERATE(true, false) ? world.b : world.a;
        const auto again = server.borrow_several(id, 2, 60s);
        world.settle();
        world.pass(5s);
        CHECK_FALSE(small.answered());
        world.a.give_back(lease.id);
        world.a.flush();
        world.settle();
        CHECK(lease_of(again).positions.size() == 2);
        CHECK_FALSE(small.answered());
    }
    SECTION("it does not, and the next one is served") {
        world.pass(100ms);
        world.settle();
        CHECK(lease_of(small).positions.size() == 1);
        CHECK(view_of(world.a)->queue.front().away);
    }
    SECTION("its server is lost, and the next one is served") {
        world.memory.lose(world.b.store.self());
        world.c.flush();
        world.settle();
        CHECK(small.answered());
    }
    SECTION("it is cancelled") {
        world.a.cancel(id);
        world.settle();
        CHECK(small.answered());
        CHECK(world.memory.record(world.id).places.empty());
    }
}

TEST_CASE("a keyed waiter of a lost server keeps its place for the time to rejoin") {
    ServiceLimits limits;
    limits.pool.rejoin = 15s;
    World world(1, limits);
    world.a.granted();
    const LeaseId id = LeaseId::random();
    world.b.borrow(id, 300s);
    world.b.flush();
    world.c.waiting(300s);
    world.memory.lose(world.b.store.self());
    world.c.flush();
    CHECK(view_of(world.a)->queue.size() == 2);
    CHECK(view_of(world.a)->queue.front().away);
    world.memory.clock().pass(15s);
    world.c.service->advance();
    world.c.flush();
    CHECK(view_of(world.a)->queue.size() == 1);
}

TEST_CASE("a keyed lease is told again by any server") {
    World world(2);
    const LeaseId id = LeaseId::random();
    const auto first = world.a.borrow(id);
    world.a.flush();
    const auto again = world.b.borrow(id);
    world.b.flush();
    CHECK(lease_of(again).fence == lease_of(first).fence);
    CHECK(world.b.in_use() == 1);
}

TEST_CASE("a lease that another server has told of is not cut short when the first answer is lost") {
    World world;
    const LeaseId id = LeaseId::random();
    const auto first = world.a.borrow(id, {}, 60s);
    world.a.flush();
    const TimePoint end = lease_of(first).expires_at;
    SECTION("told again, and then lost once") {
        world.b.borrow(id, {}, 60s);
        world.b.flush();
        world.a.lose_answer_of(lease_of(first));
        world.a.flush();
        CHECK(world.memory.record(world.id).slots.front().expires_at == end);
    }
    SECTION("lost, and then told again") {
        world.a.lose_answer_of(lease_of(first));
        world.a.flush();
        CHECK(world.memory.record(world.id).slots.front().expires_at < end);
        const auto again = world.b.borrow(id, {}, 60s);
        world.b.flush();
        CHECK(lease_of(again).expires_at == end);
        CHECK(world.memory.record(world.id).slots.front().expires_at == end);
    }
}

TEST_CASE("a waiter is cancelled through another server") {
    World world;
    world.a.granted();
    const LeaseId id = LeaseId::random();
    const auto waiter = world.b.borrow(id, 60s);
    world.b.flush();
    const auto cancel = world.c.cancel(id);
    world.c.flush();
    CHECK(cancel.as<BorrowCancelled>().cancelled);
    CHECK(view_of(world.c)->queue.empty());
    world.b.flush();
    CHECK(waiter.is(Refusal::cancelled));
    CHECK(world.memory.record(world.id).places.empty());
    const auto again = world.c.cancel(id);
    world.c.flush();
    CHECK_FALSE(again.as<BorrowCancelled>().cancelled);
}
