#include "tests/pool/pool_bench.hpp"

// What a lease is: its slots, its fence, its life, and what becomes of its slots afterwards.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

Claim slots(unsigned number, Duration ttl = 60s, TimePoint give_up_at = start) {
    return {{}, LeaseId::random(), ttl, give_up_at, false, number};
}

Claim chosen(const LeaseId& id, Duration ttl = 60s, TimePoint give_up_at = start) {
    return {{}, id, ttl, give_up_at, true};
}

PoolSettings resting(Duration cooldown) {
    return {{}, cooldown, true, {}};
}

}  // namespace

TEST_CASE("a lease of several slots takes the lowest free ones, and gives them back together") {
    Bench bench(5);
    bench.granted(start);
    const Lease second = bench.granted(start);
    bench.granted(start);
    bench.give_back(start, second.id);
    const Lease wide = bench.granted(start, slots(3));
    CHECK(wide.positions == Positions{1, 3, 4});
    CHECK(wide.position() == 1);
    CHECK(bench.pool.in_use() == 5);
    CHECK(bench.give_back(start, wide.id));
    CHECK(bench.pool.in_use() == 2);
    CHECK(bench.pool.available() == 3);
}

TEST_CASE("several slots are lent all or not at all") {
    Bench bench(3);
    bench.granted(start);
    CHECK(std::holds_alternative<Pool::Unavailable>(bench.borrow(start, slots(3))));
    CHECK(bench.pool.in_use() == 1);
    CHECK(bench.granted(start, slots(2)).positions == Positions{1, 2});
}

TEST_CASE("a lease may span more than sixty-four slots") {
    Bench bench(200);
    const Lease one = bench.granted(start);
    const Lease wide = bench.granted(start, slots(199));
    REQUIRE(wide.positions.size() == 199);
    CHECK(wide.positions.front() == 1);
    CHECK(wide.positions.back() == 199);
    CHECK(bench.pool.available() == 0);
    bench.give_back(start, one.id);
    CHECK(bench.pool.available() == 1);
}

TEST_CASE("each slot of a lease is stored, the holder with the first of them") {
    Bench bench(3);
    auto claim = slots(2);
    claim.holder = std::make_shared<const Holder>(Holder{"render 7", {}});
    const Lease lease = bench.granted(start, claim);
    REQUIRE(bench.changes.slots.size() == 2);
    for (const auto& [position, row] : bench.changes.slots) {
        CHECK(row->lease == lease.id);
        CHECK(row->position == position);
        CHECK(row->fence == lease.fence);
    }
    CHECK(bench.changes.slots.at(0)->holder == claim.holder);
    CHECK_FALSE(bench.changes.slots.at(1)->holder);
}

TEST_CASE("a restored lease has all its slots again, and its holder") {
    const LeaseId id = LeaseId::random();
    const auto holder = std::make_shared<const Holder>(Holder{"render 7", "http://render/7"});
    Bench bench(PoolRecord{1,
                           4,
                           10,
                           nullptr,
                           {{id, 1, start, start + 60s, 60s, 7, true, holder},
                            {id, 3, start, start + 60s, 60s, 7, true, nullptr}}});
    const PoolView view = bench.pool.view(start);
    REQUIRE(view.leases.size() == 1);
    CHECK(view.leases[0].positions == Positions{1, 3});
    CHECK(view.leases[0].holder == holder);
    CHECK(view.leases[0].chosen);
    CHECK(view.leases[0].fence == 7);
    CHECK(bench.pool.in_use() == 2);
}

TEST_CASE("of two leases of one id that a store has, the later one lives") {
    // The earlier one ended without anybody who wrote that down, and the clock is behind what it was then.
    const LeaseId id = LeaseId::random();
    const Position earlier = GENERATE(0U, 1U);
    const Position later = 1 - earlier;
    std::vector<HeldSlot> rows{{id, earlier, start - 60s, start + 5s, 65s, 5, true, nullptr},
                               {id, later, start, start + 60s, 60s, 6, true, nullptr}};
    if (earlier > later) std::swap(rows[0], rows[1]);
    Bench bench(PoolRecord{1, 2, 10, {}, rows});
    const PoolView view = bench.pool.view(start);
    REQUIRE(view.leases.size() == 1);
    CHECK(view.leases[0].positions == Positions{later});
    CHECK(view.leases[0].fence == 6);
    CHECK(bench.pool.in_use() == 1);
    CHECK(bench.granted(start).position() == earlier);
    CHECK(bench.give_back(start, id, 6));
}

