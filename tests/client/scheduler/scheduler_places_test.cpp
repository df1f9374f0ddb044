// The places of tasks in the queue of a pool without a free slot.
#include "tests/client/scheduler/scheduler_farm.hpp"
#include "tests/support/catch.hpp"

using namespace sema;
using namespace sema::test;

namespace {

using Calls = std::vector<std::string>;

}  // namespace

TEST_CASE("a task named while the pool is full keeps its turn") {
    Farm farm(1);
    farm.fill();
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->polls() == 1);
    CHECK(farm.first->calls().empty());
    farm.free();
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->polls() == 1);
    CHECK(farm.first->calls() == Calls{"start 1"});
}

TEST_CASE("a task whose place another scheduler took meanwhile is not started once more") {
    Farm farm(1);
    farm.poll_patience = 500ms;
    farm.fill();
    const LeaseId place = lease_of_task(farm.pool, "1");
    // While it is asked again the other one starts the task, and is done with it.
    class Waster : public Slow {
      public:
        Waster(Farm& farm, const LeaseId& place) : farm_(farm), place_(place) {}
        std::optional<std::string> poll() override {
            if (!is_answering) {
                farm_.leases.lose_place(place_);
                farm_.free();
            }
            return Slow::poll();
        }

      private:
        Farm& farm_;
        const LeaseId place_;
    };
    const auto waster = std::make_shared<Waster>(farm, place);
    waster->is_answering = true;
    waster->keeps_naming_ = true;
    waster->give("1");
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    options.interval = 500ms;
    scheduler->replace({waster}, options);
    REQUIRE(eventually([&] { return scheduler->schedule() && farm.leases.has_place(place); }));
    const Moment named = BootClock::now();
    const std::size_t polls = waster->polls();
    REQUIRE(eventually([&] { return BootClock::now() >= named + 3s; }));
    waster->is_answering = false;
    REQUIRE(scheduler->schedule());
    CHECK(waster->calls().empty());
    // Its source knows.
    waster->take_out();
    waster->is_answering = true;
    REQUIRE(eventually([&] { return scheduler->schedule() && waster->polls() >= polls + 2; }));
    CHECK(waster->calls().empty());
}

TEST_CASE("the other sources are asked at once where the task that waited is another scheduler's by now") {
    Farm farm(2);
    farm.fill();
    farm.fill();
    farm.first->give("1");
    farm.second->give("2");
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    options.interval = 1h;
    scheduler->replace({farm.first, farm.second}, options);
    REQUIRE(scheduler->schedule());
    const LeaseId place = lease_of_task(farm.pool, "1");
    REQUIRE(farm.leases.has_place(place));
    REQUIRE(farm.second->polls() == 0);
    farm.leases.lose_place(place);
    farm.free();
    farm.leases.borrow(place, holder_of(mark_of("other")), 100s);
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls().empty());
    CHECK(farm.second->calls() == Calls{"start 2"});
}

TEST_CASE("a task takes a place in the queue unless a slot is free for it") {
    Farm farm(2);
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    SECTION("nobody waits") {
        REQUIRE(scheduler->schedule());
        CHECK(farm.leases.last_wait() == 0s);
    }
    SECTION("the free slot may be another one's") {
        farm.leases.set_waiters(true);
        REQUIRE(scheduler->schedule());
        CHECK(farm.leases.last_wait() > 0s);
    }
}

TEST_CASE("a place in the queue of an earlier scheduler of the same name is given up") {
    Farm farm(1);
    const TaskMark theirs = mark_of("me");
    const LeaseId place = lease_of_task(farm.pool, "1");
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    SECTION("which is away") {
        farm.leases.leave_place(holder_of(theirs), place);
        REQUIRE(scheduler->schedule());
        CHECK_FALSE(farm.leases.has_place(place));
        CHECK(farm.first->calls() == Calls{"start 1"});
    }
    SECTION("but not one that somebody waits in") {
        farm.leases.ask(holder_of(theirs), place);
        REQUIRE(scheduler->schedule());
        CHECK(farm.leases.has_place(place));
        CHECK(farm.first->calls().empty());
    }
}

