#include "tests/e2e/callbacks.hpp"
#include "tests/e2e/ha_pair.hpp"

#include <chrono>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

// Borrowers who are to be called, where several servers share the store.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

std::size_t calls_of(const std::vector<Receiver::Request>& requests, const std::string& target) {
    return static_cast<std::size_t>(std::count_if(
        requests.begin(), requests.end(), [&](const auto& request) { return request.target == target; }));
}

}  // namespace

TEST_CASE("of two servers one calls, whichever of them took the borrow and whichever frees the slot") {
    Pair pair(allowing);
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    const Receiver receiver;
    const Slot held = there.take();
    queued(pool, callback_to(receiver.url("/1")));
    CHECK(queued(there, callback_to(receiver.url("/2")))["rank"] == 2);
    REQUIRE(there.returns(held));
    REQUIRE(there.returns(slot_of(receiver.await(1)[0])));
    const auto calls = receiver.await(2);
    CHECK(calls[0].target == "/1");
    CHECK(calls[1].target == "/2");
    CHECK(has_settled(pair.other, pool));
    CHECK(pool.in_use() == 1);
    CHECK(receiver.calls() == 2);
}

TEST_CASE("a server that dies leaves those who are to be called to another one") {
    Pair pair(allowing);
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    Receiver receiver(Receiver::hanging());
    // The first is being called, and the second waits: by the first server.
    const Json first = queued(pool, callback_to(receiver.url("/1")));
    queued(pool, callback_to(receiver.url("/2")));
    receiver.await(1);
    receiver.react(Receiver::answering(200));
    pair.one.kill9();
    const auto calls = receiver.await(2);
    CHECK(calls[1].target == "/1");
    CHECK(calls[0].headers.at("webhook-id") == calls[1].headers.at("webhook-id"));
    CHECK(Json::parse(calls[1].body)["lease"] == first["lease"]);
    REQUIRE(there.returns(slot_of(calls[1])));
    CHECK(receiver.await(3)[2].target == "/2");
    CHECK(there.in_use() == 1);
    pair.one.start();
    CHECK(has_settled(pair.one, pool));
    CHECK(receiver.calls() == 3);
}

TEST_CASE("a server that ends as it should hands those who are to be called over") {
    Pair pair(allowing);
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    const Receiver receiver;
    const Slot held = pool.take();
    queued(pool, callback_to(receiver.url()));
    REQUIRE(pair.one.terminate() == 0);
    REQUIRE(there.returns(held));
    receiver.await(1);
    CHECK(has_settled(pair.other, there));
}

TEST_CASE("each callback is called over servers that die again and again, with one lease each and in turn") {
    Pair pair(allowing);
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    const Receiver receiver;
    std::minstd_rand random{std::random_device{}()};
    constexpr std::size_t count = 12;
    Slot held = pool.take(600);
    for (std::size_t i = 0; i < count; ++i)
        queued(i % 2 == 0 ? pool : there, callback_to(receiver.url("/" + std::to_string(i))));
    std::set<std::string> fences;
    for (std::size_t i = 0; i < count; ++i) {
        REQUIRE(there.returns(held));
        if (i % 4 == 1) restart(pair.one, random() % 2 == 0 ? End::kill : End::term);
        const std::string target = "/" + std::to_string(i);
        REQUIRE(eventually([&] { return calls_of(receiver.requests(), target) > 0; }));
        for (const auto& request : receiver.requests()) {
            if (request.target == target) held = slot_of(request);
        }
        // Nobody else's turn has come.
        for (std::size_t later = i + 1; later < count; ++later)
            REQUIRE(calls_of(receiver.requests(), "/" + std::to_string(later)) == 0);
        REQUIRE(there.in_use() == 1);
    }
    std::map<std::string, std::set<int>> leases;
    for (const auto& request : receiver.requests())
        leases[request.target].insert(Json::parse(request.body)["fence"].get<int>());
    for (const auto& [target, grants] : leases)
        CHECK(grants.size() == 1);
}
