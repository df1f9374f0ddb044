#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scripted_server.hpp"

#include <nlohmann/json.hpp>

#include <memory>

// A server that has no room for more is there: that is waited for, and is no reason to do without a slot.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;

// A server with a pool of one slot, which is lent out.
struct World {
    explicit World(Words server_options) : server(std::move(server_options)) {
        REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
        lease = nlohmann::json::parse(semactl({"borrow", "vsim", "--ttl", "1h", "--output", "json"}).out)
                    .at("lease");
    }

    RunningServer server;
    Semactl semactl{server.url()};
    std::string lease;
};

}  // namespace

TEST_CASE("a server whose queue is full is told as that, and no command runs without a slot") {
    const World world({"--max-waiters", "0"});
    for (const std::string wait : {"0.1", "0.4"}) {
        const Finished refused =
            world.semactl({"run", "vsim", "--wait", wait, "--fallback", "run", "--", "echo", "ran"});
        CHECK(refused.status == 69);
        CHECK(refused.out.empty());
        CHECK_THAT(refused.err,
                   has_text("vsim: " + world.server.url() +
                            " is overloaded: too many waiters (status 503) (try again later)\n"));
        CHECK(refused.err.find("is semad running there") == std::string::npos);
    }
    // There is no queue where nobody waits.
    CHECK(world.semactl({"run", "vsim", "--wait", "0", "--", "true"}).status == 75);
}

TEST_CASE("a server whose queue is full is waited for") {
    const World world({"--max-waiters", "0"});
    Program run(
        Semactl::command({"run", "vsim", "--wait", "60", "--fallback", "run", "--", "echo", "served"}),
        world.semactl.options());
    REQUIRE(
        run.warns(world.server.url() +
                  " is overloaded: too many waiters (status 503) (trying again until --wait 1m is over)\n"));
    REQUIRE(world.semactl({"return", "vsim", world.lease}).status == 0);
    CHECK(run.wait() == 0);
    CHECK(run.out() == "served\n");
    CHECK_THAT(run.err(), !has_text("WITHOUT A SLOT"));
}

namespace {

const std::string lease = "3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34";

// What says that, and is back the next moment.
Scene away_for_minutes() {
    const bool is_semad = GENERATE(true, false);
    return {Scene::Wait::for_request,
            http("503 Service Unavailable", is_semad ? R"({"error":"shutting down"})" : "<html>",
                 "Retry-After: 120\r\n")};
}

Scene answer(const std::string& body) {
    return {Scene::Wait::for_request, http("200 OK", body)};
}

const Scene returned = answer(R"({"returned":true})");

}  // namespace

TEST_CASE("who is told to come back in minutes is there when the server is back") {
    const std::string rest =
        R"("lease":")" + lease +
        R"(","position":0,"expires_at_unix":2000000000,"expires_in":600,"positions":[0],)"
        R"("fence":1,"slots":[null],"granted_at_unix":1})";
    SECTION("a waiter") {
        ScriptedServer server(
            {{Scene::Wait::for_request, http("409 Conflict", R"({"error":"no resource available"})")},
             away_for_minutes(),
             answer("{" + rest),
             returned});
        const Finished run =
            Semactl(server.url())({"run", "vsim", "--ttl", "600", "--wait", "30", "--", "echo", "served"});
        CHECK(run.status == 0);
        CHECK(run.out == "served\n");
    }
    SECTION("who returns a slot") {
        ScriptedServer server({away_for_minutes(), returned});
        CHECK(Semactl(server.url())({"return", "vsim", lease}).status == 0);
    }
    SECTION("who renews a lease") {
        ScriptedServer server({away_for_minutes(), answer(R"({"renewed":true,)" + rest)});
        CHECK(Semactl(server.url())({"keepalive", "vsim", lease, "--ttl", "600"}).status == 0);
    }
}
