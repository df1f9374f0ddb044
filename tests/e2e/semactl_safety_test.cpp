// What must hold wherever semactl runs, and whatever it lacks there: a command never runs on while its slot
// is lent to somebody else.
#include "cli/run/process_tree.hpp"
#include "tests/e2e/one_slot.hpp"
#include "tests/support/eventually.hpp"

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

// Had this been asked for a slot, the status would be 69.
const std::string nowhere = "http://127.0.0.1:9";

// A command that ignores TERM, and so does its child; prints `child PID`.
const Words stubborn = {"sh", "-c", "trap '' TERM; sh -c 'echo child $$; while :; do sleep 1; done'; :"};

pid_t child_of_stubborn(const std::string& output) {
    return std::stoi(output.substr(output.find("child ") + 6));
}

bool is_alive(pid_t pid) {
    const auto process = sema::find_process(pid, sema::ProcFolder());
    return process && process->state != 'Z' && process->state != 'X';
}

// Ends the program's stubborn command by way of a TERM, and checks that nothing is left of it.
void check_stops(Program& run, const OneSlot& world) {
    REQUIRE(run.prints("child "));
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGKILL);
    CHECK_FALSE(is_alive(child_of_stubborn(run.out())));
    CHECK(world.semactl.in_use() == 0);
}

Words with_limit(int open_files, const Words& command) {
    return Words{"sh", "-c", "ulimit -n " + std::to_string(open_files) + "; exec \"$@\"", "sh"} + command;
}

// Runs a script that ends in executing its arguments, in namespaces of its own. None where this is not
// allowed.
std::optional<Words> unshared(const Words& options, const std::string& script, const Words& command) {
    const Words unshare = Words{"unshare"} + options;
    if (run_program(unshare + Words{"sh", "-c", script, "sh", "true"}).status == 0)
        return unshare + Words{"sh", "-c", script, "sh"} + command;
    WARN("this process may not make namespaces");
    return std::nullopt;
}

const std::string no_proc = "mount -t tmpfs none /proc && exec \"$@\"";

}  // namespace

TEST_CASE("however few files may be open, a command that was started holds its slot to its end") {
    const OneSlot world;
    const std::string command = "trap '' TERM; touch started; sleep 0.2; touch ended";
    const auto exists = [&](const char* file) {
        return std::filesystem::exists(world.semactl.folder() / file);
    };
    bool runs = false;
    for (int limit = 3; limit <= 40; ++limit) {
        for (const char* file : {"started", "ended"})
            std::filesystem::remove(world.semactl.folder() / file);
        const Finished run = run_program(
            with_limit(limit, Semactl::command({"run", "vsim", "--wait", "0", "--", "sh", "-c", command})),
            world.here());
        CAPTURE(limit, run.status, run.err);
        CHECK(exists("started") == exists("ended"));
        CHECK(exists("started") == (run.status == 0));
        // The first few are too few for the loader, whose status is 127.
        if (run.status != 0) CHECK((SANITIZED || run.status == 125 || run.status == 127));
        if (limit == 12 && !SANITIZED) CHECK_THAT(run.err, has_text("too few files may be open"));
        CHECK(world.semactl.in_use() == 0);
        // What is enough once is enough with more.
        CHECK((run.status == 0 || !runs));
        runs = run.status == 0;
    }
    CHECK(runs);
}

TEST_CASE("a command that a debugger from elsewhere keeps from being collected is dead all the same") {
    const OneSlot world;
    Program run(Semactl::command({"run", "vsim", "--kill-after", "200ms", "--", "sh", "-c",
                                  "echo ready $$; while :; do sleep 0.05; done"}),
                world.here());
    REQUIRE(run.prints("ready "));
    const pid_t command = std::stoi(run.out().substr(run.out().find("ready ") + 6));
    if (ptrace(PTRACE_SEIZE, command, nullptr, nullptr) != 0) {
        WARN("this process may not trace another one");
        return;
    }
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGKILL);
    CHECK_THAT(run.err(), !has_text("cannot kill"));
    CHECK(world.semactl.in_use() == 0);
    CHECK(eventually([&] {
        int status = 0;
        return waitpid(command, &status, __WALL | WNOHANG) == command && WIFSIGNALED(status);
    }));
}

