// When a scheduler asks its backends for tasks, and which of them first.
#include "tests/client/scheduler/scheduler_farm.hpp"
#include "tests/support/catch.hpp"

using namespace sema;
using namespace sema::test;

namespace {

using Calls = std::vector<std::string>;

}  // namespace

TEST_CASE("all backends are asked until one has a task") {
    Farm farm(1);
    farm.second->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->polls() == 1);
    CHECK(farm.first->calls().empty());
    CHECK(farm.second->polls() == 1);
    CHECK(farm.second->calls() == Calls{"start 1"});
    CHECK(farm.has("1"));
}

TEST_CASE("no backend is asked after one that had a task") {
    Farm farm(1);
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls() == Calls{"start 1"});
    CHECK(farm.first->polls() == 1);
    CHECK(farm.second->polls() == 0);
}

TEST_CASE("a failing poll keeps no other backend from its turn, and rests for the pass") {
    Farm farm(3);
    farm.first->fail(backend_call::poll);
    farm.second->give("1");
    farm.second->give("2");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->polls() == 1);
    CHECK(farm.second->calls().size() == 2);
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->polls() == 2);
}

TEST_CASE("a slow poll is passed over, and its answer counts when it comes") {
    Farm farm(2);
    farm.poll_patience = 1ms;
    const auto slow = std::make_shared<Slow>();
    slow->give("late");
    farm.second->give("1");
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    scheduler->replace({slow, farm.second}, options);
    // The one behind it has its chance even where this machine is slow to start a thread.
    REQUIRE(eventually([&] { return scheduler->schedule() && !farm.second->calls().empty(); }));
    CHECK(slow->calls().empty());
    slow->is_answering = true;
    REQUIRE(eventually([&] { return scheduler->bell().was_rung(); }));
    REQUIRE(eventually([&] { return scheduler->schedule() && !slow->calls().empty(); }));
    CHECK(slow->calls() == Calls{"start late"});
}

TEST_CASE("a source is asked again for a task that it named a while ago, when the pool was full") {
    Farm farm(1);
    farm.fill();
    farm.first->keeps_naming_ = true;
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    options.interval = 500ms;
    scheduler->replace({farm.first}, options);
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->polls() == 1);
    const Moment named = BootClock::now();
    REQUIRE(eventually([&] { return BootClock::now() >= named + 3s; }));
    farm.free();
    SECTION("it is started where it is still named") {
        REQUIRE(scheduler->schedule());
        CHECK(farm.first->calls() == Calls{"start 1"});
    }
    SECTION("and where it is not, it is not") {
        farm.first->take_out();
        REQUIRE(scheduler->schedule());
        CHECK(farm.first->calls().empty());
    }
    CHECK(farm.first->polls() == 2);
}

TEST_CASE("a task whose source is slow to be asked again keeps its place meanwhile") {
    Farm farm(1);
    farm.poll_patience = 1ms;
    farm.fill();
    const LeaseId place = lease_of_task(farm.pool, "1");
    const auto slow = std::make_shared<Slow>();
    slow->is_answering = true;
    slow->keeps_naming_ = true;
    slow->give("1");
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    options.interval = 500ms;
    scheduler->replace({slow}, options);
    REQUIRE(eventually([&] { return scheduler->schedule() && farm.leases.has_place(place); }));
    const Moment named = BootClock::now();
    const std::size_t polls = slow->polls();
    slow->is_answering = false;
    REQUIRE(eventually([&] { return BootClock::now() >= named + 3s; }));
    REQUIRE(scheduler->schedule());
    const auto is_asked_again = [&](std::size_t times) {
        return eventually([&] { return scheduler->schedule() && slow->polls() >= polls + times; });
    };
    SECTION("it takes the slot that comes") {
        farm.free();
        REQUIRE(scheduler->schedule());
        CHECK(slow->calls() == Calls{"start 1"});
        CHECK(slow->polls() == polls);
        // An answer from before its start does not start it once more.
        CHECK(scheduler->stop("1") == true);
        const Moment stopped = BootClock::now();
        REQUIRE(eventually([&] { return BootClock::now() >= stopped + options.interval; }));
        slow->is_answering = true;
        REQUIRE(eventually([&] { return slow->polls() == polls + 1; }));
        slow->take_out();
        REQUIRE(is_asked_again(2));
        CHECK(slow->calls() == Calls{"start 1", "stop 1"});
    }
    SECTION("but not where the place is lost, as another one may have started it") {
        farm.leases.lose_place(place);
        farm.free();
        REQUIRE(scheduler->schedule());
        CHECK(slow->calls().empty());
        slow->is_answering = true;
        CHECK(eventually([&] { return scheduler->schedule() && slow->calls() == Calls{"start 1"}; }));
    }
    SECTION("nor where it is not named any more") {
        slow->take_out();
        slow->is_answering = true;
        REQUIRE(eventually([&] { return scheduler->bell().was_rung(); }));
        farm.free();
        REQUIRE(is_asked_again(2));
        CHECK(slow->calls().empty());
    }
    SECTION("nor where it is not named any more by the time that the slot comes") {
        farm.free();
        farm.leases.on_borrow = [&] {
            slow->take_out();
            slow->is_answering = true;
            eventually([&] { return scheduler->bell().was_rung(); });
        };
        REQUIRE(scheduler->schedule());
        CHECK(slow->calls().empty());
        CHECK(farm.leases.in_use() == 0);
    }
}

