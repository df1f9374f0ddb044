#include "tests/e2e/receivers.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scripted_server.hpp"

#include <nlohmann/json.hpp>

#include <csignal>
#include <fstream>
#include <iterator>

// Callbacks from their borrow to the return of their leases: a real semad, real receivers, and the jobs that
// they start.

using namespace sema::test;
using Json = nlohmann::json;

namespace {

using Words = std::vector<std::string>;

std::string content(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A pool with one slot, which somebody holds.
struct World {
    World() {
        REQUIRE(semactl({"register", "vsim", "--count", "1", "--slot", "licence-0"}).status == 0);
        const Finished taken = semactl({"--output", "json", "borrow", "vsim", "--ttl", "1h"});
        REQUIRE(taken.status == 0);
        first = Json::parse(taken.out).at("lease");
    }

    void free_the_slot() const { REQUIRE(semactl({"return", "vsim", first}).status == 0); }

    // The lease that is to come.
    std::string ask(const std::string& url, Words more = {}) const {
        more.insert(more.begin(), {"--output", "json", "borrow", "vsim", "--ttl", "10m", "--callback", url});
        ProgramOptions options;
        options.environment["HOOK_SECRET"] = secret;
        const Finished asked = semactl(more, options);
        INFO(asked.err);
        REQUIRE(asked.status == 0);
        return Json::parse(asked.out).at("lease");
    }

    Json callbacks() const {
        const Finished listed = semactl({"--output", "json", "callbacks", "vsim"});
        REQUIRE(listed.status == 0);
        return Json::parse(listed.out).at("callbacks");
    }

    // What a job needs to find the server and the pool.
    ProgramOptions job() const {
        ProgramOptions options;
        for (const auto& [name, value] : semactl.options().environment) {
            if (!value.empty() && name != "http_proxy") options.environment[name] = value;
        }
        return options;
    }

    RunningServer server{{"--callback-allow", "127.0.0.1"}};
    Semactl semactl{server.url()};
    std::string secret = new_secret();
    std::string first;
};

const std::string run_job = SEMACTL
                            " run vsim --lease env:SEMA_LEASE -- sh -c "
                            "'echo \"$SEMA_LEASE $SEMA_POSITION $SEMA_SLOT\" >> ran; " +
                            wait_for_go + "'";

}  // namespace

TEST_CASE("who is called starts a job that holds the slot, and the slot comes back") {
    for (const auto kind : Receiver::kinds) {
        const World world;
        const Receiver receiver(kind, world.secret, run_job, world.job());
        const std::string lease =
            world.ask(receiver.url(), {"--callback-secret", "env:HOOK_SECRET", "--holder", "nightly"});
        const Json waiting = world.callbacks();
        REQUIRE(waiting.size() == 1);
        CHECK(waiting[0].at("state") == "waiting");
        CHECK(waiting[0].at("rank") == 1);
        CHECK(waiting[0].at("holder").at("name") == "nightly");
        CHECK_THAT(world.semactl({"holders", "vsim"}).out, has_text("to be called"));

        world.free_the_slot();
        REQUIRE(eventually([&] { return content(receiver.folder() / "ran") == lease + " 0 licence-0\n"; }));
        CHECK(world.semactl.in_use() == 1);
        CHECK(eventually([&] { return world.callbacks().empty(); }));

        std::ofstream(receiver.folder() / "go") << "go";
        CHECK(eventually([&] { return world.semactl.in_use() == 0; }));
        CHECK(content(receiver.folder() / "ran") == lease + " 0 licence-0\n");
    }
}

TEST_CASE("a job that was started for a lease that is over by then does not run") {
    const World world;
    const Receiver receiver(
        Receiver::Kind::python, world.secret,
        wait_for_go + "; " SEMACTL " run vsim --lease env:SEMA_LEASE -- touch ran; echo $? > status",
        world.job());
    const std::string lease = world.ask(receiver.url(), {"--callback-secret", "env:HOOK_SECRET"});
    world.free_the_slot();
    REQUIRE(eventually([&] { return world.callbacks().empty() && world.semactl.in_use() == 1; }));
    REQUIRE(world.semactl({"return", "vsim", lease}).status == 0);
    std::ofstream(receiver.folder() / "go") << "go";
    CHECK(eventually([&] { return content(receiver.folder() / "status") == "79\n"; }));
    CHECK_FALSE(std::filesystem::exists(receiver.folder() / "ran"));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a callback outlives a crash of the server") {
    World world;
    const Receiver receiver(Receiver::Kind::python, world.secret, run_job, world.job());
    const std::string lease = world.ask(receiver.url(), {"--callback-secret", "env:HOOK_SECRET"});
    world.server.kill9();
    world.server.start();
    CHECK(world.callbacks().size() == 1);
    world.free_the_slot();
    REQUIRE(eventually([&] { return content(receiver.folder() / "ran") == lease + " 0 licence-0\n"; }));
    std::ofstream(receiver.folder() / "go") << "go";
    CHECK(eventually([&] { return world.semactl.in_use() == 0; }));
}

TEST_CASE("a callback that a receiver refuses is shown with the reason, and the lease can be returned") {
    const World world;
    const Receiver receiver(Receiver::Kind::python, new_secret(), run_job, world.job());
    const std::string lease = world.ask(receiver.url(), {"--callback-secret", "env:HOOK_SECRET"});
    world.free_the_slot();
    REQUIRE(eventually([&] {
        const Json list = world.callbacks();
        return list.size() == 1 && list[0].at("attempts") >= 1;
    }));
    const Json entry = world.callbacks().at(0);
    CHECK(entry.at("state") == "delivering");
    CHECK_THAT(entry.at("last_error").get<std::string>(), has_text("401"));
    CHECK_THAT(world.semactl({"callbacks", "vsim"}).out, has_text("0 callbacks wait, 1 being delivered"));
    REQUIRE(world.semactl({"return", "vsim", lease}).status == 0);
    CHECK(eventually([&] { return world.callbacks().empty(); }));
    CHECK_FALSE(std::filesystem::exists(receiver.folder() / "ran"));
}

TEST_CASE("whoever takes a lease over is not called again, whatever was answered") {
    const World world;
    const ScriptedServer receiver(std::vector<Scene>(50, {.answer = http("500 Internal Server Error", "")}));
    const std::string lease = world.ask(receiver.url());
    world.free_the_slot();
    REQUIRE(eventually([&] { return !receiver.requests().empty(); }));
    Program run(Semactl::command({"run", "vsim", "--lease", lease, "--ttl", "10m", "--", "sh", "-c",
                                  "echo begun; exec sleep 600"}),
                world.semactl.options());
    REQUIRE(run.prints("begun"));
    CHECK(eventually([&] { return world.callbacks().empty(); }));
    CHECK(world.semactl.in_use() == 1);
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGTERM);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a callback is cancelled by its lease") {
    const World world;
    const Receiver receiver(Receiver::Kind::python, world.secret, run_job, world.job());
    const std::string lease = world.ask(receiver.url());
    const Finished cancelled = world.semactl({"callbacks", "vsim", "--cancel", lease});
    CHECK(cancelled.status == 0);
    CHECK(world.callbacks().empty());
    CHECK(world.semactl({"callbacks", "vsim", "--cancel", lease}).status == 1);
    world.free_the_slot();
    CHECK(world.semactl.in_use() == 0);
    CHECK(world.semactl({"run", "vsim", "--", "true"}).status == 0);
}

