#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <regex>
#include <string>
#include <vector>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

std::string state_body(const TestPool& pool, int count, int in_use, int available) {
    return R"({"id":")" + pool.id() + R"(","count":)" + std::to_string(count) + R"(,"in_use":)" +
           std::to_string(in_use) + R"(,"available":)" + std::to_string(available) + "}";
}

TestPool unregistered(const RunningServer& server) {
    return {server, sema::PoolId::random().str()};
}

std::vector<Json> payloads(const TestPool& pool, int slots) {
    const Grant grant = pool.take_with({{"slots", slots}});
    pool.returns(grant);
    return grant.payloads;
}

/// Waits until so much time has passed.
void let_pass(const Stopwatch& watch, std::chrono::milliseconds time) {
    REQUIRE(eventually([&] { return watch.elapsed() > time; }));
}

}  // namespace

TEST_CASE("a registration with a bad field is refused with a reason that names it, and changes nothing") {
    const RunningServer server;
    const TestPool pool(server, 2);
    pool.set(
        {{"count", 2}, {"slots", {"a", "b"}}, {"cooldown", 5}, {"name", "boards"}, {"renewable", false}});
    const HttpResponse before = pool.holders();
    const struct {
        std::string field;
        std::string reason;
    } cases[] = {
        {R"("slots":["a"])", "slots must have one entry for each of the pool's slots"},
        {R"("slots":["a","b","c"])", "slots must have one entry for each of the pool's slots"},
        {R"("slots":["a",1])", "slots must hold strings or objects only"},
        {R"("slots":["a",null])", "slots must hold strings or objects only"},
        {R"("slots":"ab")", "slots must be an array"},
        {R"("slots":null)", "slots must be an array"},
        {R"("cooldown":-1)", "cooldown must not be negative"},
        {R"("cooldown":2592001)", "cooldown must be at most 30 days"},
        {R"("cooldown":"5")", "cooldown must be a number of seconds"},
        {R"("name":7)", "name must be a string"},
        {R"("name":null)", "name must be a string"},
        {R"("name":")" + std::string(257, 'a') + R"(")", "name must have at most 256 characters"},
        {R"("renewable":1)", "renewable must be true or false"},
        {R"("renewable":null)", "renewable must be true or false"},
    };
    for (const auto& [field, reason] : cases) {
        CAPTURE(field);
        const HttpResponse response = pool.put(R"({"count":2,)" + field + "}");
        CHECK(response.status == 400);
        CHECK(response.header("content-type") == "application/json");
        CHECK(response.body == error_body(reason));
    }
    CHECK(pool.put(R"({"name":"other"})").body == error_body("count is required"));
    CHECK(pool.holders().body == before.body);
    CHECK(payloads(pool, 1) == std::vector<Json>{"a"});
}

TEST_CASE("a borrower is told what its slots are") {
    const RunningServer server;
    const TestPool pool(server, 3);
    CHECK(payloads(pool, 3) == std::vector<Json>(3));
    const Json object = {{"host", "lab-2"}, {"ports", {1, 2.5, nullptr, true}}, {"\u00fc", "\U0001f512"}};
    pool.set({{"count", 3}, {"slots", {"/dev/ttyUSB0", object, ""}}});
    CHECK(payloads(pool, 3) == std::vector<Json>{"/dev/ttyUSB0", object, ""});
    const Slot zero = pool.take();
    CHECK(payloads(pool, 2) == std::vector<Json>{object, ""});
    pool.returns(zero);
    CHECK(payloads(pool, 1) == std::vector<Json>{"/dev/ttyUSB0"});
}

TEST_CASE("a PUT of a count alone leaves all else as it was") {
    RunningServer server;
    const TestPool pool(server, 2);
    pool.set(
        {{"count", 2}, {"slots", {"a", "b"}}, {"cooldown", 0.25}, {"name", "boards"}, {"renewable", false}});
    for (const bool after_restart : {false, true}) {
        if (after_restart) restart(server, End::kill);
        pool.set_count(2);
        const Json view = pool.view();
        CHECK(view["name"] == "boards");
        CHECK(view["cooldown"] == 0.25);
        CHECK(view["renewable"] == false);
        REQUIRE(eventually([&] { return pool.available() == 2; }));
        CHECK(payloads(pool, 2) == std::vector<Json>{"a", "b"});
    }
    REQUIRE(eventually([&] { return pool.available() == 2; }));
    // Each field is one of its own.
    pool.set({{"count", 2}, {"name", ""}});
    pool.set({{"count", 2}, {"renewable", true}});
    pool.set({{"count", 2}, {"cooldown", 0}});
    const Json view = pool.view();
    CHECK(view["name"].is_null());
    CHECK(view["cooldown"] == 0);
    CHECK(view["renewable"] == true);
    CHECK(payloads(pool, 2) == std::vector<Json>{"a", "b"});
}

