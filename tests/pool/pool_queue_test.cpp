#include "tests/pool/pool_bench.hpp"
#include "tests/support/store_changes.hpp"

// Who is served when: priorities, large claims, and borrowers who chose their lease's id and may go and come
// back.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

struct Wish {
    Duration wait = 300s;
    unsigned slots = 1;
    int priority = 0;
    Duration ttl = 60s;
};

Claim claim(TimePoint now, const Wish& wish) {
    return {{}, LeaseId::random(), wish.ttl, now + wish.wait, false, wish.slots, wish.priority};
}

Claim chosen(const LeaseId& id, TimePoint now, const Wish& wish = {}) {
    return {{}, id, wish.ttl, now + wish.wait, true, wish.slots, wish.priority};
}

std::size_t rank_of_refused(const Pool::Borrowed& borrowed) {
    REQUIRE(std::holds_alternative<Pool::Unavailable>(borrowed));
    return std::get<Pool::Unavailable>(borrowed).rank;
}

/// A full pool of one slot, with a place in its queue.
struct FullPool {
    explicit FullPool(Duration wait = 300s, PoolLimits limits = {})
        : bench(1, limits), held(bench.granted(start, 1000s)) {
        Wish wish;
        wish.wait = wait;
        first = bench.queued(start, chosen(id, start, wish));
    }

    LeaseId id = LeaseId::random();
    Bench bench;
    Lease held;
    Ticket first{};
};

}  // namespace

TEST_CASE("the higher priority is served first, and first come, first served within one") {
    Bench bench(1);
    const Lease held = bench.granted(start);
    const Ticket low = bench.queued(start, claim(start, {300s, 1, -1}));
    const Ticket normal = bench.queued(start, claim(start, {300s, 1, 0}));
    const Ticket high = bench.queued(start, claim(start, {300s, 1, 100}));
    const Ticket later = bench.queued(start, claim(start, {300s, 1, 100}));
    bench.set_count(start, 4);
    CHECK(bench.served() == Tickets{high, later, normal});
    bench.give_back(start, held.id);
    CHECK(bench.served() == Tickets{low});
}

TEST_CASE("a newcomer of higher priority overtakes the queue, but no lease") {
    Bench bench(2);
    bench.granted(start);
    const Ticket wide = bench.queued(start, claim(start, {300s, 2}));
    // One slot is free, but for the one at the head.
    CHECK(bench.refused(start));
    CHECK(bench.granted(start, claim(start, {0s, 1, 1})).position() == 1);
    CHECK(bench.pool.waiting() == 1);
    bench.set_count(start, 4);
    CHECK(bench.served() == Tickets{wide});
}

TEST_CASE("a large claim at the head is not starved by small ones behind it") {
    Bench bench(3);
    const Lease first = bench.granted(start);
    const Lease second = bench.granted(start);
    const Ticket wide = bench.queued(start, claim(start, {300s, 3}));
    const Ticket small = bench.queued(start, claim(start, {300s, 1}));
    bench.give_back(start, first.id);
    CHECK(bench.served().empty());
    CHECK(bench.pool.available() == 2);
    bench.give_back(start, second.id);
    CHECK(bench.served() == Tickets{wide});
    CHECK(bench.effects->granted[0].lease.positions == Positions{0, 1, 2});
    bench.give_back(start, bench.effects->granted[0].lease.id);
    CHECK(bench.served() == Tickets{small});
}

TEST_CASE("those behind a large claim are served when it gives up, leaves or is cancelled") {
    Bench bench(2);
    bench.granted(start, 1000s);
    const Claim big = claim(start, {5s, 2});
    const Ticket wide = bench.queued(start, big);
    const Ticket small = bench.queued(start, claim(start, {}));
    SECTION("gives up") {
        bench.advance_to(start + 5s - 1ms);
        CHECK(bench.served().empty());
        bench.advance_to(start + 5s);
        CHECK(bench.gave_up() == Tickets{wide});
        CHECK(bench.served() == Tickets{small});
    }
    SECTION("leaves") {
        bench.leave(start, wide);
        CHECK(bench.served() == Tickets{small});
    }
    SECTION("is cancelled") {
        CHECK(bench.pool.cancel(start, big.lease, *bench.effects) == wide);
        CHECK(bench.served() == Tickets{small});
    }
}

