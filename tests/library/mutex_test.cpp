#include "tests/library/world.hpp"

#include <mutex>
#include <thread>

using namespace sema;
using namespace sema::test;

namespace {

struct Locks {
    RunningServer server;
    sema::client client{server.url()};
    std::string pool = new_lease();
    sema::mutex mutex{client, pool, patient()};
    TestPool slots{server, pool};
};

}  // namespace

TEST_CASE("std's guards work on a mutex") {
    Locks world;
    CHECK(world.slots.count() == 1);
    {
        const std::scoped_lock lock(world.mutex);
        CHECK(world.slots.in_use() == 1);
    }
    {
        std::unique_lock lock(world.mutex, 2s);
        CHECK(lock.owns_lock());
        lock.unlock();
        CHECK(world.slots.in_use() == 0);
        CHECK(lock.try_lock_until(std::chrono::steady_clock::now() + 1s));
    }
    CHECK(world.slots.in_use() == 0);
    {
        std::mutex local;
        const std::scoped_lock both(local, world.mutex);
        CHECK(world.slots.in_use() == 1);
    }
    CHECK(world.slots.in_use() == 0);
}

TEST_CASE("a mutex that another one holds is not locked in its time") {
    Locks world;
    sema::mutex other(world.client, world.pool, patient());
    const std::lock_guard lock(other);
    CHECK_FALSE(world.mutex.try_lock());
    CHECK_FALSE(std::unique_lock(world.mutex, 100ms).owns_lock());
    CHECK_FALSE(std::unique_lock(world.mutex, std::try_to_lock).owns_lock());
}

TEST_CASE("threads that share a mutex exclude each other, each with a greater fence") {
    Locks world;
    int inside = 0;
    int wrong = 0;
    std::uint64_t last = 0;
    // All of it is under the mutex, and asserted of afterwards: the test framework knows one thread.
    const auto work = [&] {
        for (int i = 0; i < 10; ++i) {
            const std::lock_guard lock(world.mutex);
            if (++inside != 1 || world.mutex.fence() <= last) ++wrong;
            last = world.mutex.fence();
            --inside;
        }
    };
    std::thread one(work);
    std::thread two(work);
    one.join();
    two.join();
    CHECK(wrong == 0);
    CHECK(world.slots.in_use() == 0);
    CHECK(world.mutex.fence() == 0);
}

TEST_CASE("a lock that is lost is told to the thread that holds it, and can be unlocked") {
    RunningServer server;
    client client(server.url());
    const std::string pool = new_lease();
    acquire_options options;
    options.ttl = 3s;
    sema::mutex mutex(client, pool, options);
    CHECK_FALSE(mutex.lost().stop_possible());
    std::unique_lock lock(mutex);
    TestPool(server, pool).revoke(R"({"position":0})");
    CHECK(eventually([&] { return mutex.lost().stop_requested(); }));
    lock.unlock();
    lock.lock();
    CHECK_FALSE(mutex.lost().stop_requested());
}
