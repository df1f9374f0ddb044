#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <chrono>
#include <ctime>
#include <regex>
#include <string>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

const std::string not_held = R"({"renewed":false})";

std::string keepalive_body(const std::string& lease, const std::string& ttl) {
    return R"({"lease":")" + lease + R"(","ttl":)" + ttl + "}";
}

/// The lease that a keepalive renewed.
Slot renewed(const HttpResponse& response) {
    REQUIRE(Json::parse(response.body).at("renewed") == true);
    return granted(response);
}

/// Waits until so much time has passed.
void let_pass(const Stopwatch& watch, std::chrono::milliseconds time) {
    REQUIRE(eventually([&] { return watch.elapsed() > time; }));
}

}  // namespace

TEST_CASE("a borrow with any extension's field is answered with the base keys and the extended ones") {
    const RunningServer server;
    const std::regex shape(
        R"(\{"lease":"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",)"
        R"("position":0,"expires_at_unix":[0-9]+,"expires_in":30,)"
        R"("positions":\[0\],"fence":[0-9]+,"slots":\[null\],"granted_at_unix":[0-9]+\})");
    for (const std::string field : {R"("slots":1)", R"("priority":0)", R"("holder":{})",
                                    R"("lease":"3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34")"}) {
        const TestPool pool(server, 1);
        const HttpResponse response = pool.borrow(R"({"ttl":30,)" + field + "}");
        CAPTURE(field, response.body);
        CHECK(response.status == 200);
        CHECK(response.header("content-type") == "application/json");
        CHECK(std::regex_match(response.body, shape));
        pool.remove();
    }
}

TEST_CASE("a request of base fields is answered with the base keys, whatever was set for the pool") {
    const RunningServer server(one_thread);
    const TestPool pool(server, sema::PoolId::random().str());
    const std::string state_keys = "id count in_use available ";
    CHECK(keys_of(pool.put(R"({"count":1,"slots":["a"],"cooldown":0.001,"name":"boards","renewable":false})")
                      .body) == state_keys);
    CHECK(keys_of(pool.put(R"({"count":1})").body) == state_keys);
    CHECK(keys_of(pool.get().body) == state_keys);
    const HttpResponse lent = pool.borrow(R"({"ttl":60,"wait":1})");
    CHECK(keys_of(lent.body) == "lease position expires_at_unix expires_in ");
    CHECK(pool.borrow(R"({"ttl":60})").body == error_body("no resource available"));
    RawClient waiter = pool.queue_up(0.1);
    CHECK(waiter.receive().body == error_body("no resource available"));
    CHECK(pool.give_back(R"({"lease":")" + granted(lent).lease + R"("})").body == R"({"returned":true})");
    CHECK(pool.remove().body == R"({"deleted":true})");
}

TEST_CASE("a grant tells when it was made") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const auto before = std::time(nullptr);
    const Grant grant = pool.take_with({{"slots", 1}, {"ttl", 30}});
    const auto after = std::time(nullptr);
    CHECK(grant.granted_at_unix >= before - 1);
    CHECK(grant.granted_at_unix <= after + 1);
    CHECK(grant.expires_at_unix - grant.granted_at_unix >= 30);
    CHECK(grant.expires_at_unix - grant.granted_at_unix <= 31);
}

