#include "tests/service/called.hpp"
#include "tests/service/shared_bench.hpp"

#include <array>

// Borrowers who are to be called, where several servers share the store.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

/// They outlive the servers.
struct ThreeCalled {
    std::array<Called, 3> called;
};

struct CallWorld : ThreeCalled, World {
    explicit CallWorld(unsigned count = 1) : World(count) {
        a.service->deliver_by(called[0]);
        b.service->deliver_by(called[1]);
        c.service->deliver_by(called[2]);
    }
    /// What each server does every few seconds.
    void look() {
        for (Server* server : {&a, &b, &c})
            server->service->find_callbacks();
        settle();
    }
    std::size_t calls() const {
        return called[0].leases.size() + called[1].leases.size() + called[2].leases.size();
    }
};

/// Takes a place.
CallbackQueued asked(Server& server, const LeaseId& lease) {
    const auto call = ask(server, lease);
    server.flush();
    return call.as<CallbackQueued>();
}

}  // namespace

TEST_CASE("the server that took the first callback of a pool calls, and no other") {
    CallWorld world(1);
    const LeaseId id = LeaseId::random();
    asked(world.a, id);
    world.look();
    REQUIRE(world.called[0].leases.size() == 1);
    CHECK(world.calls() == 1);
    CHECK(world.memory.record(world.id).keeper == world.a.store.self());
    CHECK(is_due(world.a, world.called[0].leases[0]));
    CHECK_FALSE(is_due(world.b, world.called[0].leases[0]));
    end(world.a, world.called[0].leases[0], CallAccepted{});
    CHECK(world.memory.record(world.id).keeper == ServerId{});
    CHECK(world.b.in_use() == 1);
}

TEST_CASE("a callback that another server took is called by the pool's keeper, in its turn") {
    CallWorld world(1);
    const Lease held = world.c.granted();
    const LeaseId first = LeaseId::random();
    const LeaseId second = LeaseId::random();
    CHECK(asked(world.a, first).rank == 1);
    CHECK(asked(world.b, second).rank == 2);
    world.settle();
    world.c.give_back(held.id);
    world.settle();
    REQUIRE(world.called[0].leases.size() == 1);
    CHECK(world.called[0].leases[0].id == first);
    end(world.a, world.called[0].leases[0], CallAccepted{});
    world.b.give_back(first);
    world.settle();
    REQUIRE(world.called[0].leases.size() == 2);
    CHECK(world.called[0].leases[1].id == second);
    CHECK(world.calls() == 2);
}

TEST_CASE("who is to be called and who waits on any server are served as they came") {
    CallWorld world(1);
    const Lease held = world.a.granted();
    const auto first = world.b.waiting();
    const LeaseId second = LeaseId::random();
    asked(world.a, second);
    const auto third = world.c.waiting();
    world.a.give_back(held.id);
    world.settle();
    const Lease one = lease_of(first);
    CHECK(world.calls() == 0);
    world.b.give_back(one.id);
    world.settle();
    REQUIRE(world.called[0].leases.size() == 1);
    CHECK(world.called[0].leases[0].id == second);
    CHECK_FALSE(third.answered());
    world.b.give_back(second);
    world.settle();
    CHECK(lease_of(third).fence > one.fence);
}

TEST_CASE("when the keeper is lost, one other server calls whom it had to call") {
    CallWorld world(1);
    const LeaseId first = LeaseId::random();
    const LeaseId second = LeaseId::random();
    asked(world.a, first);
    asked(world.a, second);
    world.settle();
    const Lease lease = world.called[0].leases.at(0);
    world.look();
    CHECK(world.calls() == 1);
    world.memory.lose(world.a.store.self());
    world.b.service->find_callbacks();
    world.c.service->find_callbacks();
    world.settle();
    CHECK(world.calls() == 2);
    Server& heir = world.called[1].leases.empty() ? world.c : world.b;
    Called& calls = world.called[1].leases.empty() ? world.called[2] : world.called[1];
    CHECK(world.memory.record(world.id).keeper == heir.store.self());
    CHECK(calls.leases[0].id == first);
    CHECK(calls.leases[0].fence == lease.fence);
    CHECK(is_due(heir, lease));

    // The one that was taken for lost learns it before it calls again, and changes nothing.
    CHECK_FALSE(is_due(world.a, lease));
    CHECK_FALSE(end(world.a, lease, CallGivenUp{}).as<DeliveryState>().due);
    CHECK(world.b.in_use() == 1);

    end(heir, lease, CallAccepted{});
    world.c.give_back(first);
    world.settle();
    REQUIRE(calls.leases.size() == 2);
    CHECK(calls.leases[1].id == second);
    CHECK(world.called[0].leases.size() == 1);
}

TEST_CASE("a keeper that was lost while nobody else had the pool in use is found") {
    CallWorld world(1);
    asked(world.a, LeaseId::random());
    world.memory.lose(world.a.store.self());
    Server late(world.memory, world.id);
    Called called;
    late.service->deliver_by(called);
    late.service->find_callbacks();
    late.flush();
    REQUIRE(called.leases.size() == 1);
    CHECK(is_due(late, called.leases[0]));
}

TEST_CASE("a callback is taken back, or keeps its place, through any server") {
    CallWorld world(1);
    const Lease held = world.a.granted();
    const LeaseId first = LeaseId::random();
    const LeaseId second = LeaseId::random();
    asked(world.a, first);
    asked(world.a, second);
    CHECK(asked(world.b, second).rank == 2);
    const auto cancelled = world.c.cancel(first);
    world.settle();
    CHECK(cancelled.as<BorrowCancelled>().cancelled);
    world.b.give_back(held.id);
    world.settle();
    REQUIRE(world.calls() == 1);
    CHECK(world.called[0].leases[0].id == second);
    // While it is being called, too.
    const auto again = world.b.cancel(second);
    world.settle();
    CHECK(again.as<BorrowCancelled>().cancelled);
    CHECK_FALSE(is_due(world.a, world.called[0].leases[0]));
    CHECK(world.a.in_use() == 0);
    CHECK(world.memory.record(world.id).keeper == ServerId{});
}

TEST_CASE("a grant whose commit has no known end is neither lost nor made twice") {
    CallWorld world(1);
    const Lease held = world.a.granted();
    const LeaseId id = LeaseId::random();
    asked(world.a, id);
    world.b.give_back(held.id);
    world.b.flush();
    const bool is_applied = GENERATE(true, false);
    is_applied ? world.memory.leave_commits_unconfirmed(1) : world.memory.fail_commits(1);
    world.pass(1s);
    // It is tried again a little later.
    world.pass(1s);
    REQUIRE(world.called[0].leases.size() == 1);
    CHECK(world.called[0].leases[0].id == id);
    CHECK(is_due(world.a, world.called[0].leases[0]));
    CHECK(world.b.in_use() == 1);
    CHECK(view_of(world.b)->queue.empty());
}

TEST_CASE("while the store is away nobody is called, and afterwards whoever is to be") {
    CallWorld world(1);
    const Lease held = world.a.granted(10s);
    const LeaseId id = LeaseId::random();
    asked(world.a, id);
    world.memory.be_away();
    world.pass(20s);
    world.a.service->find_callbacks();
    world.a.flush();
    CHECK(world.calls() == 0);
    world.memory.heal();
    world.settle();
    REQUIRE(world.called[0].leases.size() == 1);
    CHECK(world.called[0].leases[0].id == id);
    CHECK(held.fence < world.called[0].leases[0].fence);
}
