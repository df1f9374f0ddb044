// A program that forks: its client goes on, and the child can do no harm with its copy.
#include "tests/library/at_rest.hpp"
#include "tests/library/no_work.hpp"
#include "tests/library/world.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <sema/asio.hpp>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

using namespace sema;
using namespace sema::test;
namespace net = boost::asio;

namespace {

// Runs a function in a child process, which ends with the status that it gives. It allocates nothing.
template <class Function>
int in_plain_child(Function function) {
    const pid_t child = fork();
    if (child == 0) {
        // A child that hangs dies.
        alarm(60);
        _exit(function());
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// The same of one that may allocate. REQUIRES: all other threads of this process come to rest.
template <class Function>
int in_child(Function function) {
    wait_for_rest();
    return in_plain_child(std::move(function));
}

// A callback that goes on for as long as this lives.
class LongCallback {
  public:
    std::function<void()> function() {
        return [inside = inside_, end = end_.get_future().share()] {
            *inside = true;
            end.wait();
        };
    }
    bool runs() const { return *inside_; }

  private:
    std::promise<void> end_;
    const std::shared_ptr<std::atomic<bool>> inside_ = std::make_shared<std::atomic<bool>>(false);
};

acquire_options soon_lost() {
    acquire_options options;
    options.ttl = 5s;
    return options;
}

}  // namespace

TEST_CASE("in a forked child calls fail, and destructors return no lease of the parent's") {
    RunningServer server;
    TestPool slots(server, 2);
    auto owner = std::make_unique<client>(server.url());
    auto pool = std::make_unique<semaphore>(*owner, slots.id());
    auto held = std::make_unique<lease>(pool->acquire(patient()));
    const int status = in_child([&] {
        std::error_code code;
        pool->acquire(patient(), code);
        if (code != errc::client_closed) return 1;
        pool->state(code);
        if (code != errc::client_closed) return 2;
        if (*held) return 3;
        held.reset();
        pool.reset();
        owner.reset();
        return 0;
    });
    CHECK(status == 0);
    CHECK(slots.in_use() == 1);
    CHECK(*held);
    CHECK(pool->try_acquire());
    CHECK(held->give_back());
}

TEST_CASE("a child that is forked while the loss of a lease is reported can let go of the lease") {
    World world(1);
    lease held = world.pool.acquire(soon_lost());
    LongCallback callback;
    held.on_lost(callback.function());
    world.slots.revoke(R"({"position":0})");
    REQUIRE(eventually([&] { return callback.runs(); }));
    const auto closed = [](std::error_code code) { return code == errc::client_closed ? 0 : 1; };
    CHECK(in_child([&] {
              std::error_code code;
              held.give_back(code);
              return closed(code);
          }) == 0);
    CHECK(in_child([&] {
              std::error_code code;
              held.start_give_back([&](std::error_code why, bool) { code = why; });
              return closed(code);
          }) == 0);
    CHECK(in_child([&] {
              held.detach();
              return 0;
          }) == 0);
    CHECK(in_child([&] {
              held = lease();
              return 0;
          }) == 0);
    CHECK(in_child([&] { return closed(held.reason()); }) == 0);
}

TEST_CASE("a child that is forked while the loss of a permit is reported can let go of the semaphore") {
    World world(1);
    auto permits = std::make_unique<counting_semaphore>(world.client, world.slots.id(), 1, soon_lost());
    permits->acquire();
    std::optional<std::stop_callback<std::function<void()>>> waits;
    LongCallback callback;
    waits.emplace(permits->lost(), callback.function());
    world.slots.revoke(R"({"position":0})");
    REQUIRE(eventually([&] { return callback.runs(); }));
    CHECK(in_child([&] { return code_of([&] { permits->release(); }) == errc::client_closed ? 0 : 1; }) == 0);
    CHECK(in_child([&] {
              permits.reset();
              return 0;
          }) == 0);
}

TEST_CASE("a child can use its copies of what other threads were using when it was forked") {
    World world(1);
    counting_semaphore permits(world.client, world.slots.id(), 1, patient());
    sema::mutex mutex(world.client, new_lease(), patient());
    operation call;
    permits.acquire();
    const std::lock_guard lock(mutex);
    std::atomic<bool> is_over = false;
    std::vector<std::thread> busy;
    for (int i = 0; i < 3; ++i) {
        busy.emplace_back([&] {
            while (!is_over) {
                static_cast<void>(mutex.fence());
                static_cast<void>(permits.held());
                call.cancel();
            }
        });
    }
    int status = 0;
    for (int i = 0; i < 100 && status == 0; ++i) {
        status = in_plain_child([&] {
            mutex.unlock();
            call.cancel();
            if (mutex.fence() != 0) return 1;
            if (permits.held() != 0) return 2;
            if (!mutex.lost().stop_requested()) return 3;
            return permits.lost().stop_requested() ? 0 : 4;
        });
    }
    is_over = true;
    for (std::thread& thread : busy)
        thread.join();
    CHECK(status == 0);
    CHECK(mutex.fence() > 0);
    CHECK(permits.held() == 1);
    CHECK_FALSE(permits.lost().stop_requested());
}

TEST_CASE("a context of Asio's may end in a child, and one that hears of the fork serves the child") {
    World world(1);
    const lease held = world.pool.acquire(patient());
    auto io = std::make_unique<net::io_context>();
    bool is_called = false;
    async_acquire(world.pool, patient(), net::bind_executor(*io, [&](auto&&...) { is_called = true; }));
    REQUIRE(eventually([&] { return world.slots.waiting() == 1; }));
    CHECK(in_child([&] {
              io.reset();
              return is_called ? 1 : 0;
          }) == 0);
    io->notify_fork(net::io_context::fork_prepare);
    CHECK(in_child([&] {
              io->notify_fork(net::io_context::fork_child);
              std::error_code ended;
              const auto note = [&](std::error_code code, const pool_state&) { ended = code; };
              async_state(world.pool, net::bind_executor(*io, note));
              io->poll();
              io.reset();
              return ended == errc::client_closed ? 0 : 1;
          }) == 0);
    io->notify_fork(net::io_context::fork_parent);
    CHECK(world.slots.waiting() == 1);
    io.reset();
    CHECK(eventually([&] { return world.slots.waiting() == 0; }));
}

TEST_CASE("a child is known as one whichever call has made it, and though it has its parent's PID") {
    RunningServer server;
    TestPool slots(server, 1);
    {
        client owner(server.url());
        const lease held = semaphore(owner, slots.id()).acquire(patient());
        // No library hears of this one.
        const auto child = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
        if (child == 0) _exit(held ? 1 : 0);
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(status == 0);
    }
    if (run_program({"unshare", "--pid", "--fork", "unshare", "--pid", "--fork", "true"}).status != 0) {
        WARN("no process may be made here that has another one's number");
        return;
    }
    CHECK(run_program({"unshare", "--pid", "--fork", NAMESAKE, server.url(), new_lease()}).out == "0\n");
}

TEST_CASE("a scheduler can be used in its own process, and for as long as its client is there") {
    RunningServer server;
    TestPool slots(server, 1);
    auto owner = std::make_unique<client>(server.url());
    auto keeper = std::make_unique<scheduler>(
        *owner, slots.id(), std::vector<std::shared_ptr<backend>>{std::make_shared<NoWork>()});
    // It has all of its threads then.
    keeper->schedule();
    const int status = in_child([&] {
        if (code_of([&] { keeper->schedule(); }) != errc::client_closed) return 1;
        if (code_of([&] { keeper->wait(10min); }) != errc::client_closed) return 2;
        if (code_of([&] { keeper->stop("task"); }) != errc::client_closed) return 3;
        if (code_of([&] { keeper->keepalive("task"); }) != errc::client_closed) return 4;
        if (code_of([&] { keeper->inspect(); }) != errc::client_closed) return 5;
        keeper.reset();
        return 0;
    });
    CHECK(status == 0);
    keeper->schedule();
    owner.reset();
    CHECK(code_of([&] { keeper->schedule(); }) == errc::client_closed);
}

// The thread sanitizer lets no child of a process with threads have threads of its own.
#if !defined(__SANITIZE_THREAD__)
TEST_CASE("a forked child that makes a client of its own uses the pool as any other process") {
    RunningServer server;
    TestPool slots(server, 1);
    client owner(server.url());
    semaphore pool(owner, slots.id());
    const lease held = pool.acquire(patient());
    const int status = in_child([&] {
        client own(server.url());
        semaphore same(own, slots.id());
        return same.try_acquire() ? 1 : same.state().in_use == 1 ? 0 : 2;
    });
    CHECK(status == 0);
    CHECK(held);
}
#endif
