#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scripted_server.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace sema::test;

namespace {

using Words = std::vector<std::string>;

const std::string nowhere = "http://127.0.0.1:9";

// A server with the pool `vsim`, and semactl to use it.
struct World {
    explicit World(int count = 1, Words server_options = {}) : server(std::move(server_options)) {
        REQUIRE(semactl({"register", "vsim", "--count", std::to_string(count)}).status == 0);
    }
    // Takes a slot until the returned lease is given back.
    std::string borrow() const {
        const Finished borrowed = semactl({"borrow", "vsim", "--ttl", "1h", "--shell"});
        REQUIRE(borrowed.status == 0);
        const std::string name = "SEMA_LEASE=";
        return borrowed.out.substr(borrowed.out.find(name) + name.size(), 36);
    }
    void give_back(const std::string& lease) const {
        REQUIRE(semactl({"return", "vsim", lease}).status == 0);
    }

    RunningServer server;
    Semactl semactl{server.url()};
};

}  // namespace

TEST_CASE("run exits with the command's own status") {
    const World world;
    CHECK(world.semactl({"run", "vsim", "--", "true"}).status == 0);
    CHECK(world.semactl({"run", "vsim", "--", "sh", "-c", "exit 3"}).status == 3);
    CHECK(world.semactl({"run", "vsim", "--", "sh", "-c", "exit 255"}).status == 255);
    CHECK(world.semactl({"run", "vsim", "--", "sh", "-c", "kill -TERM $$"}).status == 128 + 15);
    CHECK(world.semactl({"run", "vsim", "--", "sh", "-c", "kill -KILL $$"}).status == 128 + 9);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a command that cannot be run is reported before a slot is borrowed") {
    // No server is there: had it been asked, the status would be 69.
    const Semactl semactl(nowhere);
    const Finished absent = semactl({"run", "vsim", "--", "no-such-command"});
    CHECK(absent.status == 127);
    CHECK(absent.err == "semactl: no-such-command: command not found\n");
    CHECK(semactl({"run", "vsim", "--", "/no/such/command"}).status == 127);

    const std::string file = semactl.folder() / "plain";
    std::ofstream(file) << "echo never\n";
    const Finished plain = semactl({"run", "vsim", "--", file});
    CHECK(plain.status == 126);
    CHECK(plain.err == "semactl: " + file + ": Permission denied\n");
    CHECK(semactl({"run", "vsim", "--", semactl.folder()}).status == 126);

    const auto refused = [&](const std::string& content) {
        std::ofstream(file) << content;
        std::filesystem::permissions(file, std::filesystem::perms(0700));
        const Finished run = semactl({"run", "vsim", "--", file});
        CHECK(run.status == 126);
        return run.err;
    };
    CHECK_THAT(refused("#! /no/such -x\n"), has_text(file + ": its interpreter '/no/such': No such file"));
    // Other systems may have a program for files like these, and then a slot is borrowed.
    if (std::filesystem::exists("/proc/sys/fs/binfmt_misc/status")) return;
    CHECK_THAT(refused("echo never\n"), has_text(file + ": Exec format error"));
    CHECK_THAT(refused(""), has_text(file + ": Exec format error"));
}

TEST_CASE("a file that the system refuses to execute returns the slot") {
    const World world;
    const std::string file = world.semactl.folder() / "nonsense";
    std::ofstream(file) << "\x7f"
                           "ELF, but no more";
    std::filesystem::permissions(file, std::filesystem::perms(0700));
    const Finished refused = world.semactl({"run", "vsim", "--", file});
    CHECK(refused.status == 126);
    CHECK_THAT(refused.err, has_text("cannot execute " + file + ": Exec format error"));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a pool that is not there is 66, and the message says how to make it") {
    const RunningServer server;
    const Semactl semactl(server.url());
    const Finished absent = semactl({"run", "vsim", "--", "true"});
    CHECK(absent.status == 66);
    CHECK(absent.err == "semactl: vsim: no such pool on " + server.url() +
                            " (register it: semactl register vsim --count 4)\n");
    const Finished secret = semactl({"run", semactl.pool().str(), "--", "true"});
    CHECK(secret.status == 66);
    CHECK_THAT(secret.err, !has_text(semactl.pool().str()));
    // To register it where it is mistyped would make another pool.
    CHECK(secret.err ==
          "semactl: the pool: no such pool on " + server.url() +
              " (check its UUID and --server; if both are right, register it: semactl register POOL --count "
              "4)\n");
}

