#include "tests/http/in_process_server.hpp"

// The event stream of a pool, as it comes over a connection.

using namespace sema;
using namespace sema::test;
using nlohmann::json;

namespace {

/// A connection that watches, behind the response's head.
class Watcher {
  public:
    explicit Watcher(const Server& server) : client_(server.connect()) {
        client_.send(server.request("GET", "/events"));
        head_ = client_.receive(true);
        REQUIRE(head_.status == 200);
    }

    RawClient& client() { return client_; }
    const HttpResponse& head() const { return head_; }
    std::string event() { return client_.receive_until("\n\n"); }
    /// The data of the next event, which is a state.
    json state() {
        const std::string text = event();
        const std::string before = "event: state\ndata: ";
        REQUIRE(text.substr(0, before.size()) == before);
        return json::parse(text.substr(before.size()));
    }
    /// Reads states until one satisfies the condition.
    template <class Condition>
    json await(Condition condition) {
        for (;;) {
            const json data = state();
            if (condition(data)) return data;
        }
    }
    bool is_closed() { return client_.closed_by_server(); }

  private:
    RawClient client_;
    HttpResponse head_;
};

std::string named(const std::string& name, unsigned count = 1) {
    return json({{"count", count}, {"name", name}}).dump();
}

constexpr const char* deleted = "event: deleted\ndata: {\"deleted\":true}\n\n";

}  // namespace

TEST_CASE("a stream begins with the pool as it is, and is no ordinary body") {
    Server server;
    server.call("PUT", "", named("seats"));
    Watcher watcher(server);
    CHECK(watcher.head().header("content-type") == "text/event-stream");
    CHECK(watcher.head().header("cache-control") == "no-store");
    CHECK(watcher.head().header("connection") == "close");
    CHECK_FALSE(watcher.head().has("content-length"));
    CHECK_FALSE(watcher.head().has("transfer-encoding"));
    CHECK(watcher.event() == "event: state\ndata: " + server.call("GET", "/holders").body + "\n\n");
}

TEST_CASE("each change comes as an event, to everybody who watches") {
    Server server;
    Watcher first(server);
    Watcher second(server);
    CHECK(first.state().at("in_use") == 0);
    CHECK(second.state().at("in_use") == 0);
    const std::string lease = server.take();
    CHECK(first.state().at("in_use") == 1);
    CHECK(second.state().at("in_use") == 1);
    server.call("POST", "/return", json({{"lease", lease}}).dump());
    CHECK(first.state().at("in_use") == 0);
    CHECK(second.state().at("in_use") == 0);
}

TEST_CASE("the last of many quick changes comes in the end, though nothing follows it") {
    Server server;
    Watcher watcher(server);
    for (int i = 0; i < 50; ++i)
        server.call("PUT", "", named("name " + std::to_string(i)));
    watcher.await([](const json& state) { return state.at("name") == "name 49"; });
    CHECK_FALSE(watcher.client().has_answer());
}

TEST_CASE("an expiry comes as an event, though nobody waits for the slot") {
    Server server;
    Watcher watcher(server);
    server.call("POST", "/borrow", R"({"ttl":0.2})");
    watcher.await([](const json& state) { return state.at("in_use") == 1; });
    watcher.await([](const json& state) { return state.at("in_use") == 0; });
}

TEST_CASE("no lease's id is in a stream") {
    Server server;
    const std::string id = LeaseId::random().str();
    Watcher watcher(server);
    server.call("POST", "/borrow", json({{"ttl", 60}, {"lease", id}}).dump());
    RawClient waiter = server.connect();
    const std::string other = LeaseId::random().str();
    waiter.send(
        server.request("POST", "/borrow", json({{"ttl", 60}, {"wait", 60}, {"lease", other}}).dump()));
    const json state = watcher.await([](const json& shown) { return !shown.at("queue").empty(); });
    CHECK(state.at("holders").size() == 1);
    CHECK(state.dump().find(id) == std::string::npos);
    CHECK(state.dump().find(other) == std::string::npos);
}

TEST_CASE("no event tells what is not stored") {
    Server server;
    Watcher watcher(server);
    watcher.state();
    server.slow_down();
    watcher.await([](const json& state) { return state.at("count") == 1; });
    StoreFaults::Gate gate(server.faults());
    RawClient borrower = server.connect();
    borrower.send(server.request("POST", "/borrow", R"({"ttl":60})"));
    gate.await_commit();
    // Answered by the thread that has dealt with all that came before.
    RawClient other = server.connect();
    other.send(http_request("GET", "/"));
    other.receive();
    CHECK_FALSE(watcher.client().has_answer());
    gate.open();
    CHECK(watcher.state().at("in_use") == 1);
}

TEST_CASE("the end of the pool is the last event") {
    Server server;
    Watcher watcher(server);
    watcher.state();
    server.call("DELETE", "");
    CHECK(watcher.event() == deleted);
    CHECK(watcher.is_closed());
}

TEST_CASE("a stream ends without a word when the pool's deletion could not be stored") {
    Server server;
    Watcher watcher(server);
    watcher.state();
    server.faults().fail_commits(1);
    CHECK(server.call("DELETE", "").status == 502);
    CHECK(watcher.is_closed());
    CHECK(Watcher(server).state().at("count") == 1);
}

