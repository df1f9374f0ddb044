#include "client/client.hpp"

#include "client/connection.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/forked_child.hpp"
#include "tests/support/patient.hpp"
#include "tests/support/scripted_server.hpp"
#include "tests/support/temp_dir.hpp"

#include <sys/stat.h>
#include <sys/un.h>

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

Client client_of(const std::string& url) {
    return Client(*parse_server_address(url));
}

const PoolId pool = PoolId::random();

// What one answer of a server makes of a borrow.
BorrowAnswer borrow_from(const std::string& answer) {
    ScriptedServer server({{Scene::Wait::for_request, answer}});
    Patient patient;
    return client_of(server.url()).borrow(pool, {60s, 1s}, patient);
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
    as<NoSlot>(client_of(server.url()).borrow(pool, {1500ms, 250ms}, patient));
    const std::string request = server.requests().at(0);
    CHECK_THAT(request, Catch::Matchers::StartsWith("POST /l/" + pool.str() + "/borrow HTTP/1.1\r\n"));
    CHECK_THAT(request, has_text("Content-Type: application/json\r\n"));
    CHECK_THAT(request, Catch::Matchers::EndsWith("\r\n\r\n{\"ttl\":1.5,\"wait\":0.25}"));
}

TEST_CASE("a path in the server's URL goes before the call's") {
    ScriptedServer server({{Scene::Wait::for_request, http("200 OK", R"({"version":"1.2.3"})")}});
    CHECK(as<wire::ServerVersion>(client_of(server.url() + "/sema/").version()).version == "1.2.3");
    CHECK_THAT(server.requests().at(0), Catch::Matchers::StartsWith("GET /sema/version HTTP/1.1\r\n"));
}

TEST_CASE("a grant comes with a moment that it lies after") {
    const std::string lease = LeaseId::random().str();
    const Moment before = BootClock::now();
    const auto answer =
        borrow_from(http("200 OK", R"({"lease":")" + lease +
                                       R"(","position":2,"expires_at_unix":2000000000,"expires_in":60})"));
    const auto& grant = as<Grant>(answer);
    CHECK(grant.lease.lease.str() == lease);
    CHECK(grant.lease.position == 2);
    CHECK(before <= grant.asked);
    CHECK(grant.asked <= BootClock::now());
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
    const auto away = borrow_from(http("503 Service Unavailable", "", "Retry-After: 7\r\n"));
    CHECK(as<Unreachable>(away).reason == "status 503");
    CHECK(as<Unreachable>(away).retry_after == Duration(7s));
    CHECK(as<Unreachable>(borrow_from(http("502 Bad Gateway", "<html>"))).reason == "status 502");
    as<Unreachable>(borrow_from(http("504 Gateway Timeout", "")));
    CHECK(as<Unreachable>(borrow_from("")).reason == "the connection was closed without an answer");
    as<Unreachable>(borrow_from("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"));
    as<Unreachable>(borrow_from("HTTP/1.1 200 OK\r\nConte"));

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
    const auto answer = client_of(server.url()).borrow(pool, {60s, 100ms}, patient);
    CHECK(as<Unreachable>(answer).reason == "no answer came in time");
    CHECK(BootClock::now() - begin < 10s);
}