TEST_CASE("slots that are held back for a large claim stay so while it asks again") {
    Bench bench(2);
    const Lease one = bench.granted(start, 1000s);
    const LeaseId id = LeaseId::random();
    const Ticket wide = bench.queued(start, chosen(id, start, {5s, 2}));
    const Ticket small = bench.queued(start, claim(start, {}));
    SECTION("its call ends, and it has two seconds") {
        bench.advance_to(start + 5s);
        CHECK(bench.gave_up() == Tickets{wide});
        CHECK(bench.served().empty());
        CHECK(bench.pool.next_deadline() == start + 7s);
        SECTION("in which it comes back") {
            const Ticket again = bench.queued(start + 7s - 1ms, chosen(id, start + 7s, {300s, 2}));
            bench.give_back(start + 8s, one.id);
            CHECK(bench.served() == Tickets{again});
        }
        SECTION("in which it gets nothing, whatever is free") {
            bench.give_back(start + 6s, one.id);
            CHECK(bench.served().empty());
            bench.advance_to(start + 7s);
            CHECK(bench.served() == Tickets{small});
        }
        SECTION("and then to the next one") {
            bench.advance_to(start + 7s - 1ms);
            CHECK(bench.served().empty());
            bench.advance_to(start + 7s);
            CHECK(bench.served() == Tickets{small});
            bench.advance_to(start + 20s - 1ms);
            CHECK(bench.pool.waiting() == 1);
            bench.advance_to(start + 20s);
            CHECK(bench.pool.waiting() == 0);
        }
        SECTION("unless it is cancelled") {
            CHECK(bench.pool.cancel(start + 6s, id, *bench.effects) == no_ticket);
            CHECK(bench.served() == Tickets{small});
        }
    }
    SECTION("it goes before its call has ended") {
        bench.leave(start + 5s - 1ms, wide);
        CHECK(bench.served() == Tickets{small});
    }
    SECTION("nobody looks at the pool before that time is over") {
        bench.advance_to(start + 7s);
        CHECK(bench.gave_up() == Tickets{wide});
        CHECK(bench.served() == Tickets{small});
    }
    SECTION("it asks without waiting") {
        bench.queued(start + 1s, chosen(id, start + 1s, {1s, 2}));
        CHECK(rank_of_refused(bench.borrow(start + 1s, chosen(id, start + 1s, {0s, 2}))) == 1);
        CHECK(bench.served() == Tickets{small});
    }
}

TEST_CASE("slots stay held back for a large claim no longer than it has its place") {
    PoolLimits limits;
    limits.rejoin = 1s;
    Bench bench(2, limits);
    bench.granted(start, 1000s);
    bench.queued(start, chosen(LeaseId::random(), start, {5s, 2}));
    const Ticket small = bench.queued(start, claim(start, {}));
    bench.advance_to(start + 6s - 1ms);
    CHECK(bench.served().empty());
    bench.advance_to(start + 6s);
    CHECK(bench.served() == Tickets{small});
    CHECK(bench.pool.waiting() == 0);
}

TEST_CASE("slots stay held back for a large claim no longer than its call was") {
    Bench bench(2);
    bench.granted(start, 1000s);
    const LeaseId id = LeaseId::random();
    bench.queued(start, chosen(id, start, {50ms, 2}));
    const Ticket small = bench.queued(start, claim(start, {}));
    SECTION("so that short calls keep nothing free") {
        bench.advance_to(start + 100ms - 1ms);
        CHECK(bench.served().empty());
        bench.advance_to(start + 100ms);
        CHECK(bench.served() == Tickets{small});
        bench.advance_to(start + 50ms + 15s - 1ms);
        CHECK(bench.pool.waiting() == 1);
        bench.advance_to(start + 50ms + 15s);
        CHECK(bench.pool.waiting() == 0);
    }
    SECTION("however long it has its place") {
        bench.queued(start + 60ms, chosen(id, start + 60ms, {5s, 2}));
        bench.queued(start + 5s, chosen(id, start + 5s, {50ms, 2}));
        bench.advance_to(start + 5100ms - 1ms);
        CHECK(bench.served().empty());
        bench.advance_to(start + 5100ms);
        CHECK(bench.served() == Tickets{small});
    }
}

