#include "client/scheduler/scheduler_core.hpp"
#include "tests/client/scheduler/fake_leases.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <deque>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

/// Writes down what it is called for, and names the tasks that the test gives it.
class Recorder : public backend {
  public:
    explicit Recorder(std::string name) : name_(std::move(name)) {}

    std::string name() const override { return name_; }

    std::optional<std::string> poll() override {
        const std::lock_guard lock(mutex_);
        calls_.push_back("poll");
        if (fails_ == backend_call::poll) throw std::runtime_error("no database");
        if (tasks_.empty()) return std::nullopt;
        const std::string id = tasks_.front();
        if (!keeps_naming_) tasks_.pop_front();
        return id;
    }
    void start(const task& what) override { note(backend_call::start, "start", what); }
    void stop(const task& what) override { note(backend_call::stop, "stop", what); }
    void timeout(const task& what) override { note(backend_call::timeout, "timeout", what); }
    void keepalive(const task& what) override { note(backend_call::keepalive, "keepalive", what); }
    bool error(const task& what, backend_call, const std::exception& why) override {
        const std::lock_guard lock(mutex_);
        calls_.push_back("error " + what.id + ": " + why.what());
        if (error_fails_) throw 42;
        return frees_;
    }
    bool hands_lease_on() const override { return hands_on_; }

    void give(const std::string& id) {
        const std::lock_guard lock(mutex_);
        tasks_.push_back(id);
    }
    void take_out() {
        const std::lock_guard lock(mutex_);
        tasks_.pop_front();
    }
    void fail(std::optional<backend_call> which) {
        const std::lock_guard lock(mutex_);
        fails_ = which;
    }

    // All calls but poll().
    std::vector<std::string> calls() {
        const std::lock_guard lock(mutex_);
        std::vector<std::string> all;
        std::copy_if(calls_.begin(), calls_.end(), std::back_inserter(all),
                     [](const std::string& call) { return call != "poll"; });
        return all;
    }
    std::size_t polls() {
        const std::lock_guard lock(mutex_);
        return static_cast<std::size_t>(std::count(calls_.begin(), calls_.end(), "poll"));
    }

    std::atomic<bool> frees_ = false;
    std::atomic<bool> error_fails_ = false;
    std::atomic<bool> keeps_naming_ = false;
    std::atomic<bool> hands_on_ = false;
    std::atomic<bool> hangs_ = false;
    task last;

  private:
    void note(backend_call which, const std::string& word, const task& what) {
        {
            const std::lock_guard lock(mutex_);
            calls_.push_back(word + " " + what.id);
            last = what;
            if (fails_ == which) throw std::runtime_error("no luck");
        }
        eventually([&] { return !hangs_; });
    }

    const std::string name_;
    std::mutex mutex_;
    std::deque<std::string> tasks_;
    std::vector<std::string> calls_;
    std::optional<backend_call> fails_;
};

/// One whose poll() takes until the test lets it answer.
class Slow : public Recorder {
  public:
    Slow() : Recorder("slow") {}
    std::optional<std::string> poll() override {
        thread_local const AtExit at_exit{taken_in};
        eventually([&] { return is_answering.load(); });
        return Recorder::poll();
    }
    std::atomic<bool> is_answering = false;
    /// Answers that the scheduler has.
    std::atomic<std::size_t> taken_in = 0;

  private:
    struct AtExit {
        std::atomic<std::size_t>& count;
        ~AtExit() { ++count; }
    };
};

using Calls = std::vector<std::string>;

/// Two backends, and schedulers of one pool.
class Farm {
  public:
    explicit Farm(unsigned count) : leases(count) {}

    SchedulerCore::Options options() const {
        return {.slots = slots,
                .timeout = timeout,
                .limit = 30s,
                .poll_patience = poll_patience,
                .patience = patience,
                .on_trouble = {},
                .make_thread = [this](std::function<void()> work) {
                    if (lacks_threads) throw std::system_error(EAGAIN, std::generic_category());
                    return std::thread(std::move(work));
                }};
    }

    std::unique_ptr<SchedulerCore> scheduler(const std::string& name = "me") {
        return std::make_unique<SchedulerCore>(leases.source(), pool, name,
                                               SchedulerCore::Backends{first, second}, options());
    }

    /// Another one takes the slot, where there is one, and others wait for it.
    void fill() {
        leases.borrow(LeaseId::random(), {}, 100s);
        leases.set_waiters(true);
    }
    /// After fill(): the slot is free, and nobody waits.
    void free() {
        leases.pass(101s);
        leases.set_waiters(false);
    }

    bool has(const std::string& id) { return leases.renew(lease_of_task(pool, id), hold()); }
    std::chrono::seconds hold() const { return hold_ttl(timeout, 30s); }

    FakeLeases leases;
    const PoolId pool = PoolId::random();
    std::shared_ptr<Recorder> first = std::make_shared<Recorder>("first");
    std::shared_ptr<Recorder> second = std::make_shared<Recorder>("second");
    unsigned slots = 10;
    Duration timeout = 1h;
    Duration poll_patience = patience_of_tests;
    Duration patience = patience_of_tests;
    std::atomic<bool> lacks_threads = false;

  private:
    static constexpr Duration patience_of_tests = sema::test::patience;
};

/// One whose poll() has the last thread for a while.
class Greedy : public Recorder {
  public:
    Greedy(std::string name, Farm& farm) : Recorder(std::move(name)), farm_(farm) {}
    std::optional<std::string> poll() override {
        farm_.lacks_threads = true;
        return Recorder::poll();
    }

  private:
    Farm& farm_;
};

/// The task 1 of another scheduler.
TaskMark mark_of(const std::string& by) {
    return {.id = "1",
            .backend = "first",
            .by = by,
            .instance = "4711",
            .timeout = 1h,
            .hold = hold_ttl(1h, 30s)};
}

}  // namespace

// ---- seed 002: the suite of a scheduler of tasks, on leases

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
    SECTION("false keeps the slot") {
        CHECK(scheduler->keepalive("1") == true);
        CHECK(farm.leases.in_use() == 1);
    }
    SECTION("true frees it") {
        farm.first->frees_ = true;
        CHECK(scheduler->keepalive("1") == true);
        CHECK(farm.leases.in_use() == 0);
    }
    SECTION("and so does a failure of its own") {
        farm.first->error_fails_ = true;
        CHECK(scheduler->keepalive("1") == true);
        CHECK(farm.leases.in_use() == 0);
    }
    CHECK(farm.first->calls() == Calls{"start 1", "keepalive 1", "error 1: no luck"});
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

// ---- what that scheduler gets wrong

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

TEST_CASE("no backend is asked while no slot is free and nobody waits") {
    Farm farm(1);
    farm.leases.borrow(LeaseId::random(), {}, 100s);
    farm.first->give("1");
    const auto scheduler = farm.scheduler();
    REQUIRE(scheduler->schedule());
    CHECK(farm.first->polls() == 0);
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

// ---- leases that are handed on

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
    CHECK(farm.leases.in_use() == 0);
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
    SECTION("it ends by itself, though its lease is not returned") {
        scheduler->note_end("1");
        REQUIRE(scheduler->schedule());
    }
    SECTION("it is ended") {
        scheduler->end_handed_on();
    }
    CHECK(eventually([&] { return scheduler->unsettled() == 0; }));
    CHECK(farm.first->calls() == Calls{"start 1", "stop 1"});
    CHECK(farm.second->calls() == Calls{"start 2"});
    CHECK(farm.leases.in_use() == 1);
}
