// A command whose file takes its time to be executed, as on a disk that hangs.
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

    std::unique_ptr<Program> start(Words options) const {
        options.insert(options.begin(), {"-v", "run", "vsim"});
        options.insert(options.end(), {"--", "sh", "-c", "touch started"});
        ProgramOptions here;
        here.directory = semactl.folder();
        here.environment["LD_PRELOAD"] = SLOW_EXEC;
        here.environment["SLOW_EXEC"] = go;
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
#endif
