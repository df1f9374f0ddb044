#include "tests/client/scheduler/scheduler_farm.hpp"
#include "tests/support/catch.hpp"

using namespace sema;
using namespace sema::test;

namespace {

using Calls = std::vector<std::string>;

}  // namespace

TEST_CASE("with nothing to do no slot is taken") {
    Farm farm(1);
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->polls() == 1);
    CHECK(farm.second->polls() == 1);
    CHECK(farm.leases.in_use() == 0);
}

TEST_CASE("a stop ends the task and frees its slot") {
    Farm farm(1);
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    CHECK(scheduler->stop("1") == true);
    CHECK(farm.first->calls() == Calls{"start 1", "stop 1"});
    CHECK(farm.leases.in_use() == 0);
    CHECK(scheduler->stop("1") == false);
    CHECK(scheduler->stop("unknown") == false);
}

TEST_CASE("each keepalive is told to the backend, and moves the timeout") {
    Farm farm(1);
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    const Moment before = scheduler->next_deadline();
    CHECK(scheduler->keepalive("1") == true);
    CHECK(scheduler->keepalive("1") == true);
    CHECK(scheduler->keepalive("unknown") == false);
    CHECK(farm.first->calls() == Calls{"start 1", "keepalive 1", "keepalive 1"});
    CHECK(scheduler->next_deadline() > before);
}

TEST_CASE("a task that times out is told so, then stopped, and its slot filled in the same pass") {
    Farm farm(1);
    farm.timeout = 200ms;
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    const Moment deadline = scheduler->next_deadline();
    farm.first->give("2");
    REQUIRE(eventually([&] { return BootClock::now() >= deadline; }));
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls() == Calls{"start 1", "timeout 1", "stop 1", "start 2"});
    CHECK(farm.leases.in_use() == 1);
}

TEST_CASE("a task does not time out before its time") {
    Farm farm(1);
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    CHECK(scheduler->next_deadline() > BootClock::now() + 59min);
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls() == Calls{"start 1"});
}

TEST_CASE("a failed start frees the slot, whatever the error function says") {
    Farm farm(1);
    farm.first->fail(backend_call::start);
    SECTION("it keeps the slot") {}
    SECTION("it frees the slot") {
        farm.first->frees_ = true;
    }
    SECTION("it fails itself") {
        farm.first->error_fails_ = true;
    }
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls() == Calls{"start 1", "error 1: no luck"});
    CHECK(farm.leases.in_use() == 0);
}

TEST_CASE("what the error function says of a failed keepalive counts") {
    Farm farm(1);
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    farm.first->fail(backend_call::keepalive);
    Calls calls = {"start 1", "keepalive 1", "error 1: no luck"};
    SECTION("false keeps the slot") {
        CHECK(scheduler->keepalive("1") == true);
        CHECK(farm.leases.in_use() == 1);
    }
    SECTION("true ends the task") {
        calls.emplace_back("stop 1");
        farm.first->frees_ = true;
        CHECK(scheduler->keepalive("1") == true);
        CHECK(farm.leases.in_use() == 0);
    }
    SECTION("and so does a failure of its own") {
        calls.emplace_back("stop 1");
        farm.first->error_fails_ = true;
        CHECK(scheduler->keepalive("1") == true);
        CHECK(farm.leases.in_use() == 0);
    }
    CHECK(farm.first->calls() == calls);
}

TEST_CASE("what the error function says of a failed timeout counts") {
    Farm farm(1);
    farm.timeout = 200ms;
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    const Moment deadline = scheduler->next_deadline();
    farm.first->fail(backend_call::timeout);
    Calls calls = {"start 1", "timeout 1", "error 1: no luck"};
    SECTION("false keeps the slot, and the time begins anew") {
        REQUIRE(eventually([&] { return BootClock::now() >= deadline; }));
        REQUIRE(scheduler->schedule());
        CHECK(farm.leases.in_use() == 1);
        CHECK(scheduler->next_deadline() > deadline);
    }
    SECTION("true goes on to the stop") {
        farm.first->frees_ = true;
        REQUIRE(eventually([&] { return BootClock::now() >= deadline; }));
        REQUIRE(scheduler->schedule());
        CHECK(farm.leases.in_use() == 0);
        calls.push_back("stop 1");
    }
    CHECK(farm.first->calls() == calls);
}