TEST_CASE("payloads beyond a lowered count are kept for a raise") {
    RunningServer server;
    const TestPool pool(server, 2);
    pool.set({{"count", 3}, {"slots", {"a", "b", "c"}}});
    pool.set_count(1);
    CHECK(payloads(pool, 1) == std::vector<Json>{"a"});
    restart(server, End::kill);
    CHECK(pool.resize(R"({"by":3})").status == 200);
    CHECK(payloads(pool, 4) == std::vector<Json>{"a", "b", "c", nullptr});
    // New ones replace all.
    pool.set({{"count", 1}, {"slots", {"z"}}});
    pool.set_count(3);
    CHECK(payloads(pool, 3) == std::vector<Json>{"z", nullptr, nullptr});
    pool.remove();
    pool.set_count(1);
    CHECK(payloads(pool, 1) == std::vector<Json>{nullptr});
}

TEST_CASE("a pool of many large payloads is registered and lent as a whole") {
    const RunningServer server;
    const TestPool pool(server, 1);
    std::vector<Json> large;
    for (int i = 0; i < 60; ++i)
        large.push_back({{"name", std::string(900, static_cast<char>('a' + i % 26))}});
    pool.set({{"count", 60}, {"slots", large}});
    CHECK(payloads(pool, 60) == large);
}

TEST_CASE("a pool's name has up to 256 characters, of any alphabet") {
    const RunningServer server;
    const TestPool pool(server, 1);
    std::string name;
    for (int i = 0; i < 256; ++i)
        name += "\U0001f512";
    pool.set({{"count", 1}, {"name", name}});
    CHECK(pool.view()["name"] == name);
}

TEST_CASE("a resize changes the count by so much, and answers the four keys") {
    RunningServer server;
    const TestPool pool(server, 4);
    pool.take();
    const HttpResponse more = pool.resize(R"({"by":3})");
    CHECK(more.status == 200);
    CHECK(more.header("content-type") == "application/json");
    CHECK(more.body == state_body(pool, 7, 1, 6));
    CHECK(pool.resize(R"({"by":-5})").body == state_body(pool, 2, 1, 1));
    CHECK(pool.resize(R"({"by":0})").body == state_body(pool, 2, 1, 1));
    CHECK(pool.resize(R"({"by":-2})").body == state_body(pool, 0, 1, 0));
    CHECK(pool.resize(R"({"by":1000})").body == state_body(pool, 1000, 1, 999));
    restart(server, End::kill);
    CHECK(pool.count() == 1000);
}

TEST_CASE("a resize that is not possible changes nothing") {
    const RunningServer server({"--max-count", "8"});
    const TestPool pool(server, 4);
    const struct {
        const char* body;
        const char* reason;
    } cases[] = {
        {R"({"by":5})", "count out of range"},
        {R"({"by":-5})", "count out of range"},
        {R"({"by":4294967295})", "count out of range"},
        {R"({"by":-4294967295})", "count out of range"},
        {R"({"by":9223372036854775807})", "by out of range"},
        {R"({"by":1.5})", "by must be an integer"},
        {R"({"by":"1"})", "by must be an integer"},
        {R"({"by":null})", "by must be an integer"},
        {R"({})", "by is required"},
        {"[1]", "body must be a JSON object"},
        {"", "body is not valid JSON"},
    };
    for (const auto& [body, reason] : cases) {
        CAPTURE(body);
        const HttpResponse response = pool.resize(body);
        CHECK(response.status == 400);
        CHECK(response.header("content-type") == "application/json");
        CHECK(response.body == error_body(reason));
    }
    CHECK(pool.count() == 4);
    CHECK(pool.resize(R"({"by":4})").status == 200);
    CHECK(pool.resize(R"({"by":-8})").status == 200);
}