TEST_CASE("a change that could not be stored is never shown, and the stream goes on") {
    Server server;
    Watcher watcher(server);
    watcher.state();
    server.faults().fail_commits(1);
    CHECK(server.call("PUT", "", named("never")).status == 502);
    server.call("PUT", "", named("stored"));
    const json last = watcher.await([](const json& state) {
        CHECK(state.at("name") != "never");
        return state.at("name") == "stored";
    });
    CHECK(last.at("count") == 1);
}

TEST_CASE("there is no stream of a pool that is not there") {
    Server server;
    server.call("DELETE", "");
    RawClient client = server.connect();
    client.send(server.request("GET", "/events"));
    const HttpResponse response = client.receive();
    CHECK(response.status == 404);
    CHECK(response.header("content-type") == "application/json");
    CHECK(response.body == R"({"error":"no such pool"})");
    CHECK(client.closed_by_server());
}

TEST_CASE("a HEAD of the stream has its header, and ends") {
    Server server;
    RawClient client = server.connect();
    client.send(server.request("HEAD", "/events"));
    const std::string header = client.receive_until("\r\n\r\n");
    CHECK(header.find(" 200 OK\r\n") != std::string::npos);
    CHECK(header.find("Content-Type: text/event-stream\r\n") != std::string::npos);
    CHECK(client.closed_by_server());
    server.call("DELETE", "");
    RawClient late = server.connect();
    late.send(server.request("HEAD", "/events"));
    CHECK(late.receive(true).status == 404);
}

TEST_CASE("who reads slowly holds up nobody, and gets the latest state when it reads on") {
    Server server;
    constexpr unsigned holders = 100;
    constexpr int changes = 60;
    server.call("PUT", "", named("first", holders));
    const std::string url(2048, 'x');
    for (unsigned i = 0; i < holders; ++i)
        server.call("POST", "/borrow", json({{"ttl", 600}, {"holder", {{"url", url}}}}).dump());

    RawClient slow = server.connect();
    slow.receive_at_most(128 * 1024);
    slow.send(server.request("GET", "/events"));
    Watcher quick(server);
    const auto name = [](int i) { return "name " + std::to_string(i); };
    // More than the system keeps for who does not read.
    for (int i = 0; i < changes; ++i) {
        CHECK(server.call("PUT", "", named(name(i), holders)).status == 200);
        quick.await([&](const json& state) { return state.at("name") == name(i); });
    }
    CHECK(slow.receive(true).status == 200);
    int events = 0;
    std::string last;
    while (last.find(name(changes - 1)) == std::string::npos) {
        last = slow.receive_until("\n\n");
        ++events;
    }
    CHECK(events < changes);
    server.call("PUT", "", named("again", holders));
    while (last.find("again") == std::string::npos)
        last = slow.receive_until("\n\n");
}

TEST_CASE("what a client sends on its stream is not answered") {
    Server server;
    Watcher watcher(server);
    watcher.state();
    watcher.client().send(server.request("GET", "") + std::string(100'000, 'x'));
    server.call("PUT", "", named("next"));
    CHECK(watcher.state().at("name") == "next");
}

TEST_CASE("who stops sending does not watch any more") {
    Server server;
    Watcher watcher(server);
    watcher.state();
    watcher.client().half_close();
    CHECK(watcher.is_closed());
}

TEST_CASE("who hangs up is forgotten, whenever that is") {
    Server server(3);
    const auto has_room = [&] {
        return eventually([&] {
            const int status = server.call("GET", "").status;
            return status == 200;
        });
    };
    for (int i = 0; i < 20; ++i) {
        Watcher watcher(server);
        if (i % 2 == 0) watcher.state();
        i % 3 == 0 ? watcher.client().abort() : watcher.client().close();
        REQUIRE(has_room());
    }
    // In the midst of events.
    for (int i = 0; i < 20; ++i) {
        Watcher watcher(server);
        server.call("PUT", "", named(std::to_string(i)));
        watcher.client().abort();
        REQUIRE(has_room());
    }
    // Before the first of them.
    for (int i = 0; i < 5; ++i) {
        StoreFaults::Gate gate(server.faults());
        RawClient client = server.connect();
        client.send(server.request("PUT", "", named("held " + std::to_string(i))) +
                    server.request("GET", "/events"));
        gate.await_commit();
        client.abort();
        gate.open();
        REQUIRE(has_room());
    }
    server.call("PUT", "", named("last"));
    CHECK(Watcher(server).state().at("name") == "last");
}

TEST_CASE("a stream ends when the server stops") {
    auto server = std::make_unique<Server>();
    Watcher watcher(*server);
    watcher.state();
    SECTION("at once") {
        server->stop([] {});
    }
    SECTION("with an event under way") {
        server->slow_down();
        StoreFaults::Gate gate(server->faults());
        RawClient client = server->connect();
        client.send(server->request("PUT", "", named("late")));
        gate.await_commit();
        server->stop([&] { gate.open(); });
    }
    server.reset();
    const auto rest_is_read = [&] {
        if (watcher.client().has_answer()) watcher.client().receive_until("\n\n");
        return watcher.client().closed_by_server(std::chrono::milliseconds(0));
    };
    CHECK(eventually(rest_is_read));
}