TEST_CASE("inspect shows the tasks") {
    Farm farm(2);
    farm.second->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    const auto states = scheduler->inspect();
    REQUIRE(states);
    REQUIRE(states->size() == 1);
    CHECK(states->front().what.id == "1");
    CHECK(states->front().what.backend == "second");
    CHECK(states->front().what.slot == "slot");
    CHECK(states->front().is_own);
    CHECK(states->front().last_keepalive);
    CHECK(*states->front().times_out_in <= 1h);
    CHECK(*states->front().times_out_in > 59min);
}

TEST_CASE("one id never has two slots") {
    Farm farm(3);
    farm.first->keeps_naming_ = true;
    farm.second->keeps_naming_ = true;
    farm.first->give("1");
    farm.second->give("1");
    const auto scheduler = farm.scheduler();
    const auto other = farm.scheduler("other");
    for (int i = 0; i < 3; ++i) {
        REQUIRE(scheduler->schedule());
        REQUIRE(other->schedule());
    }
    CHECK(farm.first->calls() == Calls{"start 1"});
    CHECK(farm.second->calls().empty());
    CHECK(farm.leases.in_use() == 1);
}

TEST_CASE("a lease of the task that somebody else was granted meanwhile starts nothing") {
    Farm farm(3);
    const auto scheduler = farm.scheduler();
    // Also one of the same name, as where two machines have copies of a folder; or of an earlier release.
    const std::string by = GENERATE("other", "me");
    const std::string instance = GENERATE("", "4711");
    CAPTURE(by, instance);
    const TaskMark theirs{.id = "1",
                          .backend = "first",
                          .by = by,
                          .instance = instance,
                          .timeout = 1h,
                          .hold = hold_ttl(1h, 30s)};
    // Between the look at the pool and the borrow.
    class Thief : public Recorder {
      public:
        Thief(Farm& farm, TaskMark mark) : Recorder("first"), farm_(farm), mark_(std::move(mark)) {}
        std::optional<std::string> poll() override {
            farm_.leases.borrow(lease_of_task(farm_.pool, "1"), holder_of(mark_), 60s);
            return "1";
        }

      private:
        Farm& farm_;
        const TaskMark mark_;
    };
    const auto thief = std::make_shared<Thief>(farm, theirs);
    scheduler->replace({thief}, farm.options());
    REQUIRE(scheduler->schedule());
    CHECK(thief->calls().empty());
    CHECK(farm.leases.in_use() == 1);
}

TEST_CASE("a function that hangs holds up neither other tasks nor the pass") {
    Farm farm(2);
    farm.patience = 1ms;
    farm.first->hangs_ = true;
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    farm.second->give("2");
    REQUIRE(eventually([&] { return scheduler->schedule() && farm.second->calls() == Calls{"start 2"}; }));
    CHECK(scheduler->stop("2") == true);
    CHECK(eventually([&] { return farm.second->calls() == Calls{"start 2", "stop 2"}; }));
    farm.first->hangs_ = false;
}

TEST_CASE("a stop from elsewhere is noticed, and the slot filled") {
    Farm farm(1);
    farm.first->give("1");
    farm.first->give("2");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    CHECK(farm.leases.give_back(lease_of_task(farm.pool, "1")));
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls() == Calls{"start 1", "stop 1", "start 2"});
    CHECK(farm.first->last.holds_slot);
}

TEST_CASE("a keepalive from elsewhere is told to the backend") {
    Farm farm(1);
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    const Moment before = scheduler->next_deadline();
    farm.leases.pass(10s);
    CHECK(farm.leases.renew(lease_of_task(farm.pool, "1"), farm.hold()));
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls() == Calls{"start 1", "keepalive 1"});
    CHECK(scheduler->next_deadline() > before);
}

