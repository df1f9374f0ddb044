#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <string>
#include <vector>

using namespace sema::test;
using namespace std::chrono_literals;
using Positions = std::vector<int>;

TEST_CASE("a borrow of several slots gets the lowest free ones") {
    const RunningServer server;
    const TestPool pool(server, 6);
    pool.take();
    const Slot one = pool.take();
    pool.take();
    const Slot three = pool.take();
    pool.returns(one);
    pool.returns(three);
    const Grant grant = pool.take_with({{"slots", 3}});
    CHECK(grant.positions == Positions{1, 3, 4});
    CHECK(grant.position == 1);
    CHECK(grant.payloads == std::vector<Json>(3));
    CHECK(pool.in_use() == 5);
    CHECK(pool.available() == 1);
    CHECK(pool.take().position == 5);
}

TEST_CASE("several slots are lent all or none") {
    const RunningServer server;
    const TestPool pool(server, 3);
    pool.take();
    const HttpResponse refused = pool.borrow(R"({"ttl":60,"slots":3})");
    CHECK(refused.status == 409);
    CHECK(refused.body ==
          R"({"error":"no resource available","rank":1,"queue":0,"in_use":1,"count":3,"eta":null})");
    CHECK(pool.in_use() == 1);
    CHECK(pool.take_with({{"slots", 2}}).positions == Positions{1, 2});
}

TEST_CASE("a lease of several slots ends as a whole") {
    const RunningServer server;
    const TestPool pool(server, 3);
    const Grant returned = pool.take_with({{"slots", 3}});
    CHECK(pool.returns(returned));
    CHECK(pool.in_use() == 0);
    CHECK_FALSE(pool.returns(returned));
    pool.take_with({{"slots", 3}, {"ttl", 1}});
    CHECK(eventually([&] { return pool.in_use() == 0; }));
    const Grant kept = pool.take_with({{"slots", 2}, {"ttl", 20}});
    CHECK(pool.renews(kept, 60));
    CHECK(pool.in_use() == 2);
}

TEST_CASE("a lease of several slots survives a restart as a whole") {
    for (const End end : {End::kill, End::term}) {
        RunningServer server;
        const TestPool pool(server, 4);
        const Slot zero = pool.take();
        const Grant grant = pool.take_with({{"slots", 3}, {"holder", {{"name", "ci"}}}});
        pool.returns(zero);
        restart(server, end);
        CHECK(pool.in_use() == 3);
        const Json view = pool.view();
        REQUIRE(view["holders"].size() == 1);
        CHECK(view["holders"][0]["positions"] == Json(Positions{1, 2, 3}));
        CHECK(view["holders"][0]["holder"]["name"] == "ci");
        CHECK(view["holders"][0]["fence"] == grant.fence);
        CHECK(pool.returns(grant));
        CHECK(pool.in_use() == 0);
    }
}

TEST_CASE("a big request at the head of the queue is not starved by small ones behind it") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 2);
    const Slot zero = pool.take();
    const Slot one = pool.take();
    RawClient big = pool.queue_up_with({{"slots", 2}});
    RawClient small = pool.queue_up();
    CHECK(pool.returns(zero));
    CHECK_FALSE(pool.takes_one());
    CHECK_FALSE(small.has_answer());
    CHECK(pool.in_use() == 1);
    CHECK(pool.returns(one));
    CHECK(fully_granted(big.receive()).positions == Positions{0, 1});
    CHECK_FALSE(small.has_answer());
}

TEST_CASE("a request for more than the count keeps its place and holds up nobody, over a restart too") {
    RunningServer server({"--threads", "1", "--rejoin", "5m"});
    const TestPool pool(server, 2);
    const Json wish = {{"slots", 3}, {"lease", new_lease()}};
    RawClient early = pool.queue_up_with(wish);
    CHECK(pool.returns(pool.take()));
    Json impatient = wish;
    impatient.update({{"ttl", 60}, {"wait", 0.01}});
    const HttpResponse refused = pool.borrow(impatient.dump());
    CHECK(refused.status == 409);
    CHECK(refused.body ==
          R"({"error":"no resource available","rank":1,"queue":1,"in_use":0,"count":2,"eta":null})");
    CHECK(early.receive().status == 409);

    restart(server, End::kill);
    RawClient wide = pool.queue_up_with(wish);
    const Slot taken = pool.take();
    RawClient behind = pool.queue_up_with({{"slots", 2}});
    CHECK(pool.resize(R"({"by":1})").status == 200);
    // From now on it has its turn.
    CHECK_FALSE(pool.takes_one());
    CHECK(pool.returns(taken));
    CHECK(fully_granted(wide.receive()).positions == Positions{0, 1, 2});
    CHECK_FALSE(behind.has_answer());
}

