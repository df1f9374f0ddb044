// Several threads, processes and servers.
#include "tests/library/world.hpp"

#include <thread>

using namespace sema;
using namespace sema::test;

TEST_CASE("64 threads on one client share a pool, and never more hold slots than there are") {
    World world(5);
    std::atomic<int> inside = 0;
    std::atomic<int> wrong = 0;
    std::atomic<int> granted = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 64; ++i) {
        threads.emplace_back([&] {
            for (int round = 0; round < 5; ++round) {
                std::error_code code;
                lease held = world.pool.acquire(patient(5min), code);
                if (code || ++inside > 5) ++wrong;
                ++granted;
                --inside;
                if (round % 2 == 0) held.give_back(code);
                if (code) ++wrong;
            }
        });
    }
    for (auto& thread : threads)
        thread.join();
    CHECK(granted == 320);
    CHECK(wrong == 0);
    CHECK(world.slots.in_use() == 0);
    CHECK(world.slots.waiting() == 0);
}

TEST_CASE("processes share a pool, and each is granted a greater fence than the one before") {
    World world(1);
    std::optional<lease> held = world.pool.acquire(patient());
    Program other({LEASE_HOLDER, world.server.url(), world.slots.id(), "60"});
    REQUIRE(eventually([&] { return world.slots.waiting() == 1; }));
    const auto fence = held->fence();
    held.reset();
    REQUIRE(other.prints("held 0 "));
    CHECK(std::stoull(other.out().substr(std::string("held 0 ").size())) > fence);
    CHECK_FALSE(world.pool.try_acquire());
}

TEST_CASE("where the first server is away the next one is asked") {
    const ReservedPort nobody;
    RunningServer server;
    TestPool slots(server, 1);
    client client("http://127.0.0.1:" + std::to_string(nobody.number()) + ", " + server.url());
    semaphore pool(client, slots.id());
    CHECK(pool.state().count == 1);
    lease held = pool.acquire(patient());
    CHECK(held);
    CHECK(held.give_back());
}
