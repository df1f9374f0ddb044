#include "tests/pool/pool_bench.hpp"

// Pools that lend the slot that has been idle longest.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

const PoolSettings idle{.pick = Pick::idle};

Claim claim(unsigned slots) {
    return {{}, LeaseId::random(), 60s, start, false, slots, 0};
}

/// What a store would hold.
PoolRecord stored(const Bench& bench, unsigned count) {
    PoolRecord record{1, count};
    record.fence = bench.pool.fence();
    record.settings = bench.pool.settings();
    for (const auto& [position, slot] : bench.changes.slots) {
        if (slot) record.slots.push_back(*slot);
    }
    return record;
}

}  // namespace

TEST_CASE("a pool lends the slot that has been idle longest, and first those that never were lent") {
    Bench bench(3);
    bench.set(start, idle);
    const Lease a = bench.granted(start);
    const Lease b = bench.granted(start);
    CHECK(a.position() == 0);
    CHECK(b.position() == 1);
    bench.give_back(start + 1s, b.id);
    bench.give_back(start + 2s, a.id);
    CHECK(bench.granted(start + 3s).position() == 2);
    CHECK(bench.granted(start + 3s).position() == 1);
    CHECK(bench.granted(start + 3s).position() == 0);
}

TEST_CASE("slots that are idle equally long are lent from the lowest on") {
    Bench bench(3);
    bench.set(start, idle);
    for (const Position expected : {0U, 1U, 2U})
        CHECK(bench.granted(start).position() == expected);
}

TEST_CASE("a slot is idle from the end of its lease on, however that came, and though it rested") {
    Bench bench(3);
    bench.set(start, {.cooldown = 5s, .pick = Pick::idle});
    const Lease expires = bench.granted(start, 10s);
    const Lease returned = bench.granted(start, 60s);
    bench.granted(start, 60s);
    bench.revoke(start + 8s, 2);
    bench.give_back(start + 9s, returned.id);
    CHECK(expires.expires_at == start + 10s);
    CHECK(bench.granted(start + 20s).position() == 2);
    CHECK(bench.granted(start + 20s).position() == 1);
    CHECK(bench.granted(start + 20s).position() == 0);
}

TEST_CASE("a claim for several slots takes those that have been idle longest, in ascending order") {
    Bench bench(4);
    bench.set(start, idle);
    std::vector<Lease> leases;
    for (int i = 0; i < 4; ++i)
        leases.push_back(bench.granted(start));
    for (const Position position : {3U, 1U, 0U, 2U})
        bench.give_back(start + 1s * (1 + bench.pool.available()), leases[position].id);
    CHECK(bench.granted(start + 10s, claim(3)).positions == Positions{0, 1, 3});
}

TEST_CASE("how long a slot has been idle outlives a restart") {
    Bench bench(2);
    bench.set(start, idle);
    const Lease a = bench.granted(start, 10s);
    const Lease b = bench.granted(start, 60s);
    bench.give_back(start + 5s, b.id);
    // The other one expires at 10 s, which no row has to say.
    Bench again(stored(bench, 2), start + 20s);
    CHECK(a.position() == 0);
    CHECK(again.granted(start + 20s).position() == 1);
    CHECK(again.granted(start + 20s).position() == 0);
}

TEST_CASE("the idlest slot is not lent while it is out of service, and is the first one after") {
    Bench bench(2);
    bench.set(start, idle);
    const Lease a = bench.granted(start);
    const Lease b = bench.granted(start);
    bench.give_back(start + 1s, a.id);
    bench.give_back(start + 2s, b.id);
    bench.take_out(start + 3s, 0);
    const Lease c = bench.granted(start + 3s);
    CHECK(c.position() == 1);
    bench.give_back(start + 4s, c.id);
    bench.put_back(start + 5s, 0);
    CHECK(bench.granted(start + 5s).position() == 0);
}

TEST_CASE("no row of an ended lease is kept where the lowest slot is picked") {
    Bench bench(1);
    const Lease lease = bench.granted(start);
    bench.give_back(start + 1s, lease.id);
    CHECK(bench.changes.slots.at(0) == std::nullopt);
    bench.set(start + 1s, idle);
    const Lease next = bench.granted(start + 1s);
    bench.give_back(start + 2s, next.id);
    REQUIRE(bench.changes.slots.at(0));
    CHECK(bench.changes.slots.at(0)->ended_early());
    bench.set(start + 3s, {});
    CHECK(bench.changes.slots.at(0) == std::nullopt);
}
