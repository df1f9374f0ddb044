#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"

#include <nlohmann/json.hpp>

#include <csignal>
#include <fstream>
#include <iterator>

// What semactl says of pools that are made, changed and deleted, and of values that are wrong.

using namespace sema::test;

namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

// Of a pool of one slot.
struct World {
    explicit World(const Words& server_options = {}) : server(server_options) {
        REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    }

    std::string config() const { return (semactl.folder() / "semactl/config.toml").string(); }
    std::string config_text() const {
        std::ifstream file(config());
        return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    }

    RunningServer server;
    Semactl semactl{server.url()};
};

}  // namespace

TEST_CASE("a resize wants a sign, and prints what was and what is") {
    const World world;
    const Finished unsigned_number = world.semactl({"resize", "vsim", "4"});
    CHECK(unsigned_number.status == 2);
    CHECK(
        unsigned_number.err ==
        "semactl: N: 4 has no sign: write +4 or -4 for so many slots more or less, or semactl register vsim "
        "--count 4 for so many in all\n");
    CHECK(world.semactl.count() == 1);
    CHECK(world.semactl({"resize", "vsim", "+4"}).out == "count      1 -> 5\nin_use     0\navailable  5\n");
    CHECK(world.semactl({"resize", "vsim", "-2"}).out == "count      5 -> 3\nin_use     0\navailable  3\n");
    CHECK(world.semactl({"--output", "json", "resize", "vsim", "+1"}).out ==
          R"({"id":")" + world.semactl.pool().str() + R"(","count":4,"in_use":0,"available":4})" + "\n");
    CHECK(world.semactl({"resize", "vsim", "two"}).err ==
          "semactl: N: 'two' is not a whole number (-1000000 to 1000000)\n");
}

TEST_CASE("a pool is changed in what is named alone") {
    const World world;
    REQUIRE(
        world.semactl({"register", "vsim", "--count", "2", "--slot", "a", "--slot", "b", "--name", "boards"})
            .status == 0);
    CHECK(world.semactl({"register", "vsim", "--cooldown", "30s"}).out ==
          "count      2\nin_use     0\navailable  2\n");
    CHECK(world.semactl({"register", "vsim", "--renewable", "no"}).status == 0);
    CHECK_THAT(world.semactl({"holders", "vsim"}).out,
               has_text("vsim (boards): 0 of 2 in use, 2 available, cooldown 30s, leases not renewable"));
    CHECK_THAT(world.semactl({"borrow", "vsim", "--ttl", "60", "--holder", "me"}).out,
               has_text("slots            a\n"));

    const Finished nothing = world.semactl({"register", "vsim"});
    CHECK(nothing.status == 2);
    CHECK_THAT(nothing.err, has_text("register needs --count"));
    REQUIRE(world.semactl({"delete", "vsim"}).status == 0);
    const Finished absent = world.semactl({"register", "vsim", "--cooldown", "3s"});
    CHECK(absent.status == 66);
    CHECK_THAT(absent.err, has_text("no such pool") && has_text("semactl register vsim --count 4"));
}

TEST_CASE("a pool without slots is told of") {
    const World world;
    const Finished made = world.semactl({"new", "--count", "0", "--save", "gpu"});
    CHECK(made.status == 0);
    CHECK_THAT(made.err, has_text("gpu: it has no slots, so nobody is lent one (semactl resize gpu +1)\n"));
    CHECK_THAT(world.semactl({"register", "vsim", "--count", "0"}).err, has_text("semactl resize vsim +1"));
    CHECK(world.semactl({"-q", "register", "vsim", "--count", "0"}).err.empty());
    CHECK(world.semactl({"resize", "vsim", "+1"}).err.empty());
}

TEST_CASE("a count that the server does not take is told the range") {
    const World world;
    const std::string range =
        " (a pool has 0 to 1000 slots, unless the server was started with another --max-count)\n";
    CHECK_THAT(world.semactl({"register", "vsim", "--count", "1001"}).err, has_text(range));
    CHECK_THAT(world.semactl({"new", "--count", "1001"}).err, has_text(range));
    CHECK_THAT(world.semactl({"resize", "vsim", "+1000"}).err, has_text(range));
    CHECK_THAT(world.semactl({"borrow", "vsim", "--ttl", "9", "--slots", "1001"}).err,
               has_text("slots out of range (status 400) (it takes 1 to 1000, "));
}