TEST_CASE("a socket that this user may not use is told from one behind which nobody is") {
    const TempDir folder;
    const std::string path = (folder.path() / "semad.sock").string();
    const auto trouble = [&] {
        const auto answer = client_of("unix:" + path).version();
        const auto& why = std::get<Unreachable>(answer);
        return why.reason + " (" + why.advice + ")";
    };
    const std::string nobody = " (is semad running there? --server names another)";
    CHECK(trouble() == "No such file or directory" + nobody);
    const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    CHECK(trouble() == "Connection refused" + nobody);
    REQUIRE(listen(socket, 1) == 0);
    ::chmod(path.c_str(), 0);
    ForkedChild other([&](const ForkedChild::Report& report) {
        // Root may use any.
        if (::geteuid() == 0 && ::seteuid(65534) != 0) report("seteuid");
        report(trouble());
    });
    CHECK(other.next_line() ==
          "Permission denied (this user may not use the socket: semad's --socket-mode and --socket-group say "
          "who may)");
    close(socket);
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

TEST_CASE(
    "a borrow with a field more asks for the extended answer, and a refusal tells the place in the queue") {
    const std::string refusal =
        R"({"error":"no resource available","rank":2,"queue":3,"in_use":4,"count":4,"eta":240})";
    ScriptedServer server({{Scene::Wait::for_request, http("409 Conflict", refusal)}});
    Patient patient;
    wire::BorrowRequest request{60s, 1s};
    request.extended = true;
    request.priority = -5;
    const auto answer = client_of(server.url()).borrow(pool, request, patient);
    const auto& details = as<NoSlot>(answer).details;
    REQUIRE(details);
    CHECK(details->rank == 2);
    CHECK(details->queue == 3);
    CHECK(details->eta == 240);
    CHECK_FALSE(as<NoSlot>(answer).keeps_place);
    CHECK_THAT(server.requests().at(0), has_text(R"("priority":-5)"));
}

TEST_CASE("a keepalive tells renewed, gone and forbidden apart") {
    const LeaseId lease = LeaseId::random();
    const auto kept = [&](const std::string& answer) {
        ScriptedServer server({{Scene::Wait::for_request, answer}});
        return client_of(server.url()).keepalive(pool, lease, 30s);
    };
    const auto renewed =
        kept(http("200 OK", R"({"renewed":true,"lease":")" + lease.str() +
                                R"(","position":3,"expires_at_unix":2000000000,"expires_in":30})"));
    CHECK(as<wire::Renewed>(renewed).lease->position == 3);
    CHECK_FALSE(as<wire::Renewed>(kept(http("200 OK", R"({"renewed":false})"))).lease);
    as<NotRenewable>(kept(http("409 Conflict", R"({"error":"lease is not renewable"})")));
    as<Rejected>(kept(http("409 Conflict", R"({"error":"something else"})")));
    as<Rejected>(kept(http("404 Not Found", R"({"error":"no such path"})")));
    const auto others =
        kept(http("200 OK", R"({"renewed":true,"lease":")" + LeaseId::random().str() +
                                R"(","position":3,"expires_at_unix":2000000000,"expires_in":30})"));
    CHECK_THAT(as<Rejected>(others).reason, has_text("about another lease"));
    CHECK(as<Rejected>(others).is_foreign);
}

TEST_CASE("a borrower that named its lease is taken out of the queue by that name") {
    const LeaseId lease = LeaseId::random();
    ScriptedServer server({{Scene::Wait::for_request, http("200 OK", R"({"cancelled":true})")}});
    const auto answer = client_of(server.url()).cancel(pool, lease, 5s);
    CHECK(as<wire::Cancelled>(answer).cancelled);
    CHECK_THAT(server.requests().at(0),
               Catch::Matchers::StartsWith("DELETE /l/" + pool.str() + "/queue/" + lease.str() + " HTTP"));
}

namespace {

std::string view_body(int count, const std::string& holders = "") {
    return R"({"id":")" + pool.str() + R"(","name":null,"count":)" + std::to_string(count) +
           R"(,"in_use":0,"available":1,"renewable":true,"cooldown":0,"holders":[)" + holders +
           R"(],"queue":[],"eta":null})";
}

std::string stream_of(const std::string& events) {
    return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + events;
}

std::string state_event(int count) {
    return "event: state\ndata: " + view_body(count) + "\n\n";
}

// The counts of the states that a watch was told, and how it ended.
std::pair<std::vector<unsigned>, WatchEnd> watched(const std::string& answer, std::size_t most = 100) {
    ScriptedServer server({{Scene::Wait::for_request, answer}});
    Patient patient;
    std::vector<unsigned> counts;
    WatchEnd end = client_of(server.url())
                       .watch(
                           pool,
                           [&](const wire::PoolDetails& view) {
                               counts.push_back(view.count);
                               return counts.size() < most;
                           },
                           patient);
    return {counts, std::move(end)};
}

}  // namespace

