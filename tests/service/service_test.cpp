#include "tests/service/bench.hpp"

#include <thread>

using namespace std::chrono_literals;
using namespace sema;
using sema::test::Bench;
using sema::test::ManualClock;
using sema::test::StoreFaults;

TEST_CASE("an answer is held back until what it tells is stored") {
    Bench bench;
    bench.made(2);
    const auto borrow = bench.borrow();
    const auto look = bench.inspect();
    const auto raise = bench.put(3);
    const auto same = bench.put(3);
    CHECK_FALSE(borrow.answered());
    CHECK_FALSE(look.answered());
    CHECK_FALSE(raise.answered());
    CHECK_FALSE(same.answered());
    bench.flush();
    CHECK(borrow.as<LeaseGranted>().lease.position() == 0);
    CHECK(look.as<PoolCounts>().in_use == 1);
    CHECK(raise.as<PoolCounts>().count == 3);
    CHECK(same.as<PoolCounts>().count == 3);
}

TEST_CASE("what changes nothing is answered at once when nothing is under way") {
    Bench bench;
    bench.made(1);
    CHECK(bench.inspect().answered());
    CHECK(bench.put(1).answered());
    CHECK_FALSE(bench.give_back(LeaseId::random()).as<LeaseReturned>().returned);
}

TEST_CASE("a refusal to wait does not wait for the store") {
    Bench bench;
    bench.made(1);
    bench.borrow();
    CHECK(bench.borrow().is(Refusal::no_resource));
}

TEST_CASE("everything that came in together is committed together") {
    Bench bench;
    bench.made(100);
    const unsigned before = bench.faults->commits();
    for (int i = 0; i < 50; ++i)
        bench.borrow();
    bench.flush();
    CHECK(bench.faults->commits() == before + 1);
    CHECK(bench.in_use() == 50);
}

TEST_CASE("a pool that is not there is told apart from one that is") {
    Bench bench;
    const auto look = bench.inspect();
    const auto borrow = bench.borrow();
    const auto back = bench.give_back(LeaseId::random());
    const auto gone = bench.remove();
    bench.flush();
    CHECK(look.is(Refusal::no_such_pool));
    CHECK(borrow.is(Refusal::no_such_pool));
    CHECK_FALSE(back.as<LeaseReturned>().returned);
    CHECK_FALSE(gone.as<PoolDeleted>().deleted);
}

TEST_CASE("calls that came before their pool was loaded are done in their order") {
    Bench bench;
    const auto early = bench.inspect();
    const auto put = bench.put(1);
    const auto first = bench.borrow();
    const auto second = bench.borrow();
    bench.flush();
    CHECK(early.is(Refusal::no_such_pool));
    CHECK(put.as<PoolCounts>().in_use == 0);
    CHECK(first.as<LeaseGranted>().lease.position() == 0);
    CHECK(second.is(Refusal::no_resource));
}

TEST_CASE("a commit that fails is as if the calls had not been made") {
    Bench bench;
    bench.made(2);
    const Lease held = bench.granted();
    bench.faults->fail_commits(1);
    const auto borrow = bench.borrow();
    const auto back = bench.give_back(held.id);
    const auto look = bench.inspect();
    bench.flush();
    CHECK(borrow.is(Refusal::store_failed));
    CHECK(back.is(Refusal::store_failed));
    CHECK(look.is(Refusal::store_failed));
    CHECK(bench.in_use() == 1);
    const auto again = bench.give_back(held.id);
    bench.flush();
    CHECK(again.as<LeaseReturned>().returned);
}

TEST_CASE("a pool whose making failed is not there, and can be made") {
    Bench bench;
    bench.faults->fail_commits(1);
    const auto put = bench.put(1);
    bench.flush();
    CHECK(put.is(Refusal::store_failed));
    const auto look = bench.inspect();
    bench.flush();
    CHECK(look.is(Refusal::no_such_pool));
    const auto again = bench.put(1);
    bench.flush();
    CHECK(again.as<PoolCounts>().count == 1);
}

TEST_CASE("a pool whose deletion failed is still there with its leases") {
    Bench bench;
    bench.made(1);
    const Lease held = bench.granted();
    const auto waiter = bench.borrow(60s, 100s);
    bench.faults->fail_commits(1);
    const auto gone = bench.remove();
    bench.flush();
    CHECK(gone.is(Refusal::store_failed));
    CHECK(waiter.is(Refusal::store_failed));
    CHECK(bench.in_use() == 1);
    const auto back = bench.give_back(held.id);
    bench.flush();
    CHECK(back.as<LeaseReturned>().returned);
}

