#include "tests/service/shared_bench.hpp"

using namespace std::chrono_literals;
using namespace sema;
using sema::test::Server;
using sema::test::SharedMemory;
using sema::test::view_of;
using sema::test::World;

TEST_CASE("the limit of pools counts those of all servers, whoever makes and deletes them") {
    ServiceLimits limits;
    limits.max_pools = 2;
    World world(1, limits);
    Server& other = world.b;
    other.pool = PoolId::random();
    for (int i = 0; i < 5; ++i) {
        // Made through one, used by the other, deleted through the first or the second.
        other.made(1);
        world.a.pool = other.pool;
        CHECK(world.a.in_use() == 0);
        const PoolId full = PoolId::random();
        world.c.pool = full;
        const auto refused = world.c.put(1);
        world.c.flush();
        CHECK(refused.is(Refusal::too_many_pools));
        Server& deleter = i % 2 == 0 ? world.a : world.b;
        const auto gone = deleter.remove();
        deleter.flush();
        CHECK(gone.as<PoolDeleted>().deleted);
        CHECK_FALSE(world.memory.has(other.pool));
        const auto look = other.inspect();
        other.flush();
        CHECK(look.is(Refusal::no_such_pool));
    }
    const auto list = world.a.list_pools();
    world.a.flush();
    CHECK(list.as<PoolsListed>().json->find(world.id.str()) != std::string::npos);
}

TEST_CASE("a lease lives for what its borrower was told, though another server allows less") {
    SharedMemory memory;
    const PoolId id = PoolId::random();
    ServiceLimits strict;
    strict.pool.max_hold = 10s;
    Server generous(memory, id);
    Server other(memory, id, strict);
    generous.made(1);
    const Lease lease = generous.granted(60s);
    memory.clock().pass(30s);
    CHECK(other.in_use() == 1);
    const auto borrow = other.borrow(5s);
    other.flush();
    CHECK(borrow.is(Refusal::no_resource));
    // It is kept alive for as long as it was promised, and not beyond.
    const auto kept = other.keep_alive(lease.id, 60s);
    other.flush();
    REQUIRE(kept.as<LeaseRenewed>().lease);
    CHECK(kept.as<LeaseRenewed>().lease->expires_at == lease.expires_at);
    memory.clock().pass(31s);
    CHECK(other.granted(60s).ttl == 10s);
}

TEST_CASE("a grant or a renewal that is over by the time that it is stored is not told") {
    World world(2);
    const Lease lease = world.a.granted(60s);
    const auto halt = [&] { world.memory.before_next_commit([&] { world.memory.clock().pass(5s); }); };
    halt();
    const auto borrow = world.a.borrow(2s);
    world.a.flush();
    CHECK(borrow.is(Refusal::store_failed));
    halt();
    const auto kept = world.a.keep_alive(lease.id, 2s);
    world.a.flush();
    CHECK_FALSE(kept.as<LeaseRenewed>().lease);
    CHECK(world.b.in_use() == 0);
    // The way to the store may take longer than the shortest of leases.
    CHECK(world.a.granted(1ms).ttl == 1ms);
}

TEST_CASE("the limit of waiters is each server's own, and those who went away do not count") {
    ServiceLimits limits;
    limits.max_waiters = 2;
    World world(1, limits);
    (void)world.a.granted();
    (void)world.a.waiting();
    const auto last = world.a.waiting();
    const auto refuses = [](Server& server) {
        const auto call = server.borrow(60s, 60s);
        server.flush();
        return call.is(Refusal::too_many_waiters);
    };
    CHECK(refuses(world.a));
    (void)world.b.waiting();
    (void)world.b.waiting();
    CHECK(refuses(world.b));
    // What a sees of b's and what b has seen of a's is no part of it.
    CHECK(refuses(world.a));
    CHECK(world.a.service->leave(world.id, last.ticket));
    world.settle();
    CHECK(view_of(world.b)->queue.size() == 3);
    (void)world.a.waiting();
    CHECK(refuses(world.a));
    CHECK(refuses(world.b));
}
