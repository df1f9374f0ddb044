#include "tests/e2e/dispatch_farm.hpp"

#include <sema/sema.hpp>

#include <algorithm>
#include <csignal>
#include <deque>
#include <mutex>
#include <stdexcept>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

/// Writes down what it is called for.
class Source : public sema::backend {
  public:
    std::string name() const override { return "nightly"; }
    std::optional<std::string> poll() override {
        const std::lock_guard lock(mutex_);
        if (tasks_.empty()) return std::nullopt;
        const std::string id = tasks_.front();
        tasks_.pop_front();
        return id;
    }
    void start(const sema::task& what) override { note("start", what); }
    void stop(const sema::task& what) override { note("stop", what); }
    void timeout(const sema::task& what) override { note("timeout", what); }
    void keepalive(const sema::task& what) override { note("keepalive", what); }

    void give(const std::string& id) {
        const std::lock_guard lock(mutex_);
        tasks_.push_back(id);
    }
    std::vector<std::string> calls() {
        const std::lock_guard lock(mutex_);
        return calls_;
    }

  private:
    void note(const std::string& word, const sema::task& what) {
        const std::lock_guard lock(mutex_);
        calls_.push_back(word + " " + what.id);
    }

    std::mutex mutex_;
    std::deque<std::string> tasks_;
    std::vector<std::string> calls_;
};

using Calls = std::vector<std::string>;

struct World {
    explicit World(int count = 1) {
        REQUIRE(semactl({"register", "vsim", "--count", std::to_string(count)}).status == 0);
    }

    sema::scheduler scheduler(sema::scheduler_options options = {}) {
        return sema::scheduler(client, semactl.pool().str(), {source}, std::move(options));
    }

    RunningServer server;
    Semactl semactl{server.url()};
    sema::client client{server.url()};
    std::shared_ptr<Source> source = std::make_shared<Source>();
};

}  // namespace

TEST_CASE("a program's scheduler starts, keeps alive, shows and stops tasks") {
    World world;
    world.source->give("1");
    auto scheduler = world.scheduler();
    scheduler.schedule();
    CHECK(world.source->calls() == Calls{"start 1"});
    const auto tasks = scheduler.inspect();
    REQUIRE(tasks.size() == 1);
    CHECK(tasks.front().what.id == "1");
    CHECK(tasks.front().is_own);
    CHECK(*tasks.front().times_out_in > 7h);
    CHECK(scheduler.keepalive("1"));
    world.source->give("2");
    CHECK(scheduler.stop("1"));
    CHECK_FALSE(scheduler.stop("1"));
    scheduler.schedule();
    CHECK(world.source->calls() == Calls{"start 1", "keepalive 1", "stop 1", "start 2"});
}

TEST_CASE("a scheduler waits until a slot is freed, whoever frees it") {
    World world;
    world.source->give("1");
    auto scheduler = world.scheduler();
    scheduler.schedule();
    world.source->give("2");
    CHECK(world.semactl({"revoke", "vsim", "0"}).status == 0);
    CHECK(eventually([&] {
        scheduler.wait(1h);
        scheduler.schedule();
        return world.source->calls() == Calls{"start 1", "stop 1", "start 2"};
    }));
}

TEST_CASE("a scheduler whose source has nothing waits for as long as it is asked to") {
    World world;
    auto scheduler = world.scheduler();
    scheduler.schedule();
    const auto begin = std::chrono::steady_clock::now();
    // What the pool's first notice has to say is taken in by then.
    while (std::chrono::steady_clock::now() < begin + 5s) {
        const auto waits = std::chrono::steady_clock::now();
        scheduler.wait(1s);
        if (std::chrono::steady_clock::now() >= waits + 900ms) return;
        scheduler.schedule();
    }
    FAIL("it is always woken");
}

TEST_CASE("a scheduler ends a task at its timeout") {
    World world;
    world.source->give("1");
    auto scheduler = world.scheduler({.timeout = 500ms});
    scheduler.schedule();
    world.source->give("2");
    CHECK(eventually([&] {
        scheduler.wait(1h);
        scheduler.schedule();
        const Calls calls = world.source->calls();
        return calls.size() >= 4 &&
               Calls(calls.begin(), calls.begin() + 4) == Calls{"start 1", "timeout 1", "stop 1", "start 2"};
    }));
}

TEST_CASE("a scheduler of the same name goes on with the tasks of one that is gone") {
    World world;
    world.source->give("1");
    world.scheduler({.name = "farm-1"}).schedule();
    auto next = world.scheduler({.name = "farm-1"});
    next.schedule();
    CHECK(next.inspect().front().is_own);
    auto other = world.scheduler();
    CHECK_FALSE(other.inspect().front().is_own);
    // It is told of by the other one.
    CHECK(other.stop("1"));
    next.schedule();
    CHECK(world.source->calls() == Calls{"start 1", "stop 1"});
}

TEST_CASE("what is wrong with a scheduler is told") {
    World world;
    const auto refused = [&](sema::scheduler_options options) {
        try {
            world.scheduler(std::move(options));
        } catch (const sema::error& error) {
            return error.code() == std::errc::invalid_argument;
        }
        return false;
    };
    CHECK(refused({.slots = 0}));
    CHECK(refused({.timeout = 0s}));
    CHECK(refused({.name = "a b"}));
    sema::scheduler elsewhere(world.client, sema::PoolId::random().str(), {world.source});
    try {
        elsewhere.schedule();
        FAIL("there is no such pool");
    } catch (const sema::error& error) {
        CHECK(error.code() == sema::errc::no_such_pool);
    }
    auto scheduler = world.scheduler();
    world.server.kill9();
    try {
        scheduler.schedule();
        FAIL("the server is away");
    } catch (const sema::error& error) {
        CHECK(error.code() == sema::errc::unavailable);
    }
}

TEST_CASE("a scheduler gives a silent server up after the time that its client has for a call") {
    World world;
    sema::client_options options;
    options.server = world.server.url();
    options.call_timeout = 300ms;
    sema::client hurried(options);
    sema::scheduler scheduler(hurried, world.semactl.pool().str(), {world.source});
    halt(world.server.pid());
    const auto begin = std::chrono::steady_clock::now();
    CHECK_THROWS_AS(scheduler.inspect(), sema::error);
    CHECK_THROWS_AS(scheduler.stop("1"), sema::error);
    CHECK_THROWS_AS(scheduler.keepalive("1"), sema::error);
    CHECK_THROWS_AS(scheduler.schedule(), sema::error);
    // One call takes 15 s without that.
    CHECK(std::chrono::steady_clock::now() - begin < 10s);
    kill(world.server.pid(), SIGCONT);
}

TEST_CASE("a process that was stopped past the timeout ends the task when it goes on, once") {
    const Farm farm(1);
    farm.write(farm.head("timeout = \"3s\"") + farm.starting());
    farm.give("1");
    const auto dispatcher = farm.dispatch();
    const auto has_one = [&](const char* key, const nlohmann::json& value) {
        return eventually([&] {
            const auto tasks = farm.status().at("tasks");
            return tasks.size() == 1 && tasks.at(0).at(key) == value;
        });
    };
    // The task is not started yet where its command has only begun to write.
    REQUIRE(has_one("state", "running"));
    dispatcher->signal(SIGSTOP);
    REQUIRE(has_one("times_out_in", 0));
    dispatcher->signal(SIGCONT);
    CHECK(farm.logs("start 1\ntimeout 1\nstop 1\n"));
    CHECK(eventually([&] { return farm.semactl.in_use() == 0; }));
}
