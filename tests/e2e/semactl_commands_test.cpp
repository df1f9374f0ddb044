#include "tests/e2e/semactl.hpp"
#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

using namespace sema::test;

namespace {

using Words = std::vector<std::string>;

const std::string nowhere = "http://127.0.0.1:9";

std::string content(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_CASE("a pool is registered, inspected, resized and deleted") {
    const RunningServer server;
    const Semactl semactl(server.url());
    CHECK(semactl({"inspect", "vsim"}).status == 66);
    CHECK(semactl({"register", "vsim", "--count", "4"}).out == "count      4\nin_use     0\navailable  4\n");
    CHECK_THAT(semactl({"register", "vsim", "--count", "010"}).out, has_text("count      10\n"));
    CHECK(semactl({"register", "vsim", "--count=2"}).status == 0);
    CHECK(semactl({"--output", "json", "inspect", "vsim"}).out ==
          R"({"id":")" + semactl.pool().str() + R"(","count":2,"in_use":0,"available":2})" + "\n");
    const Finished too_many = semactl({"register", "vsim", "--count", "1001"});
    CHECK(too_many.status == 125);
    CHECK_THAT(too_many.err, Catch::Matchers::StartsWith(
                                 "semactl: vsim: " + server.url() +
                                 " refused: count out of range (status 400) (a pool has 0 to 1000 slots"));
    const Finished too_few = semactl({"resize", "vsim", "-3"});
    CHECK(too_few.status == 125);
    CHECK(too_few.err ==
          "semactl: vsim: it has 2 slots, and cannot have -1 (a pool has 0 to 1000 slots, unless the server "
          "was started with another --max-count)\n");
    CHECK(semactl.count() == 2);
    CHECK(semactl({"delete", "vsim"}).status == 0);
    CHECK(semactl({"delete", "vsim"}).status == 1);
    CHECK(semactl({"--output", "json", "delete", "vsim"}).out == "{\"deleted\":false}\n");
}

TEST_CASE("a slot is borrowed and returned by a shell script") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    const std::string script =
        "lease=$(" SEMACTL
        " borrow vsim --ttl 60 --shell) && eval \"$lease\" && echo $SEMA_POSITION && " SEMACTL
        " borrow vsim --ttl 60; echo $?; " SEMACTL " return vsim env:SEMA_LEASE; echo $?; " SEMACTL
        " return vsim env:SEMA_LEASE; echo $?";
    const Finished run = run_program({"sh", "-c", script}, semactl.options());
    CHECK(run.out == "0\n75\n0\n1\n");
    CHECK(semactl.in_use() == 0);
}

TEST_CASE("a return and a keepalive with a fence leave a later lease of the same id alone") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    const std::string lease = new_lease();
    const auto borrow = [&] {
        const Finished run = semactl({"--output", "json", "borrow", "vsim", "--ttl", "60", "--lease", lease});
        return Json::parse(run.out)["fence"].dump();
    };
    const std::string first = borrow();
    CHECK(semactl({"return", "vsim", lease, "--fence", first}).status == 0);
    const std::string next = borrow();
    CHECK(semactl({"return", "vsim", lease, "--fence", first}).status == 1);
    CHECK(semactl({"keepalive", "vsim", lease, "--ttl", "90", "--fence", first}).status == 1);
    CHECK(semactl.in_use() == 1);
    CHECK(semactl({"keepalive", "vsim", lease, "--ttl", "90", "--fence", next}).status == 0);
    CHECK(semactl({"return", "vsim", lease, "--fence", next}).status == 0);
    CHECK(semactl.in_use() == 0);
}

TEST_CASE("the script of the README borrows and returns, and ends where it is refused a slot") {
    const RunningServer server;
    const Semactl semactl(server.url());
    const std::string readme = content(PROJECT_FOLDER "/README.md");
    const auto begin = readme.find("lease=$(semactl borrow");
    REQUIRE(begin != std::string::npos);
    const std::string script = readme.substr(begin, readme.find("```", begin) - begin);
    ProgramOptions options;
    options.environment["PATH"] =
        std::filesystem::path(SEMACTL).parent_path().string() + ":" + std::getenv("PATH");
    options.environment["SEMA_POSITION"] = "stale";

    for (const char* shell : {"bash", "dash"}) {
        CAPTURE(shell);
        const Finished refused = run_program({shell, "-c", script}, semactl.options(options));
        CHECK(refused.status == 66);
        CHECK(refused.out.empty());
    }
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    for (const char* shell : {"bash", "dash"}) {
        CAPTURE(shell);
        const Finished served = run_program({shell, "-c", script}, semactl.options(options));
        CHECK(served.status == 0);
        CHECK(served.out == "seat 0\n");
        CHECK(semactl.in_use() == 0);
    }
    // Nor does it keep the slot where a signal ends it.
    for (const char* shell : {"bash", "dash"}) {
        CAPTURE(shell);
        Program stopped({shell, "-c", script + "while :; do sleep 0.05; done"}, semactl.options(options));
        REQUIRE(stopped.prints("seat 0"));
        stopped.signal(SIGTERM);
        CHECK(stopped.wait() == 143);
        CHECK(semactl.in_use() == 0);
    }
}

