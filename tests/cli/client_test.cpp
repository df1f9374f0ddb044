#include "cli/client.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/scripted_server.hpp"

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

Client client_of(const std::string& url) {
    return Client(*parse_server_address(url));
}

// Waits for ever.
class Patient : public Waiter {
  public:
    int wake_fd() const override { return -1; }
    bool keep_waiting() override { return true; }
};

const PoolId pool = PoolId::random();

// What one answer of a server makes of a borrow.
BorrowAnswer borrow_from(const std::string& answer) {
    ScriptedServer server({{Scene::Wait::for_request, answer}});
    Patient patient;
    return client_of(server.url()).borrow(pool, 60s, 1s, patient);
}

template <class Result, class Answer>
const Result& as(const Answer& answer) {
    REQUIRE(std::holds_alternative<Result>(answer));
    return std::get<Result>(answer);
}

}  // namespace

TEST_CASE("a borrow sends what the interface asks for") {
    ScriptedServer server(
        {{Scene::Wait::for_request, http("409 Conflict", R"({"error":"no resource available"})")}});
    Patient patient;
    as<NoSlot>(client_of(server.url()).borrow(pool, 1500ms, 250ms, patient));
    const std::string request = server.requests().at(0);
    CHECK_THAT(request, Catch::Matchers::StartsWith("POST /l/" + pool.str() + "/borrow HTTP/1.1\r\n"));
    CHECK_THAT(request, has_text("Content-Type: application/json\r\n"));
    CHECK_THAT(request, Catch::Matchers::EndsWith("\r\n\r\n{\"ttl\":1.5,\"wait\":0.25}"));
}

TEST_CASE("a path in the server's URL goes before the call's") {
    ScriptedServer server({{Scene::Wait::for_request, http("200 OK", R"({"version":"1.2.3"})")}});
    CHECK(as<wire::Version>(client_of(server.url() + "/sema/").version()).version == "1.2.3");
    CHECK_THAT(server.requests().at(0), Catch::Matchers::StartsWith("GET /sema/version HTTP/1.1\r\n"));
}

TEST_CASE("a grant comes with the moments it lies after") {
    const std::string lease = LeaseId::random().str();
    const Moment before = BootClock::now();
    const auto answer =
        borrow_from(http("200 OK", R"({"lease":")" + lease +
                                       R"(","position":2,"expires_at_unix":2000000000,"expires_in":60})"));
    const auto& grant = as<Grant>(answer);
    CHECK(grant.lease.lease.str() == lease);
    CHECK(grant.lease.position == 2);
    CHECK(before <= grant.asked);
    CHECK(grant.asked <= grant.unanswered);
    CHECK(grant.unanswered <= BootClock::now());
}

TEST_CASE("only the server's own words make a pool absent or a slot missing") {
    as<NoSuchPool>(borrow_from(http("404 Not Found", R"({"error":"no such pool"})")));
    as<Rejected>(borrow_from(http("404 Not Found", "<html>nginx</html>")));
    as<Rejected>(borrow_from(http("404 Not Found", "")));
    as<Rejected>(borrow_from(http("404 Not Found", R"({"error":"no such path"})")));
    as<NoSlot>(borrow_from(http("409 Conflict", R"({"error":"no resource available"})")));
    as<Rejected>(borrow_from(http("409 Conflict", R"({"error":"lease id in use"})")));
    as<Rejected>(borrow_from(http("204 No Content", "")));
    as<Rejected>(borrow_from(http("301 Moved", "", "Location: http://127.0.0.1:9/\r\n")));
    as<Rejected>(borrow_from(http("418 Teapot", "{}")));
}

TEST_CASE("trouble that may pass is told from trouble that stays") {
    const auto busy =
        borrow_from(http("503 Service Unavailable", R"({"error":"too many waiters"})", "Retry-After: 7\r\n"));
    CHECK(as<Unavailable>(busy).reason == "status 503, too many waiters");
    CHECK(as<Unavailable>(busy).retry_after == Duration(7s));
    CHECK(as<Unavailable>(borrow_from(http("502 Bad Gateway", "<html>"))).reason == "status 502");
    as<Unavailable>(borrow_from(http("504 Gateway Timeout", "")));
    as<Unavailable>(borrow_from(http("429 Too Many Requests", "")));
    CHECK(as<Unavailable>(borrow_from("")).reason == "the connection was closed without an answer");
    as<Unavailable>(borrow_from("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"));
    as<Unavailable>(borrow_from("HTTP/1.1 200 OK\r\nConte"));

    CHECK(as<Rejected>(borrow_from(http("400 Bad Request", R"({"error":"ttl is required"})"))).reason ==
          "refused: ttl is required (status 400)");
    as<Rejected>(borrow_from("220 smtp.example ESMTP\r\n"));
    as<Rejected>(borrow_from(http("200 OK", R"({"lease":"nonsense"})")));
    as<Rejected>(borrow_from(http("200 OK", std::string(70'000, ' '))));
    as<Rejected>(borrow_from(http("200 OK", "{}", "Filler: " + std::string(310'000, 'x') + "\r\n")));
}

TEST_CASE("a server that never answers is given up on soon after the wait") {
    ScriptedServer server({{Scene::Wait::for_end_of_input, ""}});
    Patient patient;
    const Moment begin = BootClock::now();
    const auto answer = client_of(server.url()).borrow(pool, 60s, 100ms, patient);
    CHECK(as<Unavailable>(answer).reason == "no answer came in time");
    CHECK(BootClock::now() - begin < 10s);
}

TEST_CASE("yes and no are told apart") {
    const auto returned = [](const std::string& body) {
        ScriptedServer server({{Scene::Wait::for_request, http("200 OK", body)}});
        return client_of(server.url()).give_back(pool, LeaseId::random(), 5s);
    };
    CHECK(as<wire::Returned>(returned(R"({"returned":true})")).returned);
    CHECK_FALSE(as<wire::Returned>(returned(R"({"returned":false})")).returned);
    as<Rejected>(returned(R"({"returned":"yes"})"));
    as<Rejected>(returned("true"));
}