TEST_CASE("each fence is greater than those before it") {
    Changes changes;
    Effects effects(changes);
    const PoolLimits limits;
    Pool pool(2500, 40, limits, changes);
    std::uint64_t last = 40;
    for (int i = 0; i < 2500; ++i) {
        const auto borrowed = pool.borrow(start, slots(1), effects);
        const auto& lease = std::get<Pool::Held>(borrowed).lease;
        REQUIRE(lease.fence > last);
        last = lease.fence;
        // What is stored covers it.
        REQUIRE(*changes.fence >= last);
    }
    CHECK(pool.fence() == *changes.fence);
}

TEST_CASE("a restored pool goes on above all fences that it may have given") {
    Bench bench(PoolRecord{1, 2, 1000});
    CHECK(bench.granted(start).fence == 1001);
    CHECK(*bench.changes.fence >= 1001);
    CHECK(bench.granted(start).fence == 1002);
}

TEST_CASE("a pool that is restored from what was stored a while ago gives no fence again") {
    PoolLimits limits;
    limits.server = ServerId{1};
    Bench bench(PoolRecord{1, 9, 1000}, start, limits);
    bench.granted(start);
    const Lease lease = bench.granted(start);
    CHECK(lease.fence == 1002);
    bench.pool.rebuild(PoolRecord{1, 9, 1001}, {}, start, bench.anew());
    CHECK(bench.granted(start).fence == 1003);
    CHECK(*bench.changes.fence >= 1003);
    // And it goes on from what others have given.
    bench.pool.rebuild(PoolRecord{1, 9, 2000}, {}, start, bench.anew());
    CHECK(bench.granted(start).fence == 2001);
}

TEST_CASE("a lease that is kept alive ends its new ttl from now, be that later or earlier") {
    Bench bench(1);
    const Lease lease = bench.granted(start, 10s);
    CHECK(bench.kept_alive(start + 5s, lease.id, 20s) == start + 25s);
    CHECK(bench.changes.slots.at(0)->expires_at == start + 25s);
    CHECK(bench.changes.slots.at(0)->ttl == 20s);
    CHECK(bench.kept_alive(start + 6s, lease.id, 2s) == start + 8s);
    CHECK(bench.in_use(start + 8s - 1ms) == 1);
    CHECK(bench.in_use(start + 8s) == 0);
}

TEST_CASE("a lease is kept alive before its end only") {
    Bench bench(2);
    const Lease lease = bench.granted(start, 10s);
    const Lease other = bench.granted(start, 10s);
    bench.kept_alive(start + 10s - 1ms, lease.id, 10s);
    const auto kept = bench.pool.keep_alive(start + 10s, other.id, 10s, *bench.effects);
    CHECK(std::holds_alternative<Pool::NotHeld>(kept));
    CHECK(bench.pool.in_use() == 1);
}

TEST_CASE("no lease lives longer than the limit, however often it is kept alive") {
    Bench bench(2, {30s, 15s});
    CHECK(bench.granted(start, 100s).expires_at == start + 30s);
    const Lease lease = bench.granted(start, 10s);
    CHECK(bench.kept_alive(start + 9s, lease.id, 20s) == start + 29s);
    CHECK(bench.kept_alive(start + 20s, lease.id, 20s) == start + 30s);
    CHECK(bench.in_use(start + 30s - 1ms) == 2);
    CHECK(bench.in_use(start + 30s) == 0);
}

TEST_CASE("a lease from before the limit on a lease's life does not outlive it either") {
    const HeldSlot old{LeaseId::random(), 0, start - 100s, start + 60s, 160s};
    const HeldSlot young{LeaseId::random(), 1, start - 10s, start + 60s, 70s};
    Bench bench(PoolRecord{1, 2, 0, nullptr, {old, young}}, start, {30s, 15s});
    CHECK(bench.pool.in_use() == 1);
    const auto kept = bench.pool.keep_alive(start, old.lease, 10s, *bench.effects);
    CHECK(std::holds_alternative<Pool::NotHeld>(kept));
    CHECK(bench.kept_alive(start + 1s, young.lease, 60s) == start + 20s);
    CHECK(bench.in_use(start + 20s - 1ms) == 1);
    CHECK(bench.in_use(start + 20s) == 0);
}

