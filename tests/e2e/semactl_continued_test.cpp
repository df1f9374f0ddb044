// A CONT that comes soon after what stops semactl.
#include "cli/run/process_tree.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/e2e/terminal.hpp"
#include "tests/support/catch.hpp"

#include <csignal>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

using namespace sema::test;

namespace {

// Whether the signal waits to be taken by the process.
bool is_pending(pid_t process, int number) {
    std::ifstream status("/proc/" + std::to_string(process) + "/status");
    std::string line;
    while (std::getline(status, line)) {
        if (line.rfind("ShdPnd:", 0) != 0) continue;
        const std::uint64_t pending = std::stoull(line.substr(line.find(':') + 1), nullptr, 16);
        return (pending >> (number - 1) & 1) == 1;
    }
    return false;
}

// Sends the CONT once the TSTP was taken, and not before: that would take the TSTP back.
void stop_and_continue(pid_t process) {
    REQUIRE(kill(process, SIGTSTP) == 0);
    REQUIRE(eventually([&] { return !is_pending(process, SIGTSTP); }));
    REQUIRE(kill(process, SIGCONT) == 0);
}

struct World {
    World() {
        for (const char* pool : {"a", "b"})
            REQUIRE((*this)({"new", "--count", "1", "--save", pool}).status == 0);
    }
    ProgramOptions options() const {
        ProgramOptions more;
        more.environment["SEMACTL_CONFIG"] = semactl.folder() / "pools.toml";
        return semactl.options(more);
    }
    Finished operator()(std::vector<std::string> words) const {
        return run_program(Semactl::command(std::move(words)), options());
    }

    RunningServer server;
    Semactl semactl{server.url()};
};

}  // namespace

TEST_CASE("a CONT soon after a TSTP to semactl lets it and its command go on") {
    const World world;
    Program run(Semactl::command({"run", "a", "--", SIGNAL_COUNTER}), world.options());
    REQUIRE(run.prints("ready"));
    stop_and_continue(run.pid());
    REQUIRE(run.prints("got CONT"));
    run.signal(SIGUSR2);
    CHECK(run.wait() == 0);
}

TEST_CASE("a CONT soon after a TSTP lets semactl go on that waits, also while its server does not answer") {
    const World world;
    const std::vector<std::string> pools =
        GENERATE(std::vector<std::string>{"a"}, std::vector<std::string>{"a", "b"},
                 std::vector<std::string>{"b", "a"});
    const bool hangs = GENERATE(false, true);
    CAPTURE(pools, hangs);
    const std::string taken = pools.back();
    REQUIRE(world({"borrow", taken, "--ttl", "1h"}).status == 0);
    std::vector<std::string> words = {"run", "--wait", "1h"};
    words.insert(words.end(), pools.begin(), pools.end());
    words.insert(words.end(), {"--", "echo", "served"});
    Program run(Semactl::command(words), world.options());
    REQUIRE(run.warns("waiting for " + taken));
    if (hangs) halt(world.server.pid());
    stop_and_continue(run.pid());
    if (hangs) kill(world.server.pid(), SIGCONT);
    REQUIRE(world({"revoke", taken, "0"}).status == 0);
    CHECK(run.wait() == 0);
    CHECK(run.out() == "served\n");
}

TEST_CASE("a CONT that comes while a watch on a terminal is about to stop lets it go on") {
    const World world;
    Terminal terminal;
    ProgramOptions options = world.options();
    options.terminal = terminal.name();
    options.environment["TERM"] = "xterm";
    // A shell between: whoever leads a session is not stopped.
    Program shell({"bash", "-ic", SEMACTL " watch a; echo ended $?"}, options);
    REQUIRE(terminal.shows("a: 0 of 1 in use"));
    const std::vector<sema::Process> below = sema::descendants(shell.pid(), {}, sema::ProcFolder()).found;
    REQUIRE(below.size() == 1);
    // It puts the terminal back before it stops.
    terminal.hold();
    stop_and_continue(below.front().pid);
    terminal.go_on();
    REQUIRE(world({"resize", "a", "+1"}).status == 0);
    REQUIRE(terminal.shows("a: 0 of 2 in use"));
    terminal.type("q");
    CHECK(terminal.shows("ended 0"));
}
