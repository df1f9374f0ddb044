#include "client/client.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/patient.hpp"
#include "tests/support/scripted_server.hpp"

// What stands before a server, as an ingress, answers in its place while that restarts.

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

const PoolId pool = PoolId::random();
const std::string refused = http("409 Conflict", R"({"error":"no resource available"})");

// None of them can be a semad's.
const std::vector<std::string> foreign = {
    http("404 Not Found", "default backend - 404"),
    http("404 Not Found", "404 page not found\n", "Content-Type: text/plain; charset=utf-8\r\n"),
    http("404 Not Found", "<html>nginx</html>"),
    http("404 Not Found", R"({"timestamp":1,"status":404,"error":"Not Found","path":"/l"})"),
    http("403 Forbidden", "<html>"),
    http("404 Not Found", R"({"error":"API not found"})"),
    http("400 Bad Request", R"({"error":"bad request"})"),
    http("403 Forbidden", R"({"error":"forbidden"})"),
    http("409 Conflict", R"({"error":"conflict"})"),
    http("501 Not Implemented", R"({"error":"not implemented"})"),
    http("200 OK", "<html>Sorry, we are down</html>"),
    http("200 OK", R"({"status":"down"})"),
    http("204 No Content", ""),
    http("301 Moved Permanently", "", "Location: http://127.0.0.1:9/\r\n"),
    http("418 Teapot", "{}"),
    http("200 OK", std::string(70'000, ' ')),
    "220 smtp.example ESMTP\r\n",
};

// What a client that has had `before` makes of an answer.
BorrowAnswer borrow_after(std::vector<std::string> before, const std::string& answer) {
    std::vector<Scene> scenes;
    before.push_back(answer);
    for (const std::string& each : before)
        scenes.push_back({Scene::Wait::for_request, each});
    ScriptedServer server(scenes);
    Client client(*parse_server_address(server.url()));
    Patient patient;
    for (std::size_t i = 1; i < before.size(); ++i)
        client.borrow(pool, {60s, 1s}, patient);
    return client.borrow(pool, {60s, 1s}, patient);
}

}  // namespace

TEST_CASE("an answer that no semad gives is final where none was heard, and passes where one was") {
    for (const std::string& answer : foreign) {
        CAPTURE(answer.substr(0, 100));
        CHECK(std::holds_alternative<Rejected>(borrow_after({}, answer)));
        CHECK(std::holds_alternative<Rejected>(borrow_after({answer}, answer)));
        const auto later = borrow_after({refused}, answer);
        REQUIRE(std::holds_alternative<Unreachable>(later));
        CHECK(std::get<Unreachable>(later).reason.rfind("it ", 0) == 0);
    }
}

TEST_CASE("an answer that only a semad gives is final at any time") {
    for (const std::string& answer : {http("400 Bad Request", R"({"error":"ttl is required"})"),
                                      http("404 Not Found", R"({"error":"no such path"})"),
                                      http("409 Conflict", R"({"error":"lease id in use"})")}) {
        CHECK(std::holds_alternative<Rejected>(borrow_after({}, answer)));
        CHECK(std::holds_alternative<Rejected>(borrow_after({refused}, answer)));
        // It is one that was heard.
        CHECK(std::holds_alternative<Unreachable>(borrow_after({answer}, foreign.front())));
    }
    CHECK(std::holds_alternative<NoSuchPool>(
        borrow_after({refused}, http("404 Not Found", R"({"error":"no such pool"})"))));
}

TEST_CASE("any failure of a proxy passes, and makes no semad heard") {
    for (const char* status :
         {"500", "502", "503", "504", "520", "521", "522", "523", "524", "525", "526", "530"}) {
        const std::string answer = http(status + std::string(" Trouble"), "<html>");
        CHECK(std::holds_alternative<Unreachable>(borrow_after({}, answer)));
        CHECK(std::holds_alternative<Rejected>(borrow_after({answer}, foreign.front())));
        const std::string words =
            http(status + std::string(" Trouble"), R"({"error":"no healthy upstream"})");
        CHECK(std::holds_alternative<Unreachable>(borrow_after({}, words)));
        CHECK(std::holds_alternative<Rejected>(borrow_after({words}, foreign.front())));
    }
    CHECK(std::holds_alternative<Rejected>(borrow_after({""}, foreign.front())));
}

TEST_CASE("overload is told apart from a server that is away") {
    const auto busy = [](const std::string& answer) {
        const auto got = borrow_after({}, answer);
        REQUIRE(std::holds_alternative<Busy>(got));
        return std::get<Busy>(got);
    };
    const Busy full =
        busy(http("503 Service Unavailable", R"({"error":"too many waiters"})", "Retry-After: 7\r\n"));
    CHECK(predicate(full) == "is overloaded: too many waiters (status 503)");
    CHECK(full.retry_after == Duration(7s));
    CHECK_FALSE(full.may_be_done);
    CHECK(busy(http("503 Service Unavailable", R"({"error":"shutting down"})")).reason ==
          "shutting down (status 503)");
    CHECK(busy(http("429 Too Many Requests", "", "Retry-After: 1\r\n")).reason == "overloaded (status 429)");
    const Busy failing = busy(http("502 Bad Gateway", R"({"error":"database command failed"})"));
    CHECK(failing.reason == "in trouble: database command failed (status 502)");
    CHECK(failing.may_be_done);
}

TEST_CASE("who holds a lease need not hear a semad first") {
    ScriptedServer server({{Scene::Wait::for_request, foreign.front()}});
    Client client(*parse_server_address(server.url()));
    client.expect_semad();
    CHECK(std::holds_alternative<Unreachable>(client.give_back(pool, LeaseId::random(), 5s)));
}