TEST_CASE("a scheduler that follows another one finds its tasks, and starts none twice") {
    Farm farm(2);
    farm.first->keeps_naming_ = true;
    farm.first->hands_on_ = GENERATE(false, true);
    farm.first->give("1");
    REQUIRE(farm.scheduler()->schedule());
    const auto next = farm.scheduler();
    REQUIRE(next->schedule());
    CHECK(farm.first->calls() == Calls{"start 1"});
    CHECK(next->stop("1") == true);
    CHECK(farm.first->calls() == Calls{"start 1", "stop 1"});
}

TEST_CASE("no more tasks than slots here, whatever the pool has") {
    Farm farm(5);
    farm.slots = 2;
    for (const char* id : {"1", "2", "3"})
        farm.first->give(id);
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    REQUIRE(scheduler->schedule());
    CHECK(farm.leases.in_use() == 2);
    CHECK(farm.first->polls() == 2);
}

TEST_CASE("trouble with the server is told, and passes") {
    Farm farm(1);
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    farm.leases.set_away(true);
    REQUIRE_FALSE(scheduler->schedule());
    CHECK(scheduler->schedule().error().kind == LeaseTrouble::Kind::unavailable);
    CHECK_FALSE(scheduler->stop("1"));
    CHECK_FALSE(scheduler->keepalive("1"));
    CHECK_FALSE(scheduler->inspect());
    farm.leases.set_away(false);
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls() == Calls{"start 1"});
}

TEST_CASE("a scheduler gets over a moment without a thread") {
    Farm farm(1);
    std::mutex saying;
    std::vector<std::string> said;
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    options.interval = 1h;
    options.on_trouble = [&](const std::string& message) {
        const std::lock_guard lock(saying);
        said.push_back(message.substr(0, message.rfind(": there is no thread for it")));
    };
    farm.first->give("1");
    Calls calls = {"start 1"};
    SECTION("for a poll") {
        scheduler->replace({farm.first}, options);
        farm.lacks_threads = true;
        REQUIRE(scheduler->schedule());
        CHECK(said == Calls{"first: poll failed"});
        CHECK(farm.first->polls() == 0);
        farm.lacks_threads = false;
        REQUIRE(eventually([&] { return BootClock::now() >= scheduler->next_deadline(); }));
        REQUIRE(scheduler->schedule());
    }
    SECTION("for a start") {
        farm.first = std::make_shared<Greedy>("first", farm);
        farm.first->give("1");
        scheduler->replace({farm.first}, options);
        REQUIRE(scheduler->schedule());
        CHECK(said == Calls{"first: 1 is not started yet"});
        CHECK(farm.first->calls().empty());
        CHECK(farm.leases.in_use() == 0);
        farm.lacks_threads = false;
        CHECK(scheduler->next_deadline() < BootClock::now() + 30s);
        CHECK(eventually([&] {
            return BootClock::now() >= scheduler->next_deadline() && scheduler->schedule() &&
                   farm.leases.in_use() == 1;
        }));
        CHECK(farm.first->polls() == 1);
    }
    SECTION("for what is called of a task that runs") {
        scheduler->replace({farm.first}, options);
        REQUIRE(scheduler->schedule());
        farm.lacks_threads = true;
        SECTION("whose lease is gone") {
            CHECK(farm.leases.give_back(lease_of_task(farm.pool, "1")));
            calls.push_back("stop 1");
        }
        SECTION("which is kept alive from elsewhere") {
            farm.leases.pass(10s);
            CHECK(farm.leases.renew(lease_of_task(farm.pool, "1"), farm.hold()));
            calls.push_back("keepalive 1");
        }
        SECTION("which is stopped") {
            CHECK(scheduler->stop("1") == true);
            calls.push_back("stop 1");
        }
        SECTION("which is kept alive") {
            CHECK(scheduler->keepalive("1") == true);
            calls.push_back("keepalive 1");
        }
        for (int i = 0; i < 2; ++i) {
            REQUIRE(scheduler->schedule());
            CHECK(farm.first->calls() == Calls{"start 1"});
            CHECK(scheduler->next_deadline() < BootClock::now() + 30s);
        }
        CHECK(said.front() == "first: a call for 1 is made later");
        farm.lacks_threads = false;
        REQUIRE(scheduler->schedule());
        REQUIRE(scheduler->schedule());
    }
    CHECK(eventually([&] { return farm.first->calls() == calls; }));
}