TEST_CASE("an alias whose pool is deleted can be forgotten") {
    const World world;
    const std::string before = world.config_text();
    REQUIRE(world.semactl({"new", "--save", "gpu"}).status == 0);
    const Finished again = world.semactl({"new", "--save", "gpu"});
    CHECK(again.status == 2);
    CHECK_THAT(again.err, has_text("gpu: " + world.config() + " has a pool of that name already") &&
                              has_text("semactl delete gpu --forget"));

    const Finished deleted = world.semactl({"delete", "gpu"});
    CHECK(deleted.status == 0);
    CHECK(deleted.err == "semactl: gpu: the alias is in " + world.config() +
                             " still (semactl delete gpu --forget takes it out)\n");
    // As there is no such pool any more.
    const Finished forgotten = world.semactl({"delete", "gpu", "--forget"});
    CHECK(forgotten.status == 1);
    CHECK_THAT(forgotten.err, has_text("gpu: taken out of " + world.config() + "\n"));
    CHECK(world.config_text() == before);
    CHECK(world.semactl({"new", "--save", "gpu"}).status == 0);
    CHECK(world.semactl({"-q", "delete", "gpu", "--forget"}).status == 0);
    CHECK(world.config_text() == before);
}

TEST_CASE("what is no alias cannot be forgotten, and its pool stays") {
    const World world;
    ProgramOptions options;
    options.environment["POOL"] = world.semactl.pool().str();
    const Finished refused = world.semactl({"delete", "env:POOL", "--forget"}, options);
    CHECK(refused.status == 2);
    CHECK(refused.err == "semactl: --forget: env:POOL is no alias of the configuration file\n");
    CHECK(world.semactl.count() == 1);
}

TEST_CASE("what is to be done for a lost lease must be a command, or one of the words for it") {
    const World world;
    const auto told = [&](const std::string& what) {
        const Finished run = world.semactl({"run", "vsim", "--wait", "0", "--on-lost", what, "--", "true"});
        CHECK(run.status == (run.err.empty() ? 0 : 125));
        return run.err;
    };
    CHECK(told("ignor") ==
          "semactl: --on-lost: 'ignor' is not term, not ignore, and no command that is found (did you mean "
          "'ignore'?)\n");
    CHECK_THAT(told("TERM"), has_text("did you mean 'term'?"));
    CHECK_THAT(told("no-such-command"), has_text("is not term, not ignore"));
    for (const char* what : {"term", "ignore", "true", ":", "kill $SEMA_PID", "./stop", "no-such-command x"})
        CHECK(told(what).empty());
}

TEST_CASE("why a lease is held no longer is told as far as it can be known") {
    const World world;
    const std::string lease = sema::LeaseId::random().str();
    const std::string ended =
        "the server knows no such lease of the pool: it has ended, or was returned or revoked before, or is "
        "another pool's\n";
    for (const bool revoked : {false, true}) {
        REQUIRE(world.semactl({"borrow", "vsim", "--ttl", "60", "--lease", lease}).status == 0);
        REQUIRE((revoked ? world.semactl({"revoke", "vsim", "0"}) : world.semactl({"return", "vsim", lease}))
                    .status == 0);
        const Finished returned = world.semactl({"return", "vsim", lease});
        CHECK(returned.status == 1);
        CHECK(returned.err == "semactl: vsim: not returned: " + ended);
        const Finished renewed = world.semactl({"keepalive", "vsim", lease, "--ttl", "60"});
        CHECK(renewed.status == 1);
        CHECK(renewed.err == "semactl: vsim: not renewed: " + ended);
    }
    REQUIRE(world.semactl({"borrow", "vsim", "--ttl", "60", "--lease", lease}).status == 0);
    REQUIRE(world.semactl({"-q", "delete", "vsim"}).status == 0);
    for (const Words& line : {Words{"return", "vsim", lease}, {"keepalive", "vsim", lease, "--ttl", "60"}}) {
        const Finished refused = world.semactl(line);
        CHECK(refused.status == 1);
        CHECK_THAT(refused.err, has_text("ed: there is no such pool on " + world.server.url() + "\n"));
    }
}