TEST_CASE("a failing commit takes with it what was built on it meanwhile") {
    Bench bench;
    bench.made(1);
    const Lease held = bench.granted();
    const auto back = bench.give_back(held.id);
    bench.faults->fail_commits(1);
    Bench::Call borrow;
    Bench::Call look;
    {
        std::thread committer([&] { bench.service->flush(); });
        StoreFaults::Gate gate(*bench.faults);
        // The gate may close behind the commit; then it has failed already, and the rest holds as well.
        borrow = bench.borrow();
        look = bench.inspect();
        gate.open();
        committer.join();
    }
    bench.flush();
    CHECK(back.is(Refusal::store_failed));
    CHECK((borrow.is(Refusal::store_failed) || borrow.is(Refusal::no_resource)));
    CHECK(bench.in_use() == 1);
}

TEST_CASE("a commit that happened but could not be confirmed is found when the pool is read again") {
    Bench bench;
    bench.made(1);
    bench.faults->leave_commits_unconfirmed(1);
    const auto borrow = bench.borrow();
    bench.flush();
    CHECK(borrow.is(Refusal::store_failed));
    CHECK(bench.in_use() == 1);
    bench.clock.pass(60s);
    CHECK(bench.in_use() == 0);
}

TEST_CASE("waiters keep their places when a commit fails, and are served in order later") {
    Bench bench;
    bench.made(1);
    const Lease held = bench.granted();
    const auto first = bench.borrow(60s, 300s);
    const auto second = bench.borrow(60s, 300s);
    bench.faults->fail_commits(1);
    bench.put(1);
    const auto back = bench.give_back(held.id);
    bench.flush();
    // The first was granted the slot in the commit that failed.
    CHECK(back.is(Refusal::store_failed));
    CHECK(first.is(Refusal::store_failed));
    CHECK_FALSE(second.answered());
    bench.give_back(held.id);
    bench.flush();
    CHECK(second.as<LeaseGranted>().lease.position() == 0);
}

TEST_CASE("a pool that cannot be read answers store_failed, and works once it can") {
    Bench bench;
    bench.made(1);
    Bench::Call look;
    ManualClock clock;
    Service restarted(*bench.store, clock, {});
    bench.faults->fail_loads();
    restarted.inspect(bench.pool, look.reply());
    while (restarted.flush()) {
    }
    CHECK(look.is(Refusal::store_failed));
    bench.faults->heal();
    Bench::Call again;
    restarted.inspect(bench.pool, again.reply());
    while (restarted.flush()) {
    }
    CHECK(again.as<PoolCounts>().count == 1);
}

TEST_CASE("trouble with the store is reported, and its end too") {
    Bench bench;
    bench.made(1);
    CHECK(bench.trouble.empty());
    bench.faults->fail_commits(1);
    bench.borrow();
    bench.flush();
    REQUIRE(bench.trouble.size() == 1);
    CHECK_FALSE(bench.trouble[0].empty());
    bench.clock.pass(1s);
    bench.borrow();
    bench.flush();
    REQUIRE(bench.trouble.size() == 2);
    CHECK(bench.trouble[1].empty());
}

TEST_CASE("trouble with the store is told once a minute, however often it fails or works in between") {
    Bench bench;
    bench.made(100);
    for (int i = 0; i < 50; ++i) {
        bench.faults->fail_commits(1);
        for (int call = 0; call < 2; ++call) {
            bench.borrow();
            bench.flush();
        }
    }
    CHECK(bench.trouble.size() == 1);
    bench.clock.pass(60s - 1us);
    bench.faults->fail_all_commits();
    bench.borrow();
    bench.flush();
    CHECK(bench.trouble.size() == 1);
    bench.clock.pass(1us);
    bench.borrow();
    bench.flush();
    REQUIRE(bench.trouble.size() == 2);
    CHECK_FALSE(bench.trouble[1].empty());
}

TEST_CASE("a store that fails to read as well as to write loses nothing, and no call is left unanswered") {
    Bench bench;
    bench.made(2);
    const Lease held = bench.granted();
    const auto first = bench.borrow();
    bench.faults->fail_commits(1);
    bench.faults->fail_loads();
    Bench::Call second;
    {
        StoreFaults::Gate gate(*bench.faults);
        std::thread committer([&] { bench.service->flush(); });
        gate.await_commit();
        second = bench.give_back(held.id);
        gate.open();
        committer.join();
    }
    bench.flush();
    CHECK(first.is(Refusal::store_failed));
    CHECK(second.is(Refusal::store_failed));
    bench.faults->heal();
    CHECK(bench.in_use() == 1);
}

