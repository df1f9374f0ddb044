#include "client/calls.hpp"
#include "client/client.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/patient.hpp"
#include "tests/support/reserved_port.hpp"
#include "tests/support/scripted_server.hpp"

// Several servers over one store, of which one is away.

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

const PoolId pool = PoolId::random();
const LeaseId lease = LeaseId::random();

Scene says(const std::string& status, const std::string& body) {
    return {Scene::Wait::for_request, http(status, body)};
}

// Takes a request and hangs up.
const Scene cut{Scene::Wait::for_request, ""};
// Takes a connection and never answers.
const Scene silent{Scene::Wait::for_end_of_input, ""};
const Scene ingress = says("404 Not Found", "404 page not found\n");
const Scene draining = says("503 Service Unavailable", R"({"error":"shutting down"})");
const Scene no_pool = says("404 Not Found", R"({"error":"no such pool"})");
const Scene full = says("409 Conflict", R"({"error":"no resource available"})");
const Scene version = says("200 OK", R"({"version":"1.2.3"})");
const Scene state = says("200 OK", R"({"id":")" + pool.str() + R"(","count":2,"in_use":1,"available":1})");
const Scene returned = says("200 OK", R"({"returned":true})");
const Scene not_held = says("200 OK", R"({"returned":false})");
const Scene not_renewed = says("200 OK", R"({"renewed":false})");
const std::string four_keys =
    R"("lease":")" + lease.str() + R"(","position":0,"expires_at_unix":2000000000,"expires_in":60})";
const Scene renewed = says("200 OK", R"({"renewed":true,)" + four_keys);
const Scene granted = says("200 OK", "{" + four_keys);

std::vector<ServerAddress> addresses(const std::vector<std::string>& urls) {
    std::vector<ServerAddress> all;
    for (const std::string& url : urls)
        all.push_back(*parse_server_address(url));
    return all;
}

// Two servers, and a client that knows both.
struct Two {
    Two(std::vector<Scene> first, std::vector<Scene> second)
        : one(std::move(first)), other(std::move(second)) {}

    std::size_t asked_one() const { return one.requests().size(); }
    std::size_t asked_other() const { return other.requests().size(); }

    ScriptedServer one;
    ScriptedServer other;
    Client client{addresses({one.url(), other.url()})};
};

template <class Result, class Answer>
const Result& as(const Answer& answer) {
    REQUIRE(std::holds_alternative<Result>(answer));
    return std::get<Result>(answer);
}

}  // namespace

TEST_CASE("where one server is away the next one is asked, and then stayed with") {
    for (const Scene& away : {cut, ingress, draining, says("502 Bad Gateway", "<html>"),
                              says("503 Service Unavailable", ""), says("504 Gateway Timeout", "")}) {
        CAPTURE(away.answer);
        Two servers({away, version}, {version, version});
        as<wire::ServerVersion>(servers.client.version());
        CHECK(servers.client.server().name == servers.other.url());
        CHECK_THAT(servers.client.passed_over(), has_text(servers.one.url()));
        as<wire::ServerVersion>(servers.client.version());
        CHECK(servers.client.passed_over().empty());
        CHECK(servers.asked_one() == 1);
        CHECK(servers.asked_other() == 2);
    }
}

TEST_CASE("a server that refuses the connection, or is not found, is passed over") {
    const ReservedPort port;
    ScriptedServer there({version, version});
    const std::string refusing = "http://127.0.0.1:" + std::to_string(port.number());
    Client client(addresses({refusing, "http://no-such-host.invalid:1", there.url()}));
    as<wire::ServerVersion>(client.version());
    CHECK(client.server().name == there.url());
    CHECK(client.names() == refusing + " or http://no-such-host.invalid:1 or " + there.url());
}

TEST_CASE("where all servers are away the reason tells of each, always in the same words") {
    const ReservedPort one;
    const ReservedPort other;
    const std::string first = "http://127.0.0.1:" + std::to_string(one.number());
    const std::string second = "http://127.0.0.1:" + std::to_string(other.number());
    Client client(addresses({first, second}));
    for (int i = 0; i < 3; ++i) {
        const auto answer = client.version();
        CHECK(client.server().name + " " + predicate(as<Unreachable>(answer)) ==
              first + " is not available: Connection refused, and " + second +
                  " is not available: Connection refused");
        CHECK(as<Unreachable>(answer).advice.empty());
        CHECK_FALSE(as<Unreachable>(answer).may_be_done);
    }
}

