#include "tests/service/shared_bench.hpp"

using namespace std::chrono_literals;
using namespace sema;
using sema::test::Calls;
using sema::test::lease_of;
using sema::test::Server;
using sema::test::SharedMemory;
using sema::test::view_of;
using sema::test::World;

TEST_CASE("what one server was told, the others know") {
    World world(2);
    const Lease lease = world.a.granted();
    CHECK(world.b.in_use() == 1);
    const auto raise = world.b.put(5);
    world.b.flush();
    const auto look = world.a.inspect();
    world.a.flush();
    CHECK(look.as<PoolCounts>().count == 5);
    CHECK(world.c.granted().position() == 1);
    const auto back = world.b.give_back(lease.id);
    world.b.flush();
    CHECK(back.as<LeaseReturned>().returned);
    CHECK(world.c.granted().position() == 0);
    const auto kept = world.a.keep_alive(lease.id, 10s);
    const auto gone = world.a.remove();
    world.a.flush();
    CHECK_FALSE(kept.as<LeaseRenewed>().lease);
    CHECK(gone.as<PoolDeleted>().deleted);
    const auto absent = world.b.inspect();
    world.b.flush();
    CHECK(absent.is(Refusal::no_such_pool));
}

TEST_CASE("who comes to a server that knows nothing yet is not told that there is nothing") {
    World world;
    const auto early = world.b.inspect();
    world.b.flush();
    CHECK(early.as<PoolCounts>().count == 1);
    const PoolId other = PoolId::random();
    world.b.pool = world.a.pool = other;
    const auto none = world.b.inspect();
    world.b.flush();
    CHECK(none.is(Refusal::no_such_pool));
    world.a.made(3);
    const auto some = world.b.inspect();
    world.b.flush();
    CHECK(some.as<PoolCounts>().count == 3);
}

TEST_CASE("two servers never lend one slot, whoever is first at the store") {
    World world;
    world.b.in_use();
    const auto here = world.a.borrow();
    const auto there = world.b.borrow();
    const bool a_first = GENERATE(true, false);
    (a_first ? world.a : world.b).flush();
    world.settle();
    CHECK(lease_of(a_first ? here : there).position() == 0);
    CHECK((a_first ? there : here).is(Refusal::no_resource));
    CHECK(world.memory.stale() > 0);
}

TEST_CASE("a call that another server overtakes at the store is done to what that left") {
    World world(2);
    world.b.in_use();
    world.memory.before_next_commit([&] { world.b.granted(); });
    const auto late = world.a.borrow();
    const auto look = world.a.inspect();
    world.a.flush();
    CHECK(lease_of(late).position() == 1);
    CHECK(look.as<PoolCounts>().in_use == 2);
}

TEST_CASE("a slot that is given back on one server goes to the waiter on another") {
    World world;
    const Lease lease = world.a.granted();
    const auto waiter = world.b.waiting();
    world.a.give_back(lease.id);
    world.a.flush();
    CHECK_FALSE(waiter.answered());
    world.b.flush();
    const Lease& next = lease_of(waiter);
    CHECK(next.position() == 0);
    CHECK(next.fence > lease.fence);
}

TEST_CASE("no newcomer overtakes a waiter of another server, however late that learns of the free slot") {
    World world;
    const Lease lease = world.a.granted();
    const auto waiter = world.b.waiting();
    world.a.give_back(lease.id);
    world.a.flush();
    // Free, and yet not to be had.
    const auto newcomer = world.a.borrow();
    const auto elsewhere = world.c.borrow();
    world.a.flush();
    world.c.flush();
    CHECK(newcomer.is(Refusal::no_resource));
    CHECK(elsewhere.is(Refusal::no_resource));
    world.b.flush();
    CHECK(lease_of(waiter).position() == 0);
}

TEST_CASE("who waits on one server for more than the count holds up nobody on another") {
    World world(2);
    Calls::Call wide;
    wide.ticket = world.b.service->next_ticket();
    world.b.service->borrow(world.id, wide.ticket, {60s, 60s, std::nullopt, 3, 5, nullptr, true},
                            wide.reply());
    world.b.flush();
    const Lease first = world.a.granted();
    const Lease second = world.c.granted();
    const auto waiter = world.c.waiting();
    world.a.give_back(first.id);
    world.settle();
    CHECK(lease_of(waiter).position() == first.position());
    CHECK_FALSE(wide.answered());

    world.c.resize(1);
    world.settle();
    world.a.give_back(second.id);
    world.c.give_back(lease_of(waiter).id);
    world.settle();
    CHECK(lease_of(wide).positions.size() == 3);
}