TEST_CASE("a pool may forbid to keep leases alive") {
    Bench bench(1);
    const Lease lease = bench.granted(start, 10s);
    bench.set(start, {{}, {}, false, {}});
    const auto kept = bench.pool.keep_alive(start + 5s, lease.id, 10s, *bench.effects);
    CHECK(std::holds_alternative<Pool::NotRenewable>(kept));
    CHECK(bench.in_use(start + 10s - 1ms) == 1);
    CHECK(bench.in_use(start + 10s) == 0);
    const auto late = bench.pool.keep_alive(start + 10s, lease.id, 10s, *bench.effects);
    CHECK(std::holds_alternative<Pool::NotHeld>(late));
}

TEST_CASE("a revoke ends the whole lease at a position, and serves who waits") {
    Bench bench(3);
    const Lease wide = bench.granted(start, slots(2));
    bench.granted(start);
    const Ticket waiter = bench.queued(start, 300s);
    CHECK(bench.revoke(start + 1s, 1));
    CHECK(bench.served() == Tickets{waiter});
    CHECK(bench.effects->granted[0].lease.position() == 0);
    CHECK_FALSE(bench.give_back(start + 1s, wide.id));
    CHECK_FALSE(bench.revoke(start + 1s, 1));
    CHECK_FALSE(bench.revoke(start + 1s, 99));
}

TEST_CASE("a revoke that names a fence ends the lease with that fence alone") {
    Bench bench(1);
    const Lease lease = bench.granted(start);
    CHECK_FALSE(bench.revoke(start + 1s, 0, lease.fence + 1));
    CHECK_FALSE(bench.revoke(start + 1s, 0, lease.fence - 1));
    CHECK(bench.pool.knows(lease.id));
    bench.give_back(start + 1s, lease.id);
    const Lease next = bench.granted(start + 1s);
    CHECK_FALSE(bench.revoke(start + 1s, 0, lease.fence));
    CHECK(bench.revoke(start + 1s, 0, next.fence));
}

TEST_CASE("a return or a keepalive that names a fence is about the lease with that fence alone") {
    Bench bench(1);
    const LeaseId id = LeaseId::random();
    const Lease lease = bench.granted(start, chosen(id));
    CHECK(bench.give_back(start + 1s, id, lease.fence));
    const Lease next = bench.granted(start + 1s, chosen(id));
    for (const std::uint64_t other : {lease.fence, next.fence + 1}) {
        CHECK_FALSE(bench.give_back(start + 2s, id, other));
        const auto kept = bench.pool.keep_alive(start + 2s, id, 5s, bench.anew(), other);
        CHECK(std::holds_alternative<Pool::NotHeld>(kept));
    }
    CHECK(bench.pool.view(start + 2s).leases[0].expires_at == next.expires_at);
    CHECK(std::holds_alternative<Lease>(bench.pool.keep_alive(start + 2s, id, 5s, bench.anew(), next.fence)));
    CHECK(bench.give_back(start + 2s, id, next.fence));
}

TEST_CASE("a lease is revoked before its end only") {
    Bench bench(2);
    bench.granted(start, 10s);
    bench.granted(start, 10s);
    CHECK(bench.revoke(start + 10s - 1ms, 0));
    CHECK_FALSE(bench.revoke(start + 10s, 1));
}

TEST_CASE("a slot rests after a return, and is lent no earlier than that is over") {
    Bench bench(1);
    bench.set(start, resting(5s));
    const Lease lease = bench.granted(start);
    bench.give_back(start + 10s, lease.id);
    CHECK(bench.pool.in_use() == 0);
    CHECK(bench.pool.available() == 0);
    CHECK(bench.refused(start + 15s - 1ms));
    CHECK(bench.granted(start + 15s).position() == 0);
}

TEST_CASE("a slot rests from the end of an expired lease on, whenever that is noticed") {
    Bench bench(1);
    bench.set(start, resting(5s));
    bench.granted(start, 10s);
    CHECK(bench.refused(start + 15s - 1ms));
    CHECK(bench.granted(start + 15s).position() == 0);
}

TEST_CASE("a slot rests longer by what the time may be behind") {
    PoolLimits limits;
    limits.clock_error = 5ms;
    Bench bench(1, limits);
    bench.set(start, resting(5s));
    const Lease lease = bench.granted(start);
    bench.give_back(start + 10s, lease.id);
    CHECK(bench.refused(start + 15s + 5ms - 1us));
    CHECK(bench.granted(start + 15s + 5ms).position() == 0);
}

