#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <initializer_list>
#include <regex>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

std::string wait_body(const std::string& ttl, const std::string& wait) {
    return R"({"ttl":)" + ttl + R"(,"wait":)" + wait + "}";
}

}  // namespace

TEST_CASE("a borrow answers with exactly the lease, its position and its end") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const auto before = std::time(nullptr);
    const HttpResponse response = pool.borrow(R"({"ttl":30,"wait":25})");
    const auto after = std::time(nullptr);
    CHECK(response.status == 200);
    CHECK(response.header("content-type") == "application/json");
    const std::regex shape(
        R"(\{"lease":"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",)"
        R"("position":0,"expires_at_unix":[0-9]+,"expires_in":30\})");
    CAPTURE(response.body);
    CHECK(std::regex_match(response.body, shape));
    const Slot slot = granted(response);
    // A shared store's time is known but for milliseconds, and time() is of the clock's last tick.
    CHECK(slot.expires_at_unix >= before + 29);
    CHECK(slot.expires_at_unix <= after + 31);
}

TEST_CASE("the times of a lease are whole seconds, rounded down") {
    const RunningServer server;
    const TestPool pool(server, 10);
    const auto expires_in = [&](double ttl) { return pool.take(ttl).expires_in; };
    CHECK(expires_in(30) == 30);
    CHECK(expires_in(0.5) == 0);
    CHECK(expires_in(1.999) == 1);
    CHECK(expires_in(2.001) == 2);
    // 30.9 s from now is not yet 31 s from the second that has begun, or is already: never more than that.
    const auto before = std::chrono::system_clock::now();
    const auto at = pool.take(30.9).expires_at_unix;
    const auto after = std::chrono::system_clock::now();
    // The time of a shared store may be behind by as much as its first answers were under way.
    const auto behind = std::getenv("SEMA_TEST_STORE") ? 500ms : 1ms;
    CHECK(at >= std::chrono::system_clock::to_time_t(before + 30900ms - behind));
    CHECK(at <= std::chrono::system_clock::to_time_t(after + 30900ms + 1ms));
}

TEST_CASE("a borrow gets the lowest free position") {
    const RunningServer server;
    const TestPool pool(server, 4);
    const Slot zero = pool.take();
    const Slot one = pool.take();
    const Slot two = pool.take();
    CHECK(zero.position == 0);
    CHECK(one.position == 1);
    CHECK(two.position == 2);
    pool.returns(one);
    pool.returns(zero);
    CHECK(pool.take().position == 0);
    CHECK(pool.take().position == 1);
    CHECK(pool.take().position == 3);
    CHECK_FALSE(pool.takes_one());
}

TEST_CASE("an exhausted pool answers a borrow that doesn't wait at once") {
    const RunningServer server;
    const TestPool pool(server, 1);
    pool.take();
    for (const char* body : {R"({"ttl":1})", R"({"ttl":1,"wait":0})", R"({"ttl":1,"wait":0.0})"}) {
        const Stopwatch watch;
        const HttpResponse response = pool.borrow(body);
        CHECK(watch.elapsed() < in_time);
        CHECK(response.status == 409);
        CHECK(response.header("content-type") == "application/json");
        CHECK(response.body == error_body("no resource available"));
    }
}

TEST_CASE("a pool of no slots lends none") {
    const RunningServer server;
    const TestPool pool(server, 0);
    CHECK_FALSE(pool.takes_one());
    CHECK(pool.available() == 0);
}