TEST_CASE("a resize serves waiters at once") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 0);
    RawClient first = pool.queue_up();
    RawClient second = pool.queue_up();
    CHECK(pool.resize(R"({"by":1})").body == state_body(pool, 1, 1, 0));
    CHECK(granted(first.receive()).position == 0);
    CHECK_FALSE(second.has_answer());
}

TEST_CASE("resizes add up") {
    const RunningServer server;
    const TestPool pool(server, 0);
    std::vector<RawClient> clients;
    for (int i = 0; i < 40; ++i) {
        clients.emplace_back(server.port());
        clients.back().send(http_request("POST", pool.path() + "/resize", R"({"by":2})"));
    }
    for (RawClient& client : clients)
        CHECK(client.receive().status == 200);
    CHECK(pool.count() == 80);
}

TEST_CASE("who holds and who waits is shown, by position and by rank") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 3);
    const HttpResponse empty = pool.holders();
    CHECK(empty.status == 200);
    CHECK(empty.header("content-type") == "application/json");
    CHECK(empty.body == R"({"id":")" + pool.id() +
                            R"(","name":null,"count":3,"in_use":0,"available":3,"renewable":true,)"
                            R"("cooldown":0,"pick":"lowest","holders":[],"queue":[],"out":[],"eta":0})");

    pool.set({{"count", 3}, {"name", "boards"}});
    const Slot zero = pool.take(30);
    const Grant grant = pool.take_with(
        {{"slots", 2}, {"ttl", 40}, {"holder", {{"name", "ci \U0001f512"}, {"url", "http://ci/7"}}}});
    RawClient second = pool.queue_up();
    RawClient first =
        pool.queue_up_with({{"slots", 2}, {"priority", 7}, {"holder", {{"url", "http://ci/8"}}}});
    RawClient last = pool.queue_up_with({{"holder", Json::object()}});
    const std::string body = pool.holders().body;
    CAPTURE(body);
    const std::regex shape(
        R"(\{"id":")" + pool.id() +
        R"(","name":"boards","count":3,"in_use":3,"available":0,"renewable":true,"cooldown":0,)"
        R"("pick":"lowest","holders":\[)"
        R"(\{"position":0,"positions":\[0\],"holder":null,"granted_at_unix":[0-9]+,"expires_at_unix":[0-9]+,)"
        R"("expires_in":[0-9]+,"fence":[0-9]+\},)"
        R"(\{"position":1,"positions":\[1,2\],"holder":\{"name":"ci )"
        "\U0001f512"
        R"(","url":"http://ci/7"\},"granted_at_unix":[0-9]+,"expires_at_unix":[0-9]+,"expires_in":[0-9]+,)"
        R"("fence":[0-9]+\}\],"queue":\[)"
        R"(\{"rank":1,"slots":2,"priority":7,"holder":\{"url":"http://ci/8"\},"waiting_for":[0-9]+,"waiter":"[0-9a-f]{16}"\},)"
        R"(\{"rank":2,"slots":1,"priority":0,"holder":null,"waiting_for":[0-9]+,"waiter":"[0-9a-f]{16}"\},)"
        R"(\{"rank":3,"slots":1,"priority":0,"holder":null,"waiting_for":[0-9]+,"waiter":"[0-9a-f]{16}"\}\],"out":\[\],"eta":null\})");
    CHECK(std::regex_match(body, shape));
    const Json view = Json::parse(body);
    CHECK(view["holders"][0]["expires_at_unix"] == zero.expires_at_unix);
    CHECK(view["holders"][1]["expires_at_unix"] == grant.expires_at_unix);
    CHECK(view["holders"][1]["granted_at_unix"] == grant.granted_at_unix);
    CHECK(view["holders"][1]["fence"] == grant.fence);
    CHECK(view["holders"][0]["expires_in"] <= 30);
    CHECK(view["holders"][1]["expires_in"] <= 40);
}

TEST_CASE("no lease's UUID is shown to those who look") {
    RunningServer server({"--threads", "1", "--rejoin", "5m"});
    const TestPool pool(server, 1);
    const Grant grant = pool.take_with({{"lease", new_lease()}});
    const std::string queued = new_lease();
    RawClient waiter = pool.queue_up_with({{"lease", queued}});
    for (const bool after_restart : {false, true}) {
        if (after_restart) restart(server, End::kill);
        const std::string body = pool.holders().body;
        CHECK(body.find(grant.lease) == body.npos);
        CHECK(body.find(queued) == body.npos);
    }
    CHECK(server.log().find(grant.lease) == std::string::npos);
}

