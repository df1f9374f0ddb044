#pragma once

#include "client/scheduler/scheduler_core.hpp"
#include "tests/client/scheduler/fake_leases.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <deque>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace sema::test {

using namespace std::chrono_literals;

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

/// The task 1 of another scheduler.
inline TaskMark mark_of(const std::string& by) {
    return {.id = "1",
            .backend = "first",
            .by = by,
            .instance = "4711",
            .timeout = 1h,
            .hold = hold_ttl(1h, 30s)};
}

/// Two backends, and schedulers of one pool.
class Farm {
  public:
    explicit Farm(unsigned count) : leases(count) {}

    SchedulerCore::Options options() const {
        return {.slots = slots,
                .timeout = timeout,
                .limit = limit,
                .poll_patience = poll_patience,
                .patience = patience,
                .on_trouble =
                    [this](const std::string& message) {
                        const std::lock_guard lock(saying_);
                        said_.push_back(message);
                    },
                .make_thread =
                    [this](std::function<void()> work) {
                        if (lacks_threads) throw std::system_error(EAGAIN, std::generic_category());
                        return std::thread([this, work = std::move(work)] {
                            eventually([&] { return !is_halted.load(); });
                            work();
                        });
                    }};
    }

    std::unique_ptr<SchedulerCore> scheduler(const std::string& name = "me") {
        return std::make_unique<SchedulerCore>(leases.source(), pool, name,
                                               SchedulerCore::Backends{first, second}, options());
    }

    /// As trouble.
    bool was_said(const std::string& message) {
        const std::lock_guard lock(saying_);
        return std::find(said_.begin(), said_.end(), message) != said_.end();
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

    /// Somebody stopped the task 1, and another scheduler has started it since.
    void start_elsewhere() {
        const LeaseId lease = lease_of_task(pool, "1");
        REQUIRE(leases.give_back(lease));
        REQUIRE(leases.borrow(lease, holder_of(mark_of("another")), 100s));
    }

    bool has(const std::string& id) { return leases.renew(lease_of_task(pool, id), hold()); }
    std::chrono::seconds hold() const { return hold_ttl(timeout, 30s); }

    FakeLeases leases;
    const PoolId pool = PoolId::random();
    std::shared_ptr<Recorder> first = std::make_shared<Recorder>("first");
    std::shared_ptr<Recorder> second = std::make_shared<Recorder>("second");
    unsigned slots = 10;
    Duration timeout = 1h;
    Duration limit = 30s;
    Duration poll_patience = patience_of_tests;
    Duration patience = patience_of_tests;
    std::atomic<bool> lacks_threads = false;
    /// Then threads are made, and do nothing yet.
    std::atomic<bool> is_halted = false;

  private:
    static constexpr Duration patience_of_tests = test::patience;

    mutable std::mutex saying_;
    mutable std::vector<std::string> said_;
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

/// One whose start returns, or fails, once the test lets it.
class Late : public Recorder {
  public:
    Late() : Recorder("first") {}
    void start(const task& what) override {
        Recorder::start(what);
        eventually([&] { return may_return || may_fail; });
        if (may_fail) throw std::runtime_error("no luck");
    }
    std::atomic<bool> may_return = false;
    std::atomic<bool> may_fail = false;
};

}  // namespace sema::test
