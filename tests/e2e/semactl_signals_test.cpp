#include "cli/run/process_tree.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/e2e/terminal.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/scripted_server.hpp"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <regex>
#include <sstream>
#include <stop_token>
#include <thread>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;

// A server with a pool of one slot, and semactl to use it.
struct World {
    World() { REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0); }

    RunningServer server;
    Semactl semactl{server.url()};
};

// The number in a line `NAME NUMBER` of the output.
pid_t pid_in(const std::string& output, const std::string& name) {
    std::istringstream words(output.substr(output.find(name + " ") + name.size()));
    pid_t pid = -1;
    words >> pid;
    return pid;
}

bool is_alive(pid_t pid) {
    const auto process = sema::find_process(pid, sema::ProcFolder());
    return process && process->state != 'Z' && process->state != 'X';
}

// A command that ignores TERM, and so does its child; prints `command PID` and `child PID`.
const Words stubborn = {
    "sh", "-c", "trap '' TERM INT; echo command $$; sh -c 'echo child $$; while :; do sleep 1; done'; :"};

}  // namespace

TEST_CASE("each signal sent to semactl reaches the command exactly once") {
    const World world;
    const auto number_and_name =
        GENERATE(std::pair(SIGINT, "INT"), std::pair(SIGTERM, "TERM"), std::pair(SIGHUP, "HUP"),
                 std::pair(SIGQUIT, "QUIT"), std::pair(SIGUSR1, "USR1"), std::pair(SIGCONT, "CONT"),
                 std::pair(SIGWINCH, "WINCH"));
    const std::string got = std::string("got ") + number_and_name.second + "\n";
    Program run(Semactl::command({"run", "vsim", "--", SIGNAL_COUNTER}), world.semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal(number_and_name.first);
    REQUIRE(run.prints(got));
    run.signal(SIGUSR2);
    CHECK(run.wait() == 0);
    CHECK(run.out() == "ready\n" + got + "got USR2\n");
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("signals that concern semactl alone do not reach the command") {
    const World world;
    Program run(Semactl::command({"run", "vsim", "--", SIGNAL_COUNTER}), world.semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal(SIGCHLD);
    run.signal(SIGURG);
    run.signal(SIGUSR2);
    CHECK(run.wait() == 0);
    CHECK(run.out() == "ready\ngot USR2\n");
}

TEST_CASE("a signal that was ignored when semactl started stays ignored") {
    const World world;
    ProgramOptions nohup;
    nohup.ignored = {SIGHUP};
    Program run(Semactl::command({"run", "vsim", "--", SIGNAL_COUNTER}), world.semactl.options(nohup));
    REQUIRE(run.prints("ready"));
    run.signal(SIGHUP);
    run.signal(SIGUSR2);
    CHECK(run.wait() == 0);
    CHECK(run.out() == "ready\ngot USR2\n");
}

TEST_CASE("TERM, INT, HUP and QUIT leave the queue at once and strand no slot") {
    const World world;
    const int number = GENERATE(SIGTERM, SIGINT, SIGHUP, SIGQUIT);
    Program holder(Semactl::command({"run", "vsim", "--", SIGNAL_COUNTER}), world.semactl.options());
    REQUIRE(holder.prints("ready"));
    Program queued(Semactl::command({"run", "vsim", "--wait", "60", "--", "echo", "never"}),
                   world.semactl.options());
    REQUIRE(queued.warns("waiting for vsim"));

    queued.signal(number);
    CHECK(queued.wait(5s) == 128 + number);
    CHECK(queued.out().empty());

    holder.signal(SIGUSR2);
    CHECK(holder.wait() == 0);
    CHECK(world.semactl.in_use() == 0);
    CHECK(world.semactl({"run", "vsim", "--wait", "0", "--", "true"}).status == 0);
}

TEST_CASE("a borrow leaves the queue as run does") {
    const World world;
    REQUIRE(world.semactl({"borrow", "vsim", "--ttl", "1h"}).status == 0);
    Program queued(Semactl::command({"borrow", "vsim", "--ttl", "1h", "--wait", "60"}),
                   world.semactl.options());
    REQUIRE(queued.warns("waiting for vsim"));
    queued.signal(SIGTERM);
    CHECK(queued.wait(5s) == 128 + SIGTERM);
    CHECK(world.semactl.in_use() == 1);
}

TEST_CASE("a grant that crosses the leaving is returned") {
    const std::string lease = sema::LeaseId::random().str();
    const std::string grant =
        R"({"lease":")" + lease + R"(","position":0,"expires_at_unix":2000000000,"expires_in":60})";
    ScriptedServer server({{Scene::Wait::for_end_of_input, http("200 OK", grant)},
                           {Scene::Wait::for_request, http("200 OK", R"({"returned":true})")}});
    const Semactl semactl(server.url());
    Program queued(Semactl::command({"run", "vsim", "--wait", "60", "--", "echo", "never"}),
                   semactl.options());
    REQUIRE(queued.warns("waiting for vsim"));

    queued.signal(SIGTERM);
    CHECK(queued.wait() == 128 + SIGTERM);
    CHECK(queued.out().empty());
    REQUIRE(server.requests().size() == 2);
    CHECK_THAT(server.requests()[1], has_text("/return HTTP/1.1") && has_text(lease));
}

TEST_CASE("leaving does not depend on a server that answers") {
    ScriptedServer server({{Scene::Wait::for_end_of_input, ""}});
    const Semactl semactl(server.url());
    Program queued(Semactl::command({"run", "vsim", "--wait", "60", "--", "true"}), semactl.options());
    REQUIRE(queued.warns("waiting for vsim"));
    queued.signal(SIGINT);
    // 5 s, on a machine that is busy with other tests.
    CHECK(queued.wait(8s) == 128 + SIGINT);
}

// A sanitizer's library wants to be loaded before any other.
#if !SANITIZED
TEST_CASE("a name server that does not answer holds back neither a TERM nor the end of the wait") {
    const Semactl semactl("http://seats.example.net:7717");
    ProgramOptions options;
    options.environment["LD_PRELOAD"] = SLOW_NAMES;
    options.environment["http_proxy"] = "";
    const auto command = [](const std::string& wait) {
        return Semactl::command({"run", "vsim", "--wait", wait, "--", "true"});
    };
    Program left(command("60"), semactl.options(options));
    REQUIRE(left.warns("waiting for vsim"));
    left.signal(SIGTERM);
    CHECK(left.wait(8s) == 128 + SIGTERM);

    Program impatient(command("1"), semactl.options(options));
    CHECK(impatient.wait(8s) == 69);
}

TEST_CASE("a TERM ends semactl also while it asks for the name of its user") {
    const World world;
    ProgramOptions options;
    options.environment["LD_PRELOAD"] = SLOW_USERS;
    Program run(Semactl::command({"run", "vsim", "--", "true"}), world.semactl.options(options));
    REQUIRE(run.warns("asked for a user"));
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGTERM);
    CHECK(world.semactl.in_use() == 0);
}
#endif

TEST_CASE("a second TERM kills the whole tree, and the slot is free") {
    const World world;
    Program run(
        Semactl::command({"run", "vsim", "--kill-after", "1h", "--", stubborn[0], stubborn[1], stubborn[2]}),
        world.semactl.options());
    REQUIRE(run.prints("child "));
    run.signal(SIGTERM);
    // Two signals in a tenth of a second are one that came twice, so the second has to come later.
    REQUIRE_FALSE(eventually([&] { return run.ended(); }, 300ms));
    run.signal(SIGTERM);
    CHECK(run.wait(5s) == 128 + SIGKILL);
    CHECK_FALSE(is_alive(pid_in(run.out(), "child")));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a command that outlives a TERM for --kill-after is killed with its tree") {
    const World world;
    Program run(Semactl::command(
                    {"run", "vsim", "--kill-after", "300ms", "--", stubborn[0], stubborn[1], stubborn[2]}),
                world.semactl.options());
    REQUIRE(run.prints("child "));
    run.signal(SIGINT);
    CHECK(run.wait(5s) == 128 + SIGKILL);
    CHECK_FALSE(is_alive(pid_in(run.out(), "child")));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("without --kill-after a command is killed a second before the 5 s that others leave it") {
    const World world;
    const auto started = [&](const std::string& options) {
        return std::make_unique<Program>(
            std::vector<std::string>{
                "sh", "-c",
                "exec " SEMACTL " run vsim " + options +
                    " -- sh -c 'trap \"\" TERM; echo ready $$; while :; do sleep 0.1; done'"},
            world.semactl.options());
    };
    REQUIRE(world.semactl({"resize", "vsim", "+1"}).status == 0);
    const auto later = started("--kill-after 5s");
    const auto sooner = started("");
    REQUIRE(later->prints("ready "));
    REQUIRE(sooner->prints("ready "));
    const pid_t later_command = pid_in(later->out(), "ready");
    const pid_t sooner_command = pid_in(sooner->out(), "ready");
    later->signal(SIGTERM);
    sooner->signal(SIGTERM);
    REQUIRE(eventually([&] { return !is_alive(sooner_command); }));
    CHECK(is_alive(later_command));
    CHECK(sooner->wait() == 128 + SIGKILL);
    CHECK(later->wait() == 128 + SIGKILL);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a command that ends at a TERM takes what it started along before its slot is free") {
    const World world;
    const std::string script =
        "trap 'exit 7' TERM; "
        "sh -c 'trap \"echo child stops; exit\" TERM; echo child $$; while :; do sleep 0.05; done' & wait";
    Program run(Semactl::command({"run", "vsim", "--", "sh", "-c", script}), world.semactl.options());
    REQUIRE(run.prints("child "));
    run.signal(SIGTERM);
    CHECK(run.wait(10s) == 7);
    CHECK_THAT(run.out(), has_text("child stops"));
    CHECK_FALSE(is_alive(pid_in(run.out(), "child")));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a TERM that comes to semactl and to its group at once is one request") {
    const World world;
    const std::string script = "trap 'sleep 0.3; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    Program run(Semactl::command({"run", "vsim", "--", "sh", "-c", script}), world.semactl.options());
    REQUIRE(run.prints("ready"));
    const auto begin = std::chrono::steady_clock::now();
    run.signal(SIGTERM);
    run.signal_group(SIGTERM);
    const bool came_at_once = std::chrono::steady_clock::now() - begin < 20ms;
    const int status = run.wait(10s);
    if (came_at_once)
        CHECK(status == 9);
    else
        WARN("this machine was too busy to send both at once");
}

TEST_CASE("what the command sends to its own process group is not sent back to it") {
    const World world;
    // The group is semactl's too. Were the USR1 passed on, the trap would run a second time.
    const std::string script = "trap 'echo usr1' USR1; kill -USR1 0; sleep 0.3; echo done";
    const Finished run = world.semactl({"run", "vsim", "--", "sh", "-c", script});
    CHECK(run.status == 0);
    CHECK(run.out == "usr1\ndone\n");
}

TEST_CASE("the command gets a TERM when semactl is killed") {
    const World world;
    Program run(Semactl::command({"run", "vsim", "--kill-after", "1m", "--", SIGNAL_COUNTER}),
                world.semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal(SIGKILL);
    CHECK(run.wait() == 128 + SIGKILL);
    CHECK(eventually([&] { return run.out() == "ready\ngot TERM\n"; }));
}

TEST_CASE("a command that handles TERM gets a second one when a semactl that lives would kill it") {
    const World world;
    Program run(Semactl::command({"run", "vsim", "--kill-after", "2s", "--", SIGNAL_COUNTER}),
                world.semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal(SIGKILL);
    run.wait();
    CHECK(eventually([&] { return run.out() == "ready\ngot TERM\ngot TERM\n"; }));
}

TEST_CASE("a command that has changed its user gets a TERM too when semactl is killed") {
    const Words other_user = {"setpriv", "--reuid", "65534", "--clear-groups"};
    if (run_program({"setpriv", "--reuid", "65534", "--clear-groups", "true"}).status != 0) {
        WARN("this process may not change its user");
        return;
    }
    const World world;
    Words words = {"run", "vsim", "--"};
    words.insert(words.end(), other_user.begin(), other_user.end());
    words.insert(words.end(),
                 {"sh", "-c", "trap 'echo asked; exit' TERM; echo ready; while :; do sleep 0.05; done"});
    Program run(Semactl::command(words), world.semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal(SIGKILL);
    run.wait();
    CHECK(eventually([&] { return run.out() == "ready\nasked\n"; }));
}

TEST_CASE("a command that was another user for a moment gets a TERM too when semactl is killed") {
    if (run_program({"perl", "-e", "$> = 65534; exit($> != 65534)"}).status != 0) {
        WARN("this process may not change its user");
        return;
    }
    const World world;
    // One that would not be there any more had it got a TERM, and one that may be stopping.
    const std::string handler = GENERATE("", "trap 'echo asked; exit' TERM; ");
    const std::string script = handler + "echo child $$; while :; do sleep 0.05; done";
    Program run(Semactl::command({"run", "vsim", "--kill-after", "2s", "--", "perl", "-e",
                                  "$> = 65534; $> = 0; exec @ARGV", "sh", "-c", script}),
                world.semactl.options());
    REQUIRE(run.prints("child "));
    const pid_t child = std::stoi(run.out().substr(run.out().find("child ") + 6));
    run.signal(SIGKILL);
    run.wait();
    CHECK(eventually([&] {
        const auto process = sema::find_process(child, sema::ProcFolder());
        return !process || process->has_ended();
    }));
    CHECK((run.out().find("asked") != std::string::npos) == !handler.empty());
}

TEST_CASE("a Ctrl-C reaches the command once, and is its own affair") {
    const World world;
    Terminal terminal;
    ProgramOptions options;
    options.terminal = terminal.name();
    Program run(Semactl::command({"run", "vsim", "--kill-after", "100ms", "--", SIGNAL_COUNTER}),
                world.semactl.options(options));
    REQUIRE(terminal.shows("ready"));
    terminal.type(ctrl_c);
    REQUIRE(terminal.shows("got INT"));
    // A program that lives on after a Ctrl-C, as an interpreter does, is left alone.
    REQUIRE_FALSE(eventually([&] { return run.ended(); }, 400ms));
    run.signal(SIGUSR2);
    CHECK(run.wait() == 0);
    CHECK(terminal.shows("got USR2"));
    CHECK(terminal.screen().find("got INT") == terminal.screen().rfind("got INT"));
}

TEST_CASE("a Ctrl-C while queued leaves the queue") {
    const World world;
    REQUIRE(world.semactl({"borrow", "vsim", "--ttl", "1h"}).status == 0);
    Terminal terminal;
    ProgramOptions options;
    options.terminal = terminal.name();
    options.environment["TERM"] = "xterm";
    Program run(Semactl::command({"run", "vsim", "--wait", "90", "--", "true"}),
                world.semactl.options(options));
    // Its place is there from the first answer on.
    const std::regex line("\rwaiting for vsim: ([^\r]+ \u00b7 )?[0-9]+s of 1m 30s");
    REQUIRE(eventually([&] { return std::regex_search(terminal.screen(), line); }));
    terminal.type(ctrl_c);
    CHECK(run.wait(5s) == 128 + SIGINT);
}

TEST_CASE("a Ctrl-Z stops the command and semactl, and both go on together") {
    const World world;
    Terminal terminal;
    // A shell between the terminal and semactl, as a person has it: an orphan's job is never stopped.
    const std::string shell =
        "set -m; " SEMACTL " run vsim -- " SIGNAL_COUNTER "; echo status $?; fg; echo status $?";
    ProgramOptions options;
    options.terminal = terminal.name();
    Program run({"bash", "-c", shell}, world.semactl.options(options));
    REQUIRE(terminal.shows("ready"));
    terminal.type(ctrl_z);
    // The shell says 128 + TSTP, and continues the job.
    REQUIRE(terminal.shows("status 148"));
    REQUIRE(terminal.shows("got CONT"));

    const auto processes = sema::descendants(run.pid(), {}, sema::ProcFolder()).found;
    for (const auto& process : processes) {
        if (process.name == "signal_counter") kill(process.pid, SIGUSR2);
    }
    REQUIRE(terminal.shows("status 0"));
    CHECK(run.wait() == 0);
    CHECK(terminal.screen().find("got CONT") == terminal.screen().rfind("got CONT"));
}

TEST_CASE("a command that stops itself gives the terminal back to the shell") {
    const World world;
    Terminal terminal;
    const std::string shell =
        "set -m; " SEMACTL
        " run vsim -- sh -c 'kill -STOP $$; echo resumed'; echo status $?; fg; echo status $?";
    ProgramOptions options;
    options.terminal = terminal.name();
    Program run({"bash", "-c", shell}, world.semactl.options(options));
    // 128 + STOP
    REQUIRE(terminal.shows("status 147"));
    REQUIRE(terminal.shows("resumed"));
    REQUIRE(terminal.shows("status 0"));
    CHECK(run.wait() == 0);
}

TEST_CASE("a command that stopped itself has its lease renewed once it goes on, also where CONT is ignored") {
    const World world;
    Terminal terminal;
    const std::string shell = "set -m; trap '' CONT; " SEMACTL
                              " run vsim --ttl 4 -- sh -c 'kill -STOP $$; sleep 6; echo resumed'; "
                              "echo status $?; fg; echo status $?";
    ProgramOptions options;
    options.terminal = terminal.name();
    Program run({"bash", "-c", shell}, world.semactl.options(options));
    REQUIRE(terminal.shows("status 147"));
    REQUIRE(terminal.shows("resumed"));
    REQUIRE(terminal.shows("status 0"));
    CHECK(run.wait() == 0);
}

TEST_CASE("a terminal stopped with Ctrl-S does not keep a command alive past its lease") {
    const World world;
    Terminal terminal;
    ProgramOptions options;
    options.terminal = terminal.name();
    Program run(Semactl::command({"run", "vsim", "--ttl", "2", "--no-keepalive", "--", "sh", "-c",
                                  "echo ready; sleep 20"}),
                world.semactl.options(options));
    REQUIRE(terminal.shows("ready"));
    terminal.type(ctrl_s);
    CHECK(run.wait(10s) == 79);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a hang-up of the terminal reaches the command of a semactl that leads the session") {
    const World world;
    Terminal terminal;
    ProgramOptions options;
    options.terminal = terminal.name();
    options.directory = world.semactl.folder();
    const std::string script =
        "trap 'echo hup >> signals; exit 3' HUP; echo ready; while :; do sleep 0.05; done";
    Program run(Semactl::command({"run", "vsim", "--", "sh", "-c", script}), world.semactl.options(options));
    REQUIRE(terminal.shows("ready"));
    terminal.hang_up();
    CHECK(run.wait(10s) == 3);
    CHECK(std::filesystem::file_size(world.semactl.folder() / "signals") == 4);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a job that was stopped for reading in the background gets one CONT with the terminal") {
    const World world;
    Terminal terminal;
    // What the shell says of the job holds its command line: what the command prints must not be in that.
    const std::string command =
        "trap \"echo continued \\$((6 * 7))\" CONT; read line; sleep 0.3; echo \"got $line\"";
    const std::string shell = "set -m; " SEMACTL " run vsim -- bash -c '" + command +
                              "' & until jobs %1 | grep -q Stopped; do sleep 0.05; done; echo stopped; fg";
    ProgramOptions options;
    options.terminal = terminal.name();
    Program run({"bash", "-c", shell}, world.semactl.options(options));
    REQUIRE(terminal.shows("stopped"));
    terminal.type("word\n");
    REQUIRE(terminal.shows("got word"));
    CHECK(run.wait() == 0);
    const std::string& screen = terminal.screen();
    CHECK(screen.find("continued 42") != std::string::npos);
    CHECK(screen.find("continued 42") == screen.rfind("continued 42"));
}

TEST_CASE("a shell under semactl can be suspended, and gets the terminal back") {
    const World world;
    Terminal terminal;
    const std::string shell =
        "set -m; " SEMACTL
        " run vsim -- env PS1='inner> ' bash --norc -i; echo status $?; fg; echo status $?";
    ProgramOptions options;
    options.terminal = terminal.name();
    Program run({"bash", "-c", shell}, world.semactl.options(options));
    REQUIRE(terminal.shows("inner> "));
    terminal.type("suspend\n");
    // 128 + STOP
    REQUIRE(terminal.shows("status 147"));
    terminal.type("exit 5\n");
    REQUIRE(terminal.shows("status 5"));
    CHECK(run.wait() == 0);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("signals that come without end hold up neither a TERM nor the end of the command") {
    const World world;
    const bool is_stopped = GENERATE(true, false);
    CAPTURE(is_stopped);
    ProgramOptions options;
    options.directory = world.semactl.folder();
    Program run(Semactl::command(
                    {"run", "vsim", "--kill-after", "500ms", "--", "sh", "-c",
                     "trap '' USR1 USR2 ALRM; echo ready; until [ -e end ]; do sleep 0.05; done; exit 4"}),
                world.semactl.options(options));
    REQUIRE(run.prints("ready"));
    {
        const std::jthread sender([&run](const std::stop_token& over) {
            while (!over.stop_requested()) {
                for (const int number : {SIGUSR1, SIGUSR2, SIGALRM})
                    kill(run.pid(), number);
                std::this_thread::sleep_for(1ms);
            }
        });
        if (is_stopped)
            run.signal(SIGTERM);
        else
            std::ofstream(world.semactl.folder() / "end") << "now";
        CHECK(eventually([&] { return run.ended(); }));
    }
    CHECK(run.wait() == (is_stopped ? 128 + SIGTERM : 4));
    CHECK(world.semactl.in_use() == 0);
}
