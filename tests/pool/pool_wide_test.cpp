#include "tests/pool/pool_bench.hpp"

// Claims for more slots than the pool has: a typo, or those that waited when the pool was made smaller.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

Claim claim(unsigned slots, int priority = 0, Duration wait = 300s) {
    return {{}, LeaseId::random(), 60s, start + wait, false, slots, priority};
}

Claim chosen(unsigned slots, const LeaseId& id) {
    return {{}, id, 60s, start + 300s, true, slots, 0};
}

std::size_t rank_of_newcomer(Bench& bench) {
    const auto borrowed = bench.borrow(start, claim(1, 0, 0s));
    REQUIRE(std::holds_alternative<Pool::Unavailable>(borrowed));
    return std::get<Pool::Unavailable>(borrowed).rank;
}

}  // namespace

TEST_CASE("a claim for more than the count holds up nobody") {
    Bench bench(2);
    bench.queued(start, claim(3, 100));
    const Lease newcomer = bench.granted(start, claim(1, -100, 0s));
    CHECK(newcomer.position() == 0);
    bench.granted(start, claim(1));
    const Ticket waiter = bench.queued(start, claim(1));
    bench.give_back(start, newcomer.id);
    CHECK(bench.served() == Tickets{waiter});
    CHECK(bench.pool.waiting() == 1);
}

TEST_CASE("a claim for more than the count has its turn where it came, once the pool is large enough") {
    Bench bench(2);
    const Lease one = bench.granted(start, claim(2));
    const Ticket first = bench.queued(start, claim(2));
    const Ticket wide = bench.queued(start, claim(3));
    const Ticket last = bench.queued(start, claim(1));
    CHECK(rank_of_newcomer(bench) == 4);
    bench.set_count(start, 3);
    CHECK(bench.served().empty());
    bench.give_back(start, one.id);
    REQUIRE(bench.served() == Tickets{first});
    const Lease two = bench.effects->granted[0].lease;
    // One slot is free, and kept for the one who needs all three.
    CHECK(bench.refused(start));
    bench.give_back(start, two.id);
    REQUIRE(bench.served() == Tickets{wide});
    bench.give_back(start, bench.effects->granted[0].lease.id);
    CHECK(bench.served() == Tickets{last});
}

TEST_CASE("a claim that waits when the pool becomes too small for it lets the others pass in that moment") {
    Bench bench(3);
    bench.granted(start, claim(1));
    const Ticket wide = bench.queued(start, claim(3));
    const Ticket small = bench.queued(start, claim(1));
    bench.set_count(start, 2);
    REQUIRE(bench.served() == Tickets{small});
    const Lease passed = bench.effects->granted[0].lease;
    // From now on nobody passes it any more.
    bench.set_count(start, 4);
    CHECK(bench.served().empty());
    CHECK(bench.refused(start));
    bench.give_back(start, passed.id);
    CHECK(bench.served() == Tickets{wide});
}

TEST_CASE("a claim for more than the count gives up at the end of its wait, or leaves") {
    Bench bench(2);
    const Ticket wide = bench.queued(start, claim(3, 0, 5s));
    const Ticket other = bench.queued(start, claim(3));
    bench.leave(start, other);
    bench.granted(start, claim(2));
    // There is nothing to be done for it when a lease ends.
    CHECK(bench.pool.next_deadline() == start + 5s);
    bench.advance_to(start + 5s);
    REQUIRE(bench.gave_up() == Tickets{wide});
    CHECK(bench.effects->gave_up[0].rank == 1);
    CHECK(bench.effects->gave_up[0].slots == 3);
    CHECK(bench.pool.waiting() == 0);
}

TEST_CASE("who asked for more than the count may be away and come back") {
    Bench bench(2);
    const LeaseId id = LeaseId::random();
    const Ticket wide = bench.queued(start, chosen(3, id));
    bench.leave(start, wide);
    bench.set_count(start, 3);
    bench.set_count(start, 2);
    const Ticket back = bench.queued(start, chosen(1, id));
    CHECK(bench.pool.send_away(start, bench.changes) == Tickets{back});
    CHECK(bench.granted(start, claim(1, 0, 0s)).position() == 0);
}

TEST_CASE("a place of a claim for more than the count is passed over after a restart, too") {
    const KeptPlace wide{LeaseId::random(), 0, 1000, 3, start - 5s};
    Bench bench(PoolRecord{2, 2, 1000, nullptr, {}, {wide}});
    bench.queued(start, chosen(3, wide.lease));
    CHECK(bench.granted(start, claim(2, 0, 0s)).positions == Positions{0, 1});
    // The store may know of a smaller pool, or of a larger one.
    bench.roll_back_to(start, PoolRecord{3, 3, 2000, nullptr, {}, {wide}});
    bench.advance_to(start);
    REQUIRE(bench.served().size() == 1);
    CHECK(bench.effects->granted[0].lease.id == wide.lease);
}

TEST_CASE("everybody leaves in the queue's order when the server stops, those who are passed over too") {
    Bench bench(0);
    const Ticket wide = bench.queued(start, claim(3));
    bench.set_count(start, 1);
    bench.granted(start, claim(1));
    const Ticket small = bench.queued(start, claim(1));
    CHECK(bench.pool.send_away(start, bench.changes) == Tickets{wide, small});
}

TEST_CASE("nobody's estimated wait counts those who want more than the count") {
    Bench bench(1);
    bench.give_back(start + 10s, bench.granted(start, claim(1)).id);
    bench.granted(start + 10s, claim(1));
    bench.queued(start + 10s, claim(2));
    bench.queued(start + 10s, claim(2));
    const auto eta = [&] { return bench.pool.eta(bench.pool.forecast(start + 10s), 3, 1); };
    CHECK(eta() == 10s);
    bench.set_count(start + 10s, 2);
    CHECK(eta() > 10s);
    bench.set_count(start + 10s, 1);
    CHECK(eta() == 10s);
}