TEST_CASE("a pass for which the system has no descriptors is trouble that passes") {
    Farm farm(1);
    farm.first->keeps_naming_ = true;
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    options.interval = 1h;
    scheduler->replace({farm.first}, options);
    farm.leases.set_failing(true);
    const auto done = scheduler->schedule();
    REQUIRE_FALSE(done);
    CHECK(done.error().kind == LeaseTrouble::Kind::unavailable);
    CHECK(done.error().reason.find("a socket") == 0);
    farm.leases.set_failing(false);
    REQUIRE(eventually([&] { return BootClock::now() >= scheduler->next_deadline(); }));
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls() == Calls{"start 1"});
}

TEST_CASE("nothing is started where the server lends no slot for long enough") {
    Farm farm(1);
    farm.leases.set_longest(100s);
    farm.first->give("1");
    SECTION("for the end of a task") {
        const auto scheduler = farm.scheduler();
        const auto done = scheduler->schedule();
        REQUIRE_FALSE(done);
        CHECK(done.error().kind == LeaseTrouble::Kind::unsuitable);
        CHECK(done.error().reason.find("longer than 1m 40s, and a task takes 1m 55s") != std::string::npos);
        CHECK(farm.first->calls().empty());
        CHECK(farm.leases.in_use() == 0);
    }
    SECTION("but for a short one it does") {
        farm.timeout = 30s;
        REQUIRE(farm.scheduler()->schedule());
        CHECK(farm.first->calls() == Calls{"start 1"});
    }
    SECTION("and a task that has its lease renewed does not mind") {
        farm.first->hands_on_ = true;
        REQUIRE(farm.scheduler()->schedule());
        CHECK(farm.first->calls() == Calls{"start 1"});
    }
}

TEST_CASE("it is told once a start is over, and its lease seen to") {
    Farm farm(2);
    farm.first->give("1");
    farm.second->fail(backend_call::start);
    farm.second->give("2");
    std::atomic<int> settled = 0;
    std::atomic<std::uint64_t> last = 0;
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    options.on_settled = [&](std::uint64_t fence) {
        last = std::max(last.load(), fence);
        ++settled;
    };
    scheduler->replace({farm.first, farm.second}, options);
    REQUIRE(scheduler->schedule());
    CHECK(settled == 2);
    CHECK(last == 2);
}

TEST_CASE("a timeout without end is one that never comes") {
    Farm farm(1);
    farm.timeout = longest_duration;
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls() == Calls{"start 1"});
    REQUIRE(scheduler->inspect()->size() == 1);
    CHECK(*scheduler->inspect()->front().times_out_in > 24h * 365 * 30);
}

TEST_CASE("a task that failed to start is not started again before the interval is over") {
    Farm farm(1);
    farm.first->fail(backend_call::start);
    farm.first->keeps_naming_ = true;
    farm.first->give("1");
    farm.second->give("2");
    const auto scheduler = farm.scheduler();
    auto options = farm.options();
    options.interval = 1h;
    scheduler->replace({farm.first, farm.second}, options);
    REQUIRE(scheduler->schedule());
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls() == Calls{"start 1", "error 1: no luck"});
    CHECK(farm.second->calls() == Calls{"start 2"});
}