TEST_CASE("who is refused learns its rank: the place that it had or would have had") {
    Bench bench(0);
    CHECK(rank_of_refused(bench.borrow(start)) == 1);
    bench.queued(start, claim(start, {5s, 1, 0}));
    bench.queued(start, claim(start, {6s, 1, 1}));
    bench.queued(start, claim(start, {5s, 1, -1}));
    CHECK(rank_of_refused(bench.borrow(start, claim(start, {0s, 1, 2}))) == 1);
    CHECK(rank_of_refused(bench.borrow(start, claim(start, {0s, 1, 1}))) == 2);
    CHECK(rank_of_refused(bench.borrow(start, claim(start, {0s, 1, 0}))) == 3);
    CHECK(rank_of_refused(bench.borrow(start, claim(start, {0s, 1, -2}))) == 4);
    bench.advance_to(start + 5s);
    REQUIRE(bench.effects->gave_up.size() == 2);
    CHECK(bench.effects->gave_up[0].rank == 2);
    // The one before it is gone by then.
    CHECK(bench.effects->gave_up[1].rank == 2);
}

TEST_CASE("an id that was chosen is answered with the same lease for as long as that lives") {
    Bench bench(2);
    const LeaseId id = LeaseId::random();
    const Lease lease = bench.granted(start, chosen(id, start, {0s, 1, 0, 10s}));
    bench.changes = {};
    // Nothing of the repeat counts.
    const Lease again = bench.granted(start + 10s - 1ms, chosen(id, start + 9s, {0s, 2, 5, 500s}));
    CHECK(again.expires_at == lease.expires_at);
    CHECK(again.positions == lease.positions);
    CHECK(again.fence == lease.fence);
    CHECK(bench.changes.empty());
    CHECK(bench.granted(start + 10s, chosen(id, start + 10s)).fence > lease.fence);
}

TEST_CASE("a live lease is answered to its borrower though others wait") {
    FullPool queue;
    const LeaseId id = LeaseId::random();
    queue.bench.set_count(start, 2);
    queue.bench.give_back(start, queue.held.id);
    queue.bench.granted(start, chosen(id, start));
    queue.bench.queued(start, 300s);
    CHECK(queue.bench.granted(start, chosen(id, start)).id == id);
}

TEST_CASE("a repeated call takes the place over, and the one before it is told") {
    FullPool queue;
    const Ticket second = queue.bench.queued(start, 300s);
    const Ticket again = queue.bench.queued(start + 1s, chosen(queue.id, start + 1s, {5s, 9, -9, 7s}));
    CHECK(queue.bench.effects->superseded == Tickets{queue.first});
    CHECK(queue.bench.pool.waiting() == 2);
    CHECK_FALSE(queue.bench.pool.leave(start + 1s, queue.first, queue.bench.changes));
    queue.bench.give_back(start + 2s, queue.held.id);
    REQUIRE(queue.bench.served() == Tickets{again});
    // Its own ttl, and the place and slots of the first call.
    CHECK(queue.bench.effects->granted[0].lease.ttl == 7s);
    CHECK(queue.bench.effects->granted[0].lease.positions.size() == 1);
    queue.bench.give_back(start + 2s, queue.id);
    CHECK(queue.bench.served() == Tickets{second});
}

TEST_CASE("a place that was taken over waits as long as the newer call does") {
    FullPool queue(5s);
    const Ticket again = queue.bench.queued(start + 4s, chosen(queue.id, start + 4s, {5s}));
    queue.bench.advance_to(start + 9s - 1ms);
    CHECK(queue.bench.gave_up().empty());
    queue.bench.advance_to(start + 9s);
    CHECK(queue.bench.gave_up() == Tickets{again});
}

