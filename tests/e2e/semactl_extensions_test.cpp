#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scripted_server.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>

using namespace sema::test;
using namespace std::chrono_literals;
using Json = nlohmann::json;

namespace {

using Words = std::vector<std::string>;

const std::string own_lease = "5a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34";

// A server with a pool of two slots, and semactl to use it.
struct World {
    explicit World(const Words& server_options = {}) : server(server_options) {
        REQUIRE(semactl({"register", "vsim", "--count", "2"}).status == 0);
    }

    Finished operator()(const Words& words) const { return semactl(words); }
    Json json(Words words) const {
        words.insert(words.begin(), {"--output", "json"});
        const Finished answer = semactl(words);
        CAPTURE(words, answer.err);
        REQUIRE_FALSE(answer.out.empty());
        // One line, so that several can be told apart.
        CHECK(answer.out.find('\n') == answer.out.size() - 1);
        return Json::parse(answer.out);
    }
    std::string borrow(Words words = {}) const {
        words.insert(words.begin(), {"borrow", "vsim", "--ttl", "60"});
        return json(words).at("lease").get<std::string>();
    }
    bool has_waiters(std::size_t count) const {
        return eventually([&] { return json({"holders", "vsim"}).at("queue").size() == count; });
    }

    RunningServer server;
    Semactl semactl{server.url()};
};

}  // namespace

TEST_CASE("a lease that is kept alive gets a new end") {
    const World world;
    const std::string lease = world.borrow();
    const Finished renewed = world({"keepalive", "vsim", lease, "--ttl", "5m"});
    CHECK(renewed.status == 0);
    CHECK_THAT(renewed.out,
               has_text("lease            " + lease + "\n") && has_text("expires_in       300\n"));
    const Json answer = world.json({"keepalive", "vsim", lease, "--ttl", "90"});
    CHECK(answer.at("renewed") == true);
    CHECK(answer.at("expires_in") == 90);

    REQUIRE(world({"return", "vsim", lease}).status == 0);
    const Finished gone = world({"keepalive", "vsim", lease, "--ttl", "90"});
    CHECK(gone.status == 1);
    CHECK(gone.out.empty());
    CHECK_THAT(gone.err, has_text("vsim: not renewed: the server knows no such lease of the pool"));
    CHECK(world.json({"keepalive", "vsim", lease, "--ttl", "90"}) == Json{{"renewed", false}});
}

TEST_CASE("a pool can forbid that its leases are kept alive") {
    const World world;
    REQUIRE(world({"register", "vsim", "--count", "2", "--renewable", "no"}).status == 0);
    const std::string lease = world.borrow();
    const Finished refused = world({"keepalive", "vsim", lease, "--ttl", "90"});
    CHECK(refused.status == 125);
    CHECK(refused.err ==
          "semactl: vsim: the pool does not let its leases be renewed (semactl register vsim "
          "--renewable yes would)\n");
    REQUIRE(world({"register", "vsim", "--count", "2", "--renewable", "yes"}).status == 0);
    CHECK(world({"keepalive", "vsim", lease, "--ttl", "90"}).status == 0);
}

TEST_CASE("a pool is resized by steps up and down") {
    const World world;
    CHECK(world({"resize", "vsim", "+2"}).out == "count      2 -> 4\nin_use     0\navailable  4\n");
    CHECK_THAT(world({"resize", "vsim", "-1"}).out, has_text("count      4 -> 3\n"));
    CHECK(world.json({"resize", "vsim", "+2"}).at("count") == 5);
    const Finished too_far = world({"resize", "vsim", "-6"});
    CHECK(too_far.status == 125);
    CHECK_THAT(too_far.err, has_text("vsim: it has 5 slots, and cannot have -1 (a pool has 0 to 1000 slots"));
    CHECK(world.semactl.count() == 5);
    REQUIRE(world({"delete", "vsim"}).status == 0);
    CHECK(world({"resize", "vsim", "+1"}).status == 66);
}