TEST_CASE("a borrow with a bad extension's field is refused with a reason that names it") {
    const RunningServer server({"--max-count", "8"});
    const TestPool pool(server, 1);
    const std::string long_name = R"({"name":")" + std::string(257, 'a') + R"("})";
    const std::string long_url = R"({"url":")" + std::string(2049, 'a') + R"("})";
    const struct {
        std::string field;
        std::string reason;
    } cases[] = {
        {R"("slots":0)", "slots out of range"},
        {R"("slots":-1)", "slots out of range"},
        {R"("slots":9)", "slots out of range"},
        {R"("slots":1.5)", "slots must be an integer"},
        {R"("slots":"1")", "slots must be an integer"},
        {R"("slots":["a"])", "slots must be an integer"},
        {R"("slots":null)", "slots must be an integer"},
        {R"("priority":101)", "priority out of range"},
        {R"("priority":-101)", "priority out of range"},
        {R"("priority":"high")", "priority must be an integer"},
        {R"("holder":"ci")", "holder must be an object"},
        {R"("holder":null)", "holder must be an object"},
        {R"("holder":{"name":7})", "holder.name must be a string"},
        {R"("holder":{"url":null})", "holder.url must be a string"},
        {R"("holder":)" + long_name, "holder.name must have at most 256 characters"},
        {R"("holder":)" + long_url, "holder.url must have at most 2048 characters"},
        {R"("lease":"mine")", "lease must be a UUID"},
        {R"("lease":null)", "lease must be a UUID"},
        {R"("callback":{"url":"http://127.0.0.1/"})", "callback is not allowed on this server: use wait"},
    };
    for (const auto& [field, reason] : cases) {
        CAPTURE(field);
        const HttpResponse response = pool.borrow(R"({"ttl":1,)" + field + "}");
        CHECK(response.status == 400);
        CHECK(response.header("content-type") == "application/json");
        CHECK(response.body == error_body(reason));
    }
    CHECK(pool.in_use() == 0);
}

TEST_CASE("fences grow with every grant of a pool, whoever is granted and however often semad is restarted") {
    RunningServer server(one_thread);
    const TestPool pool(server, 3);
    std::int64_t last = 0;
    const auto check_grows = [&](const Grant& grant) {
        CHECK(grant.fence > last);
        last = grant.fence;
    };
    const Grant first = pool.take_with({{"slots", 1}});
    check_grows(first);
    // A grant whose fence nobody was told has one all the same.
    pool.take();
    const Grant third = pool.take_with({{"slots", 1}});
    CHECK(third.fence > last + 1);
    check_grows(third);
    RawClient waiter = pool.queue_up_with({{"slots", 1}});
    CHECK(pool.returns(third));
    check_grows(fully_granted(waiter.receive()));
    pool.set_count(10);
    for (const End end : {End::kill, End::term, End::kill}) {
        restart(server, end);
        check_grows(pool.take_with({{"slots", 1}}));
    }
    for (int i = 0; i < 3; ++i) {
        pool.remove();
        if (i == 1) restart(server, End::kill);
        pool.set_count(1);
        check_grows(pool.take_with({{"slots", 1}}));
        if (i == 2) restart(server, End::term);
    }
}

TEST_CASE("a lease's fence stays as long as it lives") {
    RunningServer server;
    const TestPool pool(server, 2);
    const std::string lease = new_lease();
    const Grant grant = pool.take_with({{"lease", lease}});
    pool.renews(grant, 50);
    pool.take();
    CHECK(pool.view()["holders"][0]["fence"] == grant.fence);
    restart(server, End::kill);
    CHECK(pool.take_with({{"lease", lease}}).fence == grant.fence);
    CHECK(pool.view()["holders"][0]["fence"] == grant.fence);
}

TEST_CASE(
    "a return and a keepalive that name a fence are about that lease, and never a later one of its id") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const std::string lease = new_lease();
    const Grant first = pool.take_with({{"lease", lease}});
    CHECK(pool.returns(first));
    const Grant next = pool.take_with({{"lease", lease}});
    const auto body = [&](std::int64_t fence) {
        return Json{{"lease", lease}, {"ttl", 30}, {"fence", fence}}.dump();
    };
    for (const std::int64_t other : {first.fence, next.fence + 1}) {
        CHECK(pool.keepalive(body(other)).body == R"({"renewed":false})");
        CHECK(pool.give_back(body(other)).body == R"({"returned":false})");
    }
    CHECK(pool.keepalive(body(-1)).body == error_body("fence out of range"));
    CHECK(pool.give_back(body(-1)).body == error_body("fence out of range"));
    CHECK(pool.in_use() == 1);
    CHECK(Json::parse(pool.keepalive(body(next.fence)).body)["renewed"] == true);
    CHECK(pool.give_back(body(next.fence)).body == R"({"returned":true})");
}

TEST_CASE("a keepalive answers with exactly the lease, its position and its new end") {
    const RunningServer server;
    const TestPool pool(server, 2);
    pool.take();
    for (const bool is_extended : {false, true}) {
        const Slot slot = is_extended ? pool.take_with({{"slots", 1}}) : pool.take();
        const auto before = std::time(nullptr);
        const HttpResponse response = pool.keepalive(keepalive_body(slot.lease, "90"));
        const auto after = std::time(nullptr);
        CAPTURE(response.body);
        CHECK(response.status == 200);
        CHECK(response.header("content-type") == "application/json");
        const std::regex shape(R"(\{"renewed":true,"lease":")" + slot.lease +
                               R"(","position":1,"expires_at_unix":[0-9]+,"expires_in":90\})");
        CHECK(std::regex_match(response.body, shape));
        CHECK(renewed(response).expires_at_unix >= before + 89);
        // time() is of the clock's last tick, and may be a second behind.
        CHECK(renewed(response).expires_at_unix <= after + 91);
        CHECK(pool.returns(slot));
    }
}

