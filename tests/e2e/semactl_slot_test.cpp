#include "tests/e2e/semactl.hpp"
#include "tests/e2e/terminal.hpp"
#include "tests/support/catch.hpp"

#include <nlohmann/json.hpp>

// `semactl slot`, and what an administrator is shown and asked before a lease is revoked.

using namespace sema::test;
using namespace std::chrono_literals;
using Json = nlohmann::json;

namespace {

using Words = std::vector<std::string>;

// A server with a pool of two slots, and an administrator at a terminal or without one.
struct World {
    World() { REQUIRE(semactl({"register", "vsim", "--count", "2"}).status == 0); }

    Finished operator()(const Words& words) const { return semactl(words); }
    Json json(Words words) const {
        words.insert(words.begin(), {"--output", "json"});
        const Finished answer = semactl(words);
        CAPTURE(words, answer.err);
        return Json::parse(answer.out);
    }
    std::string borrow(Words words = {}) const {
        words.insert(words.begin(), {"borrow", "vsim", "--ttl", "1h"});
        return json(words).at("lease").get<std::string>();
    }
    ProgramOptions at(const Terminal& terminal) const {
        ProgramOptions options;
        options.terminal = terminal.name();
        options.environment["TERM"] = "xterm";
        return semactl.options(options);
    }

    RunningServer server;
    Semactl semactl{server.url()};
};

}  // namespace

TEST_CASE("a slot is taken out of service, shown with its reason, and put back") {
    const World world;
    const Finished out = world({"slot", "vsim", "1", "out", "--reason", "fan is \x1b[2Jbroken"});
    CHECK(out.status == 0);
    CHECK(out.out.empty());
    CHECK(out.err.empty());
    CHECK_THAT(world({"holders", "vsim"}).out,
               Catch::Matchers::StartsWith("vsim: 0 of 2 in use, 1 available, 1 out of service\n") &&
                   has_text("\nPOSITION  OUT OF SERVICE ") && has_text("\n1         fan is  [2Jbroken "));
    const Finished inspected = world({"inspect", "vsim"});
    CHECK_THAT(inspected.out,
               Catch::Matchers::StartsWith("count      2\nin_use     0\navailable  1\nout        1\n") &&
                   has_text("\n  position 1 is out of service since ") && has_text(": fan is  [2Jbroken\n"));
    CHECK(world.json({"holders", "vsim"}).at("out").at(0).at("reason") == "fan is \x1b[2Jbroken");
    CHECK(world.json({"inspect", "vsim"}).size() == 4);

    CHECK(world({"slot", "vsim", "1", "in"}).status == 0);
    CHECK(world({"inspect", "vsim"}).out == "count      2\nin_use     0\navailable  2\n");
    const Json answer = world.json({"slot", "vsim", "0", "out", "--reason", "fan"});
    CHECK(answer.at("position") == 0);
    CHECK(answer.at("out") == true);
    CHECK(answer.at("reason") == "fan");
    CHECK(world.json({"slot", "vsim", "0", "in"}).at("out") == false);
}

TEST_CASE("a reason moves no terminal as JSON either, and stays what it is") {
    const World world;
    const std::string reason =
        "fan\xc2\x9b"
        "2J";
    REQUIRE(world({"slot", "vsim", "1", "out", "--reason", reason}).status == 0);
    const Finished listed = world({"--output", "json", "holders", "vsim"});
    CHECK_THAT(listed.out, has_text("fan\\u009b2J"));
    CHECK(Json::parse(listed.out).at("out").at(0).at("reason") == reason);
}

TEST_CASE("who takes a slot out is told whose lease goes on") {
    const World world;
    world.borrow({"--holder", "ann", "--holder-url", "https://ci.example/7"});
    const Finished out = world({"slot", "vsim", "0", "out"});
    CHECK(out.status == 0);
    CHECK_THAT(out.err, has_text("semactl: vsim: position 0 is held by ann (https://ci.example/7) for ") &&
                            has_text(": that lease goes on\n"));
    CHECK(world({"-q", "slot", "vsim", "0", "out"}).err.empty());
    CHECK_THAT(world({"inspect", "vsim"}).out, has_text("in_use     1\navailable  1\nout        1\n"));
    CHECK(world.semactl.in_use() == 1);
}

