#include "tests/http/in_process_server.hpp"

using namespace sema;
using namespace sema::test;

namespace {

std::string lease_body(const std::string& lease) {
    return R"({"lease":")" + lease + R"("})";
}

}  // namespace

TEST_CASE("no answer is sent before what it tells is stored") {
    Server server;
    RawClient borrower = server.connect();
    RawClient onlooker = server.connect();
    server.slow_down();
    {
        StoreFaults::Gate gate(server.faults());
        borrower.send(server.request("POST", "/borrow", R"({"ttl":60})"));
        gate.await_commit();
        // Answered on the spot, by the thread that has dealt with all that came before.
        onlooker.send(server.request("GET", "") + http_request("GET", "/"));
        RawClient other = server.connect();
        other.send(http_request("GET", "/"));
        CHECK(other.receive().status == 404);
        CHECK_FALSE(borrower.has_answer());
        CHECK_FALSE(onlooker.has_answer());
    }
    CHECK(borrower.receive().status == 200);
    CHECK(nlohmann::json::parse(onlooker.receive().body).at("in_use") == 1);
}

TEST_CASE("a borrower that goes while its answer is being stored loses its lease") {
    Server server;
    for (const bool with_reset : {false, true}) {
        RawClient borrower = server.connect();
        {
            StoreFaults::Gate gate(server.faults());
            borrower.send(server.request("POST", "/borrow", R"({"ttl":60})"));
            gate.await_commit();
            with_reset ? borrower.abort() : borrower.close();
        }
        CHECK(eventually([&] { return server.in_use() == 0; }));
    }
}

TEST_CASE("the slot of a borrower that goes while its answer is being stored goes to the next") {
    Server server;
    for (const bool with_reset : {false, true}) {
        RawClient borrower = server.connect();
        RawClient next = server.connect();
        server.slow_down();
        {
            StoreFaults::Gate gate(server.faults());
            borrower.send(server.request("POST", "/borrow", R"({"ttl":60})"));
            gate.await_commit();
            next = server.queue_up();
            with_reset ? borrower.abort() : borrower.close();
        }
        const HttpResponse response = next.receive();
        REQUIRE(response.status == 200);
        const std::string lease = nlohmann::json::parse(response.body).at("lease");
        CHECK(server.call("POST", "/return", lease_body(lease)).body == R"({"returned":true})");
    }
    CHECK(server.in_use() == 0);
}

TEST_CASE("the slot of a waiter that goes while its grant is being stored goes to the next") {
    Server server;
    for (const bool with_reset : {false, true}) {
        const std::string held = server.take();
        RawClient first = server.queue_up();
        RawClient next = server.queue_up();
        RawClient holder = server.connect();
        {
            StoreFaults::Gate gate(server.faults());
            holder.send(server.request("POST", "/return", lease_body(held)));
            gate.await_commit();
            with_reset ? first.abort() : first.close();
        }
        CHECK(holder.receive().body == R"({"returned":true})");
        const HttpResponse response = next.receive();
        REQUIRE(response.status == 200);
        const std::string lease = nlohmann::json::parse(response.body).at("lease");
        CHECK(server.call("POST", "/return", lease_body(lease)).body == R"({"returned":true})");
    }
    CHECK(server.in_use() == 0);
}

TEST_CASE(
    "a borrower that only stops sending while its answer is being stored gets it, and keeps its lease") {
    Server server;
    RawClient borrower = server.connect();
    {
        StoreFaults::Gate gate(server.faults());
        borrower.send(server.request("POST", "/borrow", R"({"ttl":60})"));
        gate.await_commit();
        borrower.half_close();
    }
    const HttpResponse response = borrower.receive();
    CHECK(response.status == 200);
    CHECK(borrower.closed_by_server());
    CHECK(server.in_use() == 1);
    const std::string lease = nlohmann::json::parse(response.body).at("lease");
    CHECK(server.call("POST", "/return", lease_body(lease)).body == R"({"returned":true})");
}

