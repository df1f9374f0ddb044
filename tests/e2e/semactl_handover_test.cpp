#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scripted_server.hpp"

#include <nlohmann/json.hpp>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

using namespace sema::test;

namespace {

using Words = std::vector<std::string>;
using Json = nlohmann::json;

// A server with the pool `vsim`, of which somebody has borrowed a slot for others to use.
struct World {
    explicit World(Words server_options = {}, Words pool_options = {}) : server(std::move(server_options)) {
        Words words = {"register", "vsim", "--count", "2", "--slot", "licence-0", "--slot", "licence-1"};
        words.insert(words.end(), pool_options.begin(), pool_options.end());
        REQUIRE(semactl(words).status == 0);
    }

    // The extended body, as it comes with a callback.
    Json borrow(const std::string& ttl) const {
        const Finished borrowed =
            semactl({"--output", "json", "borrow", "vsim", "--ttl", ttl, "--slots", "1"});
        REQUIRE(borrowed.status == 0);
        return Json::parse(borrowed.out);
    }

    Words run(Words more) const {
        more.insert(more.begin(), {"run", "vsim", "--lease", "env:GIVEN"});
        return more;
    }
    ProgramOptions with(const std::string& lease) const {
        ProgramOptions options;
        options.environment["GIVEN"] = lease;
        return options;
    }

    Json holders() const {
        const Finished answer = semactl({"--output", "json", "holders", "vsim"});
        REQUIRE(answer.status == 0);
        return Json::parse(answer.out).at("holders");
    }

    RunningServer server;
    Semactl semactl{server.url()};
};

}  // namespace

TEST_CASE("run --lease runs a command under a lease that somebody else borrowed, and returns it") {
    const World world;
    const Json held = world.borrow("10m");
    const std::string lease = held.at("lease");
    const std::string show = "echo $SEMA_POSITION $SEMA_POSITIONS $SEMA_FENCE $SEMA_SLOT $SEMA_LEASE; exit 3";
    const Finished run = world.semactl(world.run({"--", "sh", "-c", show}), world.with(lease));
    CHECK(run.status == 3);
    CHECK(run.err.empty());
    const std::string position = std::to_string(held.at("position").get<int>());
    CHECK(run.out == position + " " + position + " " + std::to_string(held.at("fence").get<int>()) +
                         " licence-" + position + " " + lease + "\n");
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a lease that is handed over with several slots keeps them all") {
    const World world;
    const Finished borrowed = world.semactl({"borrow", "vsim", "--ttl", "10m", "--slots", "2", "--shell"});
    const std::string name = "SEMA_LEASE=";
    const std::string lease = borrowed.out.substr(borrowed.out.find(name) + name.size(), 36);
    const Finished run =
        world.semactl(world.run({"-I", "@", "--", "sh", "-c", "echo @ $SEMA_POSITIONS"}), world.with(lease));
    CHECK(run.status == 0);
    CHECK(run.out == "0 0 1\n");
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a lease that is handed over is named by a file or a UUID too") {
    const World world;
    const std::string file = world.semactl.folder() / "lease";
    std::ofstream(file) << world.borrow("10m").at("lease").get<std::string>() << "\n";
    CHECK(world.semactl({"run", "vsim", "--lease", "file:" + file, "--", "true"}).status == 0);
    CHECK(world.semactl.in_use() == 0);
    const std::string lease = world.borrow("10m").at("lease");
    CHECK(world.semactl({"run", "--lease", lease, "vsim", "true"}).status == 0);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a lease that is handed over is renewed from the start on, for the ttl that run names") {
    const World world;
    const std::string lease = world.borrow("60").at("lease");
    Program run(Semactl::command(world.run({"--ttl", "20m", "--", "sh", "-c", "echo begun; exec sleep 600"})),
                world.semactl.options(world.with(lease)));
    REQUIRE(run.prints("begun"));
    CHECK(world.holders().at(0).at("expires_in") >= 600);
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGTERM);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a lease that is handed over is kept alive while the command runs") {
    const World world;
    const std::string lease = world.borrow("10m").at("lease");
    Program run(Semactl::command(world.run({"--ttl", "5", "-v", "--", "sleep", "600"})),
                world.semactl.options(world.with(lease)));
    // The first renewal is the one at the start.
    REQUIRE(run.warns("renewed the lease for"));
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGTERM);
}

TEST_CASE("a lease that is over is 79, the command is not run, and nothing is borrowed in its place") {
    const World world;
    const std::string lease = world.borrow("10m").at("lease");
    REQUIRE(world.semactl({"return", "vsim", lease}).status == 0);
    const int fence = world.borrow("10m").at("fence");
    const Finished run = world.semactl(world.run({"--", "echo", "never"}), world.with(lease));
    CHECK(run.status == 79);
    CHECK(run.out.empty());
    CHECK(run.err ==
          "semactl: vsim: the lease that env:GIVEN names is not held, so echo is not run "
          "(it waits for a slot yet, its ttl ended, it was returned or revoked, or it is of another pool)\n");
    CHECK(world.semactl.in_use() == 1);
    CHECK(world.borrow("10m").at("fence") == fence + 1);

    const Finished secret = world.semactl({"run", "vsim", "--lease", lease, "--", "echo", "never"});
    CHECK(secret.status == 79);
    CHECK_THAT(secret.err, !has_text(lease));
}

