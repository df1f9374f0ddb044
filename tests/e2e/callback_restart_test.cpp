#include "tests/e2e/callbacks.hpp"

#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

// What is left of callbacks when semad ends and starts again.

using namespace sema::test;
using namespace std::chrono_literals;

TEST_CASE("a place outlives the server, however that ends, and is served in its turn") {
    const End end = GENERATE(End::kill, End::term);
    RunningServer server(allowing);
    const TestPool pool(server, 1);
    const Receiver receiver;
    const Slot held = pool.take();
    Json fields = callback_to(receiver.url("/first"));
    fields["holder"] = {{"name", "first"}};
    fields["callback"]["secret"] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const Json first = queued(pool, fields);
    queued(pool, callback_to(receiver.url("/second")));
    restart(server, end);
    const Json list = callbacks(server, pool);
    REQUIRE(list.size() == 2);
    CHECK(list[0]["state"] == "waiting");
    CHECK(list[0]["rank"] == 1);
    CHECK(list[0]["holder"]["name"] == "first");
    REQUIRE(pool.returns(held));
    const auto request = receiver.await(1)[0];
    CHECK(request.target == "/first");
    CHECK(Json::parse(request.body)["lease"] == first["lease"]);
    CHECK(request.headers.count("webhook-signature") == 1);
    REQUIRE(pool.returns(slot_of(request)));
    CHECK(receiver.await(2)[1].target == "/second");
}

namespace {

/// What the server's threads have taken of a processor so far.
std::chrono::milliseconds processor_time(const RunningServer& server) {
    std::ifstream file("/proc/" + std::to_string(server.pid()) + "/stat");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    // The name, which is in parentheses, may have spaces.
    std::istringstream rest(text.substr(text.rfind(')') + 1));
    std::string skipped;
    for (int i = 3; i < 14; ++i)
        rest >> skipped;
    long user = 0;
    long system = 0;
    rest >> user >> system;
    return std::chrono::milliseconds(1000 * (user + system) / sysconf(_SC_CLK_TCK));
}

/// A slot whose lease ends at a full disk, and many who are to be called for it.
void run_out(const RunningServer& server, const TestPool& pool, const std::string& url) {
    const Slot held = pool.take(600);
    for (int i = 0; i < 20; ++i)
        queued(pool, callback_to(url));
    REQUIRE(callbacks(server, pool).size() == 20);
    // It ends once the disk is full.
    REQUIRE(pool.renews(held, 3));
}

}  // namespace

TEST_CASE(
    "at a full disk a grant to whoever is to be called is tried now and then, and made once there is room",
    "[sqlite]") {
    RunningServer server(allowing);
    const TestPool pool(server, 1);
    const Receiver receiver;
    run_out(server, pool, receiver.url());
    {
        const FullDisk full(server);
        REQUIRE(eventually([&] { return pool.get().status == 502; }));
        const Stopwatch watch;
        const auto before = processor_time(server);
        REQUIRE(eventually([&] { return watch.elapsed() >= 3s; }));
        const auto taken = processor_time(server) - before;
        CAPTURE(taken.count());
        CHECK(taken < (SANITIZED ? 1500ms : 300ms));
        CHECK(receiver.calls() == 0);
    }
    receiver.await(1);
    CHECK(pool.in_use() == 1);
}

TEST_CASE("semad ends in time at a full disk, whoever is to be called", "[sqlite]") {
    RunningServer server(allowing);
    const TestPool pool(server, 1);
    const Receiver receiver;
    run_out(server, pool, receiver.url());
    {
        const FullDisk full(server);
        REQUIRE(eventually([&] { return pool.get().status == 502; }));
        const Stopwatch watch;
        CHECK(server.terminate() == 0);
        CHECK(watch.elapsed() < 5s);
    }
    server.start();
    receiver.await(1);
}

TEST_CASE("a pool that nobody asks for after a restart calls its borrowers all the same") {
    RunningServer server(allowing);
    const TestPool pool(server, 1);
    const Receiver receiver;
    pool.take(2);
    queued(pool, callback_to(receiver.url()));
    restart(server, End::kill);
    receiver.await(1);
}

TEST_CASE("a call that was under way when the server was killed is made again, with the same id") {
    RunningServer server(allowing);
    const TestPool pool(server, 1);
    Receiver receiver(Receiver::hanging());
    const Json place = queued(pool, callback_to(receiver.url()));
    receiver.await(1);
    receiver.react(Receiver::answering(200));
    restart(server, End::kill);
    const auto calls = receiver.await(2);
    CHECK(calls[0].headers.at("webhook-id") == calls[1].headers.at("webhook-id"));
    CHECK(Json::parse(calls[1].body)["lease"] == place["lease"]);
    CHECK(Json::parse(calls[1].body)["fence"] == Json::parse(calls[0].body)["fence"]);
    CHECK(has_settled(server, pool));
    CHECK(pool.in_use() == 1);
}

TEST_CASE("a call that was taken is not made again after a restart") {
    const End end = GENERATE(End::kill, End::term);
    RunningServer server(allowing);
    const TestPool pool(server, 2);
    const Receiver receiver;
    queued(pool, callback_to(receiver.url("/taken")));
    receiver.await(1);
    REQUIRE(has_settled(server, pool));
    restart(server, end);
    queued(pool, callback_to(receiver.url("/later")));
    CHECK(receiver.await(2)[1].target == "/later");
    CHECK(pool.in_use() == 2);
}

TEST_CASE("how often a call was tried, and when it is tried next, outlives the server") {
    RunningServer server(allowing);
    const TestPool pool(server, 1);
    const Receiver receiver(Receiver::answering(503, "Retry-After: 200\r\n"));
    queued(pool, callback_to(receiver.url()));
    REQUIRE(eventually([&] { return callbacks(server, pool)[0]["attempts"] == 1; }));
    restart(server, End::kill);
    const Json list = callbacks(server, pool);
    REQUIRE(list.size() == 1);
    CHECK(list[0]["attempts"] == 1);
    CHECK(list[0]["last_error"] == "it answered 503");
    CHECK(list[0]["next_attempt_in"].get<int>() > 100);
    CHECK(receiver.calls() == 1);
}

TEST_CASE("a lease that ended while the server was down is told to nobody") {
    RunningServer server(allowing);
    const TestPool pool(server, 1);
    Receiver receiver(Receiver::hanging());
    Json fields = callback_to(receiver.url());
    fields["ttl"] = 4;
    queued(pool, fields);
    receiver.await(1);
    const Stopwatch watch;
    server.kill9();
    REQUIRE(eventually([&] { return watch.elapsed() > 4100ms; }));
    receiver.react(Receiver::answering(200));
    server.start();
    REQUIRE(has_settled(server, pool));
    CHECK(pool.in_use() == 0);
    // Whoever is called next is called, and nobody was before.
    queued(pool, callback_to(receiver.url("/next")));
    CHECK(receiver.await(2)[1].target == "/next");
}

TEST_CASE("a place whose wait ended while the server was down is gone") {
    RunningServer server(allowing);
    const TestPool pool(server, 1);
    const Receiver receiver;
    pool.take();
    Json fields = callback_to(receiver.url());
    fields["wait"] = 1;
    queued(pool, fields);
    const Stopwatch watch;
    server.kill9();
    REQUIRE(eventually([&] { return watch.elapsed() > 1100ms; }));
    server.start();
    CHECK(eventually([&] { return pool.waiting() == 0; }));
}