TEST_CASE("holders is for pools that are there, and has a HEAD") {
    const RunningServer server;
    const TestPool absent = unregistered(server);
    for (const HttpResponse& response :
         {absent.holders(), absent.resize(R"({"by":1})"), absent.revoke(R"({"position":0})")}) {
        CHECK(response.status == 404);
        CHECK(response.header("content-type") == "application/json");
        CHECK(response.body == error_body("no such pool"));
    }
    const TestPool pool(server, 1);
    const HttpResponse head = call(server.port(), "HEAD", pool.path() + "/holders");
    CHECK(head.status == 200);
    CHECK(head.header("content-length") == std::to_string(pool.holders().body.size()));
}

TEST_CASE("who a holder said it is survives a restart") {
    RunningServer server;
    const TestPool pool(server, 2);
    pool.take_with({{"holder", {{"name", "ci"}, {"url", "http://ci/7"}}}});
    pool.take_with({{"priority", 1}});
    const Json before = pool.view()["holders"];
    restart(server, End::kill);
    const Json after = pool.view()["holders"];
    CHECK(after[0]["holder"] == before[0]["holder"]);
    CHECK(after[0]["fence"] == before[0]["fence"]);
    CHECK(after[1]["holder"].is_null());
}

TEST_CASE("a revocation frees a position by force") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 2);
    const Slot zero = pool.take();
    const Slot one = pool.take();
    RawClient waiter = pool.queue_up();
    const HttpResponse revoked = pool.revoke(R"({"position":0})");
    CHECK(revoked.status == 200);
    CHECK(revoked.header("content-type") == "application/json");
    CHECK(revoked.body == R"({"revoked":true})");
    CHECK(granted(waiter.receive()).position == 0);
    CHECK_FALSE(pool.renews(zero, 60));
    CHECK_FALSE(pool.returns(zero));
    CHECK(pool.in_use() == 2);
    CHECK(pool.returns(one));
}

TEST_CASE("a revocation of what nobody holds says so") {
    const RunningServer server;
    const TestPool pool(server, 2);
    const Slot zero = pool.take();
    for (const char* position : {"1", "2", "4294967295"}) {
        CAPTURE(position);
        CHECK(pool.revoke(R"({"position":)" + std::string(position) + "}").body == R"({"revoked":false})");
    }
    CHECK(pool.returns(zero));
    CHECK_FALSE(pool.revokes(0));
}

TEST_CASE("a revocation ends the whole lease that holds the position") {
    const RunningServer server;
    const TestPool pool(server, 4);
    const Grant grant = pool.take_with({{"slots", 3}});
    CHECK(pool.revokes(2));
    CHECK(pool.in_use() == 0);
    CHECK_FALSE(pool.returns(grant));
    // Above a lowered count too.
    pool.take_with({{"slots", 4}});
    pool.set_count(1);
    CHECK(pool.revokes(3));
    CHECK(pool.in_use() == 0);
}

TEST_CASE("a revocation survives the end of semad") {
    for (const End end : {End::kill, End::term}) {
        RunningServer server;
        const TestPool pool(server, 2);
        const Grant gone = pool.take_with({{"lease", new_lease()}});
        const Slot kept = pool.take();
        CHECK(pool.revokes(0));
        restart(server, end);
        CHECK(pool.in_use() == 1);
        CHECK_FALSE(pool.renews(gone, 60));
        CHECK(pool.returns(kept));
    }
}

TEST_CASE("a revocation without a proper position is refused") {
    const RunningServer server;
    const TestPool pool(server, 1);
    pool.take();
    const struct {
        const char* body;
        const char* reason;
    } cases[] = {
        {R"({})", "position is required"},
        {R"({"position":-1})", "position out of range"},
        {R"({"position":4294967296})", "position out of range"},
        {R"({"position":0.5})", "position must be an integer"},
        {R"({"position":"0"})", "position must be an integer"},
        {R"({"position":null})", "position must be an integer"},
        {"0", "body must be a JSON object"},
    };
    for (const auto& [body, reason] : cases) {
        CAPTURE(body);
        const HttpResponse response = pool.revoke(body);
        CHECK(response.status == 400);
        CHECK(response.body == error_body(reason));
    }
    CHECK(pool.in_use() == 1);
}

