#include "tests/service/called.hpp"

// Borrowers who are to be called, with a store of the server's own.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

struct CallBench : Bench {
    explicit CallBench(unsigned count = 1, const ServiceLimits& with = {}) : Bench(with) {
        service->deliver_by(called);
        made(count);
    }
    ~CallBench() { service.reset(); }

    /// A new service on the same store, which looks for callbacks as a start does.
    void start_again() {
        restart();
        called.leases.clear();
        service->deliver_by(called);
        service->find_callbacks();
        flush();
    }

    Called called;
};

}  // namespace

TEST_CASE("whoever calls borrowers hears of a grant once that is stored, and not before") {
    CallBench bench;
    const LeaseId id = LeaseId::random();
    const auto asked = ask(bench, id);
    CHECK_FALSE(asked.answered());
    CHECK(bench.called.leases.empty());
    bench.flush();
    const auto place = asked.as<CallbackQueued>();
    CHECK(place.lease == id);
    CHECK(place.rank == 1);
    CHECK(place.queue == 1);
    CHECK(place.eta == Duration::zero());
    REQUIRE(bench.called.leases.size() == 1);
    CHECK(bench.called.leases[0].id == id);
    CHECK(is_due(bench, bench.called.leases[0]));
}

TEST_CASE("a waiter who is to be called is granted the slot that comes free, in its turn") {
    CallBench bench;
    const Lease held = bench.granted();
    const LeaseId first = LeaseId::random();
    const LeaseId second = LeaseId::random();
    const auto one = ask(bench, first);
    const auto two = ask(bench, second);
    bench.flush();
    CHECK(one.as<CallbackQueued>().rank == 1);
    CHECK(two.as<CallbackQueued>().rank == 2);
    CHECK(two.as<CallbackQueued>().queue == 2);
    CHECK(bench.called.leases.empty());
    bench.give_back(held.id);
    bench.flush();
    REQUIRE(bench.called.leases.size() == 1);
    CHECK(bench.called.leases[0].id == first);
    bench.pass(60s);
    REQUIRE(bench.called.leases.size() == 2);
    CHECK(bench.called.leases[1].id == second);
    // The time of the first is over: nobody is told of it any more.
    CHECK_FALSE(is_due(bench, bench.called.leases[0]));
}

TEST_CASE("a callback that could not be stored has no place") {
    CallBench bench;
    const bool is_free = GENERATE(true, false);
    if (!is_free) bench.granted(1000s);
    bench.faults->fail_commits(1);
    const auto asked = ask(bench, LeaseId::random());
    bench.flush();
    CHECK(asked.is(Refusal::store_failed));
    bench.pass(2s);
    CHECK(bench.called.leases.empty());
    CHECK(view_of(bench)->queue.empty());
    CHECK(bench.in_use() == (is_free ? 0 : 1));
}

TEST_CASE("a callback whose commit was done without a word is called all the same") {
    CallBench bench;
    bench.faults->leave_commits_unconfirmed(1);
    const LeaseId id = LeaseId::random();
    const auto asked = ask(bench, id);
    bench.flush();
    CHECK(asked.is(Refusal::store_failed));
    REQUIRE(bench.called.leases.size() == 1);
    CHECK(bench.called.leases[0].id == id);
    CHECK(is_due(bench, bench.called.leases[0]));
    // The same id is the same callback.
    const auto again = ask(bench, id);
    bench.flush();
    CHECK(again.as<LeaseGranted>().lease.fence == bench.called.leases[0].fence);
}

TEST_CASE("a grant that could not be stored is made again, with another fence") {
    CallBench bench;
    const Lease held = bench.granted();
    ask(bench, LeaseId::random());
    bench.flush();
    bench.faults->fail_commits(1);
    const auto back = bench.give_back(held.id);
    bench.flush();
    CHECK(back.is(Refusal::store_failed));
    CHECK(bench.called.leases.empty());
    CHECK(view_of(bench)->queue.size() == 1);
    bench.give_back(held.id);
    bench.flush();
    REQUIRE(bench.called.leases.size() == 1);
    CHECK(is_due(bench, bench.called.leases[0]));
    CHECK(bench.in_use() == 1);
}

