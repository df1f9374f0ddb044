// Every signal that a process can catch.
#include "cli/run/process_tree.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"

#include <csignal>
#include <memory>
#include <set>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

// A command that ignores TERM and INT, and so does its child; prints `child PID`.
const std::string stubborn = "trap '' TERM INT; sh -c 'echo child $$; while :; do sleep 1; done'; :";

// Those that end a process by default, but for KILL.
std::vector<int> fatal_signals() {
    std::set<int> others = {SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN,  SIGTTOU,
                            SIGCONT, SIGCHLD, SIGURG,  SIGWINCH, SIGPIPE};
    // A sanitizer takes these for itself.
    if (SANITIZED) others.insert({SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP});
    std::vector<int> all;
    for (int number = 1; number <= SIGRTMAX; ++number) {
        if (others.count(number) == 0) all.push_back(number);
    }
    return all;
}

bool is_alive(pid_t pid) {
    const auto process = sema::find_process(pid, sema::ProcFolder());
    return process && process->state != 'Z' && process->state != 'X';
}

pid_t child_of(const Program& run) {
    const std::string out = run.out();
    return std::stoi(out.substr(out.find("child ") + 6));
}

}  // namespace

TEST_CASE("whichever signal comes to semactl, it ends only with its command, and no slot is stranded") {
    const RunningServer server;
    const Semactl semactl(server.url());
    const std::vector<int> signals = fatal_signals();
    REQUIRE(semactl({"register", "vsim", "--count", std::to_string(signals.size())}).status == 0);

    std::vector<std::unique_ptr<Program>> runs;
    for (std::size_t i = 0; i < signals.size(); ++i) {
        // With -v, since it has said something then before the signal comes.
        runs.push_back(
            std::make_unique<Program>(Semactl::command({"-v", "run", "vsim", "--ttl", "5m", "--kill-after",
                                                        "300ms", "--", "sh", "-c", stubborn}),
                                      semactl.options()));
    }
    for (std::size_t i = 0; i < signals.size(); ++i) {
        REQUIRE(runs[i]->prints("child "));
        runs[i]->signal(signals[i]);
    }
    for (std::size_t i = 0; i < signals.size(); ++i) {
        CAPTURE(signals[i], runs[i]->err());
        CHECK(runs[i]->wait() > 128);
        CHECK_FALSE(is_alive(child_of(*runs[i])));
        if (runs[i]->err().find("vsim: returned position") == std::string::npos)
            UNSCOPED_INFO("not known to be returned, after signal " << signals[i] << ": " << runs[i]->err());
    }
    CHECK(semactl.in_use() == 0);
}

TEST_CASE("XCPU, ALRM and the real-time signals are the command's") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    const int number = GENERATE(SIGXCPU, SIGRTMIN, SIGRTMAX);
    Program run(Semactl::command({"run", "vsim", "--kill-after", "100ms", "--", SIGNAL_COUNTER}),
                semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal(number);
    const std::string got =
        "got " + (number == SIGXCPU ? std::string("XCPU") : std::to_string(number)) + "\n";
    REQUIRE(run.prints(got));
    // It goes on: these ask nobody to stop.
    REQUIRE_FALSE(eventually([&] { return run.ended(); }, 400ms));
    run.signal(SIGALRM);
    CHECK(run.wait() == 0);
    CHECK(run.out() == "ready\n" + got + "got ALRM\n");
    CHECK(semactl.in_use() == 0);
}

TEST_CASE("an alarm that was set before semactl began reaches the command") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    const Finished run =
        run_program({"perl", "-e", "alarm 1; exec @ARGV", SEMACTL, "run", "vsim", "--", "sleep", "60"},
                    semactl.options());
    CHECK(run.status == 128 + SIGALRM);
    CHECK(semactl.in_use() == 0);
}

TEST_CASE("HUP and QUIT ask to stop, as INT and TERM do") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    const int number = GENERATE(SIGHUP, SIGQUIT);
    const std::string deaf = "trap '' HUP QUIT; echo ready; while :; do sleep 0.05; done";
    Program run(Semactl::command({"run", "vsim", "--kill-after", "300ms", "--", "sh", "-c", deaf}),
                semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal(number);
    CHECK(run.wait() == 128 + SIGKILL);
    CHECK(semactl.in_use() == 0);
}

TEST_CASE("a signal that ends who only waits leaves the queue and strands no slot") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    REQUIRE(semactl({"borrow", "vsim", "--ttl", "1h"}).status == 0);
    const int number = GENERATE(SIGALRM, SIGXCPU, SIGABRT, SIGIO);
    Program queued(Semactl::command({"run", "vsim", "--wait", "10m", "--", "echo", "never"}),
                   semactl.options());
    REQUIRE(queued.warns("waiting for vsim"));
    queued.signal(number);
    CHECK(queued.wait() == 128 + number);
    CHECK(queued.out().empty());
    CHECK_THAT(semactl({"--output", "json", "holders", "vsim"}).out, has_text(R"("queue":[])"));
}
