#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/tls_files.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

// Connections with TLS that do not go on as they should. What else is promised of connections, the other
// suites hold TLS to too.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

/// A semad that speaks TLS.
struct Secured {
    explicit Secured(std::vector<std::string> more = {})
        : server([&] {
              const auto [certificate, key] = make_certificate(folder.path(), "semad");
              more.insert(more.end(), {"--tls-cert", certificate, "--tls-key", key});
              return more;
          }()) {}

    RawClient connect(const std::string& version = "1.3") const {
        RawClient client(server.port());
        client.start_tls(version);
        return client;
    }
    HttpResponse call(const std::string& request) const {
        RawClient client = connect();
        client.send(request);
        return client.receive();
    }

    TempDir folder;
    RunningServer server;
};

const std::string pool = "/l/9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";

void register_pool(const Secured& semad, int count) {
    REQUIRE(semad.call(http_request("PUT", pool, Json{{"count", count}}.dump())).status == 200);
}

std::string borrow_request(double wait = 0) {
    return http_request("POST", pool + "/borrow", Json{{"ttl", 600}, {"wait", wait}}.dump());
}

std::size_t waiting(const Secured& semad) {
    return Json::parse(semad.call(http_request("GET", pool + "/holders")).body).at("queue").size();
}

/// The beginning of a handshake, up to where the server has to do its part, and no more.
std::string client_hello() {
    std::string hello("\x03\x03", 2);
    hello += std::string(32, 'r') + std::string(1, '\0');
    // One cipher of TLS 1.2, and no compression.
    hello += std::string("\x00\x02\xc0\x2b\x01\x00", 6);
    const std::string extensions(
        "\x00\x0a\x00\x06\x00\x04\x00\x1d\x00\x17"
        "\x00\x0b\x00\x02\x01\x00"
        "\x00\x0d\x00\x04\x00\x02\x04\x03",
        24);
    hello += std::string("\x00", 1) + static_cast<char>(extensions.size()) + extensions;
    const auto length = static_cast<char>(hello.size());
    return std::string("\x16\x03\x01\x00", 4) + static_cast<char>(hello.size() + 4) +
           std::string("\x01\x00\x00", 3) + length + hello;
}

/// As many descriptors as this process may have.
void raise_descriptor_limit() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/// Connections that go no further: every other one sends nothing, the others a part that the server answers.
std::vector<RawClient> unfinished(const Secured& semad, int number) {
    std::vector<RawClient> clients;
    for (int i = 0; i < number; ++i) {
        clients.emplace_back(semad.server.port());
        if (i % 2 == 0) clients.back().send(client_hello());
    }
    return clients;
}

}  // namespace

TEST_CASE("a borrower over TLS that goes leaves the queue, however it goes") {
    const Secured semad;
    register_pool(semad, 1);
    REQUIRE(semad.call(borrow_request()).status == 200);
    void (*const ways[])(RawClient&) = {
        [](RawClient& client) { client.half_close(); },
        [](RawClient& client) { client.say_goodbye(); },
        [](RawClient& client) { client.close(); },
        [](RawClient& client) { client.abort(); },
    };
    for (const std::string version : {"1.2", "1.3"}) {
        for (const auto go : ways) {
            RawClient waiter = semad.connect(version);
            waiter.send(borrow_request(60));
            REQUIRE(eventually([&] { return waiting(semad) == 1; }));
            go(waiter);
            CHECK(eventually([&] { return waiting(semad) == 0; }));
        }
    }
}

TEST_CASE("waiters over TLS are told of the server's end, and it ends in time") {
    Secured semad;
    register_pool(semad, 0);
    std::vector<RawClient> waiters;
    for (int i = 0; i < 20; ++i) {
        waiters.push_back(semad.connect(i % 2 == 0 ? "1.2" : "1.3"));
        waiters.back().send(borrow_request(60));
    }
    REQUIRE(eventually([&] { return waiting(semad) == 20; }));
    const std::vector<RawClient> silent = unfinished(semad, 20);
    const Stopwatch watch;
    CHECK(semad.server.terminate() == 0);
    CHECK(watch.elapsed() < 5s);
    for (RawClient& waiter : waiters) {
        CHECK(waiter.receive().status == 503);
        CHECK(waiter.closed_by_server());
    }
}