TEST_CASE("while the store fails, a grant to a borrower who is to be called is tried once a second") {
    CallBench bench;
    const Lease held = bench.granted(20s);
    ask(bench, LeaseId::random());
    bench.flush();
    const bool is_watched = GENERATE(false, true);
    if (is_watched) bench.service->watch(bench.pool, bench.service->next_ticket(), [](const Answer&) {});
    bench.flush();
    bench.faults->fail_all_commits();
    // At a full disk there is nobody who returned it.
    bench.clock.pass(20s);
    const auto tries = [&](Duration time) {
        bench.clock.pass(time);
        bench.service->advance();
        int rounds = 0;
        while (bench.service->flush())
            REQUIRE(++rounds < 4);
        return bench.faults->commits();
    };
    const unsigned first = tries(0s);
    CHECK(tries(999ms) == first);
    CHECK(tries(1ms) == first + 1);
    // A call is not kept waiting.
    const auto asked = bench.borrow();
    bench.flush();
    CHECK(asked.answered());
    CHECK(tries(0s) == first + 2);
    bench.faults->heal();
    CHECK(bench.called.leases.empty());
    bench.pass(1s);
    CHECK(bench.called.leases.size() == 1);
}

TEST_CASE("whoever is to be called is found again after a pool could not be read") {
    CallBench bench;
    const Lease held = bench.granted(20s);
    bench.service->find_callbacks();
    ask(bench, LeaseId::random());
    bench.flush();
    bench.faults->fail_commits(1);
    bench.faults->fail_loads();
    bench.give_back(held.id);
    bench.flush();
    bench.faults->heal();
    bench.pass(20s);
    CHECK(bench.called.leases.empty());
    bench.service->find_callbacks();
    bench.flush();
    CHECK(bench.called.leases.size() == 1);
}

TEST_CASE("what is owed to borrowers is found after a restart, whether somebody uses the pool or not") {
    CallBench bench(1);
    const LeaseId first = LeaseId::random();
    const LeaseId second = LeaseId::random();
    ask(bench, first);
    ask(bench, second);
    bench.flush();
    const Lease lease = bench.called.leases.at(0);
    bench.start_again();
    REQUIRE(bench.called.leases.size() == 1);
    CHECK(bench.called.leases[0].id == first);
    CHECK(bench.called.leases[0].fence == lease.fence);
    end(bench, lease, CallAccepted{});
    bench.start_again();
    CHECK(bench.called.leases.empty());
    bench.give_back(first);
    bench.flush();
    REQUIRE(bench.called.leases.size() == 1);
    CHECK(bench.called.leases[0].id == second);
}

TEST_CASE("what is owed is looked for until the store can tell it") {
    CallBench bench;
    ask(bench, LeaseId::random());
    bench.flush();
    bench.faults->fail_loads();
    bench.start_again();
    CHECK(bench.called.leases.empty());
    bench.faults->heal();
    bench.service->find_callbacks();
    bench.flush();
    CHECK(bench.called.leases.size() == 1);
}

TEST_CASE("what came of an attempt is stored") {
    CallBench bench;
    ask(bench, LeaseId::random());
    bench.flush();
    const Lease lease = bench.called.leases.at(0);

    SECTION("it is to be made again") {
        Delivery next = *lease.delivery;
        next.attempts = 1;
        next.last_error = "it failed";
        next.next_attempt = bench.clock.now() + 5s;
        const auto state = end(bench, lease, next).as<DeliveryState>();
        REQUIRE(state.due);
        CHECK(state.due->lease.delivery->attempts == 1);
        bench.start_again();
        REQUIRE(bench.called.leases.size() == 1);
        CHECK(bench.called.leases[0].delivery->attempts == 1);
        CHECK(bench.called.leases[0].delivery->last_error == "it failed");
        CHECK(bench.called.leases[0].delivery->next_attempt == next.next_attempt);
    }
    SECTION("its borrower was told") {
        CHECK_FALSE(end(bench, lease, CallAccepted{}).as<DeliveryState>().due);
        CHECK_FALSE(is_due(bench, lease));
        CHECK(bench.in_use() == 1);
    }
    SECTION("its borrower will not be told, and the next in line is served") {
        const auto waiter = bench.borrow(60s, 60s);
        CHECK_FALSE(end(bench, lease, CallGivenUp{}).as<DeliveryState>().due);
        CHECK(waiter.as<LeaseGranted>().lease.fence > lease.fence);
        bench.start_again();
        CHECK(bench.called.leases.empty());
    }
    SECTION("but the store fails, and it can be said once more") {
        bench.faults->fail_commits(1);
        CHECK(end(bench, lease, CallAccepted{}).is(Refusal::store_failed));
        CHECK(is_due(bench, lease));
        CHECK_FALSE(end(bench, lease, CallAccepted{}).as<DeliveryState>().due);
        CHECK(bench.called.leases.size() == 1);
    }
}

