#include "tests/service/bench.hpp"

// Leases that are kept alive, revoked, and asked for again by an id that the borrower chose: what becomes of
// them when commits fail, answers are lost, or the server is started anew.

using namespace std::chrono_literals;
using namespace sema;
using sema::test::Bench;
using sema::test::StoreFaults;

namespace {

Lease lease_of(const Bench::Call& call) {
    return call.as<LeaseGranted>().lease;
}

/// A full pool of one slot with a borrower of its own.
struct Taken : Bench {
    explicit Taken(ServiceLimits with = {}) : Bench(with) {
        made(1);
        held = granted(1000s);
    }
    Lease held;
    LeaseId id = LeaseId::random();
};

}  // namespace

TEST_CASE("a keepalive is answered once the new end is stored") {
    Bench bench;
    bench.made(1);
    const Lease held = bench.granted(10s);
    bench.clock.pass(5s);
    const auto kept = bench.keep_alive(held.id, 30s);
    CHECK_FALSE(kept.answered());
    bench.flush();
    const auto renewed = kept.as<LeaseRenewed>();
    REQUIRE(renewed.lease);
    CHECK(renewed.remaining == 30s);
    CHECK(renewed.lease->expires_at == bench.clock.now() + 30s);
    bench.restart();
    bench.clock.pass(30s - 1us);
    CHECK(bench.in_use() == 1);
    bench.clock.pass(1us);
    CHECK(bench.in_use() == 0);
}

TEST_CASE("a keepalive that could not be stored leaves the lease its old end, and the timer knows") {
    Bench bench;
    bench.made(1);
    const Lease held = bench.granted(10s);
    const auto waiter = bench.borrow(60s, 300s);
    bench.faults->fail_commits(1);
    const auto kept = bench.keep_alive(held.id, 100s);
    bench.flush();
    CHECK(kept.is(Refusal::store_failed));
    bench.pass(10s - 1us);
    CHECK_FALSE(waiter.answered());
    bench.pass(1us);
    CHECK(waiter.as<LeaseGranted>().lease.position() == 0);
}

TEST_CASE("a lease that was shortened serves the waiter at its new end") {
    Bench bench;
    bench.made(1);
    const Lease held = bench.granted(100s);
    const auto waiter = bench.borrow(60s, 300s);
    bench.keep_alive(held.id, 5s);
    bench.flush();
    bench.pass(5s - 1us);
    CHECK_FALSE(waiter.answered());
    bench.pass(1us);
    CHECK(waiter.answered());
}

TEST_CASE("a keepalive is cut to the longest ttl and the longest life") {
    ServiceLimits limits;
    limits.max_ttl = 50s;
    limits.pool.max_hold = 80s;
    Bench bench(limits);
    bench.made(1);
    const Lease held = bench.granted(50s);
    bench.clock.pass(20s);
    const auto first = bench.keep_alive(held.id, 1000s);
    bench.flush();
    CHECK(first.as<LeaseRenewed>().remaining == 50s);
    bench.clock.pass(20s);
    const auto second = bench.keep_alive(held.id, 1000s);
    bench.flush();
    CHECK(second.as<LeaseRenewed>().remaining == 40s);
}

TEST_CASE("what is not held is not kept alive, and nobody learns whether there is such a pool") {
    Bench bench;
    const auto nowhere = bench.keep_alive(LeaseId::random(), 10s);
    bench.flush();
    CHECK_FALSE(nowhere.as<LeaseRenewed>().lease);
    bench.made(1);
    const auto unknown = bench.keep_alive(LeaseId::random(), 10s);
    CHECK_FALSE(unknown.as<LeaseRenewed>().lease);
    bench.put({.count = 1, .settings = {.renewable = false}});
    const Lease held = bench.granted();
    CHECK(bench.keep_alive(held.id, 10s).is(Refusal::not_renewable));
}

