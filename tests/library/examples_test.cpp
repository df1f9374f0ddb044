// The examples of the documentation run.
#include "tests/library/world.hpp"

using namespace sema;
using namespace sema::test;

TEST_CASE("the example of a lease") {
    World world(1);
    const Finished run = run_program({EXAMPLE_LEASE, world.server.url(), world.slots.id()});
    CHECK(run.status == 0);
    CHECK(run.out.starts_with("position 0, fence "));
    CHECK(run.out.ends_with("done\n"));
    CHECK(world.slots.in_use() == 0);
    CHECK(run_program({EXAMPLE_LEASE, world.server.url(), new_lease()}).status == 1);
}

TEST_CASE("the example of the standard library's words") {
    RunningServer server;
    const Finished run = run_program({EXAMPLE_WORKERS, server.url(), new_lease(), new_lease()});
    CHECK(run.status == 0);
    CHECK(run.out.find("worker 5 works\n") != std::string::npos);
    CHECK(run.out.ends_with("3 permits are free\n"));
}

TEST_CASE("the example of coroutines") {
    World world(3);
    const Finished run = run_program({EXAMPLE_COROUTINES, world.server.url(), world.slots.id()});
    CHECK(run.status == 0);
    CHECK(run.out == "100 coroutines had a seat\n");
    CHECK(world.slots.in_use() == 0);
}

TEST_CASE("the example of a scheduler") {
    World world(2);
    const Finished run = run_program({EXAMPLE_SCHEDULER, world.server.url(), world.slots.id()});
    CHECK(run.status == 0);
    for (const char* task : {"night-1", "night-2", "night-3", "night-4", "night-5"}) {
        CHECK(run.out.find(std::string(task) + " starts in slot ") != std::string::npos);
        CHECK(run.out.find(std::string(task) + " has ended\n") != std::string::npos);
    }
    CHECK(world.slots.in_use() == 0);
}
