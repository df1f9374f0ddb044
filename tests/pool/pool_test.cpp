#include "tests/pool/pool_bench.hpp"

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

TEST_CASE("a grant takes the lowest free position") {
    Bench bench(3);
    const Lease first = bench.granted(start);
    const Lease second = bench.granted(start);
    const Lease third = bench.granted(start);
    CHECK(first.position() == 0);
    CHECK(second.position() == 1);
    CHECK(third.position() == 2);
    bench.give_back(start, second.id);
    bench.give_back(start, first.id);
    CHECK(bench.granted(start).position() == 0);
    CHECK(bench.granted(start).position() == 1);
}

TEST_CASE("positions are found lowest first beyond the first sixty-four") {
    Bench bench(200);
    std::vector<Lease> leases;
    for (unsigned i = 0; i < 200; ++i) {
        leases.push_back(bench.granted(start));
        REQUIRE(leases.back().position() == i);
    }
    CHECK(bench.refused(start));
    bench.give_back(start, leases[150].id);
    bench.give_back(start, leases[64].id);
    CHECK(bench.granted(start).position() == 64);
    CHECK(bench.granted(start).position() == 150);
}

TEST_CASE("a lease says when it was granted and when it ends") {
    Bench bench(1);
    const Lease lease = bench.granted(start + 5s, 30s);
    CHECK(lease.granted_at == start + 5s);
    CHECK(lease.expires_at == start + 35s);
    CHECK(lease.ttl == 30s);
}

TEST_CASE("a full pool refuses who does not wait") {
    Bench bench(1);
    bench.granted(start);
    CHECK(bench.refused(start));
    CHECK(bench.pool.in_use() == 1);
    CHECK(bench.pool.available() == 0);
}

TEST_CASE("a pool of none refuses everybody") {
    Bench bench(0);
    CHECK(bench.refused(start));
}

TEST_CASE("a lease is live until its end and no longer") {
    Bench bench(1);
    bench.granted(start, 10s);
    CHECK(bench.refused(start + 10s - 1ms));
    CHECK(bench.granted(start + 10s).position() == 0);
}

TEST_CASE("a lease is returned before its end only, and once") {
    Bench bench(2);
    const Lease lease = bench.granted(start, 10s);
    const Lease other = bench.granted(start, 10s);
    CHECK(bench.give_back(start + 10s - 1ms, lease.id));
    CHECK_FALSE(bench.give_back(start + 10s - 1ms, lease.id));
    CHECK_FALSE(bench.give_back(start + 10s, other.id));
    CHECK_FALSE(bench.give_back(start + 10s, LeaseId::random()));
}

TEST_CASE("a slot that is given back goes to the longest waiter in the same call") {
    Bench bench(1);
    const Lease lease = bench.granted(start);
    const Ticket first = bench.queued(start, 300s);
    bench.queued(start, 300s);
    bench.give_back(start + 1s, lease.id);
    REQUIRE(bench.effects->granted.size() == 1);
    CHECK(bench.effects->granted[0].ticket == first);
    CHECK(bench.effects->granted[0].lease.position() == 0);
    CHECK(bench.effects->granted[0].lease.granted_at == start + 1s);
    CHECK(bench.pool.waiting() == 1);
}

TEST_CASE("a slot whose lease expired goes to the longest waiter") {
    Bench bench(1);
    bench.granted(start, 10s);
    const Ticket first = bench.queued(start, 300s);
    bench.advance_to(start + 10s - 1ms);
    CHECK(bench.effects->granted.empty());
    bench.advance_to(start + 10s);
    REQUIRE(bench.effects->granted.size() == 1);
    CHECK(bench.effects->granted[0].ticket == first);
}

TEST_CASE("a newcomer does not overtake the queue, even in the instant a slot comes free") {
    Bench bench(1);
    bench.granted(start, 10s);
    const Ticket waiter = bench.queued(start, 300s);
    CHECK(bench.refused(start + 10s));
    REQUIRE(bench.effects->granted.size() == 1);
    CHECK(bench.effects->granted[0].ticket == waiter);
}

TEST_CASE("a raise serves as many waiters as there are new slots, in order") {
    Bench bench(1);
    bench.granted(start);
    const Ticket first = bench.queued(start, 300s);
    const Ticket second = bench.queued(start, 300s);
    bench.queued(start, 300s);
    bench.set_count(start, 3);
    REQUIRE(bench.effects->granted.size() == 2);
    CHECK(bench.effects->granted[0].ticket == first);
    CHECK(bench.effects->granted[0].lease.position() == 1);
    CHECK(bench.effects->granted[1].ticket == second);
    CHECK(bench.effects->granted[1].lease.position() == 2);
}

TEST_CASE("a shrink ends no lease and grants nothing until fewer than count are live") {
    Bench bench(3);
    const Lease low = bench.granted(start);
    const Lease middle = bench.granted(start);
    const Lease high = bench.granted(start);
    bench.set_count(start, 1);
    CHECK(bench.pool.in_use() == 3);
    CHECK(bench.pool.available() == 0);
    const Ticket waiter = bench.queued(start, 300s);
    bench.give_back(start, low.id);
    CHECK(bench.effects->granted.empty());
    bench.give_back(start, middle.id);
    CHECK(bench.effects->granted.empty());
    CHECK(bench.pool.in_use() == 1);
    bench.give_back(start, high.id);
    REQUIRE(bench.effects->granted.size() == 1);
    CHECK(bench.effects->granted[0].ticket == waiter);
    CHECK(bench.effects->granted[0].lease.position() == 0);
}