TEST_CASE("waiters of all servers are served in the order in which they came, within a priority") {
    World world;
    const Lease lease = world.a.granted();
    const auto first = world.b.waiting();
    const auto second = world.a.waiting();
    const auto third = world.c.waiting();
    Calls::Call urgent;
    urgent.ticket = world.c.service->next_ticket();
    world.c.service->borrow(world.id, urgent.ticket, {60s, 60s, std::nullopt, 1, 5, nullptr, true},
                            urgent.reply());
    world.c.flush();
    const auto view = view_of(world.a);
    REQUIRE(view->queue.size() == 4);
    CHECK(view->queue[0].claim.priority == 5);

    Server* server = &world.a;
    LeaseId held = lease.id;
    for (const auto& next : {urgent, first, second, third}) {
        server->give_back(held);
        server->flush();
        world.settle();
        held = lease_of(next).id;
        server = server == &world.a ? &world.b : &world.a;
    }
    CHECK(world.memory.record(world.id).places.empty());
}

TEST_CASE("a waiter is served when a lease of another server expires, and when a slot is added there") {
    World world;
    const auto lease = world.a.borrow(10s);
    world.a.flush();
    const auto first = world.b.waiting();
    world.pass(10s - 1us);
    CHECK_FALSE(first.answered());
    world.pass(1us);
    CHECK(lease_of(first).position() == 0);

    const auto second = world.c.waiting();
    world.a.resize(1);
    world.a.flush();
    world.settle();
    CHECK(lease_of(second).position() == 1);
}

TEST_CASE("a lease and a wait last longer by as much as the time may be behind") {
    SharedMemory memory;
    memory.set_clock_error(5ms);
    Server server(memory, PoolId::random());
    server.made(1);
    const auto lease = server.borrow(10s);
    server.flush();
    const auto waiter = server.borrow(10s, 3s);
    server.flush();
    const auto pass = [&](Duration time) {
        memory.clock().pass(time);
        server.service->advance();
        server.flush();
    };
    pass(3s + 5ms - 1us);
    CHECK_FALSE(waiter.answered());
    pass(1us);
    CHECK(waiter.is(Refusal::no_resource));
    pass(7s - 1us);
    CHECK(server.in_use() == 1);
    pass(1us);
    CHECK(server.in_use() == 0);
    CHECK(lease_of(lease).expires_at == memory.clock().now() - 5ms);
    CHECK(lease.as<LeaseGranted>().remaining == 10s);
}

TEST_CASE("a lease that was given back is over on every server at once, though its slot rests") {
    SharedMemory memory;
    memory.set_clock_error(5ms);
    const PoolId id = PoolId::random();
    Server here(memory, id);
    Server there(memory, id);
    here.put({.count = 1, .settings = {.cooldown = 1s}});
    here.flush();
    const Lease lease = here.granted();
    there.give_back(lease.id);
    there.flush();
    const auto again = here.give_back(lease.id);
    here.flush();
    CHECK_FALSE(again.as<LeaseReturned>().returned);
    CHECK(here.in_use() == 0);
    const auto early = here.borrow();
    here.flush();
    CHECK(early.is(Refusal::no_resource));
}

TEST_CASE("a slot rests no longer once the cooldown is taken away, however doubtful the time is") {
    SharedMemory memory;
    memory.set_clock_error(5ms);
    Server server(memory, PoolId::random());
    server.put({.count = 1, .settings = {.cooldown = 3600s}});
    server.flush();
    server.give_back(server.granted().id);
    server.flush();
    server.put({.count = 1, .settings = {.cooldown = 0s}});
    server.flush();
    server.granted();
}

TEST_CASE("when a pool is deleted the waiters and watchers of every server are told") {
    World world;
    world.a.granted();
    const auto waiter = world.b.waiting();
    std::vector<Answer> shown;
    Server& watched = GENERATE(true, false) ? world.a : world.c;
    const Ticket ticket = watched.service->next_ticket();
    watched.service->watch(world.id, ticket, [&](const Answer& answer) { shown.push_back(answer); });
    watched.flush();
    REQUIRE_FALSE(shown.empty());
    REQUIRE_FALSE(std::holds_alternative<Refusal>(shown.back()));
    world.a.remove();
    world.a.flush();
    world.settle();
    CHECK(waiter.is(Refusal::no_such_pool));
    REQUIRE(std::holds_alternative<Refusal>(shown.back()));
    CHECK(std::get<Refusal>(shown.back()) == Refusal::no_such_pool);
}

TEST_CASE("who watches on one server sees what is done through another") {
    World world(2);
    std::vector<std::shared_ptr<const PoolView>> shown;
    const Ticket ticket = world.b.service->next_ticket();
    world.b.service->watch(world.id, ticket, [&](const Answer& answer) {
        if (const auto* view = std::get_if<std::shared_ptr<const PoolView>>(&answer)) shown.push_back(*view);
    });
    world.b.flush();
    world.a.granted();
    world.pass(10ms);
    REQUIRE(shown.size() >= 2);
    CHECK(shown.back()->in_use == 1);
    CHECK(world.b.service->leave(world.id, ticket));
    world.pass(2s);
    CHECK_FALSE(world.b.store.follows(world.id));
}