TEST_CASE("lists of holders and of past leases may have many megabytes") {
    const auto listed = [](const std::string& times) {
        const std::string one = R"({"position":0,"positions":[0],"holder":{"url":"http://)" +
                                std::string(1900, 'x') + R"("},"fence":1,)" + times + "}";
        std::string all = one;
        for (int i = 1; i < 10'000; ++i)
            all += "," + one;
        return all;
    };
    const std::string holders = listed(R"("granted_at_unix":1,"expires_at_unix":2,"expires_in":1)");
    const std::string history =
        listed(R"("waited":0,"granted_at_unix":1,"ended_at_unix":2,"how":"returned")");
    ScriptedServer server(
        {{Scene::Wait::for_request, http("200 OK", view_body(1, holders))},
         {Scene::Wait::for_request,
          http("200 OK", R"({"id":")" + pool.str() + R"(","name":null,"history":[)" + history + "]}")}});
    Client client = client_of(server.url());
    CHECK(as<wire::PoolDetails>(client.holders(pool)).holders.size() == 10'000);
    CHECK(as<wire::PoolHistory>(client.history(pool, {})).history.size() == 10'000);
}

TEST_CASE("a lease has no more than some megabytes") {
    ScriptedServer server({{Scene::Wait::for_request, http("200 OK", std::string(17 << 20, ' '))}});
    wire::BorrowRequest request{60s, 1s};
    request.extended = true;
    Patient patient;
    const auto answer = client_of(server.url()).borrow(pool, request, patient);
    CHECK_THAT(as<Rejected>(answer).reason, has_text("too long"));
}

TEST_CASE("the administrator's call carries the token, and its list may be long") {
    const std::string one = R"({"id":")" + pool.str() + R"(","name":")" + std::string(200, 'x') +
                            R"(","count":1,"in_use":0,"available":1,"queue":2})";
    std::string all = one;
    for (int i = 1; i < 60'000; ++i)
        all += "," + one;
    ScriptedServer server({{Scene::Wait::for_request, http("200 OK", R"({"pools":[)" + all + "]}")}});
    const auto answer = client_of(server.url()).pools("s3cret");
    CHECK(as<wire::PoolList>(answer).pools.size() == 60'000);
    CHECK(as<wire::PoolList>(answer).pools.back().queue == 2);
    CHECK_THAT(server.requests().at(0), Catch::Matchers::StartsWith("GET /pools HTTP/1.1\r\n") &&
                                            has_text("\r\nAuthorization: Bearer s3cret\r\n"));
}

TEST_CASE("only a semad's own words make somebody no administrator") {
    const auto asked = [](const std::string& answer) {
        ScriptedServer server({{Scene::Wait::for_request, answer}});
        return client_of(server.url()).pools("s3cret");
    };
    CHECK(as<NotAdmin>(asked(http("401 Unauthorized", R"({"error":"admin token required: ..."})",
                                  "WWW-Authenticate: Bearer\r\n"))) == NotAdmin::no_token_came);
    CHECK(as<NotAdmin>(asked(http("403 Forbidden", R"({"error":"wrong admin token"})"))) ==
          NotAdmin::wrong_token);
    CHECK(as<NotAdmin>(asked(http("404 Not Found", R"({"error":"no such path"})"))) ==
          NotAdmin::no_administrator);
    as<Rejected>(asked(http("404 Not Found", "<html>nginx</html>")));
    as<Rejected>(asked(http("403 Forbidden", "<html>nginx</html>")));
    as<Rejected>(asked(http("403 Forbidden", R"({"error":"forbidden"})")));
    as<Rejected>(asked(http("401 Unauthorized", "", "WWW-Authenticate: Basic\r\n")));
    as<Rejected>(asked(http("200 OK", "{}")));
    as<Busy>(asked(http("503 Service Unavailable", R"({"error":"too many lists"})")));
    as<Unreachable>(asked(""));
}

TEST_CASE("a watch hands out each state, and tells why it ended") {
    const auto [counts, end] = watched(stream_of(":\n\n" + state_event(1) + ":\n\n" + state_event(2)));
    CHECK(counts == std::vector<unsigned>{1, 2});
    CHECK(as<Unreachable>(end).reason == "the connection was closed");

    const std::string deleted = "event: deleted\ndata: {\"deleted\":true}\n\n";
    as<NoSuchPool>(watched(stream_of(state_event(1) + deleted)).second);
    as<NoSuchPool>(watched(http("404 Not Found", R"({"error":"no such pool"})")).second);
    as<Left>(watched(stream_of(state_event(1) + state_event(2)), 1).second);
    as<Rejected>(watched(http("404 Not Found", R"({"error":"no such path"})")).second);
    as<Rejected>(watched(http("200 OK", "{}")).second);
    as<Rejected>(watched(stream_of("event: state\ndata: {}\n\n")).second);
    as<Busy>(watched(http("503 Service Unavailable", R"({"error":"shutting down"})")).second);
    as<Unreachable>(watched(http("503 Service Unavailable", "")).second);
    // Once there was a state, a semad was heard.
    as<Unreachable>(watched(stream_of(state_event(1) + "event: state\ndata: {}\n\n")).second);
    as<Unreachable>(watched("").second);
}

TEST_CASE("an event of an unknown kind is read over") {
    const auto [counts, end] = watched(stream_of("event: news\ndata: {}\n\n" + state_event(3)));
    CHECK(counts == std::vector<unsigned>{3});
}

TEST_CASE("a stream that nothing is heard of any more is given up on") {
    ScriptedServer server({{Scene::Wait::for_end_of_input, ""}});
    Connection connection(*parse_server_address(server.url()));
    Patient patient;
    Request request{"GET", "/", ""};
    request.control = &patient;
    const Exchange end = connection.stream(request, 1s, [](const ServerEvent&) { return true; });
    CHECK(as<Unreachable>(end).reason == "nothing was heard of it for 1s");
}

TEST_CASE("a watcher leaves as soon as it is told to") {
    class Leaving : public Patient {
      public:
        bool keep_waiting() override { return false; }
    };
    ScriptedServer server({{Scene::Wait::for_end_of_input, ""}});
    Leaving leaving;
    as<Left>(client_of(server.url())
                 .watch(
                     pool, [](const wire::PoolDetails&) { return true; }, leaving));
}
