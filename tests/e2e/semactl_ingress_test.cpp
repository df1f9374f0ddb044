#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scripted_server.hpp"

#include <csignal>

// What stands before a server answers in its place while that restarts: nothing of it is the server's word.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

Scene scene(const std::string& answer) {
    return {Scene::Wait::for_request, answer};
}

const Scene missing = scene(http("404 Not Found", "<html>default backend</html>"));
const Scene sorry = scene(http("200 OK", "<html>We are down</html>"));
const Scene moved = scene(http("301 Moved Permanently", "", "Location: http://127.0.0.1:9/\r\n"));
const Scene gateway = scene(http("404 Not Found", R"({"error": "API not found"})"));
const Scene cloud = scene(http("521 Down", "<html>"));
const Scene garbage = scene("220 smtp.example ESMTP\r\n");

const Scene full =
    scene(http("409 Conflict",
               R"({"error":"no resource available","rank":1,"queue":1,"in_use":1,"count":1,"eta":null})"));
const Scene returned = scene(http("200 OK", R"({"returned":true})"));

Scene granted() {
    return scene(http("200 OK", R"({"lease":")" + sema::LeaseId::random().str() +
                                    R"(","position":0,"expires_at_unix":2000000000,"expires_in":60})"));
}

}  // namespace

TEST_CASE("a waiter gets over what an ingress answers while the server restarts, and so does the return") {
    ScriptedServer server(
        {full, missing, sorry, moved, gateway, cloud, missing, granted(), gateway, garbage, returned});
    const Finished run = Semactl(server.url())({"run", "vsim", "--wait", "60", "--", "echo", "served"});
    CHECK(run.status == 0);
    CHECK(run.out == "served\n");
    CHECK_THAT(run.err, has_text(" is not available: it gave an answer that no semad gives"));
    CHECK(server.requests().size() == 11);
}

TEST_CASE("a return and a keepalive by hand get over what an ingress answers") {
    const std::string lease = sema::LeaseId::random().str();
    ScriptedServer returns({missing, garbage, returned});
    CHECK(Semactl(returns.url())({"return", "vsim", lease, "--wait", "30"}).status == 0);
    CHECK(returns.requests().size() == 3);

    const Scene renewed =
        scene(http("200 OK", R"({"renewed":true,"lease":")" + lease +
                                 R"(","position":0,"expires_at_unix":2000000000,"expires_in":60})"));
    ScriptedServer renewals({sorry, moved, renewed});
    CHECK(Semactl(renewals.url())({"keepalive", "vsim", lease, "--ttl", "60", "--wait", "30"}).status == 0);
}

TEST_CASE("a watch gets over what an ingress answers") {
    const std::string head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    const auto state = [&](const std::string& count) {
        return scene(
            head +
            R"(event: state
data: {"id":"9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01","name":null,"count":)" +
            count +
            R"(,"in_use":0,"available":1,"renewable":true,"cooldown":0,"holders":[],"queue":[],"eta":null}

)");
    };
    ScriptedServer server({state("1"), missing, sorry, garbage, state("2")});
    const Semactl semactl(server.url());
    Program watch(Semactl::command({"watch", "vsim"}), semactl.options());
    REQUIRE(watch.prints("\"count\":1"));
    REQUIRE(watch.prints("\"count\":2"));
    watch.signal(SIGINT);
    CHECK(watch.wait() == 128 + SIGINT);
}
