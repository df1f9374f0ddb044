#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/proxy.hpp"

#include <nlohmann/json.hpp>

#include <csignal>
#include <fstream>
#include <memory>

// Slots that are to be returned while the server is away.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;
using Json = nlohmann::json;

// A server with a pool of one slot, and semactl to use it.
struct World {
    World() { REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0); }
    std::string borrow() const {
        return Json::parse(semactl({"borrow", "vsim", "--ttl", "10m", "--output", "json"}).out).at("lease");
    }
    std::unique_ptr<Program> start(Words words, ProgramOptions more = {}) const {
        return std::make_unique<Program>(Semactl::command(std::move(words)),
                                         semactl.options(std::move(more)));
    }

    RunningServer server;
    Semactl semactl{server.url()};
};

}  // namespace

TEST_CASE("a slot is returned though the server is away for some time when its command ends") {
    World world;
    const auto run = world.start({"run", "vsim", "--", SIGNAL_COUNTER});
    REQUIRE(run->prints("ready"));
    world.server.kill9();
    run->signal(SIGUSR2);
    REQUIRE(run->warns("vsim: cannot return the slot: " + world.server.url() +
                       " is not available: Connection refused (trying again for "));
    world.server.start();
    CHECK(run->wait() == 0);
    CHECK_THAT(run->err(), has_text("vsim: returned position 0\n"));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("semactl is not stopped before it has returned its slot") {
    World world;
    const auto run = world.start({"run", "vsim", "--", SIGNAL_COUNTER});
    REQUIRE(run->prints("ready"));
    halt(world.server.pid());
    run->signal(SIGUSR2);
    REQUIRE(run->warns("vsim: cannot return the slot"));
    run->signal(SIGTSTP);
    kill(world.server.pid(), SIGCONT);
    CHECK(run->wait() == 0);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("the slots of several pools are returned though the server is away for some time") {
    World world;
    ProgramOptions options;
    const std::string config = world.semactl.folder() / "pools.toml";
    options.environment["SEMACTL_CONFIG"] = config;
    for (const std::string name : {"a", "b", "c"})
        REQUIRE(world.semactl({"new", "--save", name}, options).status == 0);
    const auto run = world.start({"run", "a", "b", "c", "--", SIGNAL_COUNTER}, options);
    REQUIRE(run->prints("ready"));
    world.server.kill9();
    run->signal(SIGUSR2);
    REQUIRE(run->warns("b: cannot return the slot"));
    world.server.start();
    CHECK(run->wait() == 0);
    for (const std::string name : {"a", "b", "c"})
        CHECK(Json::parse(world.semactl({"inspect", name, "--output", "json"}, options).out).at("in_use") ==
              0);
}

TEST_CASE("a return is not tried for longer than the lease lasts") {
    World world;
    const auto run = world.start({"run", "vsim", "--ttl", "5", "--no-keepalive", "--", SIGNAL_COUNTER});
    REQUIRE(run->prints("ready"));
    world.server.kill9();
    run->signal(SIGUSR2);
    CHECK(run->wait(8s) == 0);
    CHECK_THAT(run->err(), has_text("frees itself when its ttl ends"));
}

TEST_CASE("a return by hand gets over a server that is away") {
    World world;
    const std::string lease = world.borrow();
    world.server.kill9();
    const auto command = world.start({"return", "vsim", lease, "--wait", "1m", "--output", "json"});
    REQUIRE(command->warns("semactl: vsim: " + world.server.url() +
                           " is not available: Connection refused (trying again for up to 1m)\n"));
    world.server.start();
    CHECK(command->wait() == 0);
    CHECK(command->out() == "{\"returned\":true}\n");
    CHECK(world.semactl.in_use() == 0);
    // Nothing was on its way that could have returned it.
    CHECK(world.semactl({"return", "vsim", lease}).status == 1);
}

TEST_CASE("a return by hand is tried again where its answer does not come") {
    const World world;
    const std::string lease = world.borrow();
    Proxy proxy(world.server.port());
    proxy.become(Proxy::State::mute);
    const auto command = world.start({"--server", proxy.url(), "return", "vsim", lease, "--wait", "5"});
    REQUIRE(eventually([&] { return world.semactl.in_use() == 0; }));
    proxy.become(Proxy::State::open);
    CHECK(command->wait() == 0);
}

TEST_CASE("a keepalive by hand gets over a server that is away") {
    World world;
    const std::string lease = world.borrow();
    world.server.kill9();
    const auto command = world.start({"keepalive", "vsim", lease, "--ttl", "20m", "--wait", "1m"});
    REQUIRE(command->warns("trying again for up to 1m"));
    world.server.start();
    CHECK(command->wait() == 0);
    CHECK_THAT(command->out(), has_text("expires_in       1200\n"));
}

TEST_CASE("a return or keepalive by hand gives up after its wait, and asks once where that is 0") {
    World world;
    const std::string lease = world.borrow();
    world.server.kill9();
    for (const Words& words :
         {Words{"return", "vsim", lease}, Words{"keepalive", "vsim", lease, "--ttl", "9"}}) {
        Words once = words;
        once.insert(once.end(), {"--wait", "0"});
        const Finished refused = world.semactl(once);
        CHECK(refused.status == 69);
        CHECK(refused.err.find("trying again") == std::string::npos);
        Words impatient = words;
        impatient.insert(impatient.end(), {"--wait", "0.5"});
        const Finished tried = world.semactl(impatient);
        CHECK(tried.status == 69);
        CHECK_THAT(tried.err,
                   has_text("trying again for up to ") && has_text("Connection refused (is semad"));
    }
}