TEST_CASE("a lease that is kept alive outlives its first end") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot slot = pool.take(3);
    const Stopwatch since_granted;
    CHECK(pool.renews(slot, 60));
    RawClient waiter = pool.queue_up();
    let_pass(since_granted, 3100ms);
    CHECK(pool.in_use() == 1);
    CHECK_FALSE(waiter.has_answer());
    CHECK(pool.returns(slot));
    CHECK(granted(waiter.receive()).position == 0);
}

TEST_CASE("a keepalive may bring a lease's end nearer, and its slot goes to a waiter then") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot slot = pool.take(60);
    RawClient waiter = pool.queue_up();
    const Stopwatch since_asked;
    CHECK(pool.renews(slot, 0.3));
    const Stopwatch since_renewed;
    CHECK(granted(waiter.receive()).position == 0);
    CHECK(since_asked.elapsed() >= 300ms);
    CHECK(since_renewed.elapsed() < 300ms + in_time);
    CHECK_FALSE(pool.renews(slot, 60));
}

TEST_CASE("the ttl of a keepalive is cut to --max-ttl") {
    const RunningServer server({"--max-ttl", "20"});
    const TestPool pool(server, 1);
    const Slot slot = pool.take(15);
    CHECK(renewed(pool.keepalive(keepalive_body(slot.lease, "20"))).expires_in == 20);
    CHECK(renewed(pool.keepalive(keepalive_body(slot.lease, "21"))).expires_in == 20);
    CHECK(renewed(pool.keepalive(keepalive_body(slot.lease, "1e300"))).expires_in == 20);
}

TEST_CASE("no keepalive brings a lease beyond --max-hold") {
    const RunningServer server({"--max-hold", "3"});
    const TestPool pool(server, 1);
    const Stopwatch since_asked;
    const Slot slot = pool.take(2);
    const Stopwatch since_granted;
    CHECK(pool.renews(slot, 2.9));
    CHECK(pool.renews(slot, 60));
    CHECK(eventually([&] { return pool.in_use() == 0; }));
    CHECK(since_asked.elapsed() >= 3s);
    CHECK(since_granted.elapsed() < 3s + in_time);
    CHECK_FALSE(pool.renews(slot, 60));
    // A borrow's own ttl is no way around it.
    CHECK(pool.take(60).expires_in <= 3);
}

TEST_CASE("a keepalive of what is not held says so") {
    const RunningServer server;
    const TestPool pool(server, 2);
    const TestPool other(server, 1);
    const TestPool unregistered(server, sema::PoolId::random().str());

    const Slot returned = pool.take();
    CHECK(pool.returns(returned));
    const HttpResponse response = pool.keepalive(keepalive_body(returned.lease, "60"));
    CHECK(response.status == 200);
    CHECK(response.header("content-type") == "application/json");
    CHECK(response.body == not_held);

    const Slot expired = pool.take(1);
    REQUIRE(eventually([&] { return pool.in_use() == 0; }));
    CHECK(pool.keepalive(keepalive_body(expired.lease, "60")).body == not_held);

    const Slot foreign = other.take();
    CHECK(pool.keepalive(keepalive_body(foreign.lease, "60")).body == not_held);
    CHECK(unregistered.keepalive(keepalive_body(foreign.lease, "60")).status == 200);
    CHECK(unregistered.keepalive(keepalive_body(foreign.lease, "60")).body == not_held);
    CHECK(pool.keepalive(keepalive_body(new_lease(), "60")).body == not_held);
    CHECK(pool.in_use() == 0);
    CHECK(other.returns(foreign));
}

TEST_CASE("a keepalive without a proper lease or ttl is refused") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const Slot slot = pool.take(60);
    const struct {
        std::string body;
        std::string reason;
    } cases[] = {
        {R"({"ttl":1})", "lease is required"},
        {R"({"ttl":1,"lease":"vsim"})", "lease must be a UUID"},
        {R"({"ttl":1,"lease":7})", "lease must be a UUID"},
        {R"({"lease":")" + slot.lease + R"("})", "ttl is required"},
        {keepalive_body(slot.lease, "0"), "ttl must be greater than 0"},
        {keepalive_body(slot.lease, "-1"), "ttl must be greater than 0"},
        {keepalive_body(slot.lease, R"("60")"), "ttl must be a number of seconds"},
        {keepalive_body(slot.lease, "null"), "ttl must be a number of seconds"},
        {"[]", "body must be a JSON object"},
        {"", "body is not valid JSON"},
    };
    for (const auto& [body, reason] : cases) {
        CAPTURE(body);
        const HttpResponse response = pool.keepalive(body);
        CHECK(response.status == 400);
        CHECK(response.header("content-type") == "application/json");
        CHECK(response.body == error_body(reason));
    }
    CHECK(pool.returns(slot));
}

