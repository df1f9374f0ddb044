#include "cli/run/process_tree.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/proxy.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;

// A server with a pool of one slot, and semactl to use it.
struct World {
    explicit World(Words server_options = {}) : server(std::move(server_options)) {
        REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    }
    Finished run(Words options, const std::string& script, ProgramOptions more = {}) const {
        return semactl(run_words(std::move(options), script), std::move(more));
    }
    Words started(Words options, const std::string& script) const {
        return Semactl::command(run_words(std::move(options), script));
    }
    static Words run_words(Words options, const std::string& script) {
        Words words = {"run", "vsim"};
        words.insert(words.end(), options.begin(), options.end());
        words.insert(words.end(), {"--", "sh", "-c", script});
        return words;
    }
    // Freezes the server, and thaws it at the end of the scope.
    struct Frozen {
        explicit Frozen(pid_t server) : pid(server) { halt(pid); }
        ~Frozen() { kill(pid, SIGCONT); }
        Frozen(const Frozen&) = delete;
        Frozen& operator=(const Frozen&) = delete;
        pid_t pid;
    };

    RunningServer server;
    Semactl semactl{server.url()};
};

// Runs until it is told to stop, and then says so.
const std::string polite = "trap 'echo stopping; exit 4' TERM; echo ready; while :; do sleep 0.05; done";
const std::string stubborn = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
// Says once that something is in use, as the slot's hardware would, and for how long it was.
const std::string exclusive =
    "mkdir in-use 2>&- || { echo shared >> clashes; exit 1; }; trap 'rmdir in-use; exit 4' TERM; "
    "echo ready; while :; do sleep 0.02; done";

}  // namespace