TEST_CASE("holders tells who holds and who waits, to people and to programs") {
    const World world;
    REQUIRE(world({"register", "vsim", "--count", "2", "--name", "Questa", "--cooldown", "30"}).status == 0);
    world.borrow({"--slots", "2", "--holder", "ann", "--holder-url", "https://ci.example/7"});
    Program waiting(Semactl::command({"borrow", "vsim", "--ttl", "60", "--wait", "60", "--priority", "-5",
                                      "--holder", "bob"}),
                    world.semactl.options());
    REQUIRE(world.has_waiters(1));

    for (const std::string command : {"holders", "who"}) {
        const Finished table = world({command, "vsim"});
        CHECK(table.status == 0);
        CHECK_THAT(table.out,
                   Catch::Matchers::StartsWith("vsim (Questa): 2 of 2 in use, 0 available, cooldown 30s") &&
                       has_text("POSITION  HOLDER  HELD FOR  EXPIRES IN  FENCE") &&
                       has_text("\n0-1       ann     ") && has_text("  https://ci.example/7\n") &&
                       has_text("\n1     bob     1      -5        "));
    }
    const Json view = world.json({"who", "vsim"});
    CHECK(view.at("name") == "Questa");
    CHECK(view.at("holders").at(0).at("positions") == Json{0, 1});
    CHECK(view.at("holders").at(0).at("holder") == Json{{"name", "ann"}, {"url", "https://ci.example/7"}});
    CHECK(view.at("queue").at(0).at("priority") == -5);
    CHECK(view.dump().find("lease") == std::string::npos);

    REQUIRE(world({"delete", "vsim"}).status == 0);
    CHECK(world({"holders", "vsim"}).status == 66);
    CHECK(waiting.wait() == 66);
}

TEST_CASE("who borrows by hand and gives no name is called by the user and the machine, or the CI job") {
    const World world;
    world.borrow();
    const auto holder = [&] { return world.json({"who", "vsim"}).at("holders").at(0).at("holder"); };
    const std::string name = holder().at("name");
    CHECK_THAT(name, has_text("@") && !has_text(":") && !has_text(" "));
    CHECK(world({"revoke", "vsim", "0"}).status == 0);
    ProgramOptions job;
    job.environment = {{"CI_JOB_URL", "https://ci.example/7"}, {"CI_JOB_NAME", "build"}};
    CHECK(world.semactl({"borrow", "vsim", "--ttl", "60"}, job).status == 0);
    CHECK(holder().at("name") == "build (" + name + ")");
    CHECK(holder().at("url") == "https://ci.example/7");
}

TEST_CASE("a new pool can be given a name") {
    const World world;
    REQUIRE(world({"new", "--save", "boards", "--name", "The boards"}).status == 0);
    CHECK(world.json({"who", "boards"}).at("name") == "The boards");
}

TEST_CASE("a holder's name cannot steer the terminal of who looks") {
    const World world;
    world.borrow({"--holder", "\x1b[2Jann\nbob", "--holder-url", "http://x\x1b\\"});
    CHECK_THAT(world({"holders", "vsim"}).out, has_text("0          [2Jann bob  ") && !has_text("\x1b"));
    CHECK(world.json({"holders", "vsim"}).at("holders").at(0).at("holder").at("name") == "\x1b[2Jann\nbob");
}

TEST_CASE("a revoked lease is held no longer") {
    const World world;
    const std::string lease = world.borrow();
    const Finished revoked = world({"revoke", "vsim", "0"});
    CHECK(revoked.status == 0);
    CHECK(revoked.out.empty());
    CHECK(world({"return", "vsim", lease}).status == 1);
    const Finished nobody = world({"revoke", "vsim", "0"});
    CHECK(nobody.status == 1);
    CHECK(nobody.err == "semactl: vsim: nobody holds position 0\n");
    const Finished beyond = world({"revoke", "vsim", "9", "--yes"});
    CHECK(beyond.status == 1);
    CHECK(beyond.err == "semactl: vsim: there is no position 9 (the last one is 1)\n");
    CHECK(world.json({"revoke", "vsim", "1"}) == Json{{"revoked", false}});
    REQUIRE(world({"delete", "vsim"}).status == 0);
    CHECK(world({"revoke", "vsim", "0"}).status == 66);
}

TEST_CASE("who borrows under the same lease id again gets the same lease") {
    const World world;
    ProgramOptions options;
    options.environment["MY_LEASE"] = own_lease;
    const Words command = {"--output", "json", "borrow", "vsim", "--ttl", "60", "--lease"};
    for (const auto& given : Words{own_lease, "env:MY_LEASE", own_lease}) {
        Words words = command;
        words.push_back(given);
        const Json lease = Json::parse(world.semactl(words, options).out);
        CHECK(lease.at("lease") == own_lease);
        CHECK(lease.at("position") == 0);
    }
    CHECK(world.semactl.in_use() == 1);
}

TEST_CASE("a lease that was chosen is not given back, however little of it is left") {
    const std::string nearly_over =
        R"({"lease":")" + own_lease +
        R"(","position":0,"expires_at_unix":2000000000,"expires_in":0,"positions":[0],"fence":7,"slots":[null],)"
        R"("granted_at_unix":1999999940})";
    ScriptedServer server({{Scene::Wait::for_request, http("200 OK", nearly_over)}});
    const Finished again = Semactl(server.url())({"borrow", "vsim", "--ttl", "60", "--lease", own_lease});
    CHECK(again.status == 0);
    CHECK_THAT(again.out, has_text("fence            7\n"));
    CHECK(server.requests().size() == 1);
}