TEST_CASE("a pool that could not be stored takes no place among the pools") {
    ServiceLimits limits;
    limits.max_pools = 1;
    Bench bench(limits);
    bench.faults->fail_commits(1);
    bench.faults->fail_loads();
    bench.inspect();
    bench.flush();
    bench.faults->heal();
    bench.inspect();
    bench.flush();

    bench.faults->fail_all_commits();
    const auto unmade = bench.put(1);
    bench.faults->fail_loads();
    bench.flush();
    CHECK(unmade.is(Refusal::store_failed));
    bench.faults->heal();
    const auto made = bench.put(1);
    bench.flush();
    CHECK(made.as<PoolCounts>().count == 1);
}

TEST_CASE("while the store is slow, a caller does not wait for it") {
    Bench bench;
    bench.service->start();
    bench.put(1);
    {
        StoreFaults::Gate gate(*bench.faults);
        std::thread caller([&] {
            while (bench.service->settle()) {
            }
        });
        gate.await_commit();
        std::this_thread::sleep_for(15ms);
        gate.open();
        caller.join();
    }
    StoreFaults::Gate gate(*bench.faults);
    const auto slow = bench.put(2);
    CHECK_FALSE(bench.service->settle());
    gate.await_commit();
    CHECK_FALSE(slow.answered());
    gate.open();
    bench.service->stop();
    CHECK(slow.as<PoolCounts>().count == 2);
}

TEST_CASE("a slot given back is handed to the longest waiter, stored before it is told") {
    Bench bench;
    bench.made(1);
    const Lease held = bench.granted();
    const auto first = bench.borrow(30s, 300s);
    const auto second = bench.borrow(30s, 300s);
    bench.give_back(held.id);
    CHECK_FALSE(first.answered());
    bench.flush();
    CHECK(first.as<LeaseGranted>().lease.position() == 0);
    CHECK_FALSE(second.answered());
}

TEST_CASE("an expiry serves the waiter at the millisecond") {
    Bench bench;
    bench.made(1);
    bench.granted(10s);
    const auto waiter = bench.borrow(30s, 300s);
    CHECK(bench.service->advance() == bench.clock.now() + 10s);
    bench.clock.pass(10s - 1ms);
    bench.service->advance();
    bench.flush();
    CHECK_FALSE(waiter.answered());
    bench.clock.pass(1ms);
    bench.service->advance();
    bench.flush();
    CHECK(waiter.as<LeaseGranted>().lease.position() == 0);
}

TEST_CASE("a waiter is refused at its deadline, whether or not the store is busy") {
    Bench bench;
    bench.made(1);
    bench.granted();
    const auto waiter = bench.borrow(30s, 5s);
    bench.put(1);
    bench.clock.pass(5s);
    bench.service->advance();
    CHECK(waiter.is(Refusal::no_resource));
}

TEST_CASE("deleting a pool answers its waiters at once, and a new one starts fresh") {
    Bench bench;
    bench.made(1);
    const Lease held = bench.granted();
    const auto waiter = bench.borrow(30s, 300s);
    const auto gone = bench.remove();
    bench.flush();
    CHECK(gone.as<PoolDeleted>().deleted);
    CHECK(waiter.is(Refusal::no_such_pool));
    bench.made(1);
    CHECK(bench.in_use() == 0);
    const auto back = bench.give_back(held.id);
    bench.flush();
    CHECK_FALSE(back.as<LeaseReturned>().returned);
}

TEST_CASE("deleted and made again in one go, the pool has none of its old leases after a restart") {
    Bench bench;
    bench.made(2);
    bench.granted();
    bench.remove();
    bench.put(2);
    const auto borrow = bench.borrow();
    bench.flush();
    CHECK(borrow.as<LeaseGranted>().lease.position() == 0);
    Service restarted(*bench.store, bench.clock, {});
    Bench::Call look;
    restarted.inspect(bench.pool, look.reply());
    restarted.flush();
    CHECK(look.as<PoolCounts>().in_use == 1);
}

TEST_CASE("who leaves the queue is never answered and never granted") {
    Bench bench;
    bench.made(1);
    const Lease held = bench.granted();
    const auto gone = bench.borrow(30s, 300s);
    const auto stays = bench.borrow(30s, 300s);
    CHECK(bench.service->leave(bench.pool, gone.ticket));
    CHECK_FALSE(bench.service->leave(bench.pool, gone.ticket));
    bench.give_back(held.id);
    bench.flush();
    CHECK_FALSE(gone.answered());
    CHECK(stays.answered());
}

TEST_CASE("who leaves before the pool was even loaded takes what is free") {
    Bench bench;
    bench.made(1);
    Service restarted(*bench.store, bench.clock, {});
    Bench::Call gone;
    const Ticket ticket = restarted.next_ticket();
    restarted.borrow(bench.pool, ticket, {30s, 0s}, gone.reply());
    CHECK_FALSE(restarted.leave(bench.pool, ticket));
    while (restarted.flush()) {
    }
    CHECK(gone.as<LeaseGranted>().lease.position() == 0);
}

