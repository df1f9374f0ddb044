#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <csignal>
#include <ctime>

// Slots that are out of service, revocations that name a fence, and pools that lend the idlest slot.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

HttpResponse set_slot(const RunningServer& server, const TestPool& pool, const std::string& position,
                      const std::string& body) {
    return call(server.port(), "PUT", pool.path() + "/slots/" + position, body);
}

Json taken_out(const RunningServer& server, const TestPool& pool, int position, const Json& reason = {}) {
    Json body = {{"out", true}};
    if (!reason.is_null()) body["reason"] = reason;
    const HttpResponse response = set_slot(server, pool, std::to_string(position), body.dump());
    REQUIRE(response.status == 200);
    return Json::parse(response.body);
}

Json put_back(const RunningServer& server, const TestPool& pool, int position) {
    const HttpResponse response = set_slot(server, pool, std::to_string(position), R"({"out":false})");
    REQUIRE(response.status == 200);
    return Json::parse(response.body);
}

}  // namespace

TEST_CASE("a slot out of service is lent to nobody, and counts in count alone") {
    const RunningServer server;
    const TestPool pool(server, 3);
    const auto before = std::time(nullptr);
    const HttpResponse response = set_slot(server, pool, "1", R"({"out":true,"reason":"fan is broken"})");
    CHECK(response.status == 200);
    CHECK(response.header("content-type") == "application/json");
    CHECK(keys_of(response.body) == "position out reason since_unix ");
    const Json out = Json::parse(response.body);
    CHECK(out["position"] == 1);
    CHECK(out["out"] == true);
    CHECK(out["reason"] == "fan is broken");
    // A shared store's time is known but for milliseconds, and time() is of the clock's last tick.
    CHECK(out["since_unix"] >= before - 1);
    CHECK(out["since_unix"] <= std::time(nullptr) + 1);

    CHECK(pool.count() == 3);
    CHECK(pool.in_use() == 0);
    CHECK(pool.available() == 2);
    CHECK(pool.take().position == 0);
    CHECK(pool.take().position == 2);
    CHECK_FALSE(pool.takes_one());
    CHECK(pool.view()["out"] ==
          Json::array({{{"position", 1}, {"reason", "fan is broken"}, {"since_unix", out["since_unix"]}}}));

    CHECK(set_slot(server, pool, "1", R"({"out":false})").body ==
          R"({"position":1,"out":false,"reason":null,"since_unix":null})");
    CHECK(pool.view()["out"] == Json::array());
    CHECK(pool.take().position == 1);
}

TEST_CASE("the lease of a slot that is taken out goes on, and the slot is not lent after it") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    taken_out(server, pool, 0);
    CHECK(pool.in_use() == 1);
    CHECK(pool.renews(held, 60));
    RawClient waiter = pool.queue_up();
    CHECK(pool.returns(held));
    CHECK(pool.in_use() == 0);
    CHECK(pool.available() == 0);
    REQUIRE_FALSE(waiter.has_answer());
    put_back(server, pool, 0);
    const Stopwatch since_back;
    CHECK(granted(waiter.receive()).position == 0);
    CHECK(since_back.elapsed() < in_time);
}

TEST_CASE("a slot stays out of service over a crash and a restart, and so does the lease that holds it") {
    for (const End end : {End::kill, End::term}) {
        RunningServer server;
        const TestPool pool(server, 3);
        const Slot held = pool.take();
        const Json out = taken_out(server, pool, 0, "fan");
        taken_out(server, pool, 1);
        taken_out(server, pool, 2);
        put_back(server, pool, 2);
        restart(server, end);
        CHECK(pool.in_use() == 1);
        CHECK(pool.available() == 1);
        const Json shown = pool.view()["out"];
        REQUIRE(shown.size() == 2);
        CHECK(shown[0]["reason"] == "fan");
        CHECK(std::abs(shown[0]["since_unix"].get<int>() - out["since_unix"].get<int>()) <= 1);
        CHECK(shown[1]["reason"] == "");
        CHECK(pool.renews(held, 60));
        CHECK(pool.take().position == 2);
        CHECK_FALSE(pool.takes_one());
        CHECK(pool.returns(held));
        CHECK_FALSE(pool.takes_one());
    }
}

TEST_CASE("taken out once more a slot is out since the first time, and has the last reason that was given") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const Json first = taken_out(server, pool, 0, "fan");
    CHECK(taken_out(server, pool, 0) == first);
    Json second = taken_out(server, pool, 0, "waits for a fan");
    CHECK(second["since_unix"] == first["since_unix"]);
    CHECK(second["reason"] == "waits for a fan");
    CHECK(taken_out(server, pool, 0, "")["reason"] == "");
}

TEST_CASE("a claim for more slots than are in service waits for them and holds up nobody") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 3);
    taken_out(server, pool, 2);
    const HttpResponse refused = pool.borrow(R"({"ttl":60,"slots":3})");
    CHECK(refused.status == 409);
    CHECK(Json::parse(refused.body)["eta"].is_null());
    RawClient wide = pool.queue_up_with({{"slots", 3}});
    const Slot one = pool.take();
    const Slot other = pool.take();
    put_back(server, pool, 2);
    // Now it is next.
    CHECK_FALSE(pool.takes_one());
    CHECK(pool.returns(one));
    CHECK(pool.returns(other));
    CHECK(fully_granted(wide.receive()).positions == std::vector{0, 1, 2});
}