TEST_CASE("a borrower that named its lease and is interrupted leaves the queue") {
    const World world;
    world.borrow({"--slots", "2"});
    Program waiting(Semactl::command({"borrow", "vsim", "--ttl", "60", "--wait", "60", "--lease", own_lease}),
                    world.semactl.options());
    REQUIRE(world.has_waiters(1));
    waiting.signal(SIGTERM);
    CHECK(waiting.wait() == 128 + SIGTERM);
    CHECK(world.json({"holders", "vsim"}).at("queue").empty());
}

TEST_CASE("a lease that was chosen is not returned by a borrow of it that is interrupted") {
    // The borrow is not answered; the lease is none that waits.
    ScriptedServer server({{Scene::Wait::for_end_of_input, ""},
                           {Scene::Wait::for_request, http("200 OK", R"({"cancelled":false})")},
                           {Scene::Wait::for_request, http("200 OK", R"({"returned":true})")}});
    const Semactl semactl(server.url());
    Program again(Semactl::command({"borrow", "vsim", "--ttl", "60", "--wait", "60", "--lease", own_lease}),
                  semactl.options());
    REQUIRE(again.warns("waiting for vsim"));
    again.signal(SIGTERM);
    CHECK(again.wait() == 128 + SIGTERM);
    CHECK_THAT(again.err(), has_text("vsim: the lease that --lease names may be held, and is not returned"));
    CHECK(server.requests().size() == 2);
}

TEST_CASE("several slots are lent together, or none") {
    const World world;
    CHECK_THAT(world({"borrow", "vsim", "--ttl", "60", "--slots", "2"}).out,
               has_text("position         0\n") && has_text("positions        0-1\n") && !has_text("slots") &&
                   has_text("fence            "));
    const Finished refused = world({"borrow", "vsim", "--ttl", "60", "--slots", "2"});
    CHECK(refused.status == 75);
    CHECK(refused.err ==
          "semactl: vsim: no 2 slots are free at once (--wait 5m would wait for them: 1st of 1 in the "
          "queue)\n");
}

TEST_CASE("who has a higher priority is served before") {
    const World world;
    const std::string held = world.borrow({"--slots", "2"});
    const auto queue_up = [&](const std::string& priority) {
        return std::make_unique<Program>(
            Semactl::command({"borrow", "vsim", "--ttl", "60", "--wait", "60", "--slots", "2", priority}),
            world.semactl.options());
    };
    const auto low = queue_up("--priority=-5");
    REQUIRE(world.has_waiters(1));
    const auto high = queue_up("--priority=5");
    REQUIRE(world.has_waiters(2));
    // Its first call lasts a second, and between two calls it may be passed over: the next one lasts five.
    REQUIRE(high->warns("waiting for vsim: "));
    REQUIRE(eventually([&] {
        const Json queue = world.json({"holders", "vsim"}).at("queue");
        return std::none_of(queue.begin(), queue.end(),
                            [](const Json& waiter) { return waiter.contains("away"); });
    }));
    REQUIRE(world({"return", "vsim", held}).status == 0);
    CHECK(high->wait() == 0);
    CHECK_FALSE(low->ended());
}

TEST_CASE("a plain borrow prints what it always did") {
    const World world;
    CHECK(world.json({"borrow", "vsim", "--ttl", "60"}).size() == 4);
    CHECK(world.json({"borrow", "vsim", "--ttl", "60", "--priority", "-5"}).size() == 8);
}

TEST_CASE("a borrower is told its slot's payload, through a shell too, whatever it is") {
    const World world;
    const std::string nasty = "it's $(echo run) `x` \"q\"\n two";
    REQUIRE(world({"register", "vsim", "--slot", nasty, "--slot", R"({"host": "b", "port": 7})"}).out ==
            "count      2\nin_use     0\navailable  2\n");
    const std::string script =
        "lease=$(" SEMACTL
        " borrow vsim --ttl 60 --slots 2 --shell) && eval \"$lease\" && "
        "printf '%s|%s|%s' \"$SEMA_SLOT\" \"$SEMA_POSITIONS\" \"$SEMA_FENCE\" && " SEMACTL
        " return vsim env:SEMA_LEASE";
    for (const char* shell : {"bash", "dash"}) {
        const Finished run = run_program({shell, "-c", script}, world.semactl.options());
        CAPTURE(shell, run.err);
        CHECK(run.status == 0);
        CHECK_THAT(run.out, Catch::Matchers::StartsWith(nasty + "|0 1|"));
    }
    CHECK_THAT(world({"borrow", "vsim", "--ttl", "60", "--slots", "2"}).out,
               has_text("slots            it's $(echo run) `x` \"q\"  two\n                 "
                        "{\"host\":\"b\",\"port\":7}\n"));
    REQUIRE(world({"revoke", "vsim", "0"}).status == 0);
    CHECK(world.json({"borrow", "vsim", "--ttl", "60", "--slots", "2"}).at("slots") ==
          Json{nasty, Json{{"host", "b"}, {"port", 7}}});
}