TEST_CASE("a slow source without a task keeps no other's task from its place in the queue") {
    Farm farm(1);
    farm.fill();
    const LeaseId place = lease_of_task(farm.pool, "1");
    const auto slow = std::make_shared<Slow>();
    farm.second->give("1");
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    SECTION("it is not asked again before its time") {
        options.interval = 1h;
        options.poll_patience = 1ms;
        scheduler->replace({slow, farm.second}, options);
        REQUIRE(eventually([&] { return scheduler->schedule() && farm.leases.has_place(place); }));
        slow->is_answering = true;
        REQUIRE(eventually([&] { return slow->polls() == 1; }));
        const Moment answered = BootClock::now();
        REQUIRE(eventually([&] { return scheduler->schedule() && BootClock::now() >= answered + 300ms; }));
        CHECK(slow->polls() == 1);
    }
    SECTION("it is not waited for when it is") {
        slow->is_answering = true;
        scheduler->replace({slow, farm.second}, options);
        REQUIRE(scheduler->schedule());
        REQUIRE(farm.leases.has_place(place));
        slow->is_answering = false;
        const Moment begin = BootClock::now();
        REQUIRE(scheduler->schedule());
        CHECK(BootClock::now() - begin < options.poll_patience / 2);
        SECTION("and its answer counts when it comes") {
            slow->give("2");
            slow->is_answering = true;
            REQUIRE(eventually([&] { return scheduler->bell().was_rung(); }));
            REQUIRE(scheduler->schedule());
            CHECK(farm.leases.has_place(lease_of_task(farm.pool, "2")));
        }
    }
    CHECK(farm.leases.has_place(place));
    slow->is_answering = true;
}

TEST_CASE("a source that was late is asked again once another one's task has started") {
    Farm farm(2);
    farm.fill();
    farm.fill();
    const auto slow = std::make_shared<Slow>();
    slow->is_answering = true;
    farm.second->give("1");
    const auto scheduler = farm.scheduler();
    scheduler->replace({slow, farm.second}, farm.options());
    REQUIRE(scheduler->schedule());
    REQUIRE(farm.leases.has_place(lease_of_task(farm.pool, "1")));
    const std::size_t answers = slow->polls();
    slow->is_answering = false;
    bool is_first = true;
    farm.leases.on_borrow = [&] {
        if (!std::exchange(is_first, false)) return;
        slow->is_answering = true;
        eventually([&] { return slow->taken_in > answers; });
        slow->give("2");
        farm.free();
    };
    REQUIRE(scheduler->schedule());
    CHECK(farm.second->calls() == Calls{"start 1"});
    CHECK(slow->calls() == Calls{"start 2"});
}

TEST_CASE("each source is waited for where a slot is free, in their order") {
    Farm farm(1);
    const LeaseId held = LeaseId::random();
    farm.leases.borrow(held, {}, 100s);
    farm.leases.set_waiters(true);
    const auto slow = std::make_shared<Slow>();
    slow->is_answering = true;
    farm.second->give("1");
    const auto scheduler = farm.scheduler();
    scheduler->replace({slow, farm.second}, farm.options());
    REQUIRE(scheduler->schedule());
    REQUIRE(farm.leases.has_place(lease_of_task(farm.pool, "1")));
    slow->give("2");
    farm.leases.give_back(held);
    farm.leases.set_waiters(false);
    slow->is_answering = false;
    std::atomic<bool> is_too_soon = false;
    farm.leases.on_borrow = [&] { is_too_soon = is_too_soon || !slow->is_answering; };
    std::thread answer([&] {
        const Moment end = BootClock::now() + 200ms;
        eventually([&] { return is_too_soon || BootClock::now() >= end; });
        slow->is_answering = true;
    });
    const bool is_done = scheduler->schedule().has_value();
    answer.join();
    farm.leases.on_borrow = {};
    REQUIRE(is_done);
    CHECK_FALSE(is_too_soon);
    CHECK(slow->calls() == Calls{"start 2"});
    CHECK(farm.second->calls().empty());
}