TEST_CASE("who takes its place over without waiting is refused, and keeps the place for the time to rejoin") {
    FullPool queue;
    queue.bench.queued(start, 300s);
    const auto borrowed = queue.bench.borrow(start + 1s, chosen(queue.id, start + 1s, {0s}));
    CHECK(rank_of_refused(borrowed) == 1);
    CHECK(queue.bench.effects->superseded == Tickets{queue.first});
    CHECK(queue.bench.pool.waiting() == 2);
    queue.bench.advance_to(start + 16s - 1ms);
    CHECK(queue.bench.pool.waiting() == 2);
    queue.bench.advance_to(start + 16s);
    CHECK(queue.bench.pool.waiting() == 1);
}

TEST_CASE("who chose an id but neither waits nor waited gets no place") {
    FullPool queue;
    const LeaseId other = LeaseId::random();
    queue.bench.changes = {};
    CHECK(rank_of_refused(queue.bench.borrow(start, chosen(other, start, {0s}))) == 2);
    CHECK(queue.bench.pool.waiting() == 1);
    CHECK(queue.bench.changes.empty());
    REQUIRE(queue.bench.effects->chosen.size() == 1);
    CHECK(queue.bench.effects->chosen[0].until == std::nullopt);
}

TEST_CASE("who is away is passed over, and gets nothing until it is back") {
    FullPool queue;
    const Ticket second = queue.bench.queued(start, 300s);
    queue.bench.leave(start, queue.first);
    queue.bench.give_back(start + 1s, queue.held.id);
    REQUIRE(queue.bench.served() == Tickets{second});
    const Lease passed = queue.bench.effects->granted[0].lease;
    queue.bench.give_back(start + 2s, passed.id);
    CHECK(queue.bench.served().empty());
    CHECK(queue.bench.pool.available() == 1);
    CHECK(queue.bench.pool.waiting() == 1);
    // A newcomer neither waits for it.
    const Lease newcomer = queue.bench.granted(start + 2s);
    const Ticket back = queue.bench.queued(start + 3s, chosen(queue.id, start + 3s));
    queue.bench.give_back(start + 4s, newcomer.id);
    CHECK(queue.bench.served() == Tickets{back});
}

TEST_CASE("who comes back to its place when a slot is free gets it in that call, without waiting") {
    FullPool queue;
    queue.bench.leave(start, queue.first);
    queue.bench.give_back(start + 1s, queue.held.id);
    CHECK(queue.bench.granted(start + 2s, chosen(queue.id, start + 2s, {0s})).granted_at == start + 2s);
    CHECK(queue.bench.served().empty());
    CHECK(queue.bench.effects->superseded.empty());
    CHECK(queue.bench.pool.waiting() == 0);
}

TEST_CASE("a place is kept for the time to rejoin from the moment on when its borrower left") {
    FullPool queue;
    const Ticket second = queue.bench.queued(start, 300s);
    queue.bench.leave(start + 10s, queue.first);
    CHECK(queue.bench.pool.next_deadline() == start + 25s);
    SECTION("a millisecond before its end it is there") {
        const Ticket back = queue.bench.queued(start + 25s - 1ms, chosen(queue.id, start + 25s));
        queue.bench.give_back(start + 26s, queue.held.id);
        CHECK(queue.bench.served() == Tickets{back});
    }
    SECTION("then it is lost, and who comes back is the last") {
        queue.bench.queued(start + 25s, chosen(queue.id, start + 25s));
        queue.bench.give_back(start + 26s, queue.held.id);
        CHECK(queue.bench.served() == Tickets{second});
    }
}

TEST_CASE("a place is kept when its wait ran out") {
    FullPool queue(5s);
    const Ticket second = queue.bench.queued(start, 300s);
    queue.bench.advance_to(start + 5s);
    CHECK(queue.bench.gave_up() == Tickets{queue.first});
    CHECK(queue.bench.effects->gave_up[0].rank == 1);
    CHECK(queue.bench.pool.waiting() == 2);
    SECTION("for the time to rejoin") {
        const Ticket back = queue.bench.queued(start + 20s - 1ms, chosen(queue.id, start + 20s));
        queue.bench.give_back(start + 21s, queue.held.id);
        CHECK(queue.bench.served() == Tickets{back});
    }
    SECTION("and no longer") {
        queue.bench.advance_to(start + 20s - 1ms);
        CHECK(queue.bench.pool.waiting() == 2);
        queue.bench.advance_to(start + 20s);
        CHECK(queue.bench.pool.waiting() == 1);
        CHECK(queue.bench.gave_up().empty());
        CHECK(queue.bench.changes.places.at(queue.id) == std::nullopt);
        queue.bench.give_back(start + 20s, queue.held.id);
        CHECK(queue.bench.served() == Tickets{second});
    }
}