TEST_CASE("an ask ends a task whose lease is handed on, and is answered") {
    Farm farm(1);
    farm.first->hands_on_ = true;
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    const auto states = scheduler->inspect();
    REQUIRE(states->size() == 1);
    const auto ask = [&](TaskAsk::What what) {
        const LeaseId place = LeaseId::random();
        farm.leases.ask(holder_of(TaskAsk{what, "1", states->front().what.fence, place.str()}), place);
        return place;
    };
    const LeaseId keepalive = ask(TaskAsk::What::keepalive);
    REQUIRE(scheduler->schedule());
    CHECK(farm.leases.is_answered(keepalive));
    const LeaseId stop = ask(TaskAsk::What::stop);
    REQUIRE(scheduler->schedule());
    CHECK(farm.leases.is_answered(stop));
    CHECK(farm.first->calls() == Calls{"start 1", "keepalive 1", "stop 1"});
    // It is for what has the lease to return it, once nothing of the task is left.
    CHECK(farm.leases.in_use() == 1);
}

TEST_CASE("a task whose lease is handed on is waited for, and ended when asked to") {
    Farm farm(2);
    farm.first->hands_on_ = true;
    farm.first->give("1");
    farm.second->give("2");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    scheduler->close();
    CHECK(scheduler->unsettled() == 1);
    std::size_t held = 1;
    SECTION("it ends by itself, though its lease is not returned") {
        scheduler->note_end(farm.first->last.fence);
        REQUIRE(scheduler->schedule());
    }
    SECTION("it is ended, and what has its lease returns that") {
        scheduler->end_handed_on();
        held = 2;
    }
    CHECK(eventually([&] { return scheduler->unsettled() == 0; }));
    CHECK(farm.first->calls() == Calls{"start 1", "stop 1"});
    CHECK(farm.second->calls() == Calls{"start 2"});
    CHECK(farm.leases.in_use() == held);
}

TEST_CASE("a stop of a task whose lease is handed on waits for a function that is called of it") {
    Farm farm(1);
    farm.first->hands_on_ = true;
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    farm.first->hangs_ = true;
    std::thread keepalive([&] { scheduler->keepalive("1"); });
    REQUIRE(eventually([&] { return farm.first->calls() == Calls{"start 1", "keepalive 1"}; }));
    std::atomic<bool> is_stopped = false;
    const std::size_t looks = farm.leases.views();
    std::thread stop([&] { is_stopped = scheduler->stop("1") == true; });
    // It looks for the task first.
    CHECK(eventually([&] { return farm.leases.views() > looks; }));
    farm.first->hangs_ = false;
    stop.join();
    keepalive.join();
    CHECK(is_stopped);
    CHECK(farm.first->calls() == Calls{"start 1", "keepalive 1", "stop 1"});
}

TEST_CASE("what another scheduler handed a lease on to returns it, and no one else") {
    Farm farm(1);
    farm.first->hands_on_ = true;
    TaskMark mark = mark_of("me");
    mark.is_handed_on = true;
    REQUIRE(farm.leases.borrow(lease_of_task(farm.pool, "1"), holder_of(mark), 100s));
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    CHECK(scheduler->stop("1") == true);
    CHECK(farm.first->calls() == Calls{"stop 1"});
    CHECK(farm.leases.in_use() == 1);
}

TEST_CASE("a task goes on with the backend that it has, also where that is not named any more") {
    Farm farm(1);
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    scheduler->replace({farm.second}, farm.options());
    REQUIRE(scheduler->schedule());
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls() == Calls{"start 1"});
    CHECK(scheduler->stop("1") == true);
    CHECK(farm.first->calls() == Calls{"start 1", "stop 1"});
}

TEST_CASE("an earlier scheduler's task goes on with its backend, also where that is not named any more") {
    Farm farm(1);
    REQUIRE(farm.leases.borrow(lease_of_task(farm.pool, "1"), holder_of(mark_of("me")), 100s));
    REQUIRE(farm.has("1"));
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    scheduler->replace({farm.second}, farm.options());
    REQUIRE(scheduler->schedule());
    REQUIRE(farm.leases.give_back(lease_of_task(farm.pool, "1")));
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->calls() == Calls{"stop 1"});
}