TEST_CASE("a return frees nothing that was not held under that lease") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    REQUIRE(semactl({"borrow", "vsim", "--ttl", "1h"}).status == 0);
    CHECK(semactl({"return", "vsim", sema::LeaseId::random().str()}).status == 1);
    CHECK(semactl({"return", "vsim", semactl.pool().str()}).status == 1);
    CHECK(semactl({"return", "vsim", "env:NO_LEASE"}).status == 2);
    CHECK(semactl.in_use() == 1);
}

TEST_CASE("no command line that people can see has a secret on it") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    const std::string lease = sema::LeaseId::random().str();
    std::ofstream(semactl.folder() / "pool") << semactl.pool().str() << "\n";
    ProgramOptions secrets;
    secrets.environment["POOL"] = semactl.pool().str();
    secrets.environment["LEASE"] = lease;
    const std::string from_file = "file:" + (semactl.folder() / "pool").string();
    REQUIRE(semactl({"borrow", from_file, "--ttl", "1h", "--lease", "env:LEASE"}, secrets).status == 0);

    // It waits, as does the semactl within a semactl.
    const std::string inner = SEMACTL " run env:POOL --wait 60 -- true";
    REQUIRE(semactl({"new", "--save", "outer"}).status == 0);
    Program run(Semactl::command({"run", "outer", "--teardown", ":", "--", "sh", "-c", inner}),
                semactl.options(secrets));
    REQUIRE(run.warns("waiting for env:POOL"));
    const Finished seen = run_program({"ps", "-eo", "args"});
    CHECK_THAT(seen.out, has_text("run env:POOL"));
    CHECK_THAT(seen.out, !has_text(semactl.pool().str()) && !has_text(lease));
    run.signal(SIGTERM);
    run.wait();
}

TEST_CASE("a lease is printed for people and for programs") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "3"}).status == 0);
    CHECK_THAT(semactl({"borrow", "vsim", "--ttl", "90"}).out,
               has_text("position         0\n") && has_text("expires_in       90\n"));
    CHECK_THAT(semactl({"--output=json", "borrow", "vsim", "--ttl", "90"}).out,
               Catch::Matchers::StartsWith("{\"lease\":\"") && has_text("\"position\":1"));
    CHECK(semactl({"borrow", "vsim"}).status == 2);
}

TEST_CASE("a lease that could not be printed is returned") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    for (const std::string stdout_of : {"> /dev/full", ">&-"}) {
        const Finished lost =
            run_program({"sh", "-c", SEMACTL " borrow vsim --ttl 60 " + stdout_of}, semactl.options());
        CHECK(lost.status == 125);
        CHECK_THAT(lost.err, Catch::Matchers::StartsWith("semactl: cannot write to the standard output\n"));
        CHECK(semactl.in_use() == 0);
    }
}

TEST_CASE("help and the version that could not be printed are a failure") {
    for (const std::string words : {"--help", "run --help", "--version"})
        CHECK(run_program({"sh", "-c", SEMACTL " " + words + " > /dev/full"}).status == 125);
}

TEST_CASE("what is printed into a pipe without a reader ends as other programs do") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    close(ends[0]);
    ProgramOptions unread;
    unread.passed = {ends[1]};
    for (const bool is_ignored : {false, true}) {
        if (is_ignored) unread.ignored = {SIGPIPE};
        for (const std::string words : {"inspect vsim", "holders vsim", "stats vsim", "history vsim", "ping",
                                        "new", "--help", "completion bash"}) {
            CAPTURE(words, is_ignored);
            const std::string line = "exec " SEMACTL " " + words + " >&" + std::to_string(ends[1]);
            const Finished ended = run_program({"sh", "-c", line}, semactl.options(unread));
            CHECK(ended.status == 128 + SIGPIPE);
            CHECK(ended.err.empty());
        }
    }
    close(ends[1]);
}

TEST_CASE("a new pool that could not be printed is saved, or else deleted") {
    const RunningServer server({"--max-pools", "1"});
    const Semactl semactl(server.url());
    CHECK(run_program({"sh", "-c", SEMACTL " new >&-"}, semactl.options()).status == 125);
    // The server has room for one pool: the first one is gone.
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    close(ends[0]);
    ProgramOptions unread;
    unread.passed = {ends[1]};
    const std::string stdout_of = " >&" + std::to_string(ends[1]);
    CHECK(run_program({"sh", "-c", SEMACTL " new --save gpu" + stdout_of}, semactl.options(unread)).status ==
          128 + SIGPIPE);
    close(ends[1]);
    CHECK(semactl({"inspect", "gpu"}).status == 0);
}