TEST_CASE("requests in pieces and in a row are answered over TLS as they come") {
    const Secured semad;
    register_pool(semad, 1000);
    RawClient client = semad.connect();
    std::string requests;
    for (int i = 0; i < 200; ++i)
        requests += borrow_request();
    // In the middle of requests, and of a record that holds more than is read in one go.
    const std::size_t pieces[] = {1, 7, 5000, 16384, requests.size()};
    std::size_t sent = 0;
    for (const std::size_t size : pieces) {
        client.send(std::string_view(requests).substr(sent, size));
        sent = std::min(sent + size, requests.size());
    }
    for (int i = 0; i < 200; ++i)
        CHECK(granted(client.receive()).position == i);
}

TEST_CASE("a handshake that is not over in 10 seconds ends") {
    const Secured semad(one_thread);
    const Stopwatch watch;
    std::vector<RawClient> clients = unfinished(semad, 4);
    for (const std::size_t i : {0U, 2U})
        CHECK(eventually([&] { return clients[i].has_answer(); }));
    // A part of a part.
    clients.emplace_back(semad.server.port());
    clients.back().send(client_hello().substr(0, 20));
    RawClient idle = semad.connect();
    for (RawClient& client : clients)
        CHECK(client.ends());
    CHECK(watch.elapsed() > 9s);
    idle.send(http_request("GET", "/healthz"));
    CHECK(idle.receive().status == 200);
}

TEST_CASE("2000 handshakes that are never finished slow nobody", "[alone]") {
    raise_descriptor_limit();
    // No disk has a part in it.
    const Secured semad({"--threads", "1", "--store", "memory:"});
    register_pool(semad, 1);
    RawClient client = semad.connect();
    const std::vector<RawClient> crowd = unfinished(semad, 2000);
    for (int i = 0; i < 100; ++i) {
        const Stopwatch watch;
        client.send(borrow_request());
        const Slot slot = granted(client.receive());
        client.send(http_request("POST", pool + "/return", Json{{"lease", slot.lease}}.dump()));
        REQUIRE(client.receive().status == 200);
        CHECK(watch.elapsed() < promptly);
    }
    const Stopwatch watch;
    CHECK(semad.call(http_request("GET", "/healthz")).status == 200);
    CHECK(watch.elapsed() < promptly);
}

TEST_CASE("a reload serves further connections with the certificate there is now, and keeps the others") {
    Secured semad;
    const std::string folder = semad.folder.path().string();
    const auto shows = [&](const std::string& name) {
        const std::string shown = run_program({"openssl", "s_client", "-connect",
                                               "127.0.0.1:" + std::to_string(semad.server.port())})
                                      .out;
        // Versions of openssl differ in the space.
        return shown.find("CN = " + name) != shown.npos || shown.find("CN=" + name) != shown.npos;
    };
    const auto replace_by = [&](const std::string& certificate, const std::string& key) {
        std::filesystem::rename(certificate, folder + "/semad.pem");
        std::filesystem::rename(key, folder + "/semad.key");
        semad.server.program().signal(SIGHUP);
    };
    register_pool(semad, 1);
    REQUIRE(semad.call(borrow_request()).status == 200);
    RawClient waiter = semad.connect();
    waiter.send(borrow_request(60));
    REQUIRE(eventually([&] { return waiting(semad) == 1; }));

    const auto [next, next_key] = make_certificate(semad.folder.path(), "next");
    replace_by(next, next_key);
    CHECK(semad.server.program().warns("the settings were read anew"));
    CHECK(shows("next"));

    const auto [unfit, unfit_key] = make_certificate(semad.folder.path(), "unfit");
    replace_by(unfit, folder + "/semad.key");
    CHECK(semad.server.program().warns("nothing was reloaded: cannot take the key from " + folder +
                                       "/semad.key: it does not fit the certificate in " + folder +
                                       "/semad.pem"));
    CHECK(shows("next"));

    CHECK(waiting(semad) == 1);
    waiter.half_close();
    CHECK(eventually([&] { return waiting(semad) == 0; }));
}

TEST_CASE("an unfinished handshake makes way where connections run out") {
    const Secured semad({"--threads", "1", "--max-connections", "50"});
    RawClient first = semad.connect();
    const std::vector<RawClient> crowd = unfinished(semad, 200);
    std::vector<RawClient> clients;
    for (int i = 0; i < 49; ++i) {
        clients.push_back(semad.connect());
        clients.back().send(http_request("GET", "/healthz"));
        CHECK(clients.back().receive().status == 200);
    }
    first.send(http_request("GET", "/healthz"));
    CHECK(first.receive().status == 200);
    // Nobody is left who would.
    CHECK_THROWS(semad.connect());
    clients.pop_back();
    CHECK(eventually([&] {
        try {
            semad.connect();
            return true;
        } catch (const std::exception&) {
            return false;
        }
    }));
}
