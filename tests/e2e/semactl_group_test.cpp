// Signals to semactl and to the process group that it shares with its command.
#include "cli/run/process_tree.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

// A server with a pool of one slot, and semactl to use it.
struct World {
    World() { REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0); }

    std::vector<std::string> run(std::vector<std::string> command) const {
        std::vector<std::string> words = {"run", "vsim", "--"};
        words.insert(words.end(), command.begin(), command.end());
        return Semactl::command(words);
    }

    RunningServer server;
    Semactl semactl{server.url()};
};

}  // namespace

TEST_CASE("a TERM to semactl alone stops the job, also where the command itself sends it") {
    const World world;
    const std::string sender = GENERATE("kill -TERM $PPID", "/bin/kill -TERM $PPID",
                                        "sh -c \"kill -TERM $PPID\"", "setsid sh -c \"kill -TERM $PPID\"");
    Program run(world.run({"sh", "-c",
                           "trap 'echo asked; exit 4' TERM; " + sender + "; while :; do sleep 0.05; done"}),
                world.semactl.options());
    CHECK(run.wait() == 4);
    CHECK(run.out() == "asked\n");
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a command that tells its parent of the TERM it got is given the time to stop") {
    const World world;
    const std::string script =
        "trap 'kill -TERM $PPID; sleep 0.5; kill -TERM $PPID; sleep 0.5; echo stopped; exit 4' TERM; "
        "echo ready; while :; do sleep 0.05; done";
    Program run(world.run({"sh", "-c", script}), world.semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal(SIGTERM);
    CHECK(run.wait() == 4);
    CHECK(run.out() == "ready\nstopped\n");
}

TEST_CASE("a signal to the whole process group reaches the command once") {
    const World world;
    const auto [number, name] = GENERATE(std::pair(SIGINT, "INT"), std::pair(SIGTERM, "TERM"),
                                         std::pair(SIGHUP, "HUP"), std::pair(SIGUSR1, "USR1"));
    Program run(world.run({SIGNAL_COUNTER}), world.semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal_group(number);
    REQUIRE(run.prints(std::string("got ") + name + "\n"));
    run.signal(SIGUSR2);
    CHECK(run.wait() == 0);
    CHECK(run.out() == std::string("ready\ngot ") + name + "\ngot USR2\n");
}

TEST_CASE("a TERM to the whole process group sets a limit to a command that does not stop") {
    const World world;
    Program run(Semactl::command({"run", "vsim", "--kill-after", "300ms", "--", "sh", "-c",
                                  "trap '' TERM; echo ready; while :; do sleep 0.05; done"}),
                world.semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal_group(SIGTERM);
    CHECK(run.wait() == 128 + SIGKILL);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a command that sends its process group a TERM, itself excepted, goes on") {
    const World world;
    // As scripts stop what they have started.
    const std::string script =
        "sleep 30 & trap '' TERM; kill -TERM 0; wait; trap - TERM; sleep 0.5; echo done; exit 5";
    const Finished run =
        run_program(Semactl::command({"run", "vsim", "--kill-after", "100ms", "--", "sh", "-c", script}),
                    world.semactl.options());
    CHECK(run.status == 5);
    CHECK(run.out == "done\n");
}

TEST_CASE("semactl's own process in the group leaves nothing behind and goes by a name of its own") {
    const World world;
    Program run(world.run({SIGNAL_COUNTER}), world.semactl.options());
    REQUIRE(run.prints("ready"));
    const std::string pattern = "semactl run vsim -- .*signal_counter";
    const std::string found = run_program({"pgrep", "-g", std::to_string(run.pid()), "-f", pattern}).out;
    CHECK(found == std::to_string(run.pid()) + "\n");
    std::optional<pid_t> bystander;
    for (const auto& process : sema::descendants(run.pid(), {}).found) {
        if (process.name == "sema-bystander") bystander = process.pid;
    }
    REQUIRE(bystander);

    run.signal(SIGKILL);
    run.wait();
    CHECK(eventually([&] { return !sema::find_process(*bystander); }));
}

TEST_CASE("a semactl whose own process in the group was killed passes signals on") {
    const World world;
    Program run(world.run({SIGNAL_COUNTER}), world.semactl.options());
    REQUIRE(run.prints("ready"));
    for (const auto& process : sema::descendants(run.pid(), {}).found) {
        if (process.name == "sema-bystander") kill(process.pid, SIGKILL);
    }
    run.signal(SIGUSR1);
    REQUIRE(run.prints("got USR1"));
    run.signal(SIGUSR2);
    CHECK(run.wait() == 0);
}

TEST_CASE("a program that takes no signals from its own process group gets those that are passed on") {
    const World world;
    Program run(world.run({OLD_SUDO}), world.semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal(SIGUSR1);
    REQUIRE(run.prints("took USR1"));
    run.signal(SIGTERM);
    CHECK(run.wait() == 3);
    CHECK(run.out() == "ready\ntook USR1\ntook TERM\n");
}

TEST_CASE("a program that takes no signals from its own process group gets the TERM of a lease's end") {
    const World world;
    const Finished run = run_program(
        Semactl::command({"run", "vsim", "--ttl", "4", "--no-keepalive", "--", "sh", "-c", OLD_SUDO "; :"}),
        world.semactl.options());
    CHECK(run.status == 79);
    CHECK(run.out == "ready\ntook TERM\n");
}