TEST_CASE("a command that takes longer than its ttl keeps its slot") {
    const World world;
    const Finished run = world.run({"--ttl", "6", "--wait", "0"}, "sleep 13; exit 6");
    CHECK(run.status == 6);
    CHECK(run.err.empty());
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("while its command runs, a lease is renewed and nobody else gets the slot") {
    const World world;
    Program first(world.started({"--ttl", "6"}, polite), world.semactl.options());
    REQUIRE(first.prints("ready"));
    CHECK(world.run({"--wait", "7"}, "exit 0").status == 75);
    first.signal(SIGTERM);
    CHECK(first.wait() == 4);
}

TEST_CASE("without keepalives a command is stopped before its ttl ends") {
    const World world;
    const Finished run = world.run({"--ttl", "6", "--no-keepalive"}, polite);
    CHECK(run.status == 79);
    CHECK(run.out == "ready\nstopping\n");
    CHECK_THAT(run.err, has_text("stopping the command (give a longer --ttl)"));
}

TEST_CASE("a server that is killed and comes back within the lease does not hurt the command") {
    World world;
    Program run(world.started({"--ttl", "10"}, "echo ready; sleep 13; exit 6"), world.semactl.options());
    REQUIRE(run.prints("ready"));
    world.server.kill9();
    // At least one keepalive fails.
    REQUIRE(run.warns("cannot renew the lease"));
    world.server.start();
    CHECK(run.wait() == 6);
    CHECK_THAT(run.err(), has_text("Connection refused (trying again until the lease ends)") &&
                              has_text("vsim: the lease is renewed again"));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("connections that are cut within the lease do not hurt the command") {
    const World world;
    Proxy proxy(world.server.port());
    ProgramOptions through_proxy;
    through_proxy.environment["SEMACTL_SERVER"] = proxy.url();
    Program run(world.started({"--ttl", "12"}, "echo ready; sleep 14; exit 6"),
                world.semactl.options(through_proxy));
    REQUIRE(run.prints("ready"));
    proxy.become(GENERATE(Proxy::State::cutting, Proxy::State::silent));
    REQUIRE(run.warns("cannot renew the lease"));
    proxy.become(Proxy::State::open);
    CHECK(run.wait() == 6);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE(
    "a server that is frozen past the lease's end finds the command dead before it lends the slot again") {
    const World world;
    ProgramOptions here;
    here.directory = world.semactl.folder();
    Program first(world.started({"--ttl", "9"}, exclusive), world.semactl.options(here));
    REQUIRE(first.prints("ready"));
    Program second(world.started({"--wait", "60"}, "test ! -d in-use && echo alone"),
                   world.semactl.options(here));
    {
        const World::Frozen frozen(world.server.pid());
        CHECK(first.wait(20s) == 79);
        CHECK_THAT(first.err(), has_text("the lease is about to end, stopping the command (it could not be "
                                         "renewed in time)"));
    }
    CHECK(second.wait() == 0);
    CHECK(second.out() == "alone\n");
}

TEST_CASE("a server that cannot be reached is dead to a command that ignores TERM, too") {
    const World world;
    Proxy proxy(world.server.port());
    ProgramOptions through_proxy;
    through_proxy.environment["SEMACTL_SERVER"] = proxy.url();
    Program first(world.started({"--ttl", "12"}, "trap '' TERM; echo $$; while :; do sleep 0.05; done"),
                  world.semactl.options(through_proxy));
    REQUIRE(first.prints("\n"));
    const pid_t command = std::stoi(first.out());
    proxy.become(Proxy::State::silent);
    // The server is well, and lends the slot as soon as the lease is over.
    const Finished second = world.run({"--wait", "60"}, "kill -0 " + std::to_string(command) + " 2>&-");
    CHECK(second.status != 0);
    CHECK(first.wait() == 79);
    proxy.become(Proxy::State::open);
}

TEST_CASE("a revoked lease stops the command with a TERM") {
    const World world;
    Program run(world.started({"--ttl", "12"}, polite), world.semactl.options());
    REQUIRE(run.prints("ready"));
    REQUIRE(world.semactl({"revoke", "vsim", "0"}).status == 0);
    CHECK(run.wait() == 79);
    CHECK(run.out() == "ready\nstopping\n");
    CHECK_THAT(run.err(), has_text("vsim: the lease is gone before its time (it was returned or revoked, ") &&
                              has_text("): stopping the command"));
}

TEST_CASE("a command that ignores the TERM after a revocation is killed when its grace is over") {
    const World world;
    // Which is a sixth of the ttl at most, since the slot may be somebody else's already.
    const std::string grace = GENERATE(as<std::string>{}, "300ms", "1h");
    Program run(world.started({"--ttl", "3", "--grace", grace}, stubborn), world.semactl.options());
    REQUIRE(run.prints("ready"));
    REQUIRE(world.semactl({"revoke", "vsim", "0"}).status == 0);
    CHECK(run.wait(10s) == 79);
}

TEST_CASE("a command can be left alone when its lease is gone") {
    const World world;
    ProgramOptions here;
    here.directory = world.semactl.folder();
    Program run(world.started({"--ttl", "6", "--on-lost", "ignore"},
                              "echo ready; until [ -e leave ]; do sleep 0.05; done; exit 6"),
                world.semactl.options(here));
    REQUIRE(run.prints("ready"));
    REQUIRE(world.semactl({"revoke", "vsim", "0"}).status == 0);
    REQUIRE(run.warns("the command goes on without a slot"));
    // Longer than its grace would be.
    CHECK_FALSE(eventually([&] { return run.ended(); }, 1500ms));
    std::ofstream(world.semactl.folder() / "leave") << "now";
    CHECK(run.wait() == 6);
}

TEST_CASE("a command of the user's own stops the command whose lease is gone") {
    const World world;
    const std::string script = "trap 'echo saved; exit 0' USR1; echo ready; while :; do sleep 0.05; done";
    Program run(
        world.started({"--ttl", "12", "--on-lost", "echo lost $SEMA_POSITION; kill -USR1 $SEMA_PID"}, script),
        world.semactl.options());
    REQUIRE(run.prints("ready"));
    REQUIRE(world.semactl({"revoke", "vsim", "0"}).status == 0);
    CHECK(run.wait() == 79);
    CHECK(run.out() == "ready\nlost 0\nsaved\n");
}

TEST_CASE("a pool that forbids keepalives stops the command before the ttl ends, and it is said why") {
    const World world;
    REQUIRE(world.semactl({"register", "vsim", "--count", "1", "--renewable", "no"}).status == 0);
    const Finished run = world.run({"--ttl", "6"}, polite);
    CHECK(run.status == 79);
    CHECK(run.out == "ready\nstopping\n");
    CHECK_THAT(run.err,
               has_text("vsim: its leases cannot be renewed: the command is stopped when the ttl ends"));
}

TEST_CASE("a command is stopped in time where the server limits a lease's whole life") {
    const World world({"--max-hold", "8"});
    Program first(world.started({"--ttl", "6"}, polite), world.semactl.options());
    REQUIRE(first.prints("ready"));
    CHECK(first.wait(20s) == 79);
    CHECK(first.out() == "ready\nstopping\n");
    CHECK_THAT(first.err(), has_text("the server renews it no further"));
}

TEST_CASE("a TERM while the server is away ends everything within 7 s") {
    World world;
    Program run(world.started({"--ttl", "60"}, stubborn), world.semactl.options());
    REQUIRE(run.prints("ready"));
    const World::Frozen frozen(world.server.pid());
    const auto begin = std::chrono::steady_clock::now();
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGKILL);
    CHECK(std::chrono::steady_clock::now() - begin < 7500ms);
    CHECK_THAT(run.err(), has_text("cannot return the slot"));
}

TEST_CASE("a TERM that comes while the slot is returned does not change the command's status") {
    const World world;
    Program run(world.started({}, "trap 'exit 3' USR1; echo ready; while :; do sleep 0.05; done"),
                world.semactl.options());
    REQUIRE(run.prints("ready"));
    const World::Frozen frozen(world.server.pid());
    run.signal(SIGUSR1);
    // The command is gone, and its end was read.
    REQUIRE(eventually([&] { return sema::descendants(run.pid(), {}, sema::ProcFolder()).found.empty(); }));
    REQUIRE_FALSE(eventually([&] { return run.ended(); }, 300ms));
    run.signal(SIGTERM);
    CHECK(run.wait(10s) == 3);
}

TEST_CASE("a job that is continued shortly before its lease's end goes on with a renewed one", "[sqlite]") {
    // The answer must come within half a second: no disk may hold it up.
    const World world({"--store", "memory:"});
    Program run(world.started({"--ttl", "16", "--wait", "0"}, "echo ready; sleep 15; exit 6"),
                world.semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal(SIGSTOP);
    // TERM would be due 4 s before the end, and KILL 1.3 s.
    REQUIRE(eventually([&] {
        const auto view = nlohmann::json::parse(world.semactl({"holders", "vsim", "--output", "json"}).out);
        return view.at("holders").at(0).at("expires_in") <= 3;
    }));
    run.signal(SIGCONT);
    CHECK(run.wait() == 6);
    CHECK(run.err().empty());
}

TEST_CASE("a frozen semactl that wakes after its lease's end kills the command at once") {
    const World world;
    Program run(world.started({"--ttl", "2"}, stubborn), world.semactl.options());
    REQUIRE(run.prints("ready"));
    run.signal(SIGSTOP);
    REQUIRE(eventually([&] { return world.semactl.in_use() == 0; }));
    run.signal(SIGCONT);
    CHECK(run.wait(5s) == 79);
}

TEST_CASE("the teardown runs while the slot is held, however long it takes") {
    const World world;
    ProgramOptions here;
    here.directory = world.semactl.folder();
    Program run(world.started({"--ttl", "4", "--teardown",
                               "echo ended with $SEMA_EXIT_STATUS; until [ -e clean ]; do sleep 0.05; done; "
                               "echo $SEMA_POSITION is clean"},
                              "exit 6"),
                world.semactl.options(here));
    REQUIRE(run.prints("ended with 6"));
    // Longer than the ttl: the lease is still renewed.
    CHECK(world.run({"--wait", "4.5"}, "exit 0").status == 75);
    std::ofstream(world.semactl.folder() / "clean") << "now";
    CHECK(run.wait() == 6);
    CHECK(run.out() == "ended with 6\n0 is clean\n");
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a teardown runs after an interrupted command, and does not hold up the end") {
    const World world;
    Program run(world.started({"--teardown", "echo cleaning; sleep 60"}, polite), world.semactl.options());
    REQUIRE(run.prints("ready"));
    const auto begin = std::chrono::steady_clock::now();
    run.signal(SIGTERM);
    CHECK(run.wait() == 4);
    CHECK(std::chrono::steady_clock::now() - begin < 7500ms);
    CHECK_THAT(run.out(), has_text("stopping\ncleaning\n"));
    CHECK_THAT(run.err(), has_text("vsim: the teardown ended with status 137"));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a teardown that fails is told of and leaves the command's status alone") {
    const World world;
    const Finished run = world.run({"--wait", "0", "--teardown", "exit 9"}, "exit 0");
    CHECK(run.status == 0);
    CHECK(run.err == "semactl: vsim: the teardown ended with status 9\n");
}

TEST_CASE("no teardown touches a slot that is somebody else's by now") {
    const World world;
    Program run(world.started({"--ttl", "12", "--teardown", "echo cleaning"}, polite),
                world.semactl.options());
    REQUIRE(run.prints("ready"));
    REQUIRE(world.semactl({"revoke", "vsim", "0"}).status == 0);
    CHECK(run.wait() == 79);
    CHECK(run.out() == "ready\nstopping\n");
    CHECK_THAT(run.err(), has_text("the teardown is left out"));
}

TEST_CASE("a slot is held until the last descendant has ended, where that is asked for") {
    const World world;
    ProgramOptions here;
    here.directory = world.semactl.folder();
    const std::string script =
        "(until [ -e end ]; do sleep 0.05; done; echo daemon done) 2>&- & echo left; exit 6";
    Program run(world.started({"--ttl", "3", "--hold-tree"}, script), world.semactl.options(here));
    REQUIRE(run.warns("vsim: the slot is held until these end too: sh ("));
    CHECK(world.run({"--wait", "3.5"}, "exit 0").status == 75);
    std::ofstream(world.semactl.folder() / "end") << "now";
    CHECK(run.wait() == 6);
    CHECK(run.out() == "left\ndaemon done\n");
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a slot is held until what the teardown leaves has ended, where that is asked for") {
    const World world;
    ProgramOptions here;
    here.directory = world.semactl.folder();
    const std::string line = "until [ -e end ]; do sleep 0.05; done & true";
    Program run(world.started({"--hold-tree", "--teardown", line}, "exit 6"), world.semactl.options(here));
    REQUIRE(run.warns("vsim: the slot is held until these end too: sh ("));
    CHECK(world.run({"--wait", "0"}, "exit 0").status == 75);
    std::ofstream(world.semactl.folder() / "end") << "now";
    CHECK(run.wait() == 6);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("an orphan that gets the pid of the command that has ended is not taken for it") {
    const Words apart = {"unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"};
    Words probe = apart;
    probe.insert(probe.end(), {"sh", "-c", "echo 100 >/proc/sys/kernel/ns_last_pid"});
    if (run_program(probe).status != 0) {
        WARN("this process may not make a pid namespace, or not choose the pids there");
        return;
    }
    const World world;
    const TempDir folder;
    ProgramOptions here = world.semactl.options();
    here.directory = folder.path().string();
    // What the command leaves starts the orphan once semactl has collected the command and starts nothing
    // more: the process that writes its messages to a file comes with the first one. It ends once semactl
    // has collected the orphan.
    const std::string orphan =
        "echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid; sh -c 'echo orphan $$; exit 3' & exit";
    const std::string script =
        "echo command $$; (until [ -e noted ]; do sleep 0.02; done; sh -c \"$1\" sh $$; "
        "while kill -0 $$; do sleep 0.02; done) 2>&- & exit 5";
    Words words = apart;
    const Words run =
        Semactl::command({"run", "vsim", "--hold-tree", "--", "sh", "-c", script, "sh", orphan});
    words.insert(words.end(), run.begin(), run.end());
    Program program(words, here);
    REQUIRE(program.warns("the slot is held until these end too"));
    std::ofstream(folder.path() / "noted");
    const int status = program.wait();
    const std::string out = program.out();
    const auto orphan_at = out.find("orphan ");
    REQUIRE(orphan_at != std::string::npos);
    REQUIRE(out.substr(orphan_at + 7) == out.substr(8, orphan_at - 8));
    CHECK(status == 5);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a TERM ends descendants that a slot is held for") {
    const World world;
    Program run(world.started({"--hold-tree"}, "sleep 60 >&- 2>&- & exit 6"), world.semactl.options());
    REQUIRE(run.warns("the slot is held until these end too"));
    run.signal(SIGTERM);
    CHECK(run.wait(10s) == 6);
    CHECK(world.semactl.in_use() == 0);
}