TEST_CASE("no slot within the wait is 75, or what --conflict-exit-code says") {
    const World world;
    world.borrow();
    CHECK(world.semactl({"run", "vsim", "--wait", "0", "--", "true"}).status == 75);
    CHECK(world.semactl({"run", "vsim", "--wait", "300ms", "--", "true"}).status == 75);
    CHECK(world.semactl({"run", "vsim", "--wait", "0", "-E", "9", "--", "true"}).status == 9);
    CHECK(world.semactl({"run", "-qE", "9", "vsim", "--wait", "0", "--", "true"}).status == 9);
    CHECK(world.semactl({"run", "vsim", "--wait", "0", "-E", "010", "--", "true"}).status == 10);
    CHECK(world.semactl({"run", "vsim", "--wait", "0", "--conflict-exit-code=10", "--", "true"}).status ==
          10);
    CHECK(world.semactl.in_use() == 1);
}

TEST_CASE("a server that cannot be reached until the wait is over is 69") {
    const Semactl semactl(nowhere);
    const Finished at_once = semactl({"run", "vsim", "--wait", "0", "--", "true"});
    CHECK(at_once.status == 69);
    CHECK_THAT(at_once.err, has_text(nowhere + " is not available: Connection refused"));
    CHECK(semactl({"run", "vsim", "--wait", "400ms", "--", "true"}).status == 69);
}

TEST_CASE("a server in trouble is 69 and keeps its reason") {
    const std::string busy = http("503 Service Unavailable", R"({"error":"shutting down"})");
    ScriptedServer server({{Scene::Wait::for_request, busy}});
    const Finished failed = Semactl(server.url())({"run", "vsim", "--wait", "0", "--", "true"});
    CHECK(failed.status == 69);
    CHECK_THAT(failed.err, has_text("is shutting down (status 503)"));
}

