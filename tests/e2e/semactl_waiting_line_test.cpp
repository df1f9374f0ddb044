#include "tests/e2e/semactl.hpp"
#include "tests/e2e/terminal.hpp"
#include "tests/support/catch.hpp"

#include <regex>

// What somebody sees who waits at a terminal.

using namespace sema::test;

namespace {

struct World {
    World() {
        REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
        REQUIRE(semactl({"borrow", "vsim", "--ttl", "10m", "--holder", std::string(100, 'n')}).status == 0);
        terminal.resize(24, 80);
    }

    ProgramOptions options() const {
        ProgramOptions options;
        options.terminal = terminal.name();
        options.environment["TERM"] = "xterm";
        return semactl.options(options);
    }

    bool matches(const std::string& shape) {
        return eventually([&] { return std::regex_search(terminal.screen(), std::regex(shape)); });
    }

    RunningServer server;
    Semactl semactl{server.url()};
    Terminal terminal;
};

const std::vector<std::string> run = {"run", "vsim", "--wait", "10m", "--", "true"};

}  // namespace

TEST_CASE("a waiting line shortens the holder's name, and keeps the time") {
    World world;
    world.terminal.resize(24, 90);
    Program waiter(Semactl::command(run), world.options());
    CHECK(
        world.matches("\rwaiting for vsim: 1st of 1[^\r]* \u00b7 longest held [0-9s]+ by n+\u2026 \u00b7 "
                      "[0-9]+s of 10m\x1b\\[K\r"));
}

TEST_CASE("a waiting line tells of an outage with its reason, and when it is over") {
    World world;
    Program waiter(Semactl::command(run), world.options());
    REQUIRE(world.matches("1st of 1"));
    world.server.kill9();
    CHECK(world.matches("s of 10m \\(the server is not available: Connection refused\\)\x1b"));
    world.server.start();
    CHECK(world.terminal.shows("semactl: " + world.server.url() + " is available again\r\n"));
    CHECK(world.matches("is available again\r\n[^\n]*\rwaiting for vsim: 1st of 1"));
}

TEST_CASE("the echo of a key does not wrap the waiting line") {
    World world;
    Program waiter(Semactl::command(run), world.options());
    REQUIRE(world.matches("s of 10m"));
    world.terminal.type(ctrl_c);
    CHECK(waiter.wait() == 130);
    CHECK_THAT(world.terminal.screen(), has_text("\r^C"));
}

TEST_CASE("a job in the background draws no waiting line, one in the foreground does") {
    World world;
    const std::string shell = "set -m; " SEMACTL
                              " run vsim --wait 10m -- true & read line; fg; echo halted; bg; read line; "
                              "kill -TERM %1; wait; echo all over";
    Program bash({"bash", "-c", shell}, world.options());
    REQUIRE(world.terminal.shows("semactl: waiting for vsim, up to 10m\r\n"));
    REQUIRE(world.terminal.shows("semactl: waiting for vsim: 1st of 1"));
    CHECK_THAT(world.terminal.screen(), !has_text("\x1b"));
    world.terminal.type("\n");
    REQUIRE(world.matches("\rwaiting for vsim: 1st of 1"));
    world.terminal.type(ctrl_z);
    REQUIRE(world.terminal.shows("halted\r\n"));
    const std::string before = world.terminal.screen().substr(0, world.terminal.screen().find("halted"));
    // The last that was drawn wiped the line.
    CHECK_THAT(before.substr(before.rfind('\x1b') - 1), Catch::Matchers::StartsWith("\r\x1b[K"));
    CHECK(before.substr(before.rfind('\x1b')).find("waiting for") == std::string::npos);
    world.server.kill9();
    REQUIRE(world.terminal.shows("trying again until --wait 10m is over"));
    world.server.start();
    REQUIRE(world.terminal.shows("semactl: " + world.server.url() + " is available again\r\n"));
    world.terminal.type("\n");
    REQUIRE(world.terminal.shows("all over"));
    CHECK_THAT(world.terminal.screen().substr(before.size()), !has_text("\x1b"));
}

TEST_CASE("a waiting line is in ASCII where the locale is") {
    World world;
    world.terminal.resize(24, 90);
    ProgramOptions options = world.options();
    options.environment["LC_ALL"] = "C";
    Program waiter(Semactl::command(run), options);
    CHECK(world.matches(" \\| longest held [0-9s]+ by n+\\+ \\| [0-9]+s of 10m"));
}