TEST_CASE("a shell evaluates a lease that is longer than a pipe takes at once") {
    const World world;
    REQUIRE(world({"register", "vsim", "--slot", std::string(20'000, 'A'), "--count", "1"}).status == 0);
    const std::string script = "lease=$(" SEMACTL
                               " borrow vsim --ttl 60 --slots 1 --shell) && eval \"$lease\" && "
                               "echo $SEMA_POSITION ${#SEMA_SLOT} && " SEMACTL " return vsim env:SEMA_LEASE";
    for (const char* shell : {"bash", "dash"}) {
        const Finished run = run_program({shell, "-c", script}, world.semactl.options());
        CAPTURE(shell, run.err);
        CHECK(run.status == 0);
        CHECK(run.out == "0 20000\n");
    }
}

TEST_CASE("payloads that look like something else are texts") {
    const World world;
    REQUIRE(world({"register", "vsim", "--slot", "[a,b]", "--slot", "", "--slot", "{}", "--slot", "-x",
                   "--count", "4"})
                .status == 0);
    CHECK(world.json({"borrow", "vsim", "--ttl", "60", "--slots", "4"}).at("slots") ==
          Json{"[a,b]", "", Json::object(), "-x"});
}

TEST_CASE("payloads that do not fit the count, or are no JSON, are refused and not repeated") {
    const World world;
    const Finished too_few = world({"register", "vsim", "--count", "3", "--slot", "secret"});
    CHECK(too_few.status == 2);
    CHECK(too_few.err == "semactl: --slot: it must be given for each of the 3 slots, and is given once\n");
    const Finished no_json = world({"register", "vsim", "--slot", "{secret", "--slot", "x"});
    CHECK(no_json.status == 2);
    CHECK(no_json.err ==
          "semactl: --slot: what begins with { must be a JSON object, and one of them is not\n");
    CHECK(world.semactl.count() == 2);
}

TEST_CASE("a pool keeps its count where --slot is given for fewer or more, unless --count says the same") {
    const World world;
    const auto refusal = [&](Words slots, const std::string& often, const std::string& count) {
        slots.insert(slots.begin(), {"register", "vsim"});
        const Finished run = world(slots);
        CHECK(run.status == 2);
        CHECK(run.err == "semactl: vsim: the pool has 2 slots, and --slot is given " + often +
                             " (give it for each of them, or --count " + count +
                             " too if the pool is to have as many)\n");
        CHECK(world.semactl.count() == 2);
    };
    refusal({"--slot", "a"}, "once", "1");
    refusal({"--slot", "a", "--slot", "b", "--slot", "c"}, "3 times", "3");
    CHECK(world({"register", "vsim", "--slot", "a", "--slot", "b"}).status == 0);
    CHECK(world({"register", "vsim", "--count", "1", "--slot", "a"}).status == 0);
    CHECK(world.semactl.count() == 1);
    REQUIRE(world({"delete", "vsim"}).status == 0);
    CHECK(world({"register", "vsim", "--slot", "a", "--slot", "b"}).status == 0);
    CHECK(world.semactl.count() == 2);
}

TEST_CASE("bad usage of the lease extensions is 2") {
    const World world;
    for (const Words& line :
         {Words{"resize", "vsim"}, Words{"resize", "vsim", "x"}, Words{"resize", "vsim", "+-1"},
          Words{"resize", "vsim", "1.5"}, Words{"revoke", "vsim"}, Words{"revoke", "vsim", "-1"},
          Words{"revoke", "vsim", "x"}, Words{"keepalive", "vsim", own_lease}, Words{"keepalive", "vsim"},
          Words{"keepalive", "vsim", own_lease, "--ttl", "0"}, Words{"holders"}, Words{"watch"},
          Words{"watch", "no-such-alias"}, Words{"borrow", "vsim", "--ttl", "9", "--slots", "0"},
          Words{"borrow", "vsim", "--ttl", "9", "--priority", "101"},
          Words{"borrow", "vsim", "--ttl", "9", "--priority", "-101"},
          Words{"borrow", "vsim", "--ttl", "9", "--lease", "nonsense"}, Words{"register", "vsim"},
          Words{"register", "vsim", "--count", "2", "--renewable", "maybe"}}) {
        const Finished refused = world(line);
        CAPTURE(line, refused.err);
        CHECK(refused.status == 2);
        CHECK_THAT(refused.err, Catch::Matchers::StartsWith("semactl: "));
    }
}