TEST_CASE("an answer that no semad gives is 69, never an absent pool or a missing slot") {
    const auto status = [](const std::string& answer) {
        ScriptedServer server({{Scene::Wait::for_request, answer}});
        return Semactl(server.url())({"run", "vsim", "--wait", "0", "--", "true"}).status;
    };
    CHECK(status(http("200 OK", "{}")) == 69);
    CHECK(status(http("404 Not Found", "<html>no such page</html>")) == 69);
    CHECK(status(http("409 Conflict", R"({"error":"something else"})")) == 69);
    CHECK(status(http("302 Found", "", "Location: http://127.0.0.1:9/\r\n")) == 69);
    CHECK(status(http("400 Bad Request", R"({"error":"id must be a UUID"})")) == 125);
    CHECK(status("SSH-2.0-OpenSSH\r\n") == 69);
    CHECK(status(http("200 OK", std::string(100'000, ' '))) == 69);
}

TEST_CASE("bad usage of run is 125") {
    const Semactl semactl(nowhere);
    for (const Words& line :
         {Words{"run"}, Words{"run", "vsim"}, Words{"run", "vsim", "--"},
          Words{"run", "vsim", "--ttl", "soon", "--", "true"},
          Words{"run", "vsim", "--ttl", "0", "--", "true"}, Words{"run", "vsim", "--tll", "5", "--", "true"},
          Words{"run", "vsim", "-E", "0", "--", "true"}, Words{"run", "no-such-alias", "--", "true"},
          Words{"run", "env:NO_SUCH_VARIABLE", "--", "true"}, Words{"run", "file:/dev/zero", "--", "true"},
          Words{"run", "vsim", "--on-lost", "", "--", "true"},
          Words{"--server", "ftp://127.0.0.1", "run", "vsim", "--", "true"}}) {
        const Finished refused = semactl(line);
        CAPTURE(line, refused.err);
        CHECK(refused.status == 125);
        CHECK_THAT(refused.err, Catch::Matchers::StartsWith("semactl: "));
    }
}

TEST_CASE("the command reads semactl's stdin and writes its stdout, whole") {
    const World world;
    std::string big;
    while (big.size() < 3'000'000)
        big += std::to_string(big.size()) + " bottles\n";
    ProgramOptions options;
    options.input = big;
    const Finished copied = world.semactl({"run", "vsim", "--wait", "0", "--", "cat"}, options);
    CHECK(copied.status == 0);
    CHECK((copied.out == big));
    CHECK(copied.err.empty());
}

TEST_CASE("the command's words reach it verbatim") {
    const World world;
    const auto words = [&](Words line) { return world.semactl(line).out; };
    const std::string print = R"(printf '<%s>' "$0" "$@")";
    CHECK(words({"run", "vsim", "--", "sh", "-c", print, "a", "", "--", "-x", "--ttl=5", "{}", "[a,b]",
                 "++"}) == "<a><><--><-x><--ttl=5><{}><[a,b]><++>");
    CHECK(words({"run", "vsim", "sh", "-c", print, "ping", "--help", "--", "--"}) ==
          "<ping><--help><--><-->");
    CHECK(words({"run", "--ttl", "5", "vsim", "--wait=1", "echo", "-n", "run"}) == "run");
    ProgramOptions pool_from_environment;
    pool_from_environment.environment["SEMACTL_POOL"] = world.semactl.pool().str();
    CHECK(world.semactl({"run", "--", "echo", "hello"}, pool_from_environment).out == "hello\n");
}

TEST_CASE("the command learns its slot from its environment and from its arguments") {
    const World world(3);
    const std::string print = "echo $SEMA_POSITION; echo $SEMA_LEASE; echo $SEMA_EXPIRES_AT";
    const Finished outer = world.semactl({"run", "vsim", "--ttl", "1h", "--", "sh", "-c", print});
    int position = -1;
    std::string lease;
    long expires_at = 0;
    std::istringstream(outer.out) >> position >> lease >> expires_at;
    CHECK(position == 0);
    CHECK(sema::LeaseId::parse(lease));
    CHECK(expires_at > std::time(nullptr) + 3500);

    // A run within a run has a slot of its own, and nothing of the outer one's but that it is there.
    const Finished nested =
        world.semactl({"run", "vsim", "--", SEMACTL, "run", "vsim", "--", "sh", "-c",
                       "echo $SEMA_POSITION; env | grep ^SEMA_ | grep -vc -e ^SEMA_TEST_ -e ^SEMA_JOBS="});
    CHECK(nested.out == "1\n7\n");

    CHECK(world.semactl({"run", "vsim", "-I", "{}", "--", "echo", "port-{}-{}", "{"}).out == "port-0-0 {\n");
}

TEST_CASE("the command starts as if it had been started itself") {
    const World world;
    TempDir elsewhere;
    const int extra = open("/dev/null", O_RDONLY);
    REQUIRE(extra >= 0);
    ProgramOptions options;
    options.directory = elsewhere.path();
    options.ignored = {SIGHUP, SIGCHLD};
    options.passed = {extra};

    const Finished direct = run_program({SIGNAL_COUNTER, "state"}, options);
    const Finished run = world.semactl({"run", "vsim", "--", SIGNAL_COUNTER, "state"}, options);
    CHECK(run.out == direct.out);
    CHECK_THAT(run.out, has_text("ignored 1\n") && has_text("descriptor " + std::to_string(extra) + "\n"));
    CHECK(world.semactl({"run", "vsim", "--", "pwd"}, options).out == elsewhere.path().string() + "\n");
    CHECK(world.semactl({"run", "vsim", "--", "sh", "-c", "ps -o pgid= $$ $PPID | sort -u | wc -l"}).out ==
          "1\n");
    close(extra);
}

TEST_CASE("the slot is held while the command runs and free after it") {
    const World world;
    Program run(Semactl::command({"run", "vsim", "--", SIGNAL_COUNTER}), world.semactl.options());
    REQUIRE(run.prints("ready"));
    CHECK(world.semactl.in_use() == 1);
    run.signal(SIGUSR2);
    CHECK(run.wait() == 0);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("what the command leaves running is named, and the slot is free") {
    const World world;
    // It ends only once its child has become the program that it leaves behind.
    const Finished left =
        world.semactl({"run", "vsim", "--", "sh", "-c",
                       "sleep 20 >&- 2>&- & until grep -q '^sleep$' /proc/$!/comm; do :; done; exit 4"});
    CHECK(left.status == 4);
    CHECK_THAT(left.err, has_text("vsim: the command left running, now without a slot: sleep ("));
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("children that semactl's process had before are not the command's") {
    const World world;
    const Finished run =
        run_program({"sh", "-c", "sleep 20 >&- 2>&- & exec " SEMACTL " run vsim --wait 0 -- sh -c 'exit 5'"},
                    world.semactl.options());
    CHECK(run.status == 5);
    CHECK(run.err.empty());
}

TEST_CASE("a dry run says what would be done and does nothing") {
    const Semactl semactl(nowhere);
    const Finished dry = semactl({"run", "vsim", "--ttl", "2h", "--dry-run", "--", "sh", "-c", "exit 3"});
    CHECK(dry.status == 0);
    CHECK_THAT(dry.out, has_text("would borrow a slot of vsim from " + nowhere +
                                 " for 2h, renewed while the command runs, waiting up to 5m") &&
                            has_text("would run ") && has_text("/sh -c exit 3"));
}

TEST_CASE("a wait longer than the server's limit goes on until there is a slot") {
    const World world(1, {"--max-wait", "0.1"});
    const std::string lease = world.borrow();
    Program run(Semactl::command({"run", "vsim", "--wait", "60", "--", "echo", "served"}),
                world.semactl.options());
    // Said half a second after the first try: several polls have ended by then.
    REQUIRE(run.warns("waiting for vsim, up to 1m"));
    world.give_back(lease);
    CHECK(run.wait() == 0);
    CHECK(run.out() == "served\n");
    CHECK_THAT(run.err(), has_text("semactl: vsim: position 0, after"));
}

TEST_CASE("who doesn't have to wait sees nothing, and quiet says nothing even then") {
    const World world;
    const auto begin = std::chrono::steady_clock::now();
    const std::string said = world.semactl({"run", "vsim", "--", "true"}).err;
    // On a busy machine it may have to wait after all.
    if (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(500)) CHECK(said.empty());
    world.borrow();
    CHECK_THAT(world.semactl({"-q", "run", "vsim", "--wait", "0.7", "--", "true"}).err,
               Catch::Matchers::StartsWith("semactl: vsim: no slot became free within the wait (1st of 1"));
    for (const std::vector<std::string>& impatient : std::vector<std::vector<std::string>>{
             {"borrow", "vsim", "--ttl", "9"}, {"run", "vsim", "--wait", "0", "--", "true"}}) {
        const Finished refused = world.semactl(impatient);
        CHECK(refused.status == 75);
        CHECK_THAT(refused.err,
                   Catch::Matchers::StartsWith(
                       "semactl: vsim: no slot is free (--wait 5m would wait for one: 1st of 1"));
    }
}

TEST_CASE("a server that is away while somebody waits is waited for") {
    World world;
    world.server.kill9();
    Program run(Semactl::command({"run", "vsim", "--wait", "60", "--", "echo", "served"}),
                world.semactl.options());
    REQUIRE(
        run.warns("is not available: Connection refused (is semad running there? --server names another; "
                  "trying again until --wait 1m is over)"));
    world.server.start();
    CHECK(run.wait() == 0);
    CHECK(run.out() == "served\n");
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a server that restarts while the command runs gets the slot back") {
    World world;
    Program run(Semactl::command({"run", "vsim", "--", SIGNAL_COUNTER}), world.semactl.options());
    REQUIRE(run.prints("ready"));
    CHECK(world.server.terminate() == 0);
    world.server.start();
    CHECK(world.semactl.in_use() == 1);
    run.signal(SIGUSR2);
    CHECK(run.wait() == 0);
    CHECK(world.semactl.in_use() == 0);
}

TEST_CASE("a server that is gone when the command ends changes nothing about the command's status") {
    World world;
    Program run(Semactl::command({"run", "vsim", "--", SIGNAL_COUNTER}), world.semactl.options());
    REQUIRE(run.prints("ready"));
    world.server.kill9();
    run.signal(SIGUSR2);
    REQUIRE(run.warns("cannot return the slot"));
    // Who is asked to stop does not try for long.
    run.signal(SIGTERM);
    CHECK(run.wait(std::chrono::seconds(5)) == 0);
    CHECK_THAT(run.err(), has_text("frees itself when its ttl ends"));
}

TEST_CASE("a lease that the server no longer knows at the end is told of") {
    const World world;
    Program run(Semactl::command({"run", "vsim", "--", SIGNAL_COUNTER}), world.semactl.options());
    REQUIRE(run.prints("ready"));
    REQUIRE(world.semactl({"delete", "vsim"}).status == 0);
    run.signal(SIGUSR2);
    CHECK(run.wait() == 0);
    CHECK_THAT(run.err(), has_text("vsim: the lease was gone before it was returned"));
}
