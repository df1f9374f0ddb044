// What becomes of a command whose lease ends before it does.
#include "cli/run/process_tree.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"

#include <filesystem>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;

// A server with a pool of one slot, and semactl to use it for no longer than a few seconds.
struct World {
    World() { REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0); }

    std::unique_ptr<Program> start(Words options, const Words& command, const std::string& ttl = "8") const {
        options.insert(options.begin(), {"run", "vsim", "--ttl", ttl});
        options.push_back("--");
        options.insert(options.end(), command.begin(), command.end());
        ProgramOptions here;
        here.directory = semactl.folder();
        return std::make_unique<Program>(Semactl::command(options), semactl.options(here));
    }
    bool has(const std::string& file) const { return std::filesystem::exists(semactl.folder() / file); }

    RunningServer server;
    Semactl semactl{server.url()};
};

bool is_stopped(const Program& program) {
    return sema::find_process(program.pid(), sema::ProcFolder())->state == 'T';
}

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

// In a session of its own, where no signal to the group and no key reaches it. It prints `ready`, ignores
// TERM, and has the file `held` locked while it runs.
const std::string deaf_descendant =
    "setsid -f sh -c 'trap \"\" TERM; exec 9> held; flock 9; echo ready; while :; do sleep 0.05 9>&-; done'";

}  // namespace

TEST_CASE("a command that is stopped with semactl is ended before its slot is lent again") {
    const World world;
    const auto run = world.start({}, {SIGNAL_COUNTER});
    REQUIRE(run->prints("ready"));
    // As Ctrl-Z does.
    run->signal_group(SIGTSTP);
    REQUIRE(eventually([&] { return is_stopped(*run); }));

    const Finished next = world.semactl({"run", "vsim", "--wait", "1h", "--", "pgrep", "-x", "signal_counter",
                                         "-g", std::to_string(run->pid())});
    // pgrep's status where it finds nobody.
    CHECK(next.status == 1);
    CHECK(run->wait() == 79);
    CHECK_THAT(run->out(), has_text("got TERM"));
    CHECK_THAT(run->err(), has_text("vsim: the lease is about to end while the command is stopped"));
}

TEST_CASE("no signal that waits while semactl is stopped has the lease of a stopped command renewed") {
    const World world;
    const auto run = world.start({"-v"}, {SIGNAL_COUNTER});
    REQUIRE(run->prints("ready"));
    // On its connection the next answer comes soon.
    REQUIRE(run->warns("renewed the lease"));
    run->signal_group(SIGTSTP);
    REQUIRE(eventually([&] { return is_stopped(*run); }));
    // These are read before the CONT that wakes semactl, and take so long that a renewal could be answered.
    for (const int number : {SIGUSR1, SIGUSR2, SIGALRM})
        run->signal(number);
    // Granted once the lease has ended.
    REQUIRE(world.semactl({"borrow", "vsim", "--ttl", "1h", "--wait", "1m"}).status == 0);
    CHECK(run->wait() == 79);
    CHECK_THAT(run->err(), has_text("vsim: the lease is about to end while the command is stopped"));
}

TEST_CASE("a run is known as semactl to one around it, whatever its file is called") {
    const World world;
    std::filesystem::create_symlink(SEMACTL, world.semactl.folder() / "seats");
    const Finished run = run_program({(world.semactl.folder() / "seats").string(), "run", "vsim", "--", "sh",
                                      "-c", "cat /proc/$PPID/comm"},
                                     world.semactl.options());
    CHECK(run.out == "semactl\n");
}

// In a session of its own nobody could continue what a Ctrl-Z stopped: there the kernel does not stop it.
TEST_CASE("a TSTP that the kernel ignores harms no command") {
    const World world;
    const Finished run = run_program({"setsid", "--wait", SEMACTL, "run", "vsim", "--ttl", "5", "--", "sh",
                                      "-c", "kill -TSTP $PPID; sleep 8; echo done"},
                                     world.semactl.options());
    CHECK(run.status == 0);
    CHECK(run.out == "done\n");
}

TEST_CASE("a command that is continued before its lease ends goes on") {
    const World world;
    const auto run = world.start({}, {SIGNAL_COUNTER}, "1h");
    REQUIRE(run->prints("ready"));
    run->signal_group(SIGTSTP);
    REQUIRE(eventually([&] { return is_stopped(*run); }));
    run->signal_group(SIGCONT);
    REQUIRE(run->prints("got CONT"));
    run->signal(SIGUSR2);
    CHECK(run->wait() == 0);
    CHECK(run->out() == "ready\ngot CONT\ngot USR2\n");
}

TEST_CASE(
    "semactl that is stopped while it holds its slot for a descendant ends that before the lease does") {
    const World world;
    const auto run = world.start({"--hold-tree"}, {"sh", "-c", deaf_descendant});
    REQUIRE(run->warns("the slot is held until these end too"));
    REQUIRE(run->prints("ready"));
    run->signal_group(SIGTSTP);
    REQUIRE(eventually([&] { return is_stopped(*run); }));
    ProgramOptions here;
    here.directory = world.semactl.folder();
    const Finished next =
        world.semactl({"run", "vsim", "--wait", "1h", "--", "flock", "--nonblock", "held", "true"}, here);
    CHECK(next.status == 0);
    CHECK(run->wait() == 79);
}

