// What must hold wherever semactl runs, and whatever it lacks there: a command never runs on while its slot
// is lent to somebody else.
#include "cli/run/process_tree.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"

#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;

// Had this been asked for a slot, the status would be 69.
const std::string nowhere = "http://127.0.0.1:9";

Words operator+(Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

// A server with a pool of one slot, and semactl to use it.
struct World {
    World() { REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0); }
    ProgramOptions here() const {
        ProgramOptions options;
        options.directory = semactl.folder();
        return semactl.options(std::move(options));
    }

    RunningServer server;
    Semactl semactl{server.url()};
};

// A command that ignores TERM, and so does its child; prints `child PID`.
const Words stubborn = {"sh", "-c", "trap '' TERM; sh -c 'echo child $$; while :; do sleep 1; done'; :"};

pid_t child_of_stubborn(const std::string& output) {
    return std::stoi(output.substr(output.find("child ") + 6));
}

bool is_alive(pid_t pid) {
    const auto process = sema::find_process(pid);
    return process && process->state != 'Z' && process->state != 'X';
}

// Ends the program's stubborn command by way of a TERM, and checks that nothing is left of it.
void check_stops(Program& run, const World& world) {
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
    const World world;
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

TEST_CASE("with as few open files as do for a start, the lease is renewed and the command is stopped") {
    const World world;
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

TEST_CASE("a system that lacks calls, or refuses them, gets the command stopped all the same") {
    const World world;
    const std::string how = GENERATE("ENOSYS", "EPERM");
    const Words lacking = GENERATE(Words{"pidfd_open"}, Words{"pidfd_send_signal"}, Words{"timerfd_create"},
                                   Words{"pidfd_open", "pidfd_send_signal", "timerfd_create", "close_range"});
    CAPTURE(how, lacking);
    const Words denied = Words{DENIED_CALLS, how} + lacking + Words{"--"};
    Program run(denied + Semactl::command({"run", "vsim", "--kill-after", "200ms", "--"}) + stubborn,
                world.here());
    check_stops(run, world);

    Program late(denied + Semactl::command({"run", "vsim", "--ttl", "2", "--no-keepalive", "--"}) + stubborn,
                 world.here());
    CHECK(late.wait() == 79);
    if (late.out().find("child ") != std::string::npos) CHECK_FALSE(is_alive(child_of_stubborn(late.out())));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("where the system refuses a timer, semactl says what it has to say") {
    const World world;
    const Words denied = {DENIED_CALLS, "ENOSYS", "timer_create", "--"};
    const Finished run = run_program(
        denied + Semactl::command({"run", sema::PoolId::random().str(), "--", "true"}), world.here());
    CHECK(run.status == 66);
    CHECK_THAT(run.err, has_text("no such pool"));
}

TEST_CASE("without close_range the command gets no files that it would not have") {
    const World world;
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
    const World world;
    const auto inside =
        unshared({"-p", "-f", "--mount-proc"}, "exec \"$@\"",
                 Semactl::command({"run", "vsim", "--ttl", "2", "--no-keepalive", "--"}) + stubborn);
    if (!inside) return;
    CHECK(run_program(*inside, world.here()).status == 79);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a tree that cannot be seen any more is not taken for one that is gone") {
    // The address sanitizer needs /proc itself.
    if (SANITIZED) return;
    const World world;
    const std::string hides =
        "mount -t tmpfs none /proc; trap '' TERM; sleep 600 >&- 2>&- & "
        "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    const auto command =
        unshared({"-m"}, "exec \"$@\"",
                 Semactl::command({"run", "vsim", "--kill-after", "100ms", "--", "sh", "-c", hides}));
    if (!command) return;
    Program run(*command, world.here());
    REQUIRE(run.prints("ready"));
    run.signal(SIGTERM);
    CHECK(run.wait() == 3);
    CHECK_THAT(run.err(),
               has_text("cannot kill processes that /proc does not show: the slot is not returned"));
    CHECK(world.semactl.in_use() == 1);
}

TEST_CASE("what is closed at the start stays closed for the command, also where there is no /dev/null") {
    const World world;
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
    const World world;
    const std::string file = world.semactl.folder() / "no-memory";
    ProgramOptions options = world.here();
    options.environment["LD_PRELOAD"] = NO_MEMORY;
    options.environment["NO_MEMORY_ONCE"] = file;
    Program run(Semactl::command({"run", "vsim", "--"}) + stubborn, options);
    REQUIRE(run.prints("child "));
    std::ofstream(file) << "now\n";
    run.signal(SIGUSR1);
    CHECK(run.wait() == 125);
    CHECK(run.err() == "semactl: out of memory\n");
    CHECK_FALSE(is_alive(child_of_stubborn(run.out())));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("when semactl can do nothing any more, it leaves the slot to its ttl") {
    const World world;
    const std::string file = world.semactl.folder() / "no-memory";
    ProgramOptions options = world.here();
    options.environment["LD_PRELOAD"] = NO_MEMORY;
    options.environment["NO_MEMORY"] = file;
    Program run(Semactl::command({"run", "vsim", "--"}) + stubborn, options);
    REQUIRE(run.prints("child "));
    std::ofstream(file) << "now\n";
    run.signal(SIGUSR1);
    CHECK(run.wait() == 125);
    CHECK(is_alive(child_of_stubborn(run.out())));
    CHECK(world.semactl.in_use() == 1);
}
#endif