TEST_CASE("who leaves before the pool was even loaded does not wait") {
    Bench bench;
    bench.made(0);
    Service restarted(*bench.store, bench.clock, {});
    Bench::Call gone;
    const Ticket ticket = restarted.next_ticket();
    restarted.borrow(bench.pool, ticket, {30s, 300s}, gone.reply());
    CHECK_FALSE(restarted.leave(bench.pool, ticket));
    restarted.flush();
    CHECK(gone.is(Refusal::no_resource));
}

TEST_CASE("who leaves after the grant is still answered, so that the lease can be given back") {
    Bench bench;
    bench.made(1);
    const auto borrow = bench.borrow();
    CHECK_FALSE(bench.service->leave(bench.pool, borrow.ticket));
    bench.flush();
    CHECK(borrow.answered());
}

TEST_CASE("draining answers every waiter and every new call with shutting_down, and finishes the rest") {
    Bench bench;
    bench.made(1);
    const auto granted = bench.borrow();
    const auto waiter = bench.borrow(30s, 300s);
    bench.service->drain();
    CHECK(waiter.is(Refusal::shutting_down));
    CHECK(bench.inspect().is(Refusal::shutting_down));
    bench.flush();
    CHECK(granted.as<LeaseGranted>().lease.position() == 0);
}

TEST_CASE("a lease can be given back while the service drains") {
    Bench bench;
    bench.made(1);
    const Lease held = bench.granted();
    bench.service->drain();
    const auto back = bench.give_back(held.id);
    bench.flush();
    CHECK(back.as<LeaseReturned>().returned);
}

TEST_CASE("ttl and wait are cut to their limits") {
    ServiceLimits limits;
    limits.max_ttl = 100s;
    limits.max_wait = 10s;
    Bench bench(limits);
    bench.made(1);
    CHECK(bench.granted(longest_duration).ttl == 100s);
    const auto waiter = bench.borrow(30s, longest_duration);
    bench.clock.pass(10s - 1us);
    bench.service->advance();
    CHECK_FALSE(waiter.answered());
    bench.clock.pass(1us);
    bench.service->advance();
    CHECK(waiter.is(Refusal::no_resource));
}

TEST_CASE("there are no more waiters than the limit, over all pools") {
    ServiceLimits limits;
    limits.max_waiters = 2;
    Bench bench(limits);
    bench.made(0);
    const auto first = bench.borrow(30s, 300s);
    bench.borrow(30s, 300s);
    CHECK(bench.borrow(30s, 300s).is(Refusal::too_many_waiters));
    bench.service->leave(bench.pool, first.ticket);
    CHECK_FALSE(bench.borrow(30s, 300s).answered());
}

TEST_CASE("there are no more pools than the limit, those of earlier runs counted") {
    ServiceLimits limits;
    limits.max_pools = 2;
    Bench bench(limits);
    bench.made(1);
    bench.pool = PoolId::random();
    bench.made(1);
    Service restarted(*bench.store, bench.clock, limits);
    const auto put = [&](const PoolId& pool) {
        Bench::Call call;
        restarted.put(pool, {1}, call.reply());
        while (restarted.flush()) {
        }
        return call;
    };
    CHECK(put(PoolId::random()).is(Refusal::too_many_pools));
    CHECK(put(bench.pool).as<PoolCounts>().count == 1);
    Bench::Call gone;
    restarted.remove(bench.pool, gone.reply());
    while (restarted.flush()) {
    }
    CHECK(put(PoolId::random()).as<PoolCounts>().count == 1);
}

TEST_CASE("a pool whose making failed does not count against the limit") {
    ServiceLimits limits;
    limits.max_pools = 1;
    Bench bench(limits);
    bench.faults->fail_commits(1);
    bench.made(1);
    const auto put = bench.put(1);
    bench.flush();
    CHECK(put.as<PoolCounts>().count == 1);
}

TEST_CASE("a restart keeps leases for the time they had left") {
    Bench bench;
    bench.made(2);
    bench.granted(60s);
    bench.granted(10s);
    bench.clock.pass(20s);
    Service restarted(*bench.store, bench.clock, {});
    const auto in_use = [&] {
        Bench::Call look;
        restarted.inspect(bench.pool, look.reply());
        while (restarted.flush()) {
        }
        return look.as<PoolCounts>().in_use;
    };
    CHECK(in_use() == 1);
    bench.clock.pass(40s - 1us);
    CHECK(in_use() == 1);
    bench.clock.pass(1us);
    CHECK(in_use() == 0);
}