TEST_CASE("a place of another scheduler keeps nobody waiting who can do without it") {
    Farm farm(1);
    const LeaseId place = lease_of_task(farm.pool, "1");
    farm.first->give("1");
    farm.leases.leave_place(holder_of(mark_of("other")), place);
    const auto scheduler = farm.scheduler();
    SECTION("a slot is free, and it is passed over") {
        REQUIRE(scheduler->schedule());
        CHECK(farm.first->calls() == Calls{"start 1"});
    }
    SECTION("and so are others that cannot have the slot") {
        wire::PoolDetails::QueueEntry wide;
        wide.slots = 2;
        farm.leases.add_waiter(wide);
        wire::PoolDetails::QueueEntry gone;
        gone.away = true;
        farm.leases.add_waiter(gone);
        REQUIRE(scheduler->schedule());
        CHECK(farm.first->calls() == Calls{"start 1"});
        CHECK(farm.leases.last_wait() == 0s);
    }
    SECTION("but not where the slot is another one's, who waits") {
        farm.leases.set_waiters(true);
        REQUIRE(scheduler->schedule());
        CHECK(mark_of_task(*farm.leases.waiter(place))->by == "other");
    }
    SECTION("it may come back in a full pool") {
        farm.fill();
        REQUIRE(scheduler->schedule());
        CHECK(mark_of_task(*farm.leases.waiter(place))->by == "other");
        SECTION("but not where this one goes on with its tasks") {
            farm.first->give("1");
            scheduler->adopt_name("other", std::nullopt);
            REQUIRE(scheduler->schedule());
            CHECK(mark_of_task(*farm.leases.waiter(place))->by == "me");
            farm.free();
            REQUIRE(scheduler->schedule());
            CHECK(farm.first->calls() == Calls{"start 1"});
        }
    }
}

TEST_CASE("a task that waits, and moves to another backend, gets its slot under that one's mark") {
    Farm farm(1);
    const LeaseId place = lease_of_task(farm.pool, "1");
    const bool was_handed_on = GENERATE(false, true);
    CAPTURE(was_handed_on);
    farm.second->hands_on_ = was_handed_on;
    farm.first->hands_on_ = !was_handed_on;
    farm.fill();
    farm.second->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    const auto old = farm.leases.waiter(place);
    REQUIRE(old);
    REQUIRE(mark_of_task(*old)->backend == "second");
    farm.first->give("1");
    // Its old place is left, once the first backend has answered.
    REQUIRE(eventually([&] {
        REQUIRE(scheduler->schedule());
        const auto holder = farm.leases.waiter(place);
        return holder && mark_of_task(*holder)->backend == "first";
    }));
    CHECK(mark_of_task(*farm.leases.waiter(place))->is_handed_on == !was_handed_on);
    SECTION("it waits there") {
        farm.free();
    }
    SECTION("what is granted under the old mark all the same is returned") {
        farm.leases.lose_place(place);
        farm.free();
        farm.leases.on_borrow = [&] { farm.leases.leave_place(*old, place); };
        REQUIRE(scheduler->schedule());
        CHECK(farm.first->calls().empty());
        CHECK(farm.leases.in_use() == 0);
        farm.leases.on_borrow = {};
    }
    REQUIRE(scheduler->schedule());
    // It does not seem to have timed out, nor to have been kept alive.
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls() == Calls{"start 1"});
    CHECK(farm.second->calls().empty());
}

TEST_CASE("a task that waits while its backend becomes another kind gets its slot under the new mark") {
    Farm farm(1);
    const LeaseId place = lease_of_task(farm.pool, "1");
    farm.timeout = 1min + 1us;
    farm.first->keeps_naming_ = true;
    farm.first->give("1");
    farm.fill();
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    REQUIRE(farm.leases.waiter(place));
    CHECK_FALSE(mark_of_task(*farm.leases.waiter(place))->is_handed_on);
    SECTION("nothing has changed: it keeps its place") {
        farm.leases.on_borrow = [&] { CHECK(farm.leases.has_place(place)); };
    }
    SECTION("it hands the lease on") {
        farm.first->hands_on_ = true;
        farm.leases.on_borrow = [&] { CHECK_FALSE(farm.leases.has_place(place)); };
    }
    scheduler->replace({farm.first}, farm.options());
    REQUIRE(scheduler->schedule());
    farm.leases.on_borrow = {};
    REQUIRE(farm.leases.waiter(place));
    CHECK(mark_of_task(*farm.leases.waiter(place))->is_handed_on == farm.first->hands_on_.load());
    farm.free();
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls() == Calls{"start 1"});
}