TEST_CASE("a pool may forbid to keep its leases alive") {
    RunningServer server;
    const TestPool pool(server, 1);
    const Slot slot = pool.take();
    pool.set({{"count", 1}, {"renewable", false}});
    const auto check_forbidden = [&] {
        const HttpResponse response = pool.keepalive(keepalive_body(slot.lease, "70"));
        CHECK(response.status == 409);
        CHECK(response.header("content-type") == "application/json");
        CHECK(response.body == error_body("lease is not renewable"));
    };
    check_forbidden();
    CHECK(pool.keepalive(keepalive_body(new_lease(), "70")).body == not_held);
    pool.set_count(1);
    check_forbidden();
    restart(server, End::kill);
    check_forbidden();
    pool.set({{"count", 1}, {"renewable", true}});
    CHECK(pool.renews(slot, 70));
}

TEST_CASE("a lease's new end survives the end of semad, be it later or earlier") {
    for (const End end : {End::kill, End::term}) {
        RunningServer server;
        const TestPool pool(server, 2);
        const Slot prolonged = pool.take(3);
        const Stopwatch since_granted;
        const Slot shortened = pool.take(60);
        CHECK(pool.renews(prolonged, 60));
        CHECK(pool.renews(shortened, 0.5));
        const Stopwatch since_renewed;
        restart(server, end);
        let_pass(since_granted, 3100ms);
        let_pass(since_renewed, 600ms);
        CHECK(pool.in_use() == 1);
        CHECK_FALSE(pool.renews(shortened, 60));
        CHECK(pool.returns(prolonged));
    }
}

TEST_CASE("a lease whose keepalive could not be stored ends when it would have", "[sqlite]") {
    RunningServer server;
    const TestPool pool(server, 2);
    const Slot prolonged = pool.take(5);
    const Stopwatch since_granted;
    const Slot shortened = pool.take(60);
    {
        const FullDisk full(server);
        for (const std::string& body :
             {keepalive_body(prolonged.lease, "60"), keepalive_body(shortened.lease, "0.001")}) {
            const HttpResponse response = pool.keepalive(body);
            CHECK(response.status == 502);
            CHECK(response.header("content-type") == "application/json");
            CHECK(response.body == error_body("database command failed"));
        }
    }
    CHECK(eventually([&] { return pool.in_use() == 1; }));
    CHECK(since_granted.elapsed() < 5s + in_time);
    CHECK_FALSE(pool.returns(prolonged));
    CHECK(pool.returns(shortened));
}

TEST_CASE("each of a lease's calls has its method") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const struct {
        std::string method;
        std::string path;
        std::string allowed;
    } cases[] = {
        {"GET", "/borrow", "POST"},
        {"GET", "/keepalive", "POST"},
        {"DELETE", "/keepalive", "POST"},
        {"GET", "/resize", "POST"},
        {"PUT", "/revoke", "POST"},
        {"POST", "/holders", "GET, HEAD"},
        {"POST", "/events", "GET, HEAD"},
        {"GET", "/queue/" + new_lease(), "DELETE"},
        {"POST", "/queue/" + new_lease(), "DELETE"},
    };
    for (const auto& [method, path, allowed] : cases) {
        CAPTURE(method, path);
        const HttpResponse response = call(server.port(), method, pool.path() + path, "{}");
        CHECK(response.status == 405);
        CHECK(response.header("allow") == allowed);
        CHECK(response.body == error_body("method not allowed: use " + allowed));
    }
    for (const char* path : {"/", "/queue", "/queue/", "/queue/a/b", "/keepalive/", "/holders/x", "/lease"}) {
        CAPTURE(path);
        const HttpResponse response = call(server.port(), "POST", pool.path() + path, "{}");
        CHECK(response.status == 404);
        CHECK(response.body == error_body("no such path"));
    }
}

TEST_CASE("an id that is not a UUID is refused by every further call") {
    const RunningServer server;
    const TestPool pool(server, std::string("vsim"));
    for (const HttpResponse& response :
         {pool.keepalive(keepalive_body(new_lease(), "1")), pool.resize(R"({"by":1})"),
          pool.revoke(R"({"position":0})"), pool.holders(), pool.cancel(new_lease()),
          call(server.port(), "GET", pool.path() + "/events")}) {
        CHECK(response.status == 400);
        CHECK(response.header("content-type") == "application/json");
        CHECK(response.body == error_body("id must be a UUID"));
    }
}