TEST_CASE("a slot rests after a revoke") {
    Bench bench(1);
    bench.set(start, resting(5s));
    bench.granted(start);
    CHECK(bench.revoke(start + 10s, 0));
    CHECK(bench.refused(start + 15s - 1ms));
    CHECK(bench.granted(start + 15s).position() == 0);
}

TEST_CASE("a grant passes over slots that rest") {
    Bench bench(3);
    bench.set(start, resting(5s));
    const Lease first = bench.granted(start);
    bench.give_back(start, first.id);
    CHECK(bench.pool.available() == 2);
    CHECK(bench.granted(start, slots(2)).positions == Positions{1, 2});
}

TEST_CASE("a waiter is served in the instant a slot has rested, which is a deadline") {
    Bench bench(1);
    bench.set(start, resting(5s));
    const Lease lease = bench.granted(start);
    const Ticket waiter = bench.queued(start, 300s);
    bench.give_back(start + 10s, lease.id);
    CHECK(bench.served().empty());
    CHECK(bench.pool.next_deadline() == start + 15s);
    bench.advance_to(start + 15s - 1ms);
    CHECK(bench.served().empty());
    bench.advance_to(start + 15s);
    CHECK(bench.served() == Tickets{waiter});
}

TEST_CASE("whom a raise serves, it serves by the settings that come with it") {
    Bench bench(1);
    bench.set(start, resting(100s));
    bench.give_back(start, bench.granted(start).id);
    const Ticket waiter = bench.queued(start, 300s);
    bench.pool.set(start + 10s, 2, resting(10s), bench.anew());
    REQUIRE(bench.served() == Tickets{waiter});
    // By the longer cooldown, the lowest slot would have been the new one.
    CHECK(bench.effects->granted[0].lease.position() == 0);
}

TEST_CASE("a count that is lowered together with the cooldown lends nothing beyond it") {
    Bench bench(2);
    bench.set(start, resting(100s));
    bench.granted(start);
    bench.give_back(start, bench.granted(start).id);
    bench.queued(start, 300s);
    bench.pool.set(start + 10s, 1, resting(10s), bench.anew());
    CHECK(bench.served().empty());
}

TEST_CASE("a shorter cooldown is the rule for slots that rest already") {
    Bench bench(1);
    bench.set(start, resting(100s));
    bench.give_back(start, bench.granted(start).id);
    const Ticket waiter = bench.queued(start, 300s);
    bench.set(start + 10s, resting(10s));
    CHECK(bench.served() == Tickets{waiter});
}

TEST_CASE("slots rest on over a restart, for what is left") {
    Bench bench(3);
    bench.set(start, resting(5s));
    const Lease returned = bench.granted(start, 100s);
    bench.granted(start, 10s);
    bench.granted(start, 100s);
    bench.give_back(start + 10s, returned.id);
    PoolRecord record{2, 3, bench.pool.fence(), bench.pool.settings()};
    for (const auto& [position, row] : bench.changes.slots)
        record.slots.push_back(*row);

    Bench early(record, start + 15s - 1ms);
    CHECK(early.pool.in_use() == 1);
    CHECK(early.pool.available() == 0);
    CHECK(early.refused(start + 15s - 1ms));
    CHECK(early.granted(start + 15s, slots(2)).positions == Positions{0, 1});
    Bench late(record, start + 15s);
    CHECK(late.pool.available() == 2);
}

TEST_CASE("settings that stay as they were store nothing") {
    Bench bench(1);
    bench.set(start, {});
    CHECK(bench.changes.empty());
    bench.set(start, {"seats", 5s, false, {"\"a\""}});
    REQUIRE(bench.changes.settings);
    CHECK(*bench.changes.settings == PoolSettings{"seats", 5s, false, {"\"a\""}});
    bench.changes = {};
    bench.set(start, {"seats", 5s, false, {"\"a\""}});
    CHECK(bench.changes.empty());
}

TEST_CASE("a lease that its borrower was not told of ends at once, and serves who waits") {
    Bench bench(1);
    const Lease lease = bench.granted(start);
    const Ticket waiter = bench.queued(start, 300s);
    bench.undelivered(start + 1s, lease);
    CHECK(bench.served() == Tickets{waiter});
    CHECK_FALSE(bench.give_back(start + 1s, lease.id));
}

