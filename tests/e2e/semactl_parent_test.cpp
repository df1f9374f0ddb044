// --die-with-parent
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

// A server with a pool of one slot, and semactl to use it under a shell that can be killed.
struct World {
    World() { REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0); }

    std::vector<std::string> shell(const std::string& arguments, const std::string& prefix = "") const {
        // With a second command, lest the shell becomes semactl.
        return {"sh", "-c", prefix + SEMACTL " run vsim " + arguments + "; echo shell goes on"};
    }

    RunningServer server;
    Semactl semactl{server.url()};
};

// Nobody holds a slot or waits for one.
bool is_idle(const Semactl& semactl) {
    const std::string view = semactl({"holders", "vsim", "--output", "json"}).out;
    return view.find("\"holders\":[]") != std::string::npos && view.find("\"queue\":[]") != std::string::npos;
}

}  // namespace

TEST_CASE("with --die-with-parent the command is stopped when whoever started semactl is killed") {
    const World world;
    const bool asked_for = GENERATE(true, false);
    const std::string option = asked_for ? "--die-with-parent " : "";
    // Before Linux 5.3 there are no descriptors of processes.
    const std::string prefix = GENERATE("", DENIED_CALLS " ENOSYS pidfd_open -- ");
    ProgramOptions here;
    here.directory = world.semactl.folder();
    Program shell(world.shell(option + "-- sh -c 'trap \"echo asked; exit\" TERM; echo ready; "
                                       "until [ -e leave ]; do sleep 0.05; done; echo done'",
                              prefix),
                  world.semactl.options(here));
    REQUIRE(shell.prints("ready"));
    shell.signal(SIGKILL);
    shell.wait();
    if (!asked_for) {
        REQUIRE(world.semactl.in_use() == 1);
        run_program({"touch", "leave"}, here);
    }
    REQUIRE(eventually([&] { return is_idle(world.semactl); }));
    CHECK(shell.out() == (asked_for ? "ready\nasked\n" : "ready\ndone\n"));
}

TEST_CASE("a parent that ends and a signal are one request to stop, whichever comes first") {
    const World world;
    const bool signal_is_first = GENERATE(true, false);
    ProgramOptions here;
    here.directory = world.semactl.folder();
    Program shell(world.shell("--die-with-parent --kill-after 1h --teardown 'echo torn' -- sh -c '"
                              "trap \"echo asked\" TERM; echo $PPID ready; "
                              "until [ -e leave ]; do sleep 0.05; done; echo done'"),
                  world.semactl.options(here));
    REQUIRE(shell.prints("ready"));
    const pid_t run = std::stoi(shell.out());
    const auto shows = [&](const std::string& text) {
        return eventually([&] { return shell.out().find(text) != std::string::npos; });
    };
    if (signal_is_first) kill(run, SIGTERM);
    if (signal_is_first) REQUIRE(shows("asked"));
    shell.signal(SIGKILL);
    shell.wait();
    REQUIRE(shows("asked"));
    // Later than what counts as the same request in any case. What is to be seen is that nothing comes of it.
    std::this_thread::sleep_for(100ms);
    if (!signal_is_first) kill(run, SIGTERM);
    if (!signal_is_first) REQUIRE(shows("asked\nasked"));
    std::this_thread::sleep_for(300ms);
    run_program({"touch", "leave"}, here);
    CHECK(shows("done\ntorn\n"));
    CHECK(eventually([&] { return is_idle(world.semactl); }));
}

TEST_CASE("with --die-with-parent the queue is left when whoever started semactl is killed") {
    const World world;
    const std::string lease = sema::LeaseId::random().str();
    REQUIRE(world.semactl({"borrow", "vsim", "--ttl", "1h", "--lease", lease}).status == 0);
    Program shell(world.shell("--wait 1h --die-with-parent -- echo served"), world.semactl.options());
    REQUIRE(shell.warns("waiting for vsim"));
    shell.signal(SIGKILL);
    shell.wait();
    const std::string words = "the process that started semactl is gone, leaving the queue";
    REQUIRE(eventually([&] { return shell.err().find(words) != std::string::npos; }));
    REQUIRE(world.semactl({"return", "vsim", lease}).status == 0);
    CHECK(eventually([&] { return is_idle(world.semactl); }));
    CHECK(shell.out().empty());
}

TEST_CASE(
    "with --die-with-parent no command is started where whoever started semactl ended before it had read "
    "all") {
    const World world;
    const std::string pipe = world.semactl.folder() / "pool";
    REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
    // A writer, so that semactl opens the pipe and waits for its end.
    Program shell({"sh", "-c",
                   SEMACTL " run file:" + pipe + " --die-with-parent -- echo served & exec 3> " + pipe +
                       "; echo ready; while :; do sleep 0.05; done"},
                  world.semactl.options());
    REQUIRE(shell.prints("ready"));
    const int writer = open(pipe.c_str(), O_WRONLY | O_CLOEXEC);
    REQUIRE(writer >= 0);
    shell.signal(SIGKILL);
    shell.wait();
    const std::string id = world.semactl.pool().str();
    CHECK(write(writer, id.data(), id.size()) == static_cast<ssize_t>(id.size()));
    close(writer);
    const std::string words = "the process that started semactl is gone";
    CHECK(eventually([&] { return shell.err().find(words) != std::string::npos; }));
    CHECK(is_idle(world.semactl));
    CHECK(shell.out() == "ready\n");
}

TEST_CASE("with --die-with-parent nothing changes while whoever started semactl lives") {
    const World world;
    Program shell(world.shell("--die-with-parent -- sh -c 'sleep 1; exit 7'"), world.semactl.options());
    CHECK(shell.wait() == 0);
    CHECK(shell.out() == "shell goes on\n");
}

TEST_CASE("a --die-with-parent is refused where whoever started semactl cannot be seen") {
    if (run_program({"unshare", "--user", "--map-root-user", "--pid", "--fork", "true"}).status != 0) {
        WARN("no namespaces can be made here");
        return;
    }
    const World world;
    const Finished run = run_program({"unshare", "--user", "--map-root-user", "--pid", "--fork", SEMACTL,
                                      "run", "vsim", "--die-with-parent", "--", "echo", "served"},
                                     world.semactl.options());
    CHECK(run.status == 125);
    CHECK(run.out.empty());
    CHECK_THAT(run.err, has_text("--die-with-parent"));
}