TEST_CASE("a slot is held for what moves on by forking and ending, as long as that goes on") {
    const OneSlot world;
    Program run(Semactl::command({"run", "vsim", "--hold-tree", "--", "sh", "-c",
                                  "exec 9>held; flock 9; exec " COMET " 3"}),
                world.here());
    CHECK(run.wait() == 0);
    // All of them have the lock.
    CHECK(run_program({"flock", "-n", "held", "true"}, world.here()).status == 0);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("what moves on by forking and ending is killed all the same") {
    const OneSlot world;
    Program run(Semactl::command({"run", "vsim", "--kill-after", "200ms", "--", "sh", "-c",
                                  "exec 9>held; flock 9; " COMET " 20 & echo ready; sleep 20"}),
                world.here());
    REQUIRE(run.prints("ready"));
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGTERM);
    CHECK(run_program({"flock", "-n", "held", "true"}, world.here()).status == 0);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("where there is room for one more process, that is the command") {
    if (getuid() != 0) {
        WARN("this process may not become another user's");
        return;
    }
    const OneSlot world;
    const std::filesystem::path folder = world.semactl.folder();
    // Where another user finds it, who has no other process.
    std::filesystem::copy_file(SEMACTL, folder / "copy");
    for (const auto& path : {folder, folder / "copy"})
        std::filesystem::permissions(path, std::filesystem::perms(0755));
    const std::string user = std::to_string(1'000'000 + getpid());
    ProgramOptions options = world.here();
    options.environment["SEMACTL_CONFIG"] = "";
    const Finished run =
        run_program({"setpriv", "--reuid=" + user, "--regid=" + user, "--clear-groups", "prlimit",
                     "--nproc=2", "./copy", "run", world.semactl.pool().str(), "--wait", "0", "--teardown",
                     "echo torn", "--", "sh", "-c", "echo ran; exit 7"},
                    options);
    CHECK(run.status == 7);
    CHECK(run.out == "ran\ntorn\n");
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("with as few open files as do for a start, the lease is renewed and the command is stopped") {
    const OneSlot world;
    int limit = 24;
    while (limit < 100 &&
           run_program(with_limit(limit, Semactl::command({"run", "vsim", "--", "true"})), world.here())
                   .status != 0)
        ++limit;
    CAPTURE(limit);
    // By its name, for whose look-up more files are open.
    std::string url = world.server.url();
    url.replace(url.find("127.0.0.1"), 9, "localhost");
    Program run(with_limit(limit, Semactl::command({"-v", "--server", url, "run", "vsim", "--ttl", "10",
                                                    "--kill-after", "100ms", "--"}) +
                                      stubborn),
                world.here());
    REQUIRE(run.warns("renewed the lease"));
    check_stops(run, world);
}

// A sanitizer takes descriptors to see what memory holds.
#if !SANITIZED
TEST_CASE("a semactl from which all descriptors were taken kills the whole tree, and says so") {
    const OneSlot world;
    Program run(Semactl::command({"-v", "run", "vsim", "--kill-after", "200ms", "--"}) + stubborn,
                world.here());
    REQUIRE(run.prints("child "));
    REQUIRE(run_program({"prlimit", "--pid", std::to_string(run.pid()), "--nofile=0:0"}).status == 0);
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGKILL);
    CHECK_FALSE(is_alive(child_of_stubborn(run.out())));
    CHECK_THAT(run.err(), has_text("killing what still runs"));
}
#endif

// A command that is told to stop, and one whose lease ends, where some calls are denied.
void check_stops_under(const Words& denied, const OneSlot& world) {
    Program run(denied + Semactl::command({"run", "vsim", "--kill-after", "200ms", "--"}) + stubborn,
                world.here());
    check_stops(run, world);

    Program late(denied + Semactl::command({"run", "vsim", "--ttl", "2", "--no-keepalive", "--"}) + stubborn,
                 world.here());
    CHECK(late.wait() == 79);
    if (late.out().find("child ") != std::string::npos) CHECK_FALSE(is_alive(child_of_stubborn(late.out())));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a system that lacks calls, or refuses them, gets the command stopped all the same") {
    const OneSlot world;
    const std::string how = GENERATE("ENOSYS", "EPERM");
    const Words lacking = GENERATE(Words{"pidfd_open"}, Words{"pidfd_send_signal"}, Words{"timerfd_create"},
                                   Words{"pidfd_open", "pidfd_send_signal", "timerfd_create", "close_range"});
    CAPTURE(how, lacking);
    check_stops_under(Words{DENIED_CALLS, how} + lacking + Words{"--"}, world);
}

TEST_CASE("semactl needs no system call that Linux 3.10 lacks") {
    const OneSlot world;
    const Words denied = {DENIED_CALLS, "ENOSYS", "newer-than-3.10", "--"};
    const Finished run = run_program(
        denied + Semactl::command({"run", "vsim", "--wait", "0", "--", "sh", "-c", "exit 3"}), world.here());
    CHECK(run.err == "");
    CHECK(run.status == 3);
    check_stops_under(denied, world);
}

TEST_CASE("where the system refuses a timer, semactl says what it has to say") {
    const OneSlot world;
    const Words denied = {DENIED_CALLS, "ENOSYS", "timer_create", "--"};
    const Finished run = run_program(
        denied + Semactl::command({"run", sema::PoolId::random().str(), "--", "true"}), world.here());
    CHECK(run.status == 66);
    CHECK_THAT(run.err, has_text("no such pool"));
}

TEST_CASE("where the system does not say whether a file may be executed, the command is run") {
    const OneSlot world;
    const Words refused = GENERATE(Words{"faccessat2"}, Words{"faccessat2", "access"});
    const Finished run =
        run_program(Words{DENIED_CALLS, "EPERM"} + refused + Words{"--"} +
                        Semactl::command({"run", "vsim", "--wait", "0", "--", "sh", "-c", "exit 3"}),
                    world.here());
    CHECK(run.err == "");
    CHECK(run.status == 3);
}

TEST_CASE("without close_range the command gets no files that it would not have") {
    const OneSlot world;
    const Words denied = {DENIED_CALLS, "ENOSYS", "close_range", "--"};
    const Finished direct = run_program({SIGNAL_COUNTER, "state"});
    const Finished run =
        run_program(denied + Semactl::command({"run", "vsim", "--", SIGNAL_COUNTER, "state"}), world.here());
    CHECK(run.status == 0);
    CHECK(run.out == direct.out);
}

// A sanitizer needs prctl for itself.
#if !SANITIZED
TEST_CASE("what a command cannot be looked after without is missed before a slot is borrowed") {
    const Semactl semactl(nowhere);
    const std::string call = GENERATE("prctl", "signalfd4", "clone", "pipe2");
    const std::string how = GENERATE("ENOSYS", "EPERM");
    const Finished refused =
        run_program(Words{DENIED_CALLS, how, call, "--"} + Semactl::command({"run", "vsim", "--", "true"}),
                    semactl.options());
    CAPTURE(call, how);
    CHECK(refused.status == 125);
    CHECK_THAT(refused.err, has_text(how == "EPERM" ? "not permitted" : "not implemented"));
}

TEST_CASE("a system that ends a process for a call does so before a slot is borrowed") {
    const Semactl semactl(nowhere);
    const std::string call =
        GENERATE("pidfd_open", "pidfd_send_signal", "timerfd_create", "timer_create", "getpgid", "getsid",
                 "eventfd2", "epoll_create1", "tgkill", "rt_sigtimedwait", "clone");
    CAPTURE(call);
    const Finished ended = run_program(Words{DENIED_CALLS, "KILL", call, "--"} +
                                           Semactl::command({"run", "vsim", "--wait", "0", "--", "true"}),
                                       semactl.options());
    CHECK(ended.status == 128 + SIGSYS);
}
#endif

TEST_CASE("without /proc, or with that of another pid namespace, no slot is borrowed") {
    // The address sanitizer needs /proc itself.
    if (SANITIZED) return;
    const Semactl semactl(nowhere);
    const auto run = Semactl::command({"run", "vsim", "--", "true"});
    const auto absent = unshared({"-m"}, no_proc, run);
    const auto foreign = unshared({"-p", "-f"}, "exec \"$@\"", run);
    const auto apart = unshared({"-p"}, "exec \"$@\"", run);
    if (!absent || !foreign || !apart) return;
    const Finished without = run_program(*absent, semactl.options());
    CHECK(without.status == 125);
    CHECK_THAT(without.err, has_text("/proc is not mounted"));
    const Finished with_foreign = run_program(*foreign, semactl.options());
    CHECK(with_foreign.status == 125);
    CHECK_THAT(with_foreign.err, has_text("/proc is that of another pid namespace"));
    const Finished with_children_apart = run_program(*apart, semactl.options());
    CHECK(with_children_apart.status == 125);
    CHECK_THAT(with_children_apart.err, has_text("what semactl starts is in another pid namespace"));
}

TEST_CASE("in a pid namespace with a /proc of its own the command is looked after as elsewhere") {
    const OneSlot world;
    const auto inside =
        unshared({"-p", "-f", "--mount-proc"}, "exec \"$@\"",
                 Semactl::command({"run", "vsim", "--ttl", "2", "--no-keepalive", "--"}) + stubborn);
    if (!inside) return;
    CHECK(run_program(*inside, world.here()).status == 79);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("what is closed at the start stays closed for the command, also where there is no /dev/null") {
    const OneSlot world;
    const std::string bare = "mount -t tmpfs none /dev && exec \"$@\" <&- 2>&-";
    const auto direct = unshared({"-m"}, bare, {SIGNAL_COUNTER, "state"});
    const auto run = unshared({"-m"}, bare, Semactl::command({"run", "vsim", "--", SIGNAL_COUNTER, "state"}));
    if (!direct || !run) return;
    const Finished ran = run_program(*run, world.here());
    CHECK(ran.status == 0);
    CHECK(ran.out == run_program(*direct).out);
    CHECK(ran.out == "descriptor 1\n");
}

// A sanitizer's library wants to be loaded before any other.
#if !SANITIZED
TEST_CASE("when semactl itself fails while a command runs, the slot is returned once that is gone") {
    const OneSlot world;
    const std::string file = world.semactl.folder() / "no-memory";
    ProgramOptions options = world.here();
    options.environment["LD_PRELOAD"] = NO_MEMORY;
    options.environment["NO_MEMORY_ONCE"] = file;
    Program run(Semactl::command({"run", "vsim", "--wait", "0", "--"}) + stubborn, options);
    REQUIRE(run.prints("child "));
    std::ofstream(file) << "now\n";
    run.signal(SIGUSR1);
    CHECK(run.wait() == 125);
    CHECK(run.err() == "semactl: out of memory\n");
    CHECK_FALSE(is_alive(child_of_stubborn(run.out())));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("when semactl can do nothing any more, it leaves the slot to its ttl") {
    const OneSlot world;
    const std::string file = world.semactl.folder() / "no-memory";
    ProgramOptions options = world.here();
    options.environment["LD_PRELOAD"] = NO_MEMORY;
    options.environment["NO_MEMORY"] = file;
    Program run(Semactl::command({"run", "vsim", "--wait", "0", "--"}) + stubborn, options);
    REQUIRE(run.prints("child "));
    std::ofstream(file) << "now\n";
    run.signal(SIGUSR1);
    CHECK(run.wait() == 125);
    CHECK_FALSE(is_alive(child_of_stubborn(run.out())));
    CHECK(world.semactl.in_use() == 1);
}
#endif