TEST_CASE("a task whose slot was granted is not started once the scheduler is closed") {
    Farm farm(1);
    farm.patience = 50ms;
    farm.leases.on_borrow = [&] { farm.is_halted = true; };
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    scheduler->close();
    farm.is_halted = false;
    CHECK(eventually([&] { return scheduler->unsettled() == 0; }));
    CHECK(farm.first->calls() == Calls{});
    CHECK(farm.leases.in_use() == 0);
}

TEST_CASE("a borrow whose answer was lost is made again, and keeps no slot idle") {
    Farm farm(GENERATE(1U, 2U));
    farm.first->keeps_naming_ = true;
    farm.first->hands_on_ = GENERATE(false, true);
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    farm.leases.set_losing(true);
    CHECK_FALSE(scheduler->schedule());
    REQUIRE(farm.leases.in_use() == 1);
    farm.leases.set_losing(false);
    CHECK(eventually([&] { return scheduler->schedule() && farm.first->calls() == Calls{"start 1"}; }));
}

TEST_CASE("a slot that was granted to a lost borrow goes to the next task where the backend names that now") {
    Farm farm(1);
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    farm.leases.set_losing(true);
    CHECK_FALSE(scheduler->schedule());
    REQUIRE(farm.leases.in_use() == 1);
    farm.leases.set_losing(false);
    // The file is read again.
    const auto next = GENERATE(true, false) ? farm.first : farm.second;
    next->give("2");
    scheduler->replace({farm.first, farm.second}, farm.options());
    CHECK(eventually([&] { return scheduler->schedule() && next->calls() == Calls{"start 2"}; }));
}

TEST_CASE("a slot whose renewal for a start had no answer is returned once the server is back") {
    Farm farm(1);
    farm.patience = 50ms;
    farm.leases.on_borrow = [&] { farm.is_halted = true; };
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    farm.leases.set_away(true);
    farm.is_halted = false;
    // It is tried for 10 s, and takes part of a minute to end by itself.
    REQUIRE(eventually([&] { return farm.was_said("1 is not started: away"); }));
    farm.leases.set_away(false);
    CHECK(eventually([&] { return scheduler->unsettled() == 0; }));
    CHECK(farm.first->calls() == Calls{});
    CHECK(farm.leases.in_use() == 0);
}

TEST_CASE("a scheduler that is closed tries nothing for long while the server is away") {
    Farm farm(1);
    farm.patience = 50ms;
    const auto late = std::make_shared<Late>();
    farm.first = late;
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    REQUIRE(eventually([&] { return late->calls() == Calls{"start 1"}; }));
    farm.leases.set_away(true);
    SECTION("to renew the lease of what has started") {
        late->may_return = true;
    }
    SECTION("to return the slot of what has not") {
        late->may_fail = true;
    }
    REQUIRE(eventually([&] { return farm.leases.refusals() > 0; }));
    scheduler->close();
    const auto begin = std::chrono::steady_clock::now();
    CHECK(eventually([&] { return scheduler->unsettled() == 0; }));
    // A start has 30 s here, and a return as long.
    CHECK(std::chrono::steady_clock::now() - begin < 20s);
}

TEST_CASE("a task whose renewal after its start had no answer goes on where the slot is held") {
    Farm farm(1);
    farm.limit = 0s;
    farm.patience = 50ms;
    const auto late = std::make_shared<Late>();
    farm.first = late;
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    REQUIRE(eventually([&] { return late->calls() == Calls{"start 1"}; }));
    farm.leases.set_away(true);
    late->may_return = true;
    // It is tried for 10 s, as long as the lease of a start lasts.
    REQUIRE(eventually([&] { return scheduler->unsettled() == 0; }));
    farm.leases.set_away(false);
    SECTION("and is stopped where that is over") {
        farm.leases.pass(1h);
        REQUIRE(scheduler->schedule());
        CHECK(eventually([&] { return late->calls() == Calls{"start 1", "stop 1"}; }));
        return;
    }
    REQUIRE(scheduler->schedule());
    CHECK(late->calls() == Calls{"start 1"});
    REQUIRE(farm.leases.renew(lease_of_task(farm.pool, "1"), 2h));
    REQUIRE(scheduler->schedule());
    CHECK(eventually([&] { return late->calls() == Calls{"start 1", "keepalive 1"}; }));
}