TEST_CASE("what is wrong with the server's address is told in plain words") {
    const World world;
    const std::string port = std::to_string(world.server.port());
    CHECK(world.semactl({"--server", "127.0.0.1:" + port, "ping"}).status == 0);
    const Finished plain = world.semactl({"--server", "https://127.0.0.1:" + port, "ping"});
    CHECK(plain.status == 69);
    CHECK_THAT(plain.err, has_text("https://127.0.0.1:" + port + " speaks no TLS (write http://"));
    ProgramOptions direct;
    direct.environment["http_proxy"] = "";
    CHECK_THAT(world.semactl({"--server", "http://no-such-host.invalid:7717", "ping"}, direct).err,
               has_text("is not available: no host of that name was found"));
    // Nothing listens there, or something else than semad.
    CHECK_THAT(world.semactl({"--server", "127.0.0.1", "ping"}).err,
               has_text("no port is given, so port 80 was tried: semad's own is 7717, as in "
                        "http://HOST:7717)"));
}

TEST_CASE("a waiter that is away is marked, and no slot is promised where one is free") {
    const World world({"--rejoin", "10m"});
    const auto borrowed = [&] {
        const Finished lease = world.semactl({"--output", "json", "borrow", "vsim", "--ttl", "10m"});
        return Json::parse(lease.out).at("lease").get<std::string>();
    };
    const auto queue = [&] {
        return Json::parse(world.semactl({"--output", "json", "holders", "vsim"}).out).at("queue");
    };
    // How long leases last is known once one has ended.
    REQUIRE(world.semactl({"return", "vsim", borrowed()}).status == 0);
    const std::string lease = borrowed();
    const std::string waiting = sema::LeaseId::random().str();
    {
        const Program waiter(
            Semactl::command({"borrow", "vsim", "--ttl", "60", "--wait", "5m", "--lease", waiting}),
            world.semactl.options());
        REQUIRE(eventually([&] { return queue().size() == 1; }));
        CHECK(queue().at(0).count("away") == 0);
        CHECK_THAT(world.semactl({"holders", "vsim"}).out, !has_text("away"));
        waiter.signal(SIGKILL);
    }
    REQUIRE(eventually([&] { return queue().at(0).value("away", false); }));
    CHECK_THAT(world.semactl({"holders", "vsim"}).out,
               has_text("next slot in about") && has_text("s, away\n"));

    REQUIRE(world.semactl({"return", "vsim", lease}).status == 0);
    CHECK_THAT(world.semactl({"holders", "vsim"}).out,
               has_text("0 of 1 in use, 1 available\n") && has_text("s, away\n"));
}

TEST_CASE("tables and messages are in ASCII where the locale is not one of UTF-8") {
    const World world;
    REQUIRE(world.semactl({"borrow", "vsim", "--ttl", "60", "--holder", "J\u00fcrgen"}).status == 0);
    const auto holders_in = [&](const std::string& variable, const std::string& locale) {
        ProgramOptions options;
        for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"})
            options.environment[name] = "";
        options.environment[variable] = locale;
        return world.semactl({"holders", "vsim"}, options).out;
    };
    CHECK_THAT(holders_in("LC_ALL", "C"), has_text("J?rgen"));
    CHECK_THAT(holders_in("LANG", "POSIX"), has_text("J?rgen"));
    CHECK_THAT(holders_in("LANG", ""), has_text("J?rgen"));
    CHECK_THAT(holders_in("LC_ALL", "C.UTF-8"), has_text("J\u00fcrgen"));
    CHECK_THAT(holders_in("LC_CTYPE", "de_DE.utf8"), has_text("J\u00fcrgen"));
    ProgramOptions options;
    options.environment["LC_ALL"] = "C";
    CHECK_THAT(world.semactl({"--output", "json", "holders", "vsim"}, options).out, has_text("J\u00fcrgen"));
    CHECK_THAT(world.semactl({"inspect", "J\u00fcrgen"}, options).err, has_text("'J?rgen' is no pool"));
}