TEST_CASE("pools that are made at the same time are all saved") {
    const RunningServer server;
    const Semactl semactl(server.url());
    const std::string script =
        "for i in 1 2 3 4 5 6 7 8; do " SEMACTL " -q new --save a$i > /dev/null & done; wait";
    REQUIRE(run_program({"sh", "-c", script}, semactl.options()).status == 0);
    for (int i = 1; i <= 8; ++i)
        CHECK(semactl({"inspect", "a" + std::to_string(i)}).status == 0);
}

TEST_CASE("a configuration file that is named must be there, unless it is to be made") {
    const RunningServer server;
    const Semactl semactl(server.url());
    const std::string named = semactl.folder() / "named.toml";
    const Finished absent = semactl({"--config", named, "ping"});
    CHECK(absent.status == 2);
    CHECK(absent.err == "semactl: there is no configuration file " + named + "\n");
    CHECK(semactl({"--config", named, "new", "--save", "gpu"}).status == 0);
    CHECK(semactl({"--config", named, "inspect", "gpu"}).status == 0);
}

TEST_CASE("a new pool is registered, printed and saved") {
    const RunningServer server;
    const Semactl semactl(server.url());
    const auto config = semactl.folder() / "semactl/config.toml";
    std::ofstream(config, std::ios::app) << "# the end\n";
    const std::string before = content(config);

    const Finished made = semactl({"new", "--count", "3", "--save", "gpu"});
    CHECK(made.status == 0);
    REQUIRE(made.out.size() == 37);
    const std::string id = made.out.substr(0, 36);
    CHECK(sema::PoolId::parse(id));
    CHECK(semactl({"inspect", "gpu"}).out == "count      3\nin_use     0\navailable  3\n");
    CHECK(content(config) == "[pools]\ngpu = \"" + id + "\"\n" + before.substr(before.find('\n') + 1));

    const Finished again = semactl({"new", "--save", "gpu"});
    CHECK(again.status == 2);
    CHECK(again.out.empty());
    CHECK(semactl({"new", "--save", "not a name"}).status == 2);
    CHECK(semactl({"new"}).out != made.out);
}

TEST_CASE("a ping prints the server's version") {
    const RunningServer server;
    const Semactl semactl(server.url());
    const Finished pong = semactl({"ping"});
    CHECK(pong.status == 0);
    CHECK_THAT(pong.out, Catch::Matchers::StartsWith("semad ") && has_text(" at " + server.url() + ": "));
    CHECK_THAT(semactl({"--output", "json", "ping"}).out,
               has_text("\"version\":") && has_text("\"round_trip_ms\":"));

    const Finished silence = Semactl(nowhere)({"ping"});
    CHECK(silence.status == 69);
    CHECK(silence.err == "semactl: " + nowhere +
                             " is not available: Connection refused (is semad running there? --server names "
                             "another)\n");
}

TEST_CASE("a server is spoken to through its socket file") {
    const TempDir folder;
    const std::string address = "unix:" + (folder.path() / "semad.sock").string();
    const RunningServer server({"--listen", address});
    const Semactl semactl(address);
    CHECK(semactl({"register", "vsim", "--count", "1"}).status == 0);
    CHECK(semactl({"run", "vsim", "--", "sh", "-c", "exit 3"}).status == 3);
    CHECK(semactl.in_use() == 0);
    CHECK_THAT(semactl({"ping"}).out, has_text(" at " + address + ": "));
}

TEST_CASE("flags beat the environment and the environment beats the file") {
    const RunningServer server;
    const Semactl semactl(server.url());
    const auto config = semactl.folder() / "semactl/config.toml";
    std::ofstream(config) << "server = \"" << server.url() << "\"\n";
    ProgramOptions no_variable;
    no_variable.environment["SEMACTL_SERVER"] = "";
    CHECK(semactl({"ping"}, no_variable).status == 0);

    std::ofstream(config) << "server = \"" << nowhere << "\"\n";
    CHECK(semactl({"ping"}, no_variable).status == 69);
    CHECK(semactl({"ping"}).status == 0);
    CHECK(semactl({"--server", nowhere, "ping"}).status == 69);
    CHECK(semactl({"ping", "--server", nowhere}).status == 69);
}