TEST_CASE("a slot stays out of service while its pool is smaller, and is in it once the pool is made anew") {
    const RunningServer server;
    const TestPool pool(server, 2);
    taken_out(server, pool, 1);
    pool.set_count(1);
    CHECK(pool.view()["out"].empty());
    CHECK(pool.available() == 1);
    pool.set({{"count", 2}, {"name", "boards"}});
    CHECK(pool.available() == 1);
    pool.resize(R"({"by":-1})");
    put_back(server, pool, 1);
    pool.resize(R"({"by":1})");
    CHECK(pool.available() == 2);
    taken_out(server, pool, 0);
    pool.remove();
    pool.set_count(2);
    CHECK(pool.available() == 2);
}

TEST_CASE("watchers are shown that a slot is taken out and put back") {
    const RunningServer server;
    const TestPool pool(server, 1);
    EventStream events(pool);
    CHECK(events.next_state()["out"].empty());
    taken_out(server, pool, 0, "fan");
    const Json out = events.state_where([](const Json& state) { return !state["out"].empty(); });
    CHECK(out["out"][0]["reason"] == "fan");
    CHECK(out["available"] == 0);
    put_back(server, pool, 0);
    CHECK(events.state_where([](const Json& state) { return state["out"].empty(); })["available"] == 1);
}

TEST_CASE("what is wrong with a request to take a slot out is said, and changes nothing") {
    const RunningServer server;
    const TestPool pool(server, 2);
    const auto refusal = [&](const std::string& position, const std::string& body) {
        const HttpResponse response = set_slot(server, pool, position, body);
        CHECK(response.header("content-type") == "application/json");
        return std::to_string(response.status) + " " + response.body;
    };
    const std::string out = R"({"out":true})";
    for (const char* position : {"2", "1000000"}) {
        CHECK(refusal(position, out) == "404 " + error_body("no such slot"));
        CHECK(refusal(position, R"({"out":false})") == "404 " + error_body("no such slot"));
    }
    for (const char* position : {"x", "-1", "1.5", "+1", "", "0x1", "99999999999999999999"})
        CHECK_THAT(refusal(position, out), Catch::Matchers::StartsWith("40"));
    for (const char* position : {"00", "-0", "01", "0x0"})
        CHECK(refusal(position, out) ==
              "400 " + error_body("position must be an integer from 0 to count - 1"));
    CHECK(refusal("x", out) == "400 " + error_body("position must be an integer from 0 to count - 1"));
    CHECK(refusal("0", "{}") == "400 " + error_body("out is required"));
    CHECK(refusal("0", R"({"out":"yes"})") == "400 " + error_body("out must be true or false"));
    CHECK(refusal("0", R"({"out":true,"reason":1})") == "400 " + error_body("reason must be a string"));
    CHECK(refusal("0", R"({"out":true,"reason":")" + std::string(257, 'x') + "\"}") ==
          "400 " + error_body("reason must have at most 256 characters"));
    CHECK(pool.available() == 2);
    const HttpResponse wrong_method = call(server.port(), "POST", pool.path() + "/slots/0", out);
    CHECK(wrong_method.status == 405);
    CHECK(wrong_method.header("allow") == "PUT");
    CHECK(call(server.port(), "PUT", pool.path() + "/slots/0/1", out).status == 404);
    const TestPool absent(server, new_lease());
    CHECK(set_slot(server, absent, "0", out).body == error_body("no such pool"));
}

TEST_CASE("a revocation that names a fence ends that lease, and never the next one") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const Grant first = pool.take_with({{"slots", 1}});
    CHECK(pool.returns(first));
    const Grant next = pool.take_with({{"slots", 1}});
    const auto revoke = [&](std::int64_t fence) {
        return pool.revoke(Json{{"position", 0}, {"fence", fence}}.dump()).body;
    };
    CHECK(revoke(first.fence) == R"({"revoked":false})");
    CHECK(revoke(next.fence + 1) == R"({"revoked":false})");
    CHECK(pool.in_use() == 1);
    CHECK(revoke(next.fence) == R"({"revoked":true})");
    CHECK(revoke(next.fence) == R"({"revoked":false})");
    CHECK_FALSE(pool.returns(next));
    CHECK(pool.revoke(R"({"position":0,"fence":-1})").body == error_body("fence out of range"));
}

TEST_CASE("a pool that picks the idlest slot does so over a crash, too") {
    RunningServer server;
    const TestPool pool(server, 3);
    pool.set({{"count", 3}, {"pick", "idle"}});
    CHECK(pool.view()["pick"] == "idle");
    std::vector<Slot> slots;
    for (int i = 0; i < 3; ++i)
        slots.push_back(pool.take());
    for (const std::size_t i : {1U, 2U, 0U})
        CHECK(pool.returns(slots[i]));
    restart(server, End::kill);
    CHECK(pool.view()["pick"] == "idle");
    CHECK(pool.take().position == 1);
    CHECK(pool.take().position == 2);
    CHECK(pool.take().position == 0);
    CHECK(pool.put(R"({"count":3,"pick":"first"})").body == error_body("pick must be lowest or idle"));
}
