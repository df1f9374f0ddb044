// A process that may have few descriptors, or has none left.
#include "tests/library/world.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <vector>

// The sanitizers need descriptors for their own looks at memory.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

using namespace sema;
using namespace sema::test;

namespace {

// As long as it lives, the process may have no more than this many descriptors.
class Limit {
  public:
    explicit Limit(rlim_t most) {
        REQUIRE(getrlimit(RLIMIT_NOFILE, &before_) == 0);
        rlimit few = before_;
        few.rlim_cur = most;
        REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
    }
    ~Limit() { setrlimit(RLIMIT_NOFILE, &before_); }
    Limit(const Limit&) = delete;
    Limit& operator=(const Limit&) = delete;

  private:
    rlimit before_{};
};

// As long as it lives, the process can open no further descriptor.
class NoDescriptors {
  public:
    NoDescriptors() {
        for (int fd = open("/dev/null", O_RDONLY | O_CLOEXEC); fd >= 0; fd = dup(fd))
            taken_.push_back(fd);
    }
    ~NoDescriptors() {
        for (const int fd : taken_)
            close(fd);
    }
    NoDescriptors(const NoDescriptors&) = delete;
    NoDescriptors& operator=(const NoDescriptors&) = delete;

  private:
    const Limit limit_{100};
    std::vector<int> taken_;
};

}  // namespace

TEST_CASE("a client that has no descriptors to be had is not made") {
    const NoDescriptors none;
    std::error_code code;
    try {
        client("http://127.0.0.1:9");
    } catch (const std::system_error& error) {
        code = error.code();
    }
    CHECK(code == std::errc::too_many_files_open);
}

TEST_CASE("half of the descriptors are for acquires that wait, and a pool where none does has its first") {
    RunningServer server;
    TestPool one(server, 0);
    TestPool two(server, 0);
    TestPool free(server, 1);
    const Limit limit(240);
    std::atomic<int> granted = 0;
    client client(server.url());
    for (const TestPool* slots : {&one, &two}) {
        semaphore pool(client, slots->id());
        for (int i = 0; i < 100; ++i)
            pool.start_acquire(patient(5min), [&](std::error_code code, const lease&) { granted += !code; });
    }
    const auto waiting = [&] { return one.waiting() + two.waiting(); };
    REQUIRE(eventually([&] { return waiting() >= 120; }));
    const lease held = semaphore(client, free.id()).acquire(patient());
    CHECK(held);
    CHECK(waiting() == 120);
    // Those without a place come to theirs, first come, first served: all that waits at the first pool had
    // one.
    semaphore(client, two.id()).resize(1);
    REQUIRE(eventually([&] { return granted == 100; }));
    CHECK(one.waiting() == 100);
    semaphore(client, one.id()).resize(1);
    CHECK(eventually([&] { return granted == 200; }));
}

TEST_CASE("a lease is renewed where the program has taken all descriptors, and what waits keeps its place") {
    World world(1);
    TestPool full(world.server, 0);
    const Limit limit(100);
    client client(world.server.url());
    semaphore waiting(client, full.id());
    const auto wait = [&] { waiting.start_acquire(patient(5min), [](std::error_code, const lease&) {}); };
    for (int i = 0; i < 5; ++i)
        wait();
    REQUIRE(eventually([&] { return full.waiting() == 5; }));
    acquire_options options;
    options.ttl = 4s;
    const lease held = semaphore(client, world.slots.id()).acquire(options);
    // Takes the connection that has just become idle.
    wait();
    REQUIRE(eventually([&] { return full.waiting() == 6; }));
    {
        const NoDescriptors none;
        const auto before = held.expires_at();
        // By several renewals, of which the first may find a connection that is idle.
        CHECK(eventually([&] { return !held || held.expires_at() > before + 2s; }));
        CHECK(held);
    }
    CHECK(eventually([&] { return full.waiting() == 6; }));
}

TEST_CASE("calls that lack descriptors at the same time are all made in place of those that wait") {
    constexpr int at_a_time = 12;
    World world(1);
    TestPool full(world.server, 0);
    std::atomic<int> good = 0;
    std::atomic<int> bad = 0;
    const Limit limit(100);
    client client(world.server.url());
    semaphore waiting(client, full.id());
    for (int i = 0; i < 30; ++i)
        waiting.start_acquire(patient(5min), [](std::error_code, const lease&) {});
    REQUIRE(eventually([&] { return full.waiting() == 30; }));
    semaphore pool(client, world.slots.id());
    {
        const NoDescriptors none;
        operation cancelled;
        cancelled.cancel();
        // On the client's own thread, which begins these calls all at once then.
        const auto ask = [&](std::error_code, const lease&) {
            for (int i = 0; i < at_a_time; ++i)
                pool.start_state([&](std::error_code code, pool_state) { ++(code ? bad : good); });
        };
        waiting.start_acquire({}, ask, cancelled);
        CHECK(eventually([&] { return good + bad == at_a_time; }));
    }
    CHECK(good == at_a_time);
    CHECK(eventually([&] { return full.waiting() == 30; }));
}
#endif