TEST_CASE("a server that was reached is what the trouble is about, before one that was not") {
    Two servers({cut, ingress}, {draining, cut});
    const auto busy = servers.client.version();
    CHECK_THAT(servers.client.server().name + " " + predicate(as<Busy>(busy)),
               Catch::Matchers::StartsWith(servers.other.url() + " is shutting down") &&
                   has_text(", and " + servers.one.url() + " is not available: "));
    // It begins with that one now.
    as<Unreachable>(servers.client.version());
}

TEST_CASE("a server that takes a connection and never answers leaves as much time to the next one") {
    Two servers({silent}, {renewed});
    const Moment begin = BootClock::now();
    as<wire::Renewed>(servers.client.keepalive(pool, lease, 60s, 2s));
    CHECK(BootClock::now() - begin >= 900ms);
    CHECK(servers.client.server().name == servers.other.url());
}

TEST_CASE("what must not be done twice is left to the next server only where it was surely not done") {
    Two lost({cut}, {state});
    CHECK(as<Unreachable>(lost.client.resize(pool, 1)).may_be_done);
    CHECK(lost.asked_other() == 0);
    Two unheard({ingress}, {state});
    as<wire::PoolState>(unheard.client.resize(pool, 1));
    Two stopping({draining}, {says("200 OK", R"({"revoked":true})")});
    CHECK(as<wire::Revoked>(stopping.client.revoke(pool, {0})).revoked);
    Two deleting({cut}, {says("200 OK", R"({"deleted":false})")});
    as<Unreachable>(deleting.client.remove(pool));
    Patient patient;
    Two plain({cut}, {granted});
    as<Unreachable>(plain.client.borrow(pool, {60s, 0s}, patient));
    CHECK(plain.asked_other() == 0);
}

TEST_CASE("a slot that may have been taken out of service is so once the next server answered") {
    const Scene out = says("200 OK", R"({"position":0,"out":true,"reason":"fan","since_unix":1})");
    Two lost({cut}, {out});
    CHECK(as<wire::SlotState>(lost.client.set_slot(pool, 0, {.out = true, .reason = "fan"})).out);
    CHECK(lost.asked_other() == 1);
}

TEST_CASE("a borrow that named its lease goes on at the next server, for the rest of its wait") {
    Patient patient;
    wire::BorrowRequest request{60s, 100s};
    request.lease = lease;
    request.extended = true;
    Two servers({{Scene::Wait::for_request, "", 200ms}}, {granted});
    const auto answer = servers.client.borrow(pool, request, patient);
    CHECK(as<Grant>(answer).may_be_older);
    CHECK_THAT(servers.other.requests().at(0), has_text(lease.str()) && has_text(R"("wait":9)"));
    Two unheard({ingress}, {granted});
    CHECK_FALSE(as<Grant>(unheard.client.borrow(pool, request, patient)).may_be_older);
}

TEST_CASE("once the wait went by at one server, the next one has a second to answer") {
    Servers servers{addresses({"http://127.0.0.1:1", "http://127.0.0.1:2"})};
    wire::BorrowRequest request{60s, 1ms};
    request.lease = lease;
    const auto call = borrow_call(servers, pool, request, nullptr, Leaving::by_id);
    CHECK(call->request().limit == 1001ms);
    REQUIRE(eventually([end = BootClock::now() + 1ms] { return BootClock::now() > end; }));
    REQUIRE_FALSE(call->take(Unreachable{"no answer came in time"}));
    CHECK(call->request().limit == 1s);
}

TEST_CASE("a return that the server before may have done counts as done") {
    Two servers({cut}, {not_held});
    CHECK(as<wire::Returned>(servers.client.give_back(pool, lease, 5s)).returned);
}

