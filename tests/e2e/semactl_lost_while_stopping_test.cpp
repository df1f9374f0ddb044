// A lease that is lost when the command has ended, and what it left behind has not.
#include "cli/run/process_tree.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;

// A server with a pool of one slot, and semactl to use it for no longer than a few seconds.
struct World {
    World() { REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0); }

    std::unique_ptr<Program> start(Words options, const std::string& script) const {
        if (std::find(options.begin(), options.end(), "--ttl") == options.end())
            options.insert(options.begin(), {"--ttl", "6"});
        options.insert(options.begin(), {"run", "vsim"});
        options.insert(options.end(), {"--", "sh", "-c", script});
        return std::make_unique<Program>(Semactl::command(options), semactl.options(here()));
    }
    ProgramOptions here() const {
        ProgramOptions here;
        here.directory = semactl.folder();
        return here;
    }
    bool has(const std::string& file) const { return std::filesystem::exists(semactl.folder() / file); }
    // Whether nobody has the file `held` locked.
    bool is_free() const { return run_program({"flock", "-n", "held", "true"}, here()).status == 0; }
    void revoke() const { REQUIRE(semactl({"revoke", "vsim", "0"}).status == 0); }
    void make_anew() const {
        REQUIRE(semactl({"delete", "vsim"}).status == 0);
        REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    }

    RunningServer server;
    Semactl semactl{server.url()};
};

// A descendant in a session of its own, which no signal to the group reaches. It ignores TERM, and has the
// file `held` locked while it runs.
const std::string deaf_descendant =
    "setsid -f sh -c 'trap \"\" TERM; exec 9> held; flock 9; echo held; while :; do sleep 0.05 9>&-; done'; ";
// Leaves it behind at the first signal. It says its own pid.
const std::string left_behind = deaf_descendant + "echo $$ ready; while :; do sleep 0.05; done";

// Signals semactl, and waits until the command has ended of that.
void end_command(const World& world, Program& run, int signal) {
    REQUIRE(run.prints("ready"));
    REQUIRE(run.prints("held"));
    const std::string out = run.out();
    const auto ready = out.find(" ready");
    const auto begins = out.rfind('\n', ready);
    const pid_t command = std::stoi(out.substr(begins == out.npos ? 0 : begins + 1));
    run.signal(signal);
    REQUIRE(eventually([&] { return !sema::find_process(command, sema::ProcFolder()); }));
    REQUIRE_FALSE(world.is_free());
}

}  // namespace

TEST_CASE("what a stopped command left behind is killed when the lease is lost meanwhile") {
    const World world;
    const int signal = GENERATE(SIGTERM, SIGUSR1);
    const std::string kill_after = GENERATE("0", "1h");
    const auto run = world.start({"--kill-after", kill_after}, left_behind);
    end_command(world, *run, signal);
    world.revoke();
    CHECK(run->wait() == 79);
    CHECK(world.is_free());
    CHECK_THAT(run->err(), has_text("vsim: the lease is gone before its time") &&
                               has_text("stopping what is left of the command"));
}

TEST_CASE("a request to stop does not put off what a lost lease demands") {
    const World world;
    // The latter ends the command itself, and so asks what it left behind to stop.
    const int signal = GENERATE(SIGTERM, SIGHUP, SIGUSR1);
    const std::string deaf_to_term =
        deaf_descendant + "trap '' TERM HUP; echo ready; while :; do sleep 0.05; done";
    const auto run = world.start({"--kill-after", "1h"}, deaf_to_term);
    REQUIRE(run->prints("ready"));
    REQUIRE(run->prints("held"));
    world.revoke();
    REQUIRE(run->warns("the lease is gone before its time"));
    run->signal(signal);
    CHECK(run->wait() == 79);
    CHECK(world.is_free());
}

TEST_CASE("a second request to stop kills what --on-lost names at once") {
    const World world;
    // Its grace is 3 s.
    const auto run = world.start(
        {"-v", "--ttl", "18", "--kill-after", "1h", "--on-lost", "echo asked; sleep 2.5; touch late"},
        left_behind);
    REQUIRE(run->prints("ready"));
    REQUIRE(run->prints("held"));
    world.revoke();
    REQUIRE(run->prints("asked"));
    run->signal(SIGTERM);
    REQUIRE(run->warns("passed TERM on"));
    // Two of a kind within 30 ms would be one.
    std::this_thread::sleep_for(50ms);
    run->signal(SIGTERM);
    CHECK(run->wait() == 79);
    CHECK(world.is_free());
    CHECK_FALSE(world.has("late"));
}

TEST_CASE("no teardown runs where the lease was lost while what the command left was being stopped") {
    const World world;
    const bool is_revoked = GENERATE(true, false);
    const auto run = world.start(
        {"--kill-after", "1h", "--teardown", "touch torn", "--on-lost", "touch asked"}, left_behind);
    end_command(world, *run, SIGTERM);
    is_revoked ? world.revoke() : world.make_anew();
    CHECK(run->wait() == 79);
    CHECK(world.is_free());
    CHECK(world.has("asked"));
    CHECK_FALSE(world.has("torn"));
    CHECK_THAT(run->err(), has_text("the teardown is left out"));
}

TEST_CASE("what is left of a stopped command is killed before a lease ends that cannot be renewed") {
    const World world;
    const auto run = world.start({"--ttl", "12", "--kill-after", "0", "--no-keepalive"}, left_behind);
    end_command(world, *run, SIGTERM);
    const Finished next =
        world.semactl({"run", "vsim", "--wait", "1h", "--", "flock", "-n", "held", "true"}, world.here());
    CHECK(next.status == 0);
    CHECK(run->wait() == 79);
    CHECK_THAT(run->err(), has_text("the lease is about to end, stopping what is left of the command"));
}