TEST_CASE("a lease of a pool that is not there is 66") {
    const RunningServer server;
    const Semactl semactl(server.url());
    const std::string lease = sema::LeaseId::random().str();
    const Finished run = semactl({"run", "vsim", "--lease", lease, "--", "true"});
    CHECK(run.status == 66);
    CHECK_THAT(run.err, has_text("vsim: no such pool on " + server.url()));
}

TEST_CASE("a lease that ends between its renewal and the question what it has is over") {
    const std::string lease = sema::LeaseId::random().str();
    const std::string renewed =
        http("200 OK", R"({"renewed":true,"lease":")" + lease +
                           R"(","position":0,"expires_at_unix":4000000060,"expires_in":60})");
    const auto run = [&](const std::string& second) {
        const ScriptedServer server({{.answer = renewed}, {.answer = second}});
        const Semactl semactl(server.url());
        const Finished ended = semactl({"run", "vsim", "--lease", lease, "--", "echo", "never"});
        CHECK(ended.status == 79);
        CHECK(ended.out.empty());
        CHECK_THAT(ended.err, has_text("is not held, so"));
        // It waits in no queue, and what it would be lent is over at once.
        const std::string asked = server.requests().at(1);
        CHECK_THAT(asked, has_text("/borrow ") && has_text(R"("ttl":0.001)") && !has_text(R"("wait":1)"));
        const auto wait = asked.find(R"("wait":)");
        CHECK((wait == std::string::npos || asked.compare(wait + 7, 1, "0") == 0));
    };
    run(http("200 OK", R"({"lease":")" + lease +
                           R"(","position":0,"expires_at_unix":4000000000,"expires_in":0,"positions":[0],)"
                           R"("fence":9,"slots":[null],"granted_at_unix":4000000000})"));
    run(http("409 Conflict",
             R"({"error":"no resource available","rank":1,"queue":0,"in_use":1,"count":1,"eta":null})"));
}

TEST_CASE("a lease that cannot be renewed is handed over as it is") {
    const World world({}, {"--renewable", "no"});
    const std::string lease = world.borrow("10m").at("lease");
    const std::int64_t end = world.holders().at(0).at("expires_at_unix");
    Program run(
        Semactl::command(world.run({"--", "sh", "-c", "echo begun $SEMA_EXPIRES_AT; exec sleep 600"})),
        world.semactl.options(world.with(lease)));
    REQUIRE(run.prints("begun " + std::to_string(end)));
    CHECK(world.holders().at(0).at("expires_at_unix") == end);
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGTERM);
    CHECK(world.semactl.in_use() == 0);
    // And one that is over is over.
    CHECK(world.semactl(world.run({"--", "true"}), world.with(lease)).status == 79);
}

TEST_CASE("the command is stopped before a lease ends that was handed over and cannot be renewed") {
    const World world({}, {"--renewable", "no"});
    const std::string lease = world.borrow("12").at("lease");
    const Finished run = world.semactl(world.run({"--", "sh", "-c",
                                                  "trap 'echo stopping; exit 0' TERM; "
                                                  "while :; do sleep 0.05; done"}),
                                       world.with(lease));
    CHECK(run.status == 79);
    CHECK(run.out == "stopping\n");
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a command whose lease was handed over is stopped when that is revoked") {
    const World world;
    const std::string lease = world.borrow("10m").at("lease");
    Program run(Semactl::command(world.run({"--ttl", "5", "--", "sh", "-c", "echo begun; exec sleep 600"})),
                world.semactl.options(world.with(lease)));
    REQUIRE(run.prints("begun"));
    REQUIRE(world.semactl({"revoke", "vsim", "0"}).status == 0);
    CHECK(run.wait() == 79);
}