TEST_CASE("a borrow with a bad field is refused with a reason that names it") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const struct {
        std::string body;
        std::string reason;
    } cases[] = {
        {R"({"wait":1})", "ttl is required"},
        {R"({"ttl":0})", "ttl must be greater than 0"},
        {R"({"ttl":0.0})", "ttl must be greater than 0"},
        {R"({"ttl":-1})", "ttl must be greater than 0"},
        {R"({"ttl":-0.001})", "ttl must be greater than 0"},
        {R"({"ttl":"30"})", "ttl must be a number of seconds"},
        {R"({"ttl":true})", "ttl must be a number of seconds"},
        {R"({"ttl":null})", "ttl must be a number of seconds"},
        {R"({"ttl":{}})", "ttl must be a number of seconds"},
        {wait_body("1", "-1"), "wait must not be negative"},
        {wait_body("1", "-0.5"), "wait must not be negative"},
        {wait_body("1", R"("1")"), "wait must be a number of seconds"},
        {wait_body("1", "false"), "wait must be a number of seconds"},
        {wait_body("1", "null"), "wait must be a number of seconds"},
        {wait_body("1", "[0]"), "wait must be a number of seconds"},
        {R"({"ttl":NaN})", "body is not valid JSON"},
        {R"({"ttl":.5})", "body is not valid JSON"},
        {R"({"ttl":1)", "body is not valid JSON"},
        {R"([30])", "body must be a JSON object"},
        {"", "body is not valid JSON"},
    };
    for (const auto& [body, reason] : cases) {
        CAPTURE(body);
        const HttpResponse response = pool.borrow(body);
        CHECK(response.status == 400);
        CHECK(response.header("content-type") == "application/json");
        CHECK(response.body == error_body(reason));
    }
    CHECK(pool.in_use() == 0);
}

TEST_CASE("fractions of a second are lent and waited") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const Stopwatch since_asked;
    pool.take(0.3);
    const Stopwatch since_granted;
    const HttpResponse next = pool.borrow(R"({"ttl":1,"wait":9.5})");
    CHECK(next.status == 200);
    CHECK(since_asked.elapsed() >= 300ms);
    CHECK(since_granted.elapsed() < 300ms + in_time);
}

TEST_CASE("a ttl above --max-ttl is cut to it") {
    const RunningServer server({"--max-ttl", "2"});
    const TestPool pool(server, 4);
    CHECK(pool.take(1).expires_in == 1);
    CHECK(pool.take(2).expires_in == 2);
    CHECK(pool.take(3).expires_in == 2);
    CHECK(granted(pool.borrow(R"({"ttl":1e300})")).expires_in == 2);
}

TEST_CASE("a lease lasts a day at most where nothing else is said") {
    const RunningServer server;
    const TestPool pool(server, 2);
    CHECK(pool.take(86400).expires_in == 86400);
    CHECK(pool.take(86401).expires_in == 86400);
}

TEST_CASE("a wait above --max-wait is cut to it") {
    const RunningServer server({"--max-wait", "0.2"});
    const TestPool pool(server, 1);
    pool.take();
    for (const char* wait : {"30", "1e300"}) {
        const Stopwatch watch;
        CHECK(pool.borrow(wait_body("1", wait)).status == 409);
        CHECK(watch.elapsed() >= 200ms);
        CHECK(watch.elapsed() < 200ms + in_time);
    }
}

TEST_CASE("a lease ends at its ttl, not before") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const Stopwatch since_asked;
    const Slot slot = pool.take(0.4);
    const Stopwatch since_granted;
    int in_use = 1;
    while (in_use == 1) {
        const auto asked = since_granted.elapsed();
        in_use = pool.in_use();
        if (in_use == 0) {
            CHECK(since_asked.elapsed() >= 400ms);
        } else {
            REQUIRE(asked < 400ms + in_time);
        }
    }
    CHECK_FALSE(pool.returns(slot));
    CHECK(pool.takes_one());
}

TEST_CASE("a returned slot is free at once") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const Slot slot = pool.take();
    const HttpResponse response = pool.give_back(R"({"lease":")" + slot.lease + R"("})");
    CHECK(response.status == 200);
    CHECK(response.header("content-type") == "application/json");
    CHECK(response.body == R"({"returned":true})");
    CHECK(pool.in_use() == 0);
    CHECK(pool.takes_one());
}

TEST_CASE("a return of what isn't held says so") {
    const RunningServer server;
    const TestPool pool(server, 2);
    const TestPool other(server, 1);
    const TestPool unregistered(server, "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01");
    const std::string no = R"({"returned":false})";
    const auto body = [](const std::string& lease) { return R"({"lease":")" + lease + R"("})"; };

    const Slot returned = pool.take();
    CHECK(pool.returns(returned));
    const HttpResponse again = pool.give_back(body(returned.lease));
    CHECK(again.status == 200);
    CHECK(again.body == no);

    const Slot expired = pool.take(1);
    REQUIRE(eventually([&] { return pool.in_use() == 0; }));
    CHECK(pool.give_back(body(expired.lease)).body == no);

    const Slot foreign = other.take();
    CHECK(pool.give_back(body(foreign.lease)).body == no);
    CHECK(unregistered.give_back(body(foreign.lease)).status == 200);
    CHECK(unregistered.give_back(body(foreign.lease)).body == no);
    CHECK(pool.give_back(body("00000000-0000-0000-0000-000000000000")).body == no);
    CHECK(other.returns(foreign));
}