TEST_CASE("nobody is told of a lease that has ended in whatever way") {
    CallBench bench;
    const LeaseId id = LeaseId::random();
    ask(bench, id);
    bench.flush();
    const Lease lease = bench.called.leases.at(0);
    SECTION("returned by who heard of it before its answer came") {
        bench.give_back(id);
    }
    SECTION("revoked") {
        bench.revoke(0);
    }
    SECTION("cancelled") {
        const auto cancelled = bench.cancel(id);
        bench.flush();
        CHECK(cancelled.as<BorrowCancelled>().cancelled);
    }
    SECTION("expired") {
        bench.pass(60s);
    }
    SECTION("deleted with its pool") {
        bench.remove();
    }
    SECTION("deleted with its pool, and made again") {
        bench.remove();
        bench.put(1);
        ask(bench, id);
    }
    bench.flush();
    CHECK_FALSE(is_due(bench, lease));
    CHECK_FALSE(end(bench, lease, CallAccepted{}).as<DeliveryState>().due);
    CHECK_FALSE(end(bench, lease, CallGivenUp{}).as<DeliveryState>().due);
}

TEST_CASE("a server that shuts down leaves those who are to be called where they are") {
    CallBench bench;
    const Lease held = bench.granted(1000s);
    const LeaseId id = LeaseId::random();
    ask(bench, id);
    const auto waiter = bench.borrow(60s, 60s);
    bench.flush();
    bench.service->drain();
    bench.flush();
    CHECK(waiter.is(Refusal::shutting_down));
    CHECK(ask(bench, LeaseId::random()).is(Refusal::shutting_down));
    bench.start_again();
    const auto view = view_of(bench);
    REQUIRE(view->queue.size() == 1);
    CHECK(view->queue[0].claim.lease == id);
    CHECK_FALSE(view->queue[0].away);
}

TEST_CASE("those who are to be called count among the waiters") {
    ServiceLimits limits;
    limits.max_waiters = 2;
    CallBench bench(1, limits);
    bench.granted(1000s);
    ask(bench, LeaseId::random());
    const LeaseId second = LeaseId::random();
    ask(bench, second);
    bench.flush();
    const auto third = ask(bench, LeaseId::random());
    const auto waiter = bench.borrow(60s, 60s);
    const auto again = ask(bench, second);
    bench.flush();
    CHECK(third.is(Refusal::too_many_waiters));
    CHECK(waiter.is(Refusal::too_many_waiters));
    CHECK(again.as<CallbackQueued>().rank == 2);
    CHECK(view_of(bench)->queue.size() == 2);
    // Places without a connection are not what makes way.
    CHECK(bench.service->use().waiters == 2);
}

TEST_CASE("a place ends with its wait, and its id is free again") {
    CallBench bench;
    bench.granted(1000s);
    const LeaseId id = LeaseId::random();
    ask(bench, id, 10s);
    bench.flush();
    bench.pass(10s - 1ms);
    CHECK(view_of(bench)->queue.size() == 1);
    bench.pass(1ms);
    CHECK(view_of(bench)->queue.empty());
    Calls::Call elsewhere;
    const PoolId other = PoolId::random();
    bench.service->put(other, wire::RegisterRequest{1}, Calls::Call().reply());
    bench.service->borrow(other, no_ticket, callback_request(id), elsewhere.reply());
    bench.flush();
    CHECK(elsewhere.as<CallbackQueued>().rank == 1);
}
