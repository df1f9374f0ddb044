#include "tests/service/shared_bench.hpp"

// A store that forgets what it had confirmed: another one that was behind took its place, or it was put back
// to an earlier state.

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

const std::string loss = "the store has forgotten changes that it had confirmed";

unsigned losses(const Server& server) {
    unsigned count = 0;
    for (const std::string& text : server.trouble)
        count += text.rfind(loss, 0) == 0 ? 1 : 0;
    return count;
}

}  // namespace

TEST_CASE("a store that has forgotten a grant is reported, and the fence is not given again") {
    World world(2);
    const PoolRecord before = world.memory.record(world.id);
    const Lease first = world.a.granted();
    world.memory.go_back_to(world.id, before);
    const Lease second = world.a.granted();
    CHECK(losses(world.a) == 1);
    CHECK(second.fence > first.fence);
    // It is reported once.
    world.a.granted();
    CHECK(losses(world.a) == 1);
    // Who knows nothing of what was forgotten cannot say so.
    world.b.in_use();
    CHECK(losses(world.b) == 0);
}

TEST_CASE("a store that has forgotten only a renewal or a return is reported") {
    World world;
    const Lease lease = world.a.granted();
    const PoolRecord before = world.memory.record(world.id);
    const bool is_return = GENERATE(true, false);
    is_return ? world.a.give_back(lease.id) : world.a.keep_alive(lease.id, 90s);
    world.a.flush();
    REQUIRE(losses(world.a) == 0);
    world.memory.go_back_to(world.id, before);
    CHECK(world.a.in_use() == 1);
    CHECK(losses(world.a) == 1);
}

TEST_CASE("a server that learns of the loss by a change that comes too late reports it") {
    World world(2);
    const PoolRecord before = world.memory.record(world.id);
    world.a.granted();
    world.memory.before_next_commit([&] { world.memory.go_back_to(world.id, before); });
    const auto borrow = world.a.borrow();
    world.a.flush();
    CHECK(borrow.answered());
    CHECK(losses(world.a) == 1);
}

TEST_CASE("what other servers do to a pool is no loss, nor is that it is deleted and made anew") {
    World world;
    for (int i = 0; i < 20; ++i) {
        const Lease lease = world.b.granted();
        CHECK(world.a.in_use() == 1);
        world.b.give_back(lease.id);
        world.b.flush();
        world.b.remove();
        world.b.flush();
        if (i % 2 == 0) world.a.inspect();
        world.settle();
        world.b.made(1);
        world.settle();
    }
    CHECK(world.a.in_use() == 0);
    CHECK(losses(world.a) + losses(world.b) == 0);
}

TEST_CASE("a commit that may or may not have been stored is no loss") {
    World world(2);
    const bool is_applied = GENERATE(true, false);
    is_applied ? world.memory.leave_commits_unconfirmed(1) : world.memory.fail_commits(1);
    world.a.borrow();
    world.a.service->flush();
    world.pass(1s);
    world.a.granted();
    CHECK(losses(world.a) == 0);
}