TEST_CASE("a slot that the pool does not have is named, and so is wrong usage") {
    const World world;
    const Finished beyond = world({"slot", "vsim", "2", "out"});
    CHECK(beyond.status == 125);
    CHECK(beyond.err == "semactl: vsim: there is no position 2 (the last one is 1)\n");
    REQUIRE(world({"register", "vsim", "--count", "0"}).status == 0);
    CHECK(world({"slot", "vsim", "0", "in"}).err ==
          "semactl: vsim: there is no position 0: the pool has no slots\n");
    for (const Words& words :
         {Words{"slot", "vsim", "0"}, Words{"slot", "vsim", "0", "off"}, Words{"slot", "vsim", "x", "out"},
          Words{"slot", "vsim", "0", "in", "--reason", "x"}, Words{"slot", "vsim", "0", "out", "in"},
          Words{"revoke", "vsim", "0", "--fence", "x"}, Words{"revoke", "vsim", "0", "--fence", "-1"},
          Words{"register", "vsim", "--count", "1", "--pick", "first"}}) {
        CAPTURE(words);
        CHECK(world(words).status == 2);
    }
    const Finished long_reason = world({"slot", "vsim", "0", "out", "--reason", std::string(257, 'x')});
    CHECK(long_reason.status == 125);
    CHECK_THAT(long_reason.err, has_text("reason must have at most 256 characters"));
    REQUIRE(world({"delete", "vsim"}).status == 0);
    CHECK(world({"slot", "vsim", "0", "out"}).status == 66);
}

TEST_CASE("a pool is registered to lend the slot that has been idle longest") {
    const World world;
    REQUIRE(world({"register", "vsim", "--pick", "idle"}).status == 0);
    CHECK(world.json({"holders", "vsim"}).at("pick") == "idle");
    CHECK_THAT(world({"holders", "vsim"}).out, has_text(", idlest slot first\n"));
    const std::string lease = world.borrow();
    REQUIRE(world({"return", "vsim", lease}).status == 0);
    CHECK(world.json({"borrow", "vsim", "--ttl", "1h"}).at("position") == 1);
}

TEST_CASE("a slot that rests is said to rest") {
    const World world;
    REQUIRE(world({"register", "vsim", "--cooldown", "1h"}).status == 0);
    REQUIRE(world({"return", "vsim", world.borrow()}).status == 0);
    CHECK(world({"inspect", "vsim"}).out ==
          "count      2\nin_use     0\navailable  1\nresting    1 (for the cooldown of 1h)\n");
    CHECK(world({"holders", "vsim"}).out ==
          "vsim: 0 of 2 in use, 1 available, 1 resting for the cooldown of 1h\n");
}