TEST_CASE("a borrower that goes while its answer is being stored loses its lease though the server stops") {
    for (const bool with_reset : {false, true}) {
        Server server;
        RawClient borrower = server.connect();
        server.slow_down();
        StoreFaults::Gate gate(server.faults());
        borrower.send(server.request("POST", "/borrow", R"({"ttl":60})"));
        gate.await_commit();
        with_reset ? borrower.abort() : borrower.close();
        RawClient other = server.connect();
        other.send(http_request("GET", "/"));
        other.receive();
        server.stop([&] { gate.open(); });
        CHECK(server.stored_leases() == 0);
    }
}

TEST_CASE("a return is done though its client doesn't stay for the answer") {
    Server server;
    const std::string held = server.take();
    {
        RawClient holder = server.connect();
        holder.send(server.request("POST", "/return", lease_body(held)));
    }
    CHECK(eventually([&] { return server.in_use() == 0; }));
}

TEST_CASE("a call whose changes cannot be stored is answered 502, and changed nothing") {
    Server server;
    const std::string held = server.take();
    const auto fails = [&](const std::string& method, const std::string& call, const std::string& body = "") {
        server.faults().fail_commits(1);
        const HttpResponse response = server.call(method, call, body);
        CHECK(response.status == 502);
        CHECK(response.body == R"({"error":"database command failed"})");
    };
    fails("PUT", "", R"({"count":2})");
    fails("DELETE", "");
    fails("POST", "/return", lease_body(held));
    CHECK(server.in_use() == 1);
    CHECK(server.call("POST", "/return", lease_body(held)).body == R"({"returned":true})");
    fails("POST", "/borrow", R"({"ttl":60})");
    CHECK(server.in_use() == 0);
    CHECK(server.call("POST", "/borrow", R"({"ttl":60})").status == 200);
}

TEST_CASE("a waiter whose grant cannot be stored is answered 502, and the lease stays with its holder") {
    Server server;
    const std::string held = server.take();
    RawClient waiter = server.queue_up();
    server.faults().fail_commits(1);
    CHECK(server.call("POST", "/return", lease_body(held)).status == 502);
    CHECK(waiter.receive().status == 502);
    CHECK(server.in_use() == 1);
    CHECK(server.call("POST", "/return", lease_body(held)).body == R"({"returned":true})");
    CHECK(server.in_use() == 0);
}

TEST_CASE("a client that goes before a 502 leaves nothing behind") {
    Server server;
    {
        RawClient borrower = server.connect();
        StoreFaults::Gate gate(server.faults());
        borrower.send(server.request("POST", "/borrow", R"({"ttl":60})"));
        gate.await_commit();
        server.faults().fail_commits(1);
        borrower.abort();
    }
    CHECK(eventually([&] { return server.in_use() == 0; }));
    CHECK(server.call("POST", "/borrow", R"({"ttl":60})").status == 200);
}

namespace {

std::string keyed_body(const std::string& lease, int wait = 0) {
    return nlohmann::json({{"ttl", 60}, {"wait", wait}, {"lease", lease}}).dump();
}

}  // namespace

TEST_CASE(
    "a borrower with an id of its own that goes while its answer is being stored finds its lease again") {
    Server server;
    for (const bool with_reset : {false, true}) {
        const std::string id = LeaseId::random().str();
        RawClient borrower = server.connect();
        {
            StoreFaults::Gate gate(server.faults());
            borrower.send(server.request("POST", "/borrow", keyed_body(id)));
            gate.await_commit();
            with_reset ? borrower.abort() : borrower.close();
        }
        CHECK(server.in_use() == 1);
        const HttpResponse again = server.call("POST", "/borrow", keyed_body(id));
        REQUIRE(again.status == 200);
        CHECK(nlohmann::json::parse(again.body).at("lease") == id);
        CHECK(server.call("POST", "/return", lease_body(id)).body == R"({"returned":true})");
    }
    CHECK(server.in_use() == 0);
}