TEST_CASE("with --no-keepalive a lease that is handed over has one end, which --ttl names") {
    const World world;
    const std::string lease = world.borrow("10m").at("lease");
    const Finished unclear = world.semactl(world.run({"--no-keepalive", "--", "true"}), world.with(lease));
    CHECK(unclear.status == 125);
    CHECK_THAT(unclear.err, has_text("needs --ttl"));
    CHECK(world.semactl.in_use() == 1);
    const Finished run =
        world.semactl(world.run({"--no-keepalive", "--ttl", "6", "--", "sleep", "600"}), world.with(lease));
    CHECK(run.status == 79);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a server that is away is waited for while a lease is taken over") {
    World world;
    const std::string lease = world.borrow("10m").at("lease");
    world.server.terminate();
    Program run(Semactl::command(world.run({"--", "echo", "done"})),
                world.semactl.options(world.with(lease)));
    REQUIRE(run.warns("cannot take the lease over yet"));
    world.server.start();
    CHECK(run.wait() == 0);
    CHECK(run.out() == "done\n");
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a lease with another fence than the one that is named is not taken over") {
    const World world;
    const Json lease = world.borrow("10m");
    const auto run = [&](std::int64_t fence) {
        return world.semactl(world.run({"--fence", std::to_string(fence), "--", "echo", "done"}),
                             world.with(lease.at("lease")));
    };
    const std::int64_t fence = lease.at("fence");
    for (const std::int64_t other : {fence - 1, fence + 1}) {
        const Finished refused = run(other);
        CHECK(refused.status == 79);
        CHECK(refused.out.empty());
        CHECK(world.semactl.in_use() == 1);
    }
    const Finished done = run(fence);
    CHECK(done.status == 0);
    CHECK(done.out == "done\n");
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a lease is returned after a signal also where the server is away for a moment") {
    World world;
    const std::string lease = world.borrow("10m").at("lease");
    world.server.terminate();
    Program run(Semactl::command(world.run({"--", "echo", "never"})),
                world.semactl.options(world.with(lease)));
    REQUIRE(run.warns("cannot take the lease over yet"));
    // As timeout(1) does, to the process and to its group.
    run.signal(SIGTERM);
    run.signal(SIGTERM);
    std::this_thread::sleep_for(std::chrono::seconds(2));
    world.server.start();
    CHECK(run.wait() == 128 + SIGTERM);
    CHECK(run.out().empty());
    CHECK(eventually([&] { return world.semactl.in_use() == 0; }, std::chrono::seconds(10)));
}

TEST_CASE("a signal ends the wait for a server that is away") {
    World world;
    const std::string lease = world.borrow("10m").at("lease");
    world.server.terminate();
    Program run(Semactl::command(world.run({"--", "echo", "never"})),
                world.semactl.options(world.with(lease)));
    REQUIRE(run.warns("cannot take the lease over yet"));
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGTERM);
    CHECK(run.ended_by() == SIGTERM);
    CHECK(run.out().empty());
    CHECK_THAT(run.err(), has_text("cannot return the lease"));
}

TEST_CASE("a signal that comes while a lease is taken over returns it") {
    const std::string lease = sema::LeaseId::random().str();
    const ScriptedServer server({{.wait = Scene::Wait::for_end_of_input, .answer = ""},
                                 {.answer = http("200 OK", R"({"returned":true})")}});
    const Semactl semactl(server.url());
    Program run(Semactl::command({"run", "vsim", "--lease", lease, "--", "echo", "never"}),
                semactl.options());
    REQUIRE(eventually([&] {
        const auto requests = server.requests();
        return !requests.empty() && requests[0].find("/keepalive ") != std::string::npos;
    }));
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGTERM);
    CHECK_THAT(server.requests().at(1), has_text("/return ") && has_text(lease));
}

TEST_CASE("options that make no sense with --lease are refused, and the lease stays as it is") {
    const World world;
    const std::string lease = world.borrow("10m").at("lease");
    const auto refused = [&](Words words, const std::string& why) {
        INFO(words.at(0));
        words.insert(words.end(), {"--", "true"});
        const Finished run = world.semactl(world.run(words), world.with(lease));
        CHECK(run.status == 125);
        CHECK_THAT(run.err, has_text("--lease takes over a lease that is held already: ") && has_text(why));
    };
    refused({"--wait", "5m"}, "leave out --wait");
    refused({"--slots", "2"}, "leave out --slots");
    refused({"--priority", "1"}, "leave out --priority");
    refused({"--holder", "me"}, "leave out --holder");
    refused({"--fallback", "run"}, "leave out --fallback");
    refused({"other"}, "it is of one pool");
    CHECK(world.semactl({"run", "vsim", "--lease", "env:NO_SUCH", "--", "true"}).status == 125);
    CHECK(world.semactl({"run", "vsim", "--lease", "nonsense", "--", "true"}).status == 125);
    CHECK(world.semactl(world.run({"--", "no-such-command"}), world.with(lease)).status == 127);
    CHECK(world.semactl.in_use() == 1);
}

TEST_CASE("a dry run says that a lease would be taken over, and leaves it alone") {
    const World world;
    const std::string lease = world.borrow("10m").at("lease");
    const std::int64_t end = world.holders().at(0).at("expires_at_unix");
    const Finished run =
        world.semactl(world.run({"--dry-run", "--ttl", "90", "--", "echo", "never"}), world.with(lease));
    CHECK(run.status == 0);
    CHECK_THAT(run.out, has_text("would take over a lease of vsim from " + world.server.url() + " for ") &&
                            has_text("would run ") && has_text("/echo never") &&
                            has_text("would then return the lease"));
    CHECK(world.holders().at(0).at("expires_at_unix") == end);
}

TEST_CASE("a teardown runs under the lease that was handed over") {
    const World world;
    const std::string lease = world.borrow("10m").at("lease");
    const std::string held = std::string(SEMACTL) + " inspect vsim | grep in_use";
    const Finished run = world.semactl(world.run({"--teardown", held, "--", "true"}), world.with(lease));
    CHECK(run.status == 0);
    CHECK(run.out == "in_use     1\n");
    CHECK(world.semactl.in_use() == 0);
}
