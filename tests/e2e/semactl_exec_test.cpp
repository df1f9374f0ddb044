// The start of a command, also where that takes its time, as on a disk that hangs.
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;

// A server with a pool of one slot, and a semactl for whose command there is no exec before execute().
struct World {
    World() { REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0); }

    std::unique_ptr<Program> start(Words options, const std::string& slow = "SLOW_EXEC") const {
        options.insert(options.begin(), {"-v", "run", "vsim"});
        options.insert(options.end(), {"--", "sh", "-c", "touch started"});
        ProgramOptions here;
        here.directory = semactl.folder();
        here.environment["LD_PRELOAD"] = SLOW_EXEC;
        here.environment[slow] = go;
        return std::make_unique<Program>(Semactl::command(options), semactl.options(here));
    }
    void execute() const { std::ofstream(go) << "now\n"; }
    bool has_started() const { return std::filesystem::exists(semactl.folder() / "started"); }

    RunningServer server;
    Semactl semactl{server.url()};
    std::string go = semactl.folder() / "go";
};

}  // namespace

// A sanitizer's library wants to be loaded before any other.
#if !SANITIZED
TEST_CASE("a lease is renewed while the command's file takes its time to be executed") {
    const World world;
    const auto run = world.start({"--ttl", "10"});
    REQUIRE(run->warns("renewed the lease"));
    CHECK_FALSE(world.has_started());
    world.execute();
    CHECK(run->wait() == 0);
    CHECK(world.has_started());
}

TEST_CASE("a TERM ends a command whose file is not executed yet") {
    const World world;
    const auto run = world.start({});
    REQUIRE(eventually([&] { return world.semactl.in_use() == 1; }));
    run->signal(SIGTERM);
    CHECK(run->wait() == 128 + SIGTERM);
    world.execute();
    CHECK_FALSE(world.has_started());
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a command whose file is not executed before its lease ends never runs") {
    const World world;
    const auto run = world.start({"--ttl", "3", "--no-keepalive"});
    CHECK(run->wait() == 79);
    world.execute();
    CHECK_FALSE(world.has_started());
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a command whose process is not there before its lease ends never runs") {
    const World world;
    const auto run = world.start({"--ttl", "2", "--no-keepalive"}, "SLOW_FORK");
    REQUIRE(eventually([&] { return world.semactl.in_use() == 1; }));
    // Granted when that is over.
    REQUIRE(world.semactl({"borrow", "vsim", "--ttl", "1h", "--wait", "1h"}).status == 0);
    world.execute();
    CHECK(run->wait() == 79);
    CHECK_FALSE(world.has_started());
    CHECK(world.semactl.in_use() == 1);
}

TEST_CASE("a signal to the group reaches the command once, though it comes as its process is made") {
    const World world;
    const std::string when = GENERATE("before", "after");
    ProgramOptions here;
    here.environment["LD_PRELOAD"] = SLOW_EXEC;
    here.environment["SIGNAL_FORK"] = when;
    // The command keeps it blocked until it can take it.
    const std::string blocked =
        "use POSIX; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGUSR1)) or die; exec @ARGV or die";
    Program run({"perl", "-e", blocked, SEMACTL, "run", "vsim", "--", SIGNAL_COUNTER},
                world.semactl.options(here));
    CAPTURE(when);
    REQUIRE(run.prints("got USR1"));
    run.signal(SIGUSR2);
    CHECK(run.wait() == 0);
    CHECK(run.out() == "ready\ngot USR1\ngot USR2\n");
}
#endif
