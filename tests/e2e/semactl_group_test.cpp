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

// It has its name a moment after it has begun.
std::optional<pid_t> bystander_of(const Program& run) {
    std::optional<pid_t> bystander;
    static_cast<void>(eventually([&] {
        for (const sema::Process& process : sema::descendants(run.pid(), {}, sema::ProcFolder()).found) {
            if (process.name == "slot-bystander") bystander = process.pid;
        }
        return bystander.has_value();
    }));
    return bystander;
}

int count(const std::string& text, const std::string& part) {
    int all = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size())
        ++all;
    return all;
}

// Prints `got` for each USR1, which it can count since it handles one at a time, and ends at a TERM.
const std::string counter =
    "$SIG{USR1} = sub { print \"got\\n\" }; $SIG{TERM} = sub { exit 4 }; $| = 1; print \"ready\\n\"; "
    "sleep 1 while 1";

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

TEST_CASE(
    "a signal to each process of the group in turn reaches the command once, and so does the next one") {
    const World world;
    Program run(world.run({"perl", "-e", counter}), world.semactl.options());
    REQUIRE(run.prints("ready"));
    const auto bystander = bystander_of(run);
    REQUIRE(bystander);
    std::optional<pid_t> command;
    for (const sema::Process& process : sema::descendants(run.pid(), {}, sema::ProcFolder()).found) {
        if (process.name == "perl") command = process.pid;
    }
    REQUIRE(command);
    // As `pkill -P` does, and as systemd does.
    const bool is_for_semactl = GENERATE(false, true);
    // However long the machine takes over the three, semactl sees them at once.
    if (is_for_semactl) {
        run.signal(SIGSTOP);
        run.signal(SIGUSR1);
    }
    kill(*bystander, SIGUSR1);
    kill(*command, SIGUSR1);
    if (is_for_semactl) run.signal(SIGCONT);
    REQUIRE(run.prints("got"));
    CHECK_FALSE(eventually([&] { return count(run.out(), "got") > 1; }, 300ms));
    const auto sleeps = [](pid_t pid) {
        const auto process = sema::find_process(pid, sema::ProcFolder());
        return process && process->state == 'S';
    };
    // The bystander has seen it, and semactl has heard of that.
    REQUIRE(eventually([&] { return sleeps(*bystander); }));
    REQUIRE(eventually([&] { return sleeps(run.pid()); }));
    run.signal(SIGUSR1);
    CHECK(eventually([&] { return count(run.out(), "got") == 2; }));
    run.signal(SIGTERM);
    CHECK(run.wait() == 4);
    CHECK(count(run.out(), "got") == 2);
}

TEST_CASE("a command that ends of a signal to the whole group takes what it started along, each time") {
    const World world;
    const int number = GENERATE(SIGUSR1, SIGUSR2, SIGALRM, SIGXCPU, SIGRTMIN);
    for (int round = 0; round < 6; ++round) {
        Program run(world.run({"sh", "-c",
                               "ulimit -c 0; setsid -f sh -c 'echo ready; exec sleep 60'; exec sleep 60"}),
                    world.semactl.options());
        REQUIRE(run.prints("ready"));
        run.signal_group(number);
        CHECK(run.wait() == 128 + number);
        CHECK(run.err().find("left running") == std::string::npos);
        CHECK(world.semactl.in_use() == 0);
    }
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
    Program run(Semactl::command({"run", "vsim", "--kill-after", "0", "--", SIGNAL_COUNTER}),
                world.semactl.options());
    REQUIRE(run.prints("ready"));
    // It has its name once it has a command line of its own.
    const auto bystander = bystander_of(run);
    REQUIRE(bystander);
    const std::string pattern = "semactl run vsim --kill-after 0 -- .*signal_counter";
    const std::string found = run_program({"pgrep", "-g", std::to_string(run.pid()), "-f", pattern}).out;
    CHECK(found == std::to_string(run.pid()) + "\n");
    CHECK(run_program({"pgrep", "-g", std::to_string(run.pid()), "sema"}).out ==
          std::to_string(run.pid()) + "\n");

    run.signal(SIGKILL);
    run.wait();
    CHECK(eventually([&] { return !sema::find_process(*bystander, sema::ProcFolder()); }));
    // The kernel's, and none beside it.
    CHECK(run.out() == "ready\ngot TERM\n");
}

TEST_CASE("a semactl whose own process in the group was killed passes signals on") {
    const World world;
    Program run(world.run({SIGNAL_COUNTER}), world.semactl.options());
    REQUIRE(run.prints("ready"));
    const auto bystander = bystander_of(run);
    REQUIRE(bystander);
    kill(*bystander, SIGKILL);
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
        Semactl::command({"run", "vsim", "--ttl", "8", "--no-keepalive", "--", "sh", "-c", OLD_SUDO "; :"}),
        world.semactl.options());
    CHECK(run.status == 79);
    CHECK(run.out == "ready\ntook TERM\n");
}