TEST_CASE("the file's defaults for a pool hold where no option says otherwise") {
    const RunningServer server;
    const Semactl semactl(server.url());
    std::ofstream(semactl.folder() / "semactl/config.toml")
        << "pools.vsim = { id = '" << semactl.pool().str() << "', ttl = '1.5h', wait = 0 }\n";
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    CHECK_THAT(semactl({"borrow", "vsim"}).out, has_text("expires_in       5400\n"));
    CHECK(semactl({"run", "vsim", "--", "true"}).status == 75);
    CHECK_THAT(semactl({"run", "vsim", "--wait", "9", "--dry-run", "--", "true"}).out,
               has_text("for 1h 30m, renewed while the command runs, waiting up to 9s"));
}

TEST_CASE("a configuration file with secrets that others can read is warned of once") {
    const RunningServer server;
    const Semactl semactl(server.url());
    const auto config = semactl.folder() / "semactl/config.toml";
    REQUIRE(semactl({"ping"}).err.empty());
    std::filesystem::permissions(config, std::filesystem::perms(0640));
    CHECK(semactl({"ping"}).err ==
          "semactl: " + config.string() + " holds secrets and others can read it (chmod 600 it)\n");
    CHECK(semactl({"-q", "ping"}).err.empty());
}

TEST_CASE("a configuration file that is wrong is named with its line") {
    const Semactl semactl(nowhere);
    const auto config = semactl.folder() / "semactl/config.toml";
    std::ofstream(config) << "\nservre = \"x\"\n";
    const Finished refused = semactl({"ping"});
    CHECK(refused.status == 2);
    CHECK(refused.err == "semactl: " + config.string() +
                             ":2: there is no setting 'servre' (there are: server, cacert, cert, key, "
                             "admin_token, pools)\n");
    CHECK(semactl({"run", "vsim", "--", "true"}).status == 125);
}

TEST_CASE("bad usage is 2") {
    const Semactl semactl(nowhere);
    for (const Words& line :
         {Words{}, Words{"nonsense"}, Words{"--nonsense"}, Words{"register", "vsim"},
          Words{"register", "vsim", "--count", "-1"}, Words{"register", "vsim", "--count", "x"},
          Words{"register", "vsim", "--count", "0x10"}, Words{"register", "vsim", "--count", ""},
          Words{"new", "--count", "4.0"}, Words{"--config", "/no/such/file", "ping"}, Words{"inspect"},
          Words{"inspect", "no-such-alias"}, Words{"return", "vsim"}, Words{"return", "vsim", "no-lease"},
          Words{"completion", "tcsh"}, Words{"--output", "xml", "ping"}, Words{"ping", "extra"},
          Words{"-q", "-v", "ping"}, Words{"--config"}}) {
        const Finished refused = semactl(line);
        CAPTURE(line, refused.err, refused.out);
        CHECK(refused.status == 2);
        CHECK_THAT(refused.err, Catch::Matchers::StartsWith("semactl: "));
    }
}

TEST_CASE("no message repeats a pool's UUID") {
    const RunningServer server;
    const Semactl semactl(server.url());
    const std::string id = semactl.pool().str();
    for (const Words& line : {Words{"inspect", id},
                              Words{"run", id, "--", "true"},
                              Words{"delete", id},
                              Words{"borrow", id, "--ttl", "5"},
                              Words{"inspect", id + "0"},
                              Words{"inspect", id.substr(1)},
                              Words{"register", id, "--count", "2000"},
                              Words{"--server", nowhere, "inspect", id},
                              Words{"return", id, id + "0"},
                              Words{"inspect", "env:" + id},
                              Words{"inspect", "file:" + id},
                              Words{"inspect", "vsim", id},
                              Words{id},
                              Words{"--" + id},
                              Words{"run", "vsim", "--", id},
                              Words{"register", "vsim", "--count", id},
                              Words{"borrow", "vsim", "--ttl", id},
                              Words{"--output", id, "ping"},
                              Words{"--server", nowhere + "/l/" + id, "ping"},
                              Words{"--config", "/no/" + id, "inspect", id}}) {
        const Finished failed = semactl(line);
        CAPTURE(line, failed.err);
        CHECK(failed.status != 0);
        CHECK_THAT(failed.err, has_text("semactl: ") && !has_text(id.substr(1)));
    }
}

TEST_CASE("a configuration file with a UUID in the wrong place is refused without repeating it") {
    const Semactl semactl(nowhere);
    const std::string id = semactl.pool().str();
    for (const std::string& text : {"[pools]\n" + id + " = 'vsim'\n", id + " = 'vsim'\n",
                                    "[pools.vsim]\nttl = '" + id + "'\n", "server = " + id + "\n"}) {
        std::ofstream(semactl.folder() / "semactl/config.toml") << text;
        const Finished refused = semactl({"ping"});
        CAPTURE(text, refused.err);
        CHECK(refused.status == 2);
        CHECK_THAT(refused.err, has_text("config.toml:") && !has_text(id.substr(1)));
    }
}
