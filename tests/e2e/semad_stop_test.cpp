#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <vector>

using namespace sema::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

/// Connections that a server could wait for without end: fresh ones, two in the middle of a request, and
/// one that is kept alive.
std::vector<RawClient> hangers_on(const RunningServer& server) {
    std::vector<RawClient> clients;
    for (int i = 0; i < 10; ++i)
        clients.emplace_back(server.port());
    clients[0].send("PUT /l/ HTTP/1.1\r\nHost: x\r\nContent-Le");
    clients[1].send(http_request("PUT", "/l/x", "{}").substr(0, 45));
    clients[2].send(http_request("GET", "/healthz"));
    clients[2].receive();
    return clients;
}

}  // namespace

TEST_CASE("TERM and INT end semad with status 0 in time, whatever clients are there") {
    for (const int signal : {SIGTERM, SIGINT}) {
        const TempDir folder;
        const fs::path socket = folder.path() / "semad.sock";
        RunningServer server({"--listen", "unix:" + socket.string()});
        const auto clients = hangers_on(server);
        REQUIRE(fs::is_socket(socket));
        const Stopwatch watch;
        server.program().signal(signal);
        CHECK(server.program().wait() == 0);
        CHECK(watch.elapsed() < 5s);
        CHECK_FALSE(fs::exists(socket));
    }
}

TEST_CASE("every waiter is answered at once when semad stops") {
    RunningServer server;
    const TestPool pool(server, 0);
    const TestPool other(server, 1);
    other.take();
    std::vector<RawClient> waiters;
    for (int i = 0; i < 20; ++i)
        waiters.push_back((i % 2 == 0 ? pool : other).queue_up());
    // By now the last of them waits, whichever thread serves it.
    for (int i = 0; i < 16; ++i)
        pool.get();
    const Stopwatch watch;
    server.program().signal(SIGTERM);
    for (RawClient& waiter : waiters) {
        const HttpResponse response = waiter.receive();
        CHECK(response.status == 503);
        CHECK(response.header("content-type") == "application/json");
        CHECK(response.has("retry-after"));
        CHECK(response.header("connection") == "close");
        CHECK(response.body == error_body("shutting down"));
        CHECK(waiter.closed_by_server());
    }
    CHECK(watch.elapsed() < 3s);
    CHECK(server.program().wait() == 0);
}

TEST_CASE("whatever was granted while semad stopped is held after the next start, and nothing else") {
    RunningServer server;
    const TestPool pool(server, 1000);
    std::string burst;
    for (int i = 0; i < 50; ++i)
        burst += pool.borrow_request(60, 0);
    std::vector<RawClient> clients;
    for (int i = 0; i < 8; ++i)
        clients.emplace_back(server.port());
    for (RawClient& client : clients)
        client.send(burst);
    REQUIRE(clients.front().receive().status == 200);
    server.program().signal(SIGTERM);
    std::vector<Slot> slots(1);
    for (RawClient& client : clients) {
        while (!client.closed_by_server()) {
            const HttpResponse response = client.receive();
            if (response.status == 200) {
                slots.push_back(granted(response));
            } else {
                CHECK(response.status == 503);
                CHECK(response.body == error_body("shutting down"));
            }
        }
    }
    CHECK(server.program().wait() == 0);
    server.start();
    CHECK(pool.in_use() == static_cast<int>(slots.size()));
    slots.erase(slots.begin());
    for (const Slot& slot : slots)
        CHECK(pool.returns(slot));
}

TEST_CASE("a stopped semad takes no more connections") {
    RunningServer server;
    CHECK(server.terminate() == 0);
    CHECK_THROWS(RawClient(server.port()));
}