TEST_CASE("a revoke by a fence that is not there any more is answered no") {
    const World world;
    const Json lease = world.json({"borrow", "vsim", "--ttl", "1h", "--slots", "1"});
    const std::string fence = std::to_string(lease.at("fence").get<int>());
    const std::string other = std::to_string(lease.at("fence").get<int>() + 1);
    const Finished missed = world({"revoke", "vsim", "0", "--fence", other});
    CHECK(missed.status == 1);
    CHECK(missed.err ==
          "semactl: vsim: the lease with the fence " + other + " does not hold position 0 (any more)\n");
    CHECK(world.semactl.in_use() == 1);
    CHECK(world({"revoke", "vsim", "0", "--fence", fence}).status == 0);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("on a terminal a revoke shows who would be hit, and asks") {
    const World world;
    world.borrow({"--holder", "ann", "--holder-url", "https://ci.example/7", "--slots", "2"});
    const std::string question = "vsim: positions 0-1, held by ann (https://ci.example/7) for ";
    for (const std::string answer : {"n", "", "x", "never"}) {
        CAPTURE(answer);
        Terminal terminal;
        terminal.resize(24, 200);
        Program revoking(Semactl::command({"revoke", "vsim", "1"}), world.at(terminal));
        REQUIRE(terminal.shows(question));
        REQUIRE(terminal.shows(": revoke that lease? [y/N] "));
        terminal.type(answer + "\n");
        CHECK(revoking.wait() == 1);
        CHECK(terminal.shows("vsim: nothing was revoked"));
        CHECK(world.semactl.in_use() == 2);
    }
    Terminal terminal;
    terminal.resize(24, 200);
    Program revoking(Semactl::command({"revoke", "vsim", "1"}), world.at(terminal));
    REQUIRE(terminal.shows("[y/N] "));
    terminal.type("y\n");
    CHECK(revoking.wait() == 0);
    CHECK(world.semactl.in_use() == 0);

    Program again(Semactl::command({"revoke", "vsim", "1"}), world.at(terminal));
    CHECK(again.wait() == 1);
    CHECK(terminal.shows("vsim: nobody holds position 1"));
}

TEST_CASE("on a terminal a pool that is in use is deleted once that was confirmed") {
    const World world;
    world.borrow({"--holder", "ann"});
    for (const std::string answer : {"n", ""}) {
        CAPTURE(answer);
        Terminal terminal;
        terminal.resize(24, 200);
        Program deleting(Semactl::command({"delete", "vsim"}), world.at(terminal));
        REQUIRE(terminal.shows("vsim: 1 in use, 0 waiting: delete the pool with all that? [y/N] "));
        terminal.type(answer + "\n");
        CHECK(deleting.wait() == 1);
        CHECK(terminal.shows("vsim: nothing was deleted"));
        CHECK(world.semactl.in_use() == 1);
    }
    Terminal terminal;
    terminal.resize(24, 200);
    Program deleting(Semactl::command({"delete", "vsim"}), world.at(terminal));
    REQUIRE(terminal.shows("[y/N] "));
    terminal.type("YES\n");
    CHECK(deleting.wait() == 0);
    CHECK(world({"holders", "vsim"}).status == 66);
}

TEST_CASE("a pool that nobody uses is deleted unasked, and any is with --yes") {
    Terminal terminal;
    for (const bool is_used : {false, true}) {
        const World world;
        Words words = {"delete", "vsim"};
        if (is_used) {
            world.borrow();
            words.push_back("--yes");
        }
        Program deleting(Semactl::command(words), world.at(terminal));
        CHECK(deleting.wait() == 0);
        CHECK(world({"holders", "vsim"}).status == 66);
    }
    CHECK(terminal.screen().find("[y/N]") == std::string::npos);
}

TEST_CASE("a revoke that was confirmed does not hit the next holder") {
    const World world;
    const std::string lease = world.borrow({"--holder", "ann"});
    Terminal terminal;
    terminal.resize(24, 200);
    Program revoking(Semactl::command({"revoke", "vsim", "0"}), world.at(terminal));
    REQUIRE(terminal.shows("held by ann"));
    REQUIRE(world({"return", "vsim", lease}).status == 0);
    world.borrow({"--holder", "bob"});
    terminal.type("y\n");
    CHECK(revoking.wait() == 1);
    CHECK(terminal.shows("does not hold position 0 (any more)"));
    CHECK(world.json({"who", "vsim"}).at("holders").at(0).at("holder").at("name") == "bob");
}

TEST_CASE("a revoke does not ask where it is told not to, or which lease is meant") {
    const World world;
    Terminal terminal;
    for (const bool by_fence : {false, true}) {
        const Json lease = world.json({"borrow", "vsim", "--ttl", "1h", "--slots", "1"});
        Words words = {"revoke", "vsim", "0"};
        by_fence ? words.insert(words.end(), {"--fence", std::to_string(lease.at("fence").get<int>())})
                 : words.insert(words.end(), "--yes");
        Program revoking(Semactl::command(words), world.at(terminal));
        CHECK(revoking.wait() == 0);
        CHECK(world.semactl.in_use() == 0);
    }
    CHECK(terminal.screen().find("[y/N]") == std::string::npos);
}