TEST_CASE("a server that calls nobody, or not this host, says what its configuration lacks") {
    const RunningServer quiet;
    const Semactl semactl(quiet.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    const Words words = {"borrow", "vsim", "--ttl", "1m", "--callback", "https://ci.example.com/start"};
    const Finished off = semactl(words);
    CHECK(off.status == 125);
    CHECK_THAT(off.err, has_text("allow = [\"ci.example.com\"] under [callbacks]"));
    const World world;
    const Finished other = world.semactl(words);
    CHECK(other.status == 125);
    CHECK_THAT(other.err, has_text("allow = [\"ci.example.com\"] under [callbacks]"));
}

TEST_CASE("what semad signs is verified by an independent library, with each of two secrets") {
    const std::string library = TOOLS_FOLDER "/webhooks";
    INFO("script/bootstrap fetches standardwebhooks");
    REQUIRE(std::filesystem::exists(library + "/node_modules/standardwebhooks"));
    const World world;
    const std::string other = new_secret();
    world.free_the_slot();
    for (const std::string& known : {world.secret, other}) {
        ProgramOptions options;
        options.environment["HOOK_SECRET"] = known;
        Receiver receiver({"node", PROJECT_FOLDER "/tests/e2e/webhooks/receiver.mjs", library}, options);
        ProgramOptions both;
        both.environment["HOOK_SECRET"] = world.secret + " " + other;
        const std::string lease = sema::LeaseId::random().str();
        const Finished asked = world.semactl(
            {"borrow", "vsim", "--ttl", "10m", "--lease", lease, "--callback", receiver.url() + "/a?b=c",
             "--callback-secret", "env:HOOK_SECRET", "--callback-body", R"({"job":"Prüfung"})"},
            both);
        REQUIRE(asked.status == 0);
        REQUIRE(receiver.program().prints("\"granted_at_unix\""));
        const std::string out = receiver.program().out();
        CHECK_THAT(out, has_text("\nverified {") && !has_text("refused") &&
                            has_text(R"("lease":")" + lease) && has_text(R"("body":{"job":"Prüfung"})"));
        REQUIRE(world.semactl({"return", "vsim", lease}).status == 0);
    }
}