TEST_CASE("no teardown runs for a command that went on without a slot") {
    const World world;
    const auto run = world.start({"--on-lost", "ignore", "--teardown", "touch torn"},
                                 "echo ready; until [ -e leave ]; do sleep 0.05; done; exit 7");
    REQUIRE(run->prints("ready"));
    world.revoke();
    REQUIRE(run->warns("the command goes on without a slot"));
    run_program({"touch", "leave"}, world.here());
    CHECK(run->wait() == 7);
    CHECK_FALSE(world.has("torn"));
    CHECK_THAT(run->err(), has_text("the teardown is left out"));
}

TEST_CASE("a teardown is stopped when the lease is lost meanwhile, whatever the command's was") {
    const World world;
    const auto run = world.start(
        {"--on-lost", "ignore", "--teardown", "exec 9> held; flock 9; echo torn; sleep 600"}, "exit 7");
    REQUIRE(run->prints("torn"));
    world.revoke();
    CHECK(run->wait() == 7);
    CHECK(world.is_free());
    // It is no status of its own that it ended with.
    CHECK_THAT(run->err(), !has_text("the teardown ended with status"));
}

TEST_CASE("a command that is stopped past its lease's end and ends by itself has no teardown") {
    const World world;
    const auto run = world.start({"--no-keepalive", "--teardown", "touch torn"},
                                 "echo ready; until [ -e leave ]; do sleep 0.05; done; exit 7");
    REQUIRE(run->prints("ready"));
    run->signal(SIGSTOP);
    run_program({"touch", "leave"}, world.here());
    // Granted once the first lease has ended.
    REQUIRE(world.semactl({"borrow", "vsim", "--ttl", "1h", "--wait", "1h"}).status == 0);
    run->signal(SIGCONT);
    CHECK(run->wait() == 7);
    CHECK_FALSE(world.has("torn"));
}

TEST_CASE("a second request to stop kills a teardown at once") {
    const World world;
    const auto run =
        world.start({"--ttl", "1h", "--kill-after", "1h", "--teardown",
                     "trap '' TERM; exec 9> held; flock 9; echo torn; while :; do sleep 0.05; done"},
                    "echo ready; exec sleep 600");
    REQUIRE(run->prints("ready"));
    run->signal(SIGTERM);
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(run->prints("torn"));
    // Two of a kind within 30 ms would be one.
    std::this_thread::sleep_for(50ms);
    run->signal(SIGTERM);
    CHECK(run->wait() == 128 + SIGTERM);
    CHECK(world.is_free());
    // Its limit from the first one on.
    CHECK(std::chrono::steady_clock::now() - begin < 6s);
}

TEST_CASE("a first request to stop that comes while a teardown runs leaves it its time") {
    const World world;
    const std::string kill_after = GENERATE("0", "100ms");
    CAPTURE(kill_after);
    const auto run = world.start({"--ttl", "1h", "--kill-after", kill_after, "--teardown",
                                  "echo torn; until [ -e leave ]; do sleep 0.05; done; sleep 0.5; echo done"},
                                 "exit 7");
    REQUIRE(run->prints("torn"));
    for (const int number : {SIGUSR1, SIGTERM}) {
        run->signal(number);
        REQUIRE(eventually([&] {
            const auto pending = sema::pending_signals(run->pid(), sema::ProcFolder());
            return pending && (*pending >> (number - 1) & 1) == 0;
        }));
    }
    run_program({"touch", "leave"}, world.here());
    CHECK(run->wait() == 7);
    CHECK(run->out() == "torn\ndone\n");
}

TEST_CASE("a teardown has 6 s from a first request to stop on, whatever --kill-after says") {
    const World world;
    const auto run = world.start({"--ttl", "1h", "--kill-after", "0", "--teardown",
                                  "exec 9> held; flock 9; echo torn; while :; do sleep 0.05; done"},
                                 "exit 7");
    REQUIRE(run->prints("torn"));
    const auto begin = std::chrono::steady_clock::now();
    run->signal(SIGTERM);
    CHECK(run->wait() == 7);
    CHECK(std::chrono::steady_clock::now() - begin >= 6s);
    CHECK(world.is_free());
    CHECK_THAT(run->err(), has_text("the teardown ended with status 137"));
}

TEST_CASE("a slot is not returned before all of a teardown that is killed at its time limit is gone") {
    const World world;
    // What has this name is spared by the first rounds of killing.
    const std::filesystem::path folder = world.semactl.folder() / "spared";
    std::filesystem::create_directory(folder);
    std::filesystem::create_symlink("/bin/sleep", folder / "semactl");
    const auto run = world.start(
        {"--ttl", "1h", "--teardown", "exec 9> held; flock 9; echo torn; spared/semactl 600; true"},
        "echo ready; sleep 600");
    REQUIRE(run->prints("ready"));
    run->signal(SIGTERM);
    REQUIRE(run->prints("torn"));
    const Finished next =
        world.semactl({"run", "vsim", "--wait", "1h", "--", "flock", "-n", "held", "true"}, world.here());
    CHECK(next.status == 0);
    CHECK(run->wait() == 128 + SIGTERM);
    CHECK(run->err().find("cannot kill") == std::string::npos);
}