TEST_CASE("a start that is over late leaves the slot of a later start of its task alone") {
    Farm farm(1);
    farm.patience = 50ms;
    const auto late = std::make_shared<Late>();
    farm.first = late;
    farm.first->give("1");
    auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    REQUIRE(eventually([&] { return late->calls() == Calls{"start 1"}; }));
    farm.start_elsewhere();
    SECTION("where it fails") {
        late->may_fail = true;
        REQUIRE(eventually([&] { return scheduler->unsettled() == 0; }));
        CHECK(late->calls() == Calls{"start 1", "error 1: no luck"});
    }
    SECTION("where it returns, and would have the slot for an hour") {
        late->may_return = true;
        REQUIRE(eventually([&] { return scheduler->unsettled() == 0; }));
        CHECK(late->calls() == Calls{"start 1", "stop 1"});
    }
    CHECK(farm.leases.in_use() == 1);
    farm.leases.pass(100s);
    CHECK(farm.leases.in_use() == 0);
}

TEST_CASE("a task is not started by a scheduler that was halted until another one has") {
    Farm farm(1);
    farm.patience = 50ms;
    farm.leases.on_borrow = [&] { farm.is_halted = true; };
    farm.first->give("1");
    auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    REQUIRE(farm.leases.in_use() == 1);
    farm.start_elsewhere();
    farm.is_halted = false;
    REQUIRE(eventually([&] { return scheduler->unsettled() == 0; }));
    CHECK(farm.first->calls() == Calls{});
    CHECK(farm.leases.in_use() == 1);
    farm.leases.pass(100s);
    CHECK(farm.leases.in_use() == 0);
}

TEST_CASE("a task that has ended keeps its slot from no other one, however long its end takes") {
    Farm farm(1);
    farm.slots = 1;
    farm.patience = 50ms;
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    REQUIRE(eventually([&] { return scheduler->unsettled() == 0; }));
    REQUIRE(farm.first->calls() == Calls{"start 1"});
    farm.first->hangs_ = true;
    farm.second->give("2");
    REQUIRE(farm.leases.give_back(lease_of_task(farm.pool, "1")));
    CHECK(eventually([&] { return scheduler->schedule() && farm.second->calls() == Calls{"start 2"}; }));
    CHECK(eventually([&] { return farm.first->calls() == Calls{"start 1", "stop 1"}; }));
    farm.first->hangs_ = false;
}

TEST_CASE("a backend whose starts fail is left alone for a while, longer each time") {
    Farm farm(1);
    farm.first->fail(backend_call::start);
    for (int i = 0; i < 1000; ++i)
        farm.first->give(std::to_string(i));
    const auto scheduler = farm.scheduler();
    const auto begin = std::chrono::steady_clock::now();
    std::size_t passes = 0;
    for (; std::chrono::steady_clock::now() - begin < 1s; ++passes)
        REQUIRE(scheduler->schedule());
    // Each start is a call, and so is what follows its failure.
    CHECK(farm.first->calls().size() <= 2 * 7);
    farm.first->fail(std::nullopt);
    CHECK(eventually([&] { return scheduler->schedule() && farm.leases.in_use() == 1; }));
}

TEST_CASE("a command that has ended is over, also while the server is away") {
    Farm farm(1);
    farm.first->hands_on_ = true;
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    farm.leases.set_away(true);
    scheduler->close();
    scheduler->note_end(farm.first->last.fence);
    CHECK_FALSE(scheduler->schedule());
    CHECK(eventually([&] { return scheduler->unsettled() == 0; }));
    CHECK(farm.first->calls() == Calls{"start 1", "stop 1"});
}