TEST_CASE("a resize adds to the count, within the limits") {
    ServiceLimits limits;
    limits.max_count = 10;
    Bench bench(limits);
    const auto nowhere = bench.resize(1);
    bench.flush();
    CHECK(nowhere.is(Refusal::no_such_pool));
    bench.made(4);
    const auto raised = bench.resize(6);
    const auto lowered = bench.resize(-10);
    bench.flush();
    CHECK(raised.as<PoolCounts>().count == 10);
    CHECK(lowered.as<PoolCounts>().count == 0);
    CHECK(bench.resize(-1).is(Refusal::count_out_of_range));
    CHECK(bench.resize(11).is(Refusal::count_out_of_range));
    CHECK(bench.resize(-0xffff'ffffLL).is(Refusal::count_out_of_range));
    CHECK(bench.resize(0).as<PoolCounts>().count == 0);
}

TEST_CASE("a resize serves who waits, stored before it is told") {
    Taken bench;
    const auto waiter = bench.borrow(60s, 300s);
    bench.resize(1);
    CHECK_FALSE(waiter.answered());
    bench.flush();
    CHECK(lease_of(waiter).position() == 1);
}

TEST_CASE("a revoke is told once it is stored, and undone where it could not be") {
    Taken bench;
    bench.faults->fail_commits(1);
    const auto failed = bench.revoke(0);
    bench.flush();
    CHECK(failed.is(Refusal::store_failed));
    CHECK(bench.in_use() == 1);
    const auto revoked = bench.revoke(0);
    CHECK_FALSE(revoked.answered());
    bench.flush();
    CHECK(revoked.as<LeaseRevoked>().revoked);
    CHECK_FALSE(bench.revoke(0).as<LeaseRevoked>().revoked);
    CHECK_FALSE(bench.give_back(bench.held.id).as<LeaseReturned>().returned);
    bench.pool = PoolId::random();
    const auto nowhere = bench.revoke(0);
    bench.flush();
    CHECK(nowhere.is(Refusal::no_such_pool));
}

TEST_CASE("an extended borrow is answered with the pool's settings, a plain one is not") {
    Bench bench;
    bench.put({.count = 2, .settings = {.payloads = {{"\"a\"", "\"b\""}}}});
    const auto plain = bench.borrow();
    const auto extended = bench.borrow(LeaseId::random());
    bench.flush();
    CHECK_FALSE(plain.as<LeaseGranted>().is_extended);
    CHECK_FALSE(plain.as<LeaseGranted>().settings);
    REQUIRE(extended.as<LeaseGranted>().is_extended);
    CHECK(extended.as<LeaseGranted>().settings->payloads.size() == 2);
}

TEST_CASE("a waiter is answered in the form that it asked in") {
    Taken bench;
    const auto plain = bench.borrow(60s, 5s);
    const auto extended = bench.borrow(bench.id, 5s);
    bench.pass(5s);
    CHECK(plain.is(Refusal::no_resource));
    const auto why = extended.as<NotGranted>();
    CHECK(why.rank == 1);
    // Its place is kept.
    CHECK(why.queue == 1);
    CHECK(why.in_use == 1);
    CHECK(why.count == 1);
    CHECK_FALSE(why.eta);
    const auto at_once = bench.borrow(LeaseId::random());
    CHECK(at_once.as<NotGranted>().rank == 2);
    CHECK(at_once.as<NotGranted>().queue == 1);
}

TEST_CASE("a repeated call is answered with the same lease, and what is left of it") {
    Bench bench;
    bench.made(1);
    const LeaseId id = LeaseId::random();
    const auto first = bench.borrow(id);
    const auto second = bench.borrow(id);
    CHECK_FALSE(second.answered());
    bench.flush();
    bench.clock.pass(20s);
    const auto third = bench.borrow(id);
    CHECK(lease_of(first).id == id);
    CHECK(lease_of(second).fence == lease_of(first).fence);
    CHECK(lease_of(third).fence == lease_of(first).fence);
    CHECK(third.as<LeaseGranted>().remaining == 40s);
    CHECK(bench.in_use() == 1);
}

TEST_CASE("a call that failed is repeated with the same id, and is another grant") {
    Bench bench;
    bench.made(1);
    const LeaseId id = LeaseId::random();
    bench.faults->fail_commits(1);
    const auto failed = bench.borrow(id);
    bench.flush();
    CHECK(failed.is(Refusal::store_failed));
    CHECK(bench.in_use() == 0);
    // Nor is the id taken: it may be used elsewhere.
    const auto again = bench.borrow(id);
    bench.flush();
    CHECK(lease_of(again).id == id);
    CHECK(bench.in_use() == 1);
}

TEST_CASE("an id whose borrow failed can be used in another pool") {
    Bench bench;
    bench.made(1);
    const LeaseId id = LeaseId::random();
    bench.faults->fail_commits(1);
    bench.borrow(id);
    bench.flush();
    bench.pool = PoolId::random();
    bench.made(1);
    const auto elsewhere = bench.borrow(id);
    bench.flush();
    CHECK(lease_of(elsewhere).id == id);
}

TEST_CASE("a call whose commit happened unconfirmed is repeated with the same id, and is the same grant") {
    Bench bench;
    bench.made(1);
    const LeaseId id = LeaseId::random();
    bench.faults->leave_commits_unconfirmed(1);
    const auto failed = bench.borrow(id);
    bench.flush();
    CHECK(failed.is(Refusal::store_failed));
    CHECK(bench.in_use() == 1);
    const auto again = bench.borrow(id);
    bench.flush();
    CHECK(lease_of(again).id == id);
    CHECK(bench.in_use() == 1);
}

TEST_CASE("a lease that was told of twice is not lost with the first answer") {
    Bench bench;
    bench.made(1);
    const LeaseId id = LeaseId::random();
    bench.borrow(id);
    const auto second = bench.borrow(id);
    bench.flush();
    bench.lose_answer_of(lease_of(second));
    bench.flush();
    bench.pass(60s - 1us);
    CHECK(bench.in_use() == 1);
}

TEST_CASE("a lease that its borrower does not ask for again is free after the time to rejoin") {
    Taken bench;
    const auto lost = bench.borrow(bench.id, 300s);
    const auto next = bench.borrow(60s, 300s);
    bench.give_back(bench.held.id);
    bench.flush();
    CHECK(lease_of(lost).id == bench.id);
    bench.lose_answer_of(lease_of(lost));
    bench.flush();
    bench.pass(15s - 1us);
    CHECK_FALSE(next.answered());
    bench.pass(1us);
    CHECK(lease_of(next).position() == 0);
}

TEST_CASE("a lease that nobody asked for again ends though nobody looks: in the store, and for other pools") {
    Bench bench;
    bench.made(1);
    const LeaseId id = LeaseId::random();
    const auto lost = bench.borrow(id, {}, 1h);
    bench.flush();
    bench.lose_answer_of(lease_of(lost));
    bench.flush();
    bench.pass(15s);
    const PoolId first = std::exchange(bench.pool, PoolId::random());
    bench.made(1);
    const auto elsewhere = bench.borrow(id);
    bench.flush();
    CHECK(lease_of(elsewhere).id == id);
    bench.pool = first;
    bench.restart();
    CHECK(bench.in_use() == 0);
}

TEST_CASE("a lease without a chosen id ends at once when its borrower was not told") {
    Taken bench;
    const auto next = bench.borrow(60s, 300s);
    bench.lose_answer_of(bench.held);
    bench.flush();
    CHECK(lease_of(next).position() == 0);
}

TEST_CASE("who calls again while it waits takes its place over, and the older call is told") {
    Taken bench;
    const auto first = bench.borrow(bench.id, 300s);
    const auto other = bench.borrow(60s, 300s);
    const auto second = bench.borrow(bench.id, 300s);
    bench.flush();
    CHECK(first.is(Refusal::superseded));
    CHECK_FALSE(bench.service->leave(bench.pool, first.ticket));
    bench.give_back(bench.held.id);
    bench.flush();
    CHECK(lease_of(second).id == bench.id);
    CHECK_FALSE(other.answered());
}

TEST_CASE("who is away is not granted, and has its place when it is back in time") {
    Taken bench;
    const auto first = bench.borrow(bench.id, 300s);
    const auto other = bench.borrow(60s, 300s);
    bench.flush();
    CHECK(bench.service->leave(bench.pool, first.ticket));
    bench.give_back(bench.held.id);
    bench.flush();
    CHECK(lease_of(other).position() == 0);
    bench.pass(15s - 1us);
    const auto back = bench.borrow(bench.id, 300s);
    const auto late = bench.borrow(60s, 300s);
    bench.give_back(lease_of(other).id);
    bench.flush();
    CHECK(lease_of(back).id == bench.id);
    CHECK_FALSE(late.answered());
    CHECK_FALSE(first.answered());
}

TEST_CASE("a place is there after a restart, and lost a while after the pool was first used") {
    Taken bench;
    bench.borrow(bench.id, 300s);
    bench.flush();
    SECTION("who is back in time has it") {
        bench.restart();
        bench.clock.pass(1h);
        const auto other = bench.borrow(60s, 300s);
        bench.flush();
        CHECK(lease_of(other).position() == 0);
        bench.pass(15s - 1us);
        const auto late = bench.borrow(60s, 300s);
        const auto back = bench.borrow(bench.id, 300s);
        bench.give_back(lease_of(other).id);
        bench.flush();
        CHECK(lease_of(back).id == bench.id);
        CHECK_FALSE(late.answered());
    }
    SECTION("then it is lost, in the store too") {
        bench.restart();
        CHECK(bench.in_use() == 1);
        bench.pass(15s);
        bench.restart();
        const auto look = bench.holders();
        bench.flush();
        CHECK(look.as<std::shared_ptr<const PoolView>>()->queue.empty());
    }
}

TEST_CASE("draining answers who has a place, and keeps that for the next run") {
    Taken bench;
    const auto waiter = bench.borrow(bench.id, 300s);
    bench.flush();
    bench.service->drain();
    CHECK(waiter.is(Refusal::shutting_down));
    bench.restart();
    const auto look = bench.holders();
    bench.flush();
    REQUIRE(look.as<std::shared_ptr<const PoolView>>()->queue.size() == 1);
    CHECK(look.as<std::shared_ptr<const PoolView>>()->queue[0].claim.lease == bench.id);
}

TEST_CASE("a place is stored in the end, though the store failed when it was taken") {
    Taken bench;
    bench.faults->fail_all_commits();
    const auto waiter = bench.borrow(bench.id, 300s);
    // It is not tried again and again meanwhile: flush() sees to that.
    bench.flush();
    const unsigned tried = bench.faults->commits();
    bench.pass(1s - 1us);
    CHECK(bench.faults->commits() == tried);
    bench.pass(1us);
    CHECK(bench.faults->commits() == tried + 1);
    CHECK_FALSE(waiter.answered());
    bench.faults->heal();
    bench.pass(1s);
    bench.restart();
    const auto look = bench.holders();
    bench.flush();
    CHECK(look.as<std::shared_ptr<const PoolView>>()->queue.size() == 1);
}

TEST_CASE("a place that is not stored yet is stored with the next call that changes anything") {
    Taken bench;
    bench.faults->fail_commits(1);
    bench.borrow(bench.id, 300s);
    bench.flush();
    const auto raise = bench.put(1);
    bench.resize(0);
    bench.flush();
    CHECK(raise.answered());
    bench.restart();
    const auto look = bench.holders();
    bench.flush();
    CHECK(look.as<std::shared_ptr<const PoolView>>()->queue.size() == 1);
}

TEST_CASE("who gave its lease back and queues again has one lease, though the return could not be stored") {
    Bench bench;
    bench.made(2);
    const LeaseId id = LeaseId::random();
    const auto first = bench.borrow(id);
    const Lease other = bench.granted();
    bench.flush();
    const auto thief = bench.borrow(60s, 300s);
    const auto back = bench.give_back(id);
    const auto again = bench.borrow(id, 300s);
    bench.faults->fail_commits(1);
    bench.flush();
    CHECK(back.is(Refusal::store_failed));
    CHECK(thief.is(Refusal::store_failed));
    CHECK(lease_of(again).fence == lease_of(first).fence);
    CHECK(again.as<LeaseGranted>().remaining == 60s);
    bench.resize(3);
    bench.give_back(other.id);
    bench.flush();
    CHECK(bench.in_use() == 1);
    bench.pass(60s);
    CHECK(bench.in_use() == 0);
}

TEST_CASE("an id is in use in one pool at a time") {
    Taken bench;
    const PoolId first = std::exchange(bench.pool, PoolId::random());
    bench.made(1);
    const LeaseId live = LeaseId::random();
    bench.borrow(live, {}, 10s);
    bench.flush();
    const PoolId elsewhere = std::exchange(bench.pool, first);
    SECTION("while it is live elsewhere, to the millisecond, though nobody looks there") {
        bench.clock.pass(10s - 1ms);
        CHECK(bench.borrow(live).is(Refusal::lease_id_in_use));
        bench.clock.pass(1ms);
        CHECK(bench.borrow(live).as<NotGranted>().rank == 1);
    }
    SECTION("while it waits elsewhere") {
        bench.borrow(bench.id, 300s);
        bench.flush();
        bench.pool = PoolId::random();
        bench.made(1);
        CHECK(bench.borrow(bench.id).is(Refusal::lease_id_in_use));
        bench.pool = first;
        CHECK(bench.cancel(bench.id).answered() == false);
        bench.flush();
        bench.pool = PoolId::random();
        bench.made(1);
        const auto free = bench.borrow(bench.id);
        bench.flush();
        CHECK(lease_of(free).id == bench.id);
    }
    SECTION("after a restart too, until it expires") {
        bench.restart();
        const auto taken = bench.borrow(live);
        bench.flush();
        CHECK(taken.is(Refusal::lease_id_in_use));
        bench.clock.pass(10s);
        CHECK(bench.borrow(live).as<NotGranted>().rank == 1);
    }
    SECTION("while its end elsewhere is not stored") {
        bench.pool = elsewhere;
        SECTION("as it was returned") {
            bench.give_back(live);
        }
        SECTION("as its pool was deleted") {
            bench.remove();
        }
        bench.pool = first;
        CHECK(bench.borrow(live).is(Refusal::lease_id_in_use));
        bench.flush();
        CHECK(bench.borrow(live).as<NotGranted>().rank == 1);
    }
    SECTION("and not after its pool was deleted") {
        const auto borrow = bench.borrow(bench.id, 300s);
        bench.flush();
        bench.remove();
        bench.flush();
        CHECK(borrow.is(Refusal::no_such_pool));
        bench.pool = PoolId::random();
        bench.made(1);
        const auto free = bench.borrow(bench.id);
        bench.flush();
        CHECK(lease_of(free).id == bench.id);
    }
}

TEST_CASE("a take-over is no new waiter") {
    ServiceLimits limits;
    limits.max_waiters = 2;
    Taken bench(limits);
    const auto first = bench.borrow(bench.id, 300s);
    bench.borrow(60s, 300s);
    bench.flush();
    CHECK(bench.borrow(60s, 300s).is(Refusal::too_many_waiters));
    const auto again = bench.borrow(bench.id, 300s);
    CHECK(first.is(Refusal::superseded));
    CHECK_FALSE(again.answered());
}

TEST_CASE("a place that a restart kept is taken over though other pools have all the waiters there may be") {
    ServiceLimits limits;
    limits.max_waiters = 2;
    Taken bench(limits);
    bench.borrow(bench.id, 300s);
    bench.flush();
    bench.restart();
    const PoolId first = std::exchange(bench.pool, PoolId::random());
    bench.made(0);
    bench.borrow(60s, 300s);
    bench.borrow(60s, 300s);
    CHECK(bench.borrow(60s, 300s).is(Refusal::too_many_waiters));
    bench.pool = first;
    const auto back = bench.borrow(bench.id, 300s);
    bench.flush();
    CHECK_FALSE(back.answered());
}

TEST_CASE("a place whose id another pool got after a restart is gone") {
    Taken bench;
    bench.borrow(bench.id, 300s);
    bench.flush();
    bench.restart();
    const PoolId first = std::exchange(bench.pool, PoolId::random());
    bench.made(1);
    const auto elsewhere = bench.borrow(bench.id);
    bench.flush();
    CHECK(lease_of(elsewhere).id == bench.id);
    bench.pool = first;
    const auto look = bench.holders();
    bench.flush();
    CHECK(look.as<std::shared_ptr<const PoolView>>()->queue.empty());
    const auto refused = bench.borrow(bench.id, 300s);
    CHECK(refused.is(Refusal::lease_id_in_use));
}

TEST_CASE("those who are away make room for others when half of the places are taken") {
    ServiceLimits limits;
    limits.max_waiters = 4;
    Taken bench(limits);
    std::vector<LeaseId> ids;
    for (int i = 0; i < 3; ++i) {
        ids.push_back(LeaseId::random());
        const auto waiter = bench.borrow(ids.back(), 300s);
        bench.service->leave(bench.pool, waiter.ticket);
    }
    bench.flush();
    const auto cancelled = [&](const LeaseId& id) {
        const auto call = bench.cancel(id);
        bench.flush();
        return call.as<BorrowCancelled>().cancelled;
    };
    CHECK(cancelled(ids[0]));
    // The last of those who were away when the third came.
    CHECK_FALSE(cancelled(ids[1]));
    CHECK(cancelled(ids[2]));
}

TEST_CASE("an id that was refused for there being too many waiters is not taken") {
    ServiceLimits limits;
    limits.max_waiters = 0;
    Taken bench(limits);
    CHECK(bench.borrow(bench.id, 300s).is(Refusal::too_many_waiters));
    bench.flush();
    bench.pool = PoolId::random();
    bench.made(1);
    const auto free = bench.borrow(bench.id);
    bench.flush();
    CHECK(lease_of(free).id == bench.id);
}

TEST_CASE("a cancelled waiter is told, and who cancels too, once it is stored") {
    Taken bench;
    const auto waiter = bench.borrow(bench.id, 300s);
    const auto other = bench.borrow(60s, 300s);
    bench.flush();
    const auto cancelled = bench.cancel(bench.id);
    CHECK_FALSE(cancelled.answered());
    bench.flush();
    CHECK(waiter.is(Refusal::cancelled));
    CHECK(cancelled.as<BorrowCancelled>().cancelled);
    CHECK_FALSE(bench.cancel(bench.id).as<BorrowCancelled>().cancelled);
    bench.give_back(bench.held.id);
    bench.flush();
    CHECK(lease_of(other).position() == 0);
    bench.pool = PoolId::random();
    const auto nowhere = bench.cancel(bench.id);
    bench.flush();
    CHECK_FALSE(nowhere.as<BorrowCancelled>().cancelled);
}

TEST_CASE("who is away can be cancelled") {
    Taken bench;
    const auto waiter = bench.borrow(bench.id, 300s);
    bench.flush();
    bench.service->leave(bench.pool, waiter.ticket);
    const auto cancelled = bench.cancel(bench.id);
    bench.flush();
    CHECK(cancelled.as<BorrowCancelled>().cancelled);
    CHECK_FALSE(waiter.answered());
}

TEST_CASE("fences grow on over everything that becomes of a pool") {
    Bench bench;
    bench.made(3);
    std::uint64_t last = 0;
    const auto grows = [&] {
        const Lease lease = bench.granted();
        CHECK(lease.fence > last);
        last = lease.fence;
    };
    grows();
    grows();
    SECTION("over a restart") {
        bench.restart();
        grows();
    }
    SECTION("over a failed commit") {
        bench.faults->fail_commits(1);
        bench.borrow();
        bench.flush();
        grows();
    }
    SECTION("over being deleted and made again in one go") {
        bench.remove();
        bench.put(3);
        grows();
        bench.restart();
        grows();
    }
    SECTION("over being deleted, stored so, and made again") {
        bench.remove();
        bench.flush();
        bench.put(3);
        grows();
    }
    SECTION("over being deleted, a restart, and being made again") {
        bench.remove();
        bench.flush();
        bench.restart();
        bench.put(3);
        grows();
    }
    SECTION("over being deleted together with the grants that needed new fences") {
        for (int i = 0; i < 1500; ++i) {
            const auto borrow = bench.borrow(1ms);
            bench.clock.pass(1ms);
            if (i == 1499) bench.remove();
            if (i != 500 && i != 1499) continue;
            bench.flush();
            last = lease_of(borrow).fence;
        }
        bench.made(3);
        grows();
    }
    SECTION("over being made, lent from and deleted in one go") {
        bench.pool = PoolId::random();
        bench.put(1);
        const auto borrow = bench.borrow();
        bench.remove();
        bench.flush();
        last = lease_of(borrow).fence;
        bench.made(1);
        grows();
    }
}

TEST_CASE("settings and the rest of a slot outlive a restart") {
    Bench bench;
    bench.put(
        {.count = 1,
         .settings = {.name = "seats", .cooldown = 10s, .renewable = false, .payloads = {{"{\"seat\":1}"}}}});
    const Lease held = bench.granted();
    bench.give_back(held.id);
    bench.flush();
    bench.restart();
    bench.clock.pass(10s - 1us);
    const auto early = bench.borrow();
    bench.flush();
    CHECK(early.is(Refusal::no_resource));
    const auto look = bench.holders();
    CHECK(*look.as<std::shared_ptr<const PoolView>>()->settings ==
          PoolSettings{.name = "seats", .cooldown = 10s, .renewable = false, .payloads = {"{\"seat\":1}"}});
    bench.clock.pass(1us);
    CHECK(bench.granted().position() == 0);
}

TEST_CASE("who is served by a raise is served by the settings that came with it") {
    Bench bench;
    wire::RegisterRequest request{1};
    request.settings.cooldown = 100s;
    request.settings.payloads = std::vector<std::string>{"\"a\""};
    bench.put(request);
    bench.flush();
    bench.give_back(bench.granted().id);
    const auto waiter = bench.borrow(LeaseId::random(), 60s);
    bench.flush();
    request.count = 2;
    request.settings.cooldown = 0s;
    request.settings.payloads = std::vector<std::string>{"\"c\"", "\"d\""};
    bench.put(request);
    bench.flush();
    const auto granted = waiter.as<LeaseGranted>();
    CHECK(granted.lease.position() == 0);
    REQUIRE(granted.settings);
    CHECK(granted.settings->payloads == std::vector<std::string>{"\"c\"", "\"d\""});
}

TEST_CASE("a count alone leaves the settings, payloads beyond it too") {
    Bench bench;
    bench.put({.count = 2,
               .settings = {
                   .name = "seats", .cooldown = 10s, .renewable = false, .payloads = {{"\"a\"", "\"b\""}}}});
    bench.put(1);
    bench.put(2);
    bench.put({.count = 2, .settings = {.name = ""}});
    const auto look = bench.holders();
    bench.flush();
    CHECK(*look.as<std::shared_ptr<const PoolView>>()->settings ==
          PoolSettings{.cooldown = 10s, .renewable = false, .payloads = {"\"a\"", "\"b\""}});
}