TEST_CASE("a lease that ended does not free the slot of the next one") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const Slot old = pool.take();
    pool.returns(old);
    pool.take();
    CHECK_FALSE(pool.returns(old));
    CHECK(pool.in_use() == 1);
}

TEST_CASE("every way to write a UUID names the same lease") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const auto digits = [](std::string text) {
        text.erase(std::remove(text.begin(), text.end(), '-'), text.end());
        return text;
    };
    const auto upper = [](std::string text) {
        for (char& c : text)
            c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        return text;
    };
    for (const auto& write : std::initializer_list<std::function<std::string(const std::string&)>>{
             [&](const std::string& lease) { return upper(lease); },
             [&](const std::string& lease) { return digits(lease); },
             [&](const std::string& lease) { return upper(digits(lease)); },
             [&](const std::string& lease) { return "{" + lease + "}"; },
             [&](const std::string& lease) { return "{" + digits(lease) + "}"; },
             [&](const std::string& lease) { return "urn:uuid:" + lease; },
             [&](const std::string& lease) { return "URN:UUID:" + upper(lease); }}) {
        Slot slot = pool.take();
        slot.lease = write(slot.lease);
        CHECK(pool.returns(slot));
    }
}

TEST_CASE("a return without a proper lease is refused") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const struct {
        const char* body;
        const char* reason;
    } cases[] = {
        {R"({})", "lease is required"},
        {R"({"lease":"vsim"})", "lease must be a UUID"},
        {R"({"lease":""})", "lease must be a UUID"},
        {R"({"lease":"3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b3"})", "lease must be a UUID"},
        {R"({"lease":7})", "lease must be a UUID"},
        {R"({"lease":null})", "lease must be a UUID"},
        {R"({"lease":["3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34"]})", "lease must be a UUID"},
        {R"("3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34")", "body must be a JSON object"},
        {"", "body is not valid JSON"},
    };
    for (const auto& [body, reason] : cases) {
        CAPTURE(body);
        const HttpResponse response = pool.give_back(body);
        CHECK(response.status == 400);
        CHECK(response.header("content-type") == "application/json");
        CHECK(response.body == error_body(reason));
    }
}

TEST_CASE("a pool made smaller than what is in use lends nothing until enough came back") {
    const RunningServer server;
    const TestPool pool(server, 3);
    const Slot zero = pool.take();
    const Slot one = pool.take();
    const Slot two = pool.take();
    pool.set_count(1);
    CHECK(pool.in_use() == 3);
    CHECK(pool.available() == 0);
    CHECK_FALSE(pool.takes_one());
    // Position 0 is free now, and yet two leases live.
    CHECK(pool.returns(zero));
    CHECK(pool.in_use() == 2);
    CHECK(pool.available() == 0);
    CHECK_FALSE(pool.takes_one());
    CHECK(pool.returns(one));
    CHECK(pool.in_use() == 1);
    CHECK_FALSE(pool.takes_one());
    CHECK(pool.returns(two));
    CHECK(pool.available() == 1);
    CHECK(pool.take().position == 0);
    CHECK_FALSE(pool.takes_one());
}

TEST_CASE("a lease above a lowered count lives on, and its position is lent again after a raise only") {
    const RunningServer server;
    const TestPool pool(server, 2);
    const Slot zero = pool.take();
    const Slot one = pool.take();
    pool.set_count(1);
    pool.returns(zero);
    CHECK_FALSE(pool.takes_one());
    pool.set_count(3);
    CHECK(pool.take().position == 0);
    CHECK(pool.take().position == 2);
    CHECK(pool.returns(one));
    CHECK(pool.take().position == 1);
}
