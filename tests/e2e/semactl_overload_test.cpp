#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"

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
    REQUIRE(run.warns(world.server.url() +
                      " is overloaded: too many waiters (status 503) (trying again, for 1m in all)\n"));
    REQUIRE(world.semactl({"return", "vsim", world.lease}).status == 0);
    CHECK(run.wait() == 0);
    CHECK(run.out() == "served\n");
    CHECK_THAT(run.err(), !has_text("WITHOUT A SLOT"));
}