TEST_CASE("those behind a big request are served once it goes, however it goes") {
    const RunningServer server({"--threads", "1", "--rejoin", "5m"});
    const TestPool pool(server, 2);
    pool.take();
    const auto check_served = [&](RawClient& small) {
        const HttpResponse response = small.receive();
        CHECK(pool.returns(granted(response)));
    };
    {
        RawClient big = pool.queue_up_with({{"slots", 2}});
        RawClient small = pool.queue_up();
        CHECK_FALSE(small.has_answer());
        big.close();
        check_served(small);
    }
    {
        RawClient big = pool.queue_up_with({{"slots", 2}, {"wait", 0.1}});
        RawClient small = pool.queue_up();
        check_served(small);
        CHECK(big.receive().status == 409);
    }
    {
        const std::string lease = new_lease();
        RawClient big = pool.queue_up_with({{"slots", 2}, {"lease", lease}});
        RawClient small = pool.queue_up();
        CHECK(pool.cancels(lease));
        check_served(small);
    }
    {
        RawClient big = pool.queue_up_with({{"slots", 2}, {"lease", new_lease()}});
        RawClient small = pool.queue_up();
        big.close();
        check_served(small);
        CHECK(pool.waiting() == 1);
    }
}

TEST_CASE("a big request that asks again after each wait gets its slots, however many small ones wait") {
    const RunningServer server({"--threads", "1", "--rejoin", "5m"});
    const TestPool pool(server, 2);
    const Slot held = pool.take();
    const std::string lease = new_lease();
    const auto ask = [&](double wait) {
        return pool.queue_up_with({{"slots", 2}, {"lease", lease}, {"wait", wait}});
    };
    RawClient big = ask(2);
    RawClient small = pool.queue_up();
    for (int i = 0; i < 5; ++i) {
        CHECK(big.receive().status == 409);
        big = ask(2);
    }
    CHECK_FALSE(small.has_answer());
    CHECK(big.receive().status == 409);
    big = ask(60);
    CHECK(pool.returns(held));
    const HttpResponse response = big.receive();
    CHECK(granted(response).lease == lease);
    CHECK_FALSE(small.has_answer());
    CHECK(pool.returns(granted(response)));
    CHECK(granted(small.receive()).position == 0);
}

TEST_CASE("a request for more slots than there are waits for a raise") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 2);
    RawClient big = pool.queue_up_with({{"slots", 3}});
    CHECK_FALSE(big.has_answer());
    CHECK(pool.waiting() == 1);
    pool.set_count(3);
    CHECK(fully_granted(big.receive()).positions == Positions{0, 1, 2});
}

TEST_CASE("slots free above a lowered count are none") {
    const RunningServer server;
    const TestPool pool(server, 4);
    const Grant low = pool.take_with({{"slots", 2}});
    const Grant high = pool.take_with({{"slots", 2}});
    pool.set_count(3);
    CHECK(pool.returns(low));
    CHECK(pool.in_use() == 2);
    CHECK(pool.available() == 1);
    CHECK(pool.borrow(R"({"ttl":60,"slots":2})").status == 409);
    CHECK(pool.take().position == 0);
    CHECK(pool.returns(high));
    CHECK(pool.take_with({{"slots", 2}}).positions == Positions{1, 2});
}

TEST_CASE("waiters are served by priority, and first come, first served within one") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    Slot held = pool.take();
    RawClient low = pool.queue_up_with({{"priority", -1}});
    RawClient plain = pool.queue_up();
    RawClient zero = pool.queue_up_with({{"priority", 0}});
    RawClient high = pool.queue_up_with({{"priority", 100}});
    RawClient lowest = pool.queue_up_with({{"priority", -100}});
    RawClient also_high = pool.queue_up_with({{"priority", 100}});
    const std::vector<RawClient*> order = {&high, &also_high, &plain, &zero, &low, &lowest};

    const Json queue = pool.view()["queue"];
    std::vector<int> priorities;
    for (const Json& entry : queue)
        priorities.push_back(entry["priority"].get<int>());
    CHECK(priorities == std::vector<int>{100, 100, 0, 0, -1, -100});
    for (std::size_t i = 0; i < order.size(); ++i) {
        CAPTURE(i);
        REQUIRE(pool.returns(held));
        held = granted(order[i]->receive());
        for (std::size_t later = i + 1; later < order.size(); ++later)
            CHECK_FALSE(order[later]->has_answer());
    }
}

TEST_CASE("a newcomer that does not wait passes lower priorities alone") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 2);
    pool.take();
    RawClient big = pool.queue_up_with({{"slots", 2}, {"priority", 5}});
    CHECK_FALSE(pool.takes_one());
    CHECK(pool.borrow(R"({"ttl":60,"priority":5})").status == 409);
    CHECK(pool.take_with({{"priority", 6}}).position == 1);
    CHECK_FALSE(big.has_answer());
}

TEST_CASE("a rank counts those of the same and of higher priority") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    pool.take();
    const RawClient high = pool.queue_up_with({{"priority", 5}});
    const RawClient plain = pool.queue_up();
    const auto rank = [&](int priority) {
        return Json::parse(pool.borrow(R"({"ttl":60,"priority":)" + std::to_string(priority) + "}").body)
            .at("rank")
            .get<int>();
    };
    CHECK(rank(-1) == 3);
    CHECK(rank(0) == 3);
    CHECK(rank(1) == 2);
    CHECK(rank(5) == 2);
    CHECK(rank(6) == 1);
}

TEST_CASE("a higher priority takes nothing away from a holder") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    RawClient high = pool.queue_up_with({{"priority", 100}});
    CHECK_FALSE(high.has_answer());
    CHECK(pool.returns(held));
}