TEST_CASE("a slot rests for the pool's cooldown before it is lent again") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 2);
    pool.set({{"count", 2}, {"cooldown", 0.4}});
    const Slot zero = pool.take();
    const Slot one = pool.take();
    RawClient waiter = pool.queue_up();
    const Stopwatch since_asked;
    CHECK(pool.returns(zero));
    const Stopwatch since_returned;
    CHECK(granted(waiter.receive()).position == 0);
    CHECK(since_asked.elapsed() >= 400ms);
    CHECK(since_returned.elapsed() < 400ms + in_time);
    CHECK(pool.returns(one));
}

TEST_CASE("a resting slot is neither in use nor available") {
    const RunningServer server;
    const TestPool pool(server, 3);
    pool.set({{"count", 3}, {"cooldown", 3600}});
    const Slot zero = pool.take();
    const Slot one = pool.take();
    CHECK(pool.returns(zero));
    CHECK(pool.get().body == state_body(pool, 3, 1, 1));
    CHECK(pool.view()["available"] == 1);
    CHECK(pool.view()["cooldown"] == 3600);
    CHECK(pool.take().position == 2);
    CHECK_FALSE(pool.takes_one());
    CHECK(pool.revokes(1));
    CHECK(pool.get().body == state_body(pool, 3, 1, 0));
    CHECK_FALSE(pool.returns(one));
    // A raise adds slots that never were lent.
    pool.set_count(4);
    CHECK(pool.take().position == 3);
    CHECK_FALSE(pool.takes_one());
    // And who takes the cooldown away wakes those that rest.
    pool.set({{"count", 4}, {"cooldown", 0}});
    CHECK(pool.available() == 2);
    CHECK(pool.take().position == 0);
}

TEST_CASE("a slot rests after an expiry too, from then on") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    pool.set({{"count", 1}, {"cooldown", 0.3}});
    const Stopwatch since_asked;
    pool.take(0.3);
    const Stopwatch since_granted;
    RawClient waiter = pool.queue_up();
    CHECK(granted(waiter.receive()).position == 0);
    CHECK(since_asked.elapsed() >= 600ms);
    CHECK(since_granted.elapsed() < 600ms + in_time);
}

TEST_CASE("a slot goes on resting over a restart") {
    for (const End end : {End::kill, End::term}) {
        RunningServer server;
        const TestPool pool(server, 3);
        pool.set({{"count", 3}, {"cooldown", 3600}});
        const Slot returned = pool.take();
        pool.take();
        const Slot expired = pool.take(1);
        CHECK(pool.returns(returned));
        CHECK(pool.revokes(1));
        REQUIRE(eventually([&] { return pool.in_use() == 0; }));
        restart(server, end);
        CHECK(pool.get().body == state_body(pool, 3, 0, 0));
        CHECK_FALSE(pool.takes_one());
        CHECK_FALSE(pool.returns(expired));
    }
}

TEST_CASE("a slot that has rested while semad was down is lent at once") {
    RunningServer server;
    const TestPool pool(server, 1);
    pool.set({{"count", 1}, {"cooldown", 0.3}});
    const Slot slot = pool.take();
    CHECK(pool.returns(slot));
    const Stopwatch since_returned;
    server.kill9();
    let_pass(since_returned, 300ms);
    server.start();
    CHECK(pool.take().position == 0);
}

TEST_CASE("a full disk fails whatever a pool's keeper asks for, and changes nothing", "[sqlite]") {
    RunningServer server;
    const TestPool pool(server, 2);
    const Slot held = pool.take();
    {
        const FullDisk full(server);
        for (const HttpResponse& response :
             {pool.put(R"({"count":2,"name":"boards"})"), pool.put(R"({"count":2,"cooldown":5})"),
              pool.put(R"({"count":2,"slots":["a","b"]})"), pool.resize(R"({"by":1})"),
              pool.revoke(R"({"position":0})"), pool.borrow(R"({"ttl":60,"slots":1})")}) {
            CHECK(response.status == 502);
            CHECK(response.header("content-type") == "application/json");
            CHECK(response.body == error_body("database command failed"));
        }
    }
    const Json view = pool.view();
    CHECK(view["name"].is_null());
    CHECK(view["cooldown"] == 0);
    CHECK(view["count"] == 2);
    CHECK(view["in_use"] == 1);
    CHECK(payloads(pool, 1) == std::vector<Json>{nullptr});
    CHECK(pool.returns(held));
}