TEST_CASE("semactl is continued in time also where its bystander is gone or does not run") {
    const World world;
    const auto run = world.start({}, {SIGNAL_COUNTER});
    REQUIRE(run->prints("ready"));
    const auto bystander = bystander_of(*run);
    REQUIRE(bystander);
    const int number = GENERATE(SIGKILL, SIGSTOP);
    const bool is_early = GENERATE(true, false);
    if (is_early) kill(*bystander, number);
    run->signal_group(SIGTSTP);
    REQUIRE(eventually([&] { return is_stopped(*run); }));
    if (!is_early) kill(*bystander, number);
    CHECK(run->wait() == 79);
    CHECK_THAT(run->out(), has_text("got TERM"));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("semactl does not stop where nobody would continue it before its lease's end") {
    const World world;
    ProgramOptions here;
    here.directory = world.semactl.folder();
    Words command{DENIED_CALLS, "EPERM", "timer_create"};
    // The bystander alone does not do: it may be killed meanwhile.
    if (GENERATE(true, false)) command.emplace_back("socketpair");
    for (const char* word : {"--", SEMACTL, "run", "vsim", "--ttl", "5m", "--", SIGNAL_COUNTER})
        command.emplace_back(word);
    Program run(command, world.semactl.options(here));
    REQUIRE(run.prints("ready"));
    run.signal(SIGTSTP);
    REQUIRE(run.warns("semactl does not stop here"));
    CHECK_FALSE(is_stopped(run));
    run.signal(SIGCONT);
    REQUIRE(run.prints("got CONT"));
    run.signal(SIGUSR2);
    CHECK(run.wait() == 0);
}

TEST_CASE("semactl that is ending a command is not stopped by Ctrl-Z") {
    const World world;
    const auto run =
        world.start({"--kill-after", "1"}, {"sh", "-c", deaf_descendant + "; exec sleep 60"}, "5m");
    REQUIRE(run->prints("ready"));
    run->signal(SIGTERM);
    run->signal_group(SIGTSTP);
    CHECK(run->wait() > 128);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("semactl that is continued after its lease's end kills the command instead of continuing it") {
    const World world;
    const auto run = world.start({"--no-keepalive"}, {SIGNAL_COUNTER});
    REQUIRE(run->prints("ready"));
    // Nothing can be done about a STOP.
    run->signal_group(SIGSTOP);
    REQUIRE(eventually([&] { return world.semactl.in_use() == 0; }));
    run->signal(SIGCONT);
    CHECK(run->wait() == 79);
    CHECK(run->out() == "ready\n");
}

TEST_CASE("a line of --on-lost asks a command to stop whose lease ends unrenewed") {
    const World world;
    const auto run =
        world.start({"--no-keepalive", "--on-lost", "echo $SEMA_POSITION > asked; kill -USR2 $SEMA_PID"},
                    {SIGNAL_COUNTER});
    CHECK(run->wait() == 79);
    CHECK(run->out() == "ready\ngot USR2\n");
    CHECK(world.has("asked"));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE(
    "a line of --on-lost stops what is no process of the command's also where the lease is over already") {
    const World world;
    // The command is killed first.
    const auto run = world.start(
        {"--no-keepalive", "--on-lost", "sleep 0.3; echo asked, ${SEMA_PID-no process}"}, {SIGNAL_COUNTER});
    REQUIRE(run->prints("ready"));
    run->signal_group(SIGSTOP);
    REQUIRE(eventually([&] { return world.semactl.in_use() == 0; }));
    run->signal(SIGCONT);
    CHECK(run->wait() == 79);
    CHECK(run->out() == "ready\nasked, no process\n");
}

TEST_CASE("what --on-lost starts has the grace, and no longer") {
    const World world;
    const auto run = world.start({"--no-keepalive", "--grace", "1s", "--on-lost", "echo asked; sleep 60"},
                                 {SIGNAL_COUNTER});
    CHECK(run->wait() == 79);
    CHECK(run->out() == "ready\nasked\n");
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("what --on-lost starts is over before the slot is lent again, however long the grace") {
    const World world;
    const auto run = world.start({"--no-keepalive", "--grace", "60", "--on-lost",
                                  "trap '' TERM; exec 9> held; flock 9; while :; do sleep 0.05 9>&-; done"},
                                 {SIGNAL_COUNTER});
    ProgramOptions here;
    here.directory = world.semactl.folder();
    const Finished next =
        world.semactl({"run", "vsim", "--wait", "1h", "--", "flock", "--nonblock", "held", "true"}, here);
    CHECK(next.status == 0);
    CHECK(run->wait() == 79);
    CHECK(world.has("held"));
    CHECK(run->err().find("cannot kill") == std::string::npos);
}

TEST_CASE("an --on-lost ignore does not keep a command beyond a lease that ends unrenewed") {
    const World world;
    const auto run = world.start({"--no-keepalive", "--on-lost", "ignore"}, {SIGNAL_COUNTER});
    CHECK(run->wait() == 79);
    CHECK_THAT(run->out(), has_text("got TERM"));
}