TEST_CASE("who is away counts in the ranks of those behind it") {
    FullPool queue;
    queue.bench.leave(start, queue.first);
    CHECK(rank_of_refused(queue.bench.borrow(start)) == 2);
    queue.bench.advance_to(start + 15s);
    CHECK(rank_of_refused(queue.bench.borrow(start + 15s)) == 1);
}

TEST_CASE("a place is stored when it is taken, and forgotten when it is granted") {
    FullPool queue;
    REQUIRE(queue.bench.changes.places.at(queue.id));
    CHECK(queue.bench.changes.places.at(queue.id)->queued_at == start);
    queue.bench.changes = {};
    queue.bench.leave(start, queue.first);
    CHECK(queue.bench.changes.empty());
    queue.bench.queued(start, chosen(queue.id, start));
    CHECK(queue.bench.changes.empty());
    queue.bench.give_back(start, queue.held.id);
    CHECK(queue.bench.changes.places.at(queue.id) == std::nullopt);
}

TEST_CASE("nobody without an id of its own has a place that is stored") {
    Bench bench(0);
    const Ticket waiter = bench.queued(start, 300s);
    CHECK(bench.changes.places.empty());
    bench.leave(start, waiter);
    CHECK(bench.pool.waiting() == 0);
}

TEST_CASE("whoever has a place after a restart is away, and comes back to it") {
    const KeptPlace first{LeaseId::random(), 0, 7, 1, start - 100s};
    const KeptPlace urgent{LeaseId::random(), 5, 9, 1, start - 50s};
    Bench bench(PoolRecord{1, 1, 0, nullptr, {}, {first, urgent}});
    CHECK(bench.pool.waiting() == 2);
    const PoolView view = bench.pool.view(start);
    CHECK(view.queue[0].claim.lease == urgent.lease);
    CHECK(view.queue[1].claim.lease == first.lease);
    CHECK(view.queue[1].queued_at == start - 100s);
    // Nothing is kept from those who are there.
    const Lease held = bench.granted(start);
    const Ticket newcomer = bench.queued(start, 300s);
    const Ticket back = bench.queued(start + 15s - 1ms, chosen(first.lease, start + 15s));
    bench.advance_to(start + 15s);
    CHECK(bench.pool.waiting() == 2);
    bench.give_back(start + 15s, held.id);
    CHECK(bench.served() == Tickets{back});
    bench.give_back(start + 15s, first.lease);
    CHECK(bench.served() == Tickets{newcomer});
}

TEST_CASE("somebody who waits, or has a place, is taken out of the queue") {
    FullPool queue;
    const Ticket second = queue.bench.queued(start, 300s);
    SECTION("while it is there") {
        CHECK(queue.bench.pool.cancel(start, queue.id, *queue.bench.effects) == queue.first);
    }
    SECTION("while it is away") {
        queue.bench.leave(start, queue.first);
        CHECK(queue.bench.pool.cancel(start + 15s - 1ms, queue.id, *queue.bench.effects) == Ticket{});
    }
    CHECK_FALSE(queue.bench.pool.cancel(start, queue.id, *queue.bench.effects));
    CHECK(queue.bench.changes.places.at(queue.id) == std::nullopt);
    CHECK(queue.bench.pool.waiting() == 1);
    queue.bench.give_back(start + 15s, queue.held.id);
    CHECK(queue.bench.served() == Tickets{second});
}

TEST_CASE("a place that is lost by now cannot be cancelled any more") {
    FullPool queue;
    queue.bench.leave(start, queue.first);
    CHECK_FALSE(queue.bench.pool.cancel(start + 15s, queue.id, *queue.bench.effects));
}

