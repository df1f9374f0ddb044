// What semactl leaves whoever waits for it to see of a signal.
#include "tests/e2e/semactl.hpp"
#include "tests/e2e/terminal.hpp"
#include "tests/support/catch.hpp"

#include <sys/resource.h>

#include <filesystem>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

// A server with a pool of one slot, and semactl to use it.
struct World {
    World() { REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0); }
    void take_the_slot() const { REQUIRE(semactl({"borrow", "vsim", "--ttl", "1h"}).status == 0); }

    RunningServer server;
    Semactl semactl{server.url()};
};

}  // namespace

TEST_CASE("semactl ends by the signal that ended the command, and leaves no core") {
    const World world;
    // 32 and 33 are libc's own.
    const int number =
        GENERATE(SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGKILL, SIGSEGV, SIGABRT, SIGPIPE, SIGUSR1, 32, 33);
    ProgramOptions here;
    here.directory = world.semactl.folder();
    const std::string script = "ulimit -c unlimited; exec " SEMACTL
                               " run vsim -- sh -c 'ulimit -c 0; kill -" +
                               std::to_string(number) + " $$'";
    Program run({"sh", "-c", script}, world.semactl.options(here));
    CHECK(run.wait() == 128 + number);
    CHECK(run.ended_by() == number);
    CHECK(world.semactl.in_use() == 0);
    // Nothing but the configuration's folder.
    CHECK(std::distance(std::filesystem::directory_iterator(here.directory), {}) == 1);
}

TEST_CASE("a command that exits with a number of a shell's for a signal has semactl exit with it") {
    const World world;
    Program run(Semactl::command({"run", "vsim", "--", "sh", "-c", "exit 130"}), world.semactl.options());
    CHECK(run.wait() == 130);
    CHECK_FALSE(run.ended_by());
}

TEST_CASE("a command that exits with a status of its own at a TERM has semactl exit with it") {
    const World world;
    Program run(Semactl::command({"run", "vsim", "--", "sh", "-c",
                                  "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"}),
                world.semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal(SIGTERM);
    CHECK(run.wait() == 0);
    CHECK_FALSE(run.ended_by());
}

TEST_CASE("who leaves the queue at a signal ends by it") {
    const World world;
    world.take_the_slot();
    const int number = GENERATE(SIGTERM, SIGINT, SIGHUP, SIGQUIT);
    const std::vector<std::string> command =
        GENERATE(std::vector<std::string>{"run", "vsim", "--wait", "1h", "--", "true"},
                 std::vector<std::string>{"borrow", "vsim", "--ttl", "1h", "--wait", "1h"});
    Program queued(Semactl::command(command), world.semactl.options());
    REQUIRE(queued.warns("waiting for vsim"));
    queued.signal(number);
    queued.wait();
    CHECK(queued.ended_by() == number);
}

TEST_CASE("a watch ends by the signal that ends it") {
    const World world;
    const int number = GENERATE(SIGTERM, SIGINT);
    Program watch(Semactl::command({"watch", "vsim"}), world.semactl.options());
    REQUIRE(watch.prints("available"));
    watch.signal(number);
    watch.wait();
    CHECK(watch.ended_by() == number);
}

TEST_CASE("a shell's lines for a borrow that a signal ended say so with the shell's number") {
    const World world;
    world.take_the_slot();
    Program queued(Semactl::command({"borrow", "vsim", "--ttl", "1h", "--wait", "1h", "--shell"}),
                   world.semactl.options());
    REQUIRE(queued.warns("waiting for vsim"));
    queued.signal(SIGTERM);
    queued.wait();
    CHECK(queued.out() == "(exit 143)\n");
}

TEST_CASE("a Ctrl-C ends the loop of a shell, as it would without semactl") {
    const World world;
    const bool is_queued = GENERATE(false, true);
    if (is_queued) world.take_the_slot();
    Terminal terminal;
    ProgramOptions options;
    options.terminal = terminal.name();
    Program shell({"bash", "-c",
                   "for i in 1 2 3; do echo round $i; " SEMACTL
                   " run vsim --wait 1h -- sh -c 'echo running; exec sleep 60'; done"},
                  world.semactl.options(options));
    REQUIRE(terminal.shows(is_queued ? "waiting for vsim" : "running"));
    terminal.type(ctrl_c);
    CHECK(shell.wait() == 128 + SIGINT);
    CHECK(shell.ended_by() == SIGINT);
    CHECK(terminal.screen().find("round 2") == std::string::npos);
}

TEST_CASE("a command that a signal ended stops xargs, as it would without semactl") {
    const World world;
    ProgramOptions options;
    options.input = "1 2 3";
    const Finished run = run_program(
        {"xargs", "-n", "1", SEMACTL, "run", "vsim", "--", "sh", "-c", "echo round $0; kill -INT $$"},
        world.semactl.options(options));
    CHECK(run.status == 125);
    CHECK(run.out == "round 1\n");
}

TEST_CASE("as process 1, which no signal of its own ends, semactl exits with the shell's number") {
    if (run_program({"unshare", "--user", "--map-root-user", "--pid", "--fork", "true"}).status != 0) {
        WARN("no namespaces can be made here");
        return;
    }
    const World world;
    const Finished run =
        run_program({"unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", SEMACTL,
                     "run", "vsim", "--", "sh", "-c", "kill -TERM $$"},
                    world.semactl.options());
    CHECK(run.status == 128 + SIGTERM);
    CHECK(world.semactl.in_use() == 0);
}