TEST_CASE("a waiter with an id of its own that hangs up is passed over, and has its place when it is back") {
    Server server;
    const std::string held = server.take();
    const std::string id = LeaseId::random().str();
    RawClient gone = server.connect();
    gone.send(http_request("GET", "/") + server.request("POST", "/borrow", keyed_body(id, 60)));
    gone.receive();
    RawClient other = server.queue_up();
    gone.close();
    CHECK(server.call("POST", "/return", lease_body(held)).body == R"({"returned":true})");
    const HttpResponse passed = other.receive();
    REQUIRE(passed.status == 200);
    RawClient last = server.queue_up();
    RawClient back = server.connect();
    back.send(http_request("GET", "/") + server.request("POST", "/borrow", keyed_body(id, 60)));
    back.receive();
    const std::string passed_lease = nlohmann::json::parse(passed.body).at("lease");
    server.call("POST", "/return", lease_body(passed_lease));
    const HttpResponse response = back.receive();
    REQUIRE(response.status == 200);
    CHECK(nlohmann::json::parse(response.body).at("lease") == id);
    CHECK_FALSE(last.has_answer());
}

TEST_CASE("who calls again from another connection has the place, and the older connection is told") {
    Server server;
    const std::string held = server.take();
    const std::string id = LeaseId::random().str();
    RawClient first = server.connect();
    first.send(http_request("GET", "/") + server.request("POST", "/borrow", keyed_body(id, 60)));
    first.receive();
    RawClient second = server.connect();
    second.send(server.request("POST", "/borrow", keyed_body(id, 60)));
    const HttpResponse told = first.receive();
    CHECK(told.status == 409);
    CHECK(told.body == R"({"error":"taken over by a newer request"})");
    // That it goes now is no loss.
    first.close();
    server.call("POST", "/return", lease_body(held));
    CHECK(second.receive().status == 200);
}

TEST_CASE("a waiter that is cancelled is told, and its connection serves on") {
    Server server;
    server.take();
    const std::string id = LeaseId::random().str();
    RawClient waiter = server.connect();
    waiter.send(http_request("GET", "/") + server.request("POST", "/borrow", keyed_body(id, 60)));
    waiter.receive();
    CHECK(server.call("DELETE", "/queue/" + id).body == R"({"cancelled":true})");
    const HttpResponse told = waiter.receive();
    CHECK(told.status == 409);
    CHECK(told.body == R"({"error":"cancelled"})");
    CHECK(server.call("DELETE", "/queue/" + id).body == R"({"cancelled":false})");
    waiter.send(server.request("GET", ""));
    CHECK(waiter.receive().status == 200);
}

TEST_CASE(
    "a borrower that goes while its answer is being stored does not take a later lease of its id along") {
    Server server;
    const std::string id = LeaseId::random().str();
    RawClient first = server.connect();
    RawClient revoker = server.connect();
    RawClient second = server.connect();
    server.slow_down();
    {
        StoreFaults::Gate gate(server.faults());
        first.send(server.request("POST", "/borrow", keyed_body(id)));
        gate.await_commit();
        revoker.send(http_request("GET", "/") + server.request("POST", "/revoke", R"({"position":0})"));
        revoker.receive();
        second.send(http_request("GET", "/") + server.request("POST", "/borrow", keyed_body(id)));
        second.receive();
        first.abort();
    }
    CHECK(revoker.receive().body == R"({"revoked":true})");
    CHECK(second.receive().status == 200);
    // More than the time to rejoin.
    const auto holders = nlohmann::json::parse(server.call("GET", "/holders").body).at("holders");
    REQUIRE(holders.size() == 1);
    CHECK(holders[0].at("expires_in") > 20);
}

TEST_CASE("a lease that its borrower asked for twice is not given back with the first connection") {
    Server server;
    const std::string id = LeaseId::random().str();
    RawClient first = server.connect();
    RawClient second = server.connect();
    server.slow_down();
    {
        StoreFaults::Gate gate(server.faults());
        first.send(server.request("POST", "/borrow", keyed_body(id)));
        gate.await_commit();
        second.send(http_request("GET", "/") + server.request("POST", "/borrow", keyed_body(id)));
        second.receive();
        first.abort();
    }
    CHECK(second.receive().status == 200);
    CHECK(server.in_use() == 1);
    CHECK(server.call("POST", "/keepalive", R"({"ttl":60,"lease":")" + id + R"("})").status == 200);
}