TEST_CASE("a waiter is told at its deadline, and gets nothing from then on") {
    Bench bench(1);
    const Lease lease = bench.granted(start);
    const Ticket waiter = bench.queued(start, 5s);
    bench.advance_to(start + 5s - 1ms);
    CHECK(bench.effects->gave_up.empty());
    // The slot comes free in the very instant of the deadline.
    bench.give_back(start + 5s, lease.id);
    CHECK(bench.gave_up() == std::vector<Ticket>{waiter});
    CHECK(bench.effects->granted.empty());
}

TEST_CASE("a waiter whose deadline passed unnoticed is not granted a slot that came free before it") {
    Bench bench(1);
    bench.granted(start, 10s);
    const Ticket waiter = bench.queued(start, 11s);
    bench.advance_to(start + 12s);
    CHECK(bench.gave_up() == std::vector<Ticket>{waiter});
    CHECK(bench.effects->granted.empty());
}

TEST_CASE("a waiter that leaves is passed over") {
    Bench bench(1);
    const Lease lease = bench.granted(start);
    const Ticket first = bench.queued(start, 300s);
    const Ticket second = bench.queued(start, 300s);
    CHECK(bench.pool.leave(start, first, bench.changes));
    CHECK_FALSE(bench.pool.leave(start, first, bench.changes));
    bench.give_back(start, lease.id);
    REQUIRE(bench.effects->granted.size() == 1);
    CHECK(bench.effects->granted[0].ticket == second);
}

TEST_CASE("the waiters of a dissolved pool are told in their order") {
    Bench bench(0);
    const Ticket first = bench.queued(start, 300s);
    const Ticket second = bench.queued(start, 5s);
    CHECK(bench.pool.dissolve(start, bench.anew()) == std::vector<Ticket>{first, second});
    CHECK(bench.pool.waiting() == 0);
    CHECK_FALSE(bench.pool.next_deadline());
}

TEST_CASE("the next deadline is the first thing that somebody waits for") {
    Bench bench(1);
    bench.granted(start, 10s);
    CHECK_FALSE(bench.pool.next_deadline());
    bench.queued(start, 300s);
    CHECK(bench.pool.next_deadline() == start + 10s);
    const Ticket hasty = bench.queued(start, 4s);
    CHECK(bench.pool.next_deadline() == start + 4s);
    bench.pool.leave(start, hasty, bench.changes);
    CHECK(bench.pool.next_deadline() == start + 10s);
}

TEST_CASE("changes tell which rows to store, the last state of each") {
    Bench bench(2);
    const Lease first = bench.granted(start);
    const Lease second = bench.granted(start);
    bench.give_back(start, first.id);
    bench.set_count(start, 5);
    CHECK(bench.changes.count == 5U);
    REQUIRE(bench.changes.slots.size() == 2);
    CHECK_FALSE(bench.changes.slots.at(0));
    CHECK(bench.changes.slots.at(1)->lease == second.id);
}

TEST_CASE("what changes nothing stores nothing") {
    Bench bench(1);
    bench.set_count(start, 1);
    bench.give_back(start, LeaseId::random());
    bench.advance_to(start + 1s);
    CHECK(bench.changes.empty());
}

TEST_CASE("a restored pool keeps leases with the time they have left") {
    const HeldSlot live{LeaseId::random(), 1, start - 20s, start + 40s, 60s};
    const HeldSlot past{LeaseId::random(), 0, start - 90s, start, 60s};
    const PoolLimits limits;
    Pool pool(PoolRecord{7, 2, 0, nullptr, {past, live}}, start, limits);
    CHECK(pool.in_use() == 1);
    Changes changes;
    Effects effects(changes);
    CHECK_FALSE(pool.give_back(start + 1s, past.lease, effects));
    CHECK_FALSE(pool.give_back(start + 40s, live.lease, effects));
}

TEST_CASE("a restored lease never gets more than its ttl, should time have gone back") {
    const HeldSlot lease{LeaseId::random(), 0, start + 1000s, start + 1060s, 60s};
    const PoolLimits limits;
    Pool pool(PoolRecord{7, 1, 0, nullptr, {lease}}, start, limits);
    Changes changes;
    Effects effects(changes);
    pool.advance_to(start + 60s - 1ms, effects);
    CHECK(pool.in_use() == 1);
    pool.advance_to(start + 60s, effects);
    CHECK(pool.in_use() == 0);
}

TEST_CASE("restoring a pool keeps its queue and serves it from what is free then") {
    Bench bench(1);
    bench.granted(start);
    const Ticket waiter = bench.queued(start, 300s);
    bench.pool.roll_back_to(PoolRecord{3, 1}, start, *bench.effects);
    bench.advance_to(start);
    REQUIRE(bench.effects->granted.size() == 1);
    CHECK(bench.effects->granted[0].ticket == waiter);
}