TEST_CASE("no backend is asked while no slot is free and nobody waits") {
    Farm farm(1);
    farm.leases.borrow(LeaseId::random(), {}, 100s);
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->polls() == 0);
}

TEST_CASE("no source is due to be asked again before a task can be started") {
    Farm farm(3);
    // It goes on naming what was started, and so is to be asked again soon.
    farm.first->keeps_naming_ = true;
    farm.first->give("1");
    farm.second = std::make_shared<Greedy>("second", farm);
    farm.second->give("2");
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    options.interval = 1h;
    scheduler->replace({farm.first, farm.second}, options);
    const Moment begin = BootClock::now();
    REQUIRE(scheduler->schedule());
    REQUIRE(farm.first->calls() == Calls{"start 1"});
    REQUIRE(farm.second->polls() == 1);
    CHECK(farm.second->calls().empty());
    CHECK(scheduler->next_deadline() >= begin + 1s);
    CHECK(scheduler->next_deadline() < BootClock::now() + 30s);
}

TEST_CASE("what poll names must be an id") {
    Farm farm(1);
    farm.first->give("two\nlines");
    farm.second->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls().empty());
    CHECK(farm.second->calls() == Calls{"start 1"});
}

TEST_CASE("backends that had no work are left alone for the interval, unless a slot is freed") {
    Farm farm(2);
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    options.interval = 1h;
    scheduler->replace({farm.first}, options);
    farm.first->give("1");
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->polls() == 2);
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->polls() == 2);
    farm.first->give("2");
    CHECK(scheduler->stop("1") == true);
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls() == Calls{"start 1", "stop 1", "start 2"});
}

TEST_CASE("a source that names a task until its start has returned is asked again then") {
    Farm farm(3);
    class Folder : public Recorder {
      public:
        Folder() : Recorder("folder") {}
        std::optional<std::string> poll() override {
            const auto id = Recorder::poll();
            const std::lock_guard lock(names_);
            if (id) ++named_[*id];
            return id;
        }
        void start(const task& what) override {
            // It is named once more meanwhile.
            eventually([&] {
                const std::lock_guard lock(names_);
                return named_[what.id] > 1;
            });
            take_out();
            Recorder::start(what);
        }

      private:
        std::mutex names_;
        std::map<std::string, int> named_;
    };
    const auto folder = std::make_shared<Folder>();
    folder->keeps_naming_ = true;
    for (const char* id : {"1", "2"})
        folder->give(id);
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    options.interval = 1h;
    scheduler->replace({folder}, options);
    REQUIRE(scheduler->schedule());
    CHECK(folder->calls() == Calls{"start 1", "start 2"});
    const std::size_t polls = folder->polls();
    REQUIRE(scheduler->schedule());
    CHECK(folder->polls() == polls);
}

TEST_CASE("a source from which a command takes its task out later is asked again soon") {
    Farm farm(3);
    farm.first->hands_on_ = true;
    farm.first->keeps_naming_ = true;
    for (const char* id : {"1", "2", "3"})
        farm.first->give(id);
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    options.interval = GENERATE(0h, 1h);
    scheduler->replace({farm.first}, options);
    Calls calls;
    for (const char* id : {"1", "2", "3"}) {
        REQUIRE(scheduler->schedule());
        calls.push_back(std::string("start ") + id);
        REQUIRE(farm.first->calls() == calls);
        farm.first->take_out();
        // Nothing is to be had once the pool is full.
        CHECK(scheduler->expects_more() == (calls.size() < 3));
        REQUIRE((scheduler->next_deadline() < BootClock::now() + 30s) == (calls.size() < 3));
        REQUIRE(
            eventually([&] { return calls.size() == 3 || BootClock::now() >= scheduler->next_deadline(); }));
    }
}

TEST_CASE("a source that goes on naming a task is asked again after growing pauses") {
    Farm farm(3);
    farm.first->hands_on_ = true;
    farm.first->keeps_naming_ = true;
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    options.interval = 1h;
    scheduler->replace({farm.first}, options);
    REQUIRE(scheduler->schedule());
    const Moment started = BootClock::now();
    REQUIRE(eventually([&] { return BootClock::now() >= started + 500ms; }));
    const Moment asked = BootClock::now();
    REQUIRE(scheduler->schedule());
    CHECK(scheduler->next_deadline() >= asked + 500ms);
    CHECK(farm.first->calls() == Calls{"start 1"});
}

TEST_CASE("a scheduler without an interval has nothing to do until something changes") {
    Farm farm(2);
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    CHECK(scheduler->next_deadline() == BootClock::never);
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->polls() == 2);
}