TEST_CASE("those who are sent away are told in their order, and get nothing any more") {
    FullPool queue;
    const Ticket urgent = queue.bench.queued(start, claim(start, {300s, 1, 3}));
    const Ticket last = queue.bench.queued(start, 300s);
    queue.bench.changes = {};
    CHECK(queue.bench.pool.send_away(start, queue.bench.changes) == Tickets{urgent, queue.first, last});
    queue.bench.give_back(start, queue.held.id);
    CHECK(queue.bench.served().empty());
    // The place of who chose its id stays, here and in the store.
    CHECK(queue.bench.pool.waiting() == 1);
    CHECK(queue.bench.changes.places.empty());
}

TEST_CASE("who waits for what it turns out to hold still, since a return was not stored, is given that") {
    FullPool queue;
    Bench& bench = queue.bench;
    const LeaseId id = LeaseId::random();
    bench.set_count(start, 2);
    bench.give_back(start, queue.held.id);
    const Lease lease = bench.granted(start, chosen(id, start, {0s, 1, 0, 100s}));
    PoolRecord record{2, 2, bench.pool.fence(), nullptr, {}, {}};
    for (const auto& [position, row] : bench.changes.slots) {
        if (row) record.slots.push_back(*row);
    }
    bench.give_back(start + 1s, id);
    bench.granted(start + 1s);
    const Ticket again = bench.queued(start + 1s, chosen(id, start + 1s));

    bench.roll_back_to(start + 2s, record);
    REQUIRE(bench.served() == Tickets{again});
    CHECK(bench.effects->granted[0].lease.fence == lease.fence);
    CHECK(bench.effects->granted[0].lease.expires_at == lease.expires_at);
    CHECK(bench.effects->granted[0].at == start + 2s);
    CHECK(bench.pool.waiting() == 0);
    bench.set_count(start + 3s, 5);
    CHECK(bench.served().empty());
    CHECK(bench.pool.in_use() == 2);
    CHECK(bench.in_use(start + 1000s) == 0);
}

TEST_CASE(
    "a place that was lost and taken anew is stored as it is now, though the loss could not be stored") {
    FullPool queue;
    PoolRecord record{2, 1, queue.bench.pool.fence()};
    record.slots.push_back(*queue.bench.changes.slots.at(0));
    record.places.push_back(*queue.bench.changes.places.at(queue.id));
    CHECK(queue.bench.pool.cancel(start, queue.id, *queue.bench.effects));
    queue.bench.queued(start, chosen(queue.id, start, {300s, 4, 2}));
    queue.bench.roll_back_to(start, record);
    REQUIRE(queue.bench.changes.places.count(queue.id) == 1);
    CHECK(queue.bench.changes.places.at(queue.id)->slots == 4);
    CHECK(queue.bench.changes.places.at(queue.id)->priority == 2);
}

TEST_CASE("places that only the store has come back as away, and those it lacks are stored") {
    FullPool queue;
    const KeptPlace granted_in_vain{LeaseId::random(), 1, 1000, 1, start - 5s};
    queue.bench.roll_back_to(start, PoolRecord{2, 0, 1000, nullptr, {}, {granted_in_vain}});
    CHECK(queue.bench.pool.waiting() == 2);
    CHECK(queue.bench.changes.places.size() == 1);
    CHECK(queue.bench.changes.places.count(queue.id) == 1);
    const PoolView view = queue.bench.pool.view(start);
    CHECK(view.queue[0].claim.lease == granted_in_vain.lease);
    CHECK(view.queue[0].away);
    CHECK_FALSE(view.queue[1].away);
}

TEST_CASE("the ids that borrowers chose are told for as long as they are taken") {
    FullPool queue;
    const auto last_told = [&] {
        REQUIRE_FALSE(queue.bench.effects->chosen.empty());
        CHECK(queue.bench.effects->chosen.back().lease == queue.id);
        return queue.bench.effects->chosen.back().until;
    };
    CHECK(last_told() == TimePoint::max());
    queue.bench.give_back(start, queue.held.id);
    CHECK(last_told() == start + 60s);
    queue.bench.kept_alive(start + 1s, queue.id, 10s);
    CHECK(last_told() == start + 11s);
    queue.bench.advance_to(start + 11s - 1ms);
    CHECK(queue.bench.effects->chosen.empty());
    queue.bench.advance_to(start + 11s);
    CHECK(last_told() == std::nullopt);
}