TEST_CASE("a server without the pool is not believed that a lease is not held") {
    Two returns({ingress}, {not_held, no_pool});
    CHECK_THAT(predicate(as<Unreachable>(returns.client.give_back(pool, lease, 5s))),
               has_text("knows no such pool (do the servers share a store?)"));
    CHECK(returns.asked_other() == 2);
    Two keepalives({ingress}, {not_renewed, no_pool});
    as<Unreachable>(keepalives.client.keepalive(pool, lease, 60s, 5s));
    CHECK_THAT(keepalives.other.requests().at(1), Catch::Matchers::StartsWith("GET /l/" + pool.str() + " "));
}

TEST_CASE("a server that has the pool is believed that a lease is not held") {
    Two returns({ingress}, {not_held, state});
    CHECK_FALSE(as<wire::Returned>(returns.client.give_back(pool, lease, 5s)).returned);
    Two keepalives({ingress}, {not_renewed, state});
    CHECK_FALSE(as<wire::Renewed>(keepalives.client.keepalive(pool, lease, 60s, 5s)).lease);
    // And so is the first one, whose word is not checked.
    Two at_once({not_held}, {});
    CHECK_FALSE(as<wire::Returned>(at_once.client.give_back(pool, lease, 5s)).returned);
    CHECK(at_once.asked_one() == 1);
    // A server that renewed the lease is the one it is known from.
    Two later({cut}, {renewed, not_renewed});
    as<wire::Renewed>(later.client.keepalive(pool, lease, 60s, 5s));
    CHECK_FALSE(as<wire::Renewed>(later.client.keepalive(pool, lease, 60s, 5s)).lease);
    CHECK(later.asked_other() == 2);
}

TEST_CASE("a pool that one server had does not become absent by another one's word") {
    Patient patient;
    wire::BorrowRequest request{60s, 1s};
    request.lease = lease;
    Two servers({full, cut, no_pool}, {no_pool});
    as<NoSlot>(servers.client.borrow(pool, request, patient));
    const auto answer = servers.client.borrow(pool, request, patient);
    CHECK_THAT(predicate(as<Unreachable>(answer)),
               has_text(servers.other.url() + " is not available: it knows no such pool"));
    // Who had it may say that it is gone.
    as<NoSuchPool>(servers.client.borrow(pool, request, patient));
    Two never({cut}, {no_pool});
    as<NoSuchPool>(never.client.borrow(pool, request, patient));
    CHECK_THAT(never.client.passed_over(), has_text(never.one.url() + " is not available"));
}

TEST_CASE("another client knows what the first one does of the servers") {
    Two servers({ingress}, {state, not_renewed});
    as<wire::PoolState>(servers.client.inspect(pool));
    const auto another = servers.client.another();
    CHECK_FALSE(as<wire::Renewed>(another->keepalive(pool, lease, 60s, 5s)).lease);
    CHECK(servers.asked_one() == 1);
}

TEST_CASE("a watch goes on at the next server") {
    const std::string head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    const auto shows = [&](int count) {
        return Scene{
            Scene::Wait::for_request,
            head + R"(event: state
data: {"id":")" +
                pool.str() + R"(","name":null,"count":)" + std::to_string(count) +
                R"(,"in_use":0,"available":1,"renewable":true,"cooldown":0,"holders":[],"queue":[],)" +
                "\"eta\":null}\n\n"};
    };
    Two servers({shows(1)}, {shows(2)});
    Patient patient;
    std::vector<unsigned> counts;
    const WatchEnd end = servers.client.watch(
        pool,
        [&](const wire::PoolDetails& view) {
            counts.push_back(view.count);
            return counts.size() < 2;
        },
        patient);
    as<Left>(end);
    CHECK(counts == std::vector<unsigned>{1, 2});
}

TEST_CASE("with one server all is as if there were no others") {
    ScriptedServer server({no_pool, not_held, not_renewed});
    Client client(*parse_server_address(server.url()));
    as<NoSuchPool>(client.inspect(pool));
    CHECK_FALSE(as<wire::Returned>(client.give_back(pool, lease, 5s)).returned);
    CHECK_FALSE(as<wire::Renewed>(client.keepalive(pool, lease, 60s, 5s)).lease);
    CHECK(client.passed_over().empty());
}