TEST_CASE("a scheduler that ends leaves nothing that nobody comes back to") {
    Farm farm(1);
    const LeaseId place = lease_of_task(farm.pool, "1");
    const std::string what = GENERATE("a place", "a place, unheard of", "a slot, unheard of");
    CAPTURE(what);
    const bool is_full = what != "a slot, unheard of";
    const bool is_answered = what == "a place";
    if (is_full) farm.leases.borrow(LeaseId::random(), {}, 100s);
    farm.leases.set_waiters(true);
    farm.leases.set_losing(!is_answered);
    farm.first->give("1");
    auto scheduler = farm.scheduler();
    CHECK(scheduler->schedule().has_value() == is_answered);
    REQUIRE(farm.leases.has_place(place) == is_full);
    REQUIRE(farm.leases.in_use() == 1);
    SECTION("in the pass after it was closed") {
        scheduler->close();
        REQUIRE(scheduler->schedule());
    }
    SECTION("when it ends") {
        scheduler.reset();
    }
    SECTION("when it ends after other passes") {
        static_cast<void>(scheduler->schedule());
        scheduler.reset();
    }
    CHECK_FALSE(farm.leases.has_place(place));
    CHECK(farm.leases.in_use() == (is_full ? 1U : 0U));
    CHECK(farm.first->calls().empty());
}

TEST_CASE("a task that its backend names no more leaves the queue once the backend names another one") {
    Farm farm(1);
    const auto place = [&](const std::string& id) { return lease_of_task(farm.pool, id); };
    farm.fill();
    const TaskMark theirs = mark_of("other");
    farm.leases.leave_place(holder_of(theirs), place(theirs.id));
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    options.interval = 500ms;
    scheduler->replace({farm.first, farm.second}, options);
    farm.second->give("2");
    REQUIRE(scheduler->schedule());
    REQUIRE(farm.leases.has_place(place("2")));
    farm.first->give("3");
    REQUIRE(eventually([&] { return scheduler->schedule() && farm.leases.has_place(place("3")); }));
    // Of another backend, which may name it still.
    CHECK(farm.leases.has_place(place("2")));
    farm.first->give("4");
    REQUIRE(eventually([&] { return scheduler->schedule() && farm.leases.has_place(place("4")); }));
    CHECK_FALSE(farm.leases.has_place(place("3")));
    CHECK(farm.leases.has_place(place("2")));
    CHECK(farm.leases.has_place(place(theirs.id)));
}

TEST_CASE("a scheduler that ends waits once for a server that is away, and not for its place as well") {
    Farm farm(1);
    farm.fill();
    farm.first->give("1");
    auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    REQUIRE(farm.leases.has_place(lease_of_task(farm.pool, "1")));
    farm.leases.set_away(true);
    scheduler->close();
    CHECK_FALSE(scheduler->schedule());
    const std::size_t views = farm.leases.views();
    scheduler.reset();
    CHECK(farm.leases.views() == views);
}

TEST_CASE("a scheduler that ends leaves places of others alone") {
    Farm farm(1);
    const LeaseId place = lease_of_task(farm.pool, "1");
    farm.fill();
    farm.leases.leave_place(holder_of(mark_of("other")), place);
    farm.first->give("2");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    REQUIRE(farm.leases.has_place(lease_of_task(farm.pool, "2")));
    scheduler->close();
    REQUIRE(scheduler->schedule());
    CHECK_FALSE(farm.leases.has_place(lease_of_task(farm.pool, "2")));
    CHECK(farm.leases.has_place(place));
}

TEST_CASE("a scheduler that ends does not insist on a server that is away") {
    Farm farm(1);
    farm.patience = 0s;
    farm.first->give("1");
    farm.first->fail(backend_call::start);
    std::vector<std::string> said;
    SchedulerCore::Options options = farm.options();
    // It is away from then on: the slot cannot be returned.
    options.on_trouble = [&](const std::string& message) {
        farm.leases.set_away(true);
        said.push_back(message);
    };
    auto scheduler = std::make_unique<SchedulerCore>(farm.leases.source(), farm.pool, "me",
                                                     SchedulerCore::Backends{farm.first}, options);
    CHECK(scheduler->schedule());
    REQUIRE(eventually([&] { return farm.first->calls() == Calls{"start 1", "error 1: no luck"}; }));
    const auto begin = std::chrono::steady_clock::now();
    scheduler.reset();
    // It would try for 30 s.
    CHECK(std::chrono::steady_clock::now() - begin < 15s);
    REQUIRE(said.size() == 2);
    CHECK(said.back() == "cannot return the slot of 1: away");
}