TEST_CASE("a lease with a chosen id is kept for its borrower to ask again, and then ends") {
    Bench bench(1);
    const LeaseId id = LeaseId::random();
    bench.undelivered(start + 1s, bench.granted(start, chosen(id)));
    // A restart must not give it more.
    CHECK(bench.changes.slots.at(0)->expires_at == start + 16s);
    CHECK(bench.pool.next_change() == start + 16s);
    CHECK(bench.in_use(start + 16s - 1ms) == 1);
    CHECK(bench.in_use(start + 16s) == 0);
    CHECK(bench.effects->chosen.back().until == std::nullopt);
}

TEST_CASE("a lease that nobody asked for does not outlive its ttl by the time to ask") {
    Bench bench(1);
    const LeaseId id = LeaseId::random();
    bench.undelivered(start + 1s, bench.granted(start, chosen(id, 10s)));
    CHECK(bench.in_use(start + 10s - 1ms) == 1);
    CHECK(bench.in_use(start + 10s) == 0);
}

TEST_CASE("who asks again in time has its lease to the end") {
    Bench bench(1);
    const LeaseId id = LeaseId::random();
    const Lease lease = bench.granted(start, chosen(id));
    bench.undelivered(start, lease);
    const Lease again = bench.granted(start + 15s - 1ms, chosen(id));
    CHECK(again.expires_at == lease.expires_at);
    CHECK(again.fence == lease.fence);
    CHECK_FALSE(bench.pool.next_deadline());
    CHECK(bench.in_use(start + 60s - 1ms) == 1);
    bench.advance_to(start + 60s);
    // Too late: it is another one then.
    CHECK(bench.granted(start + 60s, chosen(id)).fence > lease.fence);
}

TEST_CASE("an undelivered lease that is kept alive is known to its borrower") {
    Bench bench(1);
    const LeaseId id = LeaseId::random();
    bench.undelivered(start, bench.granted(start, chosen(id)));
    bench.kept_alive(start + 5s, id, 30s);
    CHECK(bench.in_use(start + 35s - 1ms) == 1);
    CHECK(bench.in_use(start + 35s) == 0);
}

TEST_CASE("a lease is not lost with its first answer when another has told of it") {
    Bench bench(1);
    const LeaseId id = LeaseId::random();
    const Lease lease = bench.granted(start, chosen(id));
    SECTION("to who repeated the call before the loss was noticed") {
        bench.granted(start + 1s, chosen(id));
        bench.undelivered(start + 2s, lease);
        CHECK(bench.in_use(start + 60s - 1ms) == 1);
    }
    SECTION("to who kept it alive before the loss was noticed") {
        bench.kept_alive(start + 1s, id, 60s);
        bench.undelivered(start + 2s, lease);
        CHECK(bench.in_use(start + 61s - 1ms) == 1);
    }
    SECTION("unless that was lost too") {
        bench.granted(start + 1s, chosen(id));
        bench.undelivered(start + 2s, lease);
        bench.undelivered(start + 3s, lease);
        CHECK(bench.in_use(start + 18s - 1ms) == 1);
        CHECK(bench.in_use(start + 18s) == 0);
    }
}

TEST_CASE("an answer that turns out lost late ends no later lease of the same id") {
    Bench bench(1);
    const LeaseId id = LeaseId::random();
    const Lease first = bench.granted(start, chosen(id));
    if (GENERATE(true, false)) {
        REQUIRE(bench.revoke(start + 1s, 0));
    } else {
        REQUIRE(bench.give_back(start + 1s, id));
    }
    const Lease second = bench.granted(start + 1s, chosen(id));
    bench.changes = {};
    bench.undelivered(start + 2s, first);
    CHECK(bench.changes.empty());
    CHECK(bench.in_use(start + 61s - 1ms) == 1);
    CHECK(bench.in_use(start + 61s) == 0);
    CHECK(second.expires_at == start + 61s);
}

TEST_CASE("that an answer was lost is not forgotten when a change cannot be stored") {
    Bench bench(1);
    const LeaseId id = LeaseId::random();
    const Lease lease = bench.granted(start, chosen(id));
    PoolRecord record{2, 1, bench.pool.fence()};
    record.slots.push_back(*bench.changes.slots.at(0));
    bench.undelivered(start, lease);
    bench.roll_back_to(start + 1s, record);
    CHECK(bench.in_use(start + 15s - 1ms) == 1);
    CHECK(bench.in_use(start + 15s) == 0);
    CHECK_FALSE(bench.give_back(start + 15s, lease.id));
}
