#include "tests/e2e/ha_pair.hpp"
#include "tests/support/proxy.hpp"

// A link between one server and the store that is cut in one direction only.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

/// A semad that reaches the store over a link that can be cut, and one that always does.
struct Linked {
    RedisServer redis{store_options()};
    Proxy link{redis.port()};
    RunningServer near{with_store(redis.url(), one_thread)};
    RunningServer far{with_store("redis://" + link.host_and_port() + "/0", one_thread)};
};

}  // namespace

TEST_CASE("a borrow whose questions or answers are lost at the store has no slot 2 s after they are not",
          "[redis]") {
    for (const bool is_heard : {true, false}) {
        CAPTURE(is_heard);
        Linked linked;
        const TestPool pool(linked.near, 2);
        const TestPool there(linked.far, pool.id());
        const Slot held = there.take();
        linked.link.become(is_heard ? Proxy::State::mute : Proxy::State::deaf);
        const Stopwatch since_asked;
        CHECK(there.borrow(R"({"ttl":60})").status == 502);
        CHECK(since_asked.elapsed() < told_of_failure_within);
        CHECK(eventually([&] { return status_of(linked.far, "/readyz") == 503; }, 3s));
        // What was asked is done, though nobody was told.
        CHECK(pool.in_use() == (is_heard ? 2 : 1));
        CHECK(pool.renews(held, 60));
        CHECK(is_ready(linked.near));

        linked.link.become(Proxy::State::open);
        REQUIRE(eventually([&] { return is_ready(linked.far); }, recovered_within));
        const Stopwatch since_back;
        CHECK(eventually([&] { return since_back.elapsed() > 2s; }));
        CHECK(eventually([&] { return pool.in_use() == 1; }, 1500ms));
        CHECK(there.in_use() == 1);
        CHECK(there.returns(held));
    }
}

TEST_CASE("who waits at a server that is cut off in one direction is passed over, and has its place after it",
          "[redis]") {
    for (const bool is_heard : {true, false}) {
        CAPTURE(is_heard);
        Linked linked;
        const TestPool pool(linked.near, 1);
        const TestPool there(linked.far, pool.id());
        const Slot slot = pool.take();
        RawClient far = queue_up_and_be_seen(there, pool, named("far"));
        RawClient near = queue_up_and_be_seen(pool, there, named("near"));
        linked.link.become(is_heard ? Proxy::State::mute : Proxy::State::deaf);
        const Stopwatch since_cut;
        CHECK(pool.returns(slot));
        const Grant grant = fully_granted(near.receive());
        CHECK(since_cut.elapsed() < taken_out_within);
        CHECK_FALSE(far.has_answer());

        linked.link.become(Proxy::State::open);
        CHECK(eventually([&] { return names_in_queue(pool) == std::vector<std::string>{"far"}; },
                         recovered_within));
        CHECK(pool.returns(grant));
        CHECK(fully_granted(far.receive()).fence > grant.fence);
    }
}
