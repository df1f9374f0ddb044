#include "tests/e2e/callbacks.hpp"
#include "tests/support/reserved_port.hpp"

#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

// Very many who are to be called.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

constexpr int crowd = 10'000;
constexpr int clients = 16;

long resident_bytes(const RunningServer& server) {
    std::ifstream status("/proc/" + std::to_string(server.pid()) + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.rfind("VmRSS:", 0) == 0) return std::stol(line.substr(6)) * 1024;
    }
    return 0;
}

/// So many places, over some connections at a time.
void queue_up(const RunningServer& server, const TestPool& pool, const std::string& body, int count) {
    std::atomic<int> left{count};
    std::atomic<int> failed{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < clients; ++i) {
        threads.emplace_back([&] {
            RawClient client(server.port());
            while (left-- > 0) {
                client.send(http_request("POST", pool.path() + "/borrow", body));
                if (client.receive().status != 202) ++failed;
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    REQUIRE(failed == 0);
}

}  // namespace

TEST_CASE("ten thousand who are to be called take a kilobyte each, and a start with them two seconds at most",
          "[alone][sqlite]") {
    RunningServer server({"--callback-allow", "127.0.0.1"});
    const TestPool pool(server, 1);
    const Receiver receiver;
    Slot held = pool.take(6000);
    const std::string body =
        Json{{"ttl", 600},
             {"callback",
              {{"url", receiver.url("/jobs/start?pipeline=1234567")}, {"body", {{"ref", "main"}}}}}}
            .dump();
    queue_up(server, pool, body, clients);
    const long before = resident_bytes(server);
    queue_up(server, pool, body, crowd);
    const long each = (resident_bytes(server) - before) / crowd;
    CAPTURE(each);
    if (!SANITIZED) CHECK(each <= 1024);

    server.kill9();
    const Stopwatch watch;
    server.start();
    REQUIRE(pool.returns(held));
    receiver.await(1);
    CHECK(watch.elapsed() < (SANITIZED ? 20s : 2s));
    CHECK(callbacks(server, pool).size() >= crowd + clients - 1);
}

TEST_CASE("few open files suffice for clients, calls to borrowers and the metrics at a time", "[sqlite]") {
    const ReservedPort clients_port;
    const ReservedPort metrics_port;
    const auto address = [](const ReservedPort& port) {
        return "127.0.0.1:" + std::to_string(port.number());
    };
    Program server({"sh", "-c", "ulimit -n 256; exec \"$@\"", "sh", SEMAD, "--store", "memory:", "--listen",
                    address(clients_port), "--metrics-listen", address(metrics_port), "--callback-allow",
                    "127.0.0.1"});
    REQUIRE(server.warns("metrics on http://"));
    const std::string pool = "/l/" + new_lease();
    REQUIRE(call(clients_port.number(), "PUT", pool, R"({"count":60})").status == 200);
    std::vector<std::unique_ptr<Receiver>> receivers;
    for (int i = 0; i < 60; ++i) {
        receivers.push_back(std::make_unique<Receiver>(Receiver::hanging()));
        const std::string body = callback_to(receivers.back()->url()).dump();
        REQUIRE(call(clients_port.number(), "POST", pool + "/borrow", body).status == 202);
    }
    REQUIRE(eventually([&] {
        std::size_t connections = 0;
        for (const auto& receiver : receivers)
            connections += receiver->connections();
        return connections >= 12;
    }));
    std::vector<RawClient> kept;
    const auto is_served = [&] {
        kept.emplace_back(clients_port.number());
        kept.back().send(http_request("GET", "/healthz"));
        return kept.back().receive().status == 200;
    };
    while (kept.size() < 256 && is_served()) {
    }
    CHECK(kept.size() > 100);
    CHECK(kept.size() < 140);
    CHECK(call(metrics_port.number(), "GET", "/metrics").status == 200);
    kept.clear();
    CHECK(eventually([&] { return call(clients_port.number(), "GET", "/healthz").status == 200; }));
}
