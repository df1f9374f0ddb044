// A server that grants less than a run asks for.
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"

#include <csignal>
#include <fstream>

using namespace sema::test;

namespace {

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("a command is dead in time where the server's limit cuts a fraction of a second off its ttl") {
    const Words limit = GENERATE(Words{"--max-ttl", "5"}, Words{"--max-hold", "5.1"});
    const bool is_renewed = GENERATE(false, true);
    const RunningServer server(limit);
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    ProgramOptions here;
    here.directory = semactl.folder();

    Words first = {"run", "vsim", "--ttl", "5.9"};
    if (!is_renewed) first.push_back("--no-keepalive");
    first.insert(first.end(), {"--", "flock", "held", "sh", "-c",
                               "trap '' TERM; echo ready; until [ -e leave ]; do sleep 0.05; done"});
    Program run(Semactl::command(first), semactl.options(here));
    REQUIRE(run.prints("ready"));
    // A lease that the server would renew for ever ends where the server is away.
    const bool is_frozen = is_renewed && limit.front() == "--max-ttl";
    if (is_frozen) halt(server.pid());
    Program next(
        Semactl::command({"run", "vsim", "--wait", "1h", "--", "flock", "-n", "held", "echo", "alone"}),
        semactl.options(here));
    if (is_frozen) {
        CHECK(run.wait() == 79);
        kill(server.pid(), SIGCONT);
    }
    CHECK(next.wait() == 0);
    CHECK(next.out() == "alone\n");
    CHECK(run.wait() == 79);
}

TEST_CASE("a command goes on where the server's limit is lowered") {
    const TempDir folder;
    const std::string file = (folder.path() / "semad.toml").string();
    std::ofstream(file) << "[limits]\nmax-ttl = \"1h\"\n";
    const RunningServer server({"--config", file});
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    ProgramOptions here;
    here.directory = semactl.folder();
    Program run(Semactl::command({"-v", "run", "vsim", "--ttl", "15", "--", "sh", "-c",
                                  "echo ready; until [ -e leave ]; do sleep 0.05; done; exit 7"}),
                semactl.options(here));
    REQUIRE(run.prints("ready"));
    std::ofstream(file) << "[limits]\nmax-ttl = \"4s\"\n";
    REQUIRE(kill(server.pid(), SIGHUP) == 0);
    // From the second one on all is as if the command had begun with that.
    const auto is_renewed_twice = [&] {
        const std::string err = run.err();
        const std::string words = "renewed the lease for 4s";
        return err.find(words, err.find(words) + 1) != err.npos;
    };
    REQUIRE(run.warns("renewed the lease for 4s"));
    CHECK(eventually(is_renewed_twice));
    CHECK_FALSE(run.ended());
    run_program({"touch", "leave"}, here);
    CHECK(run.wait() == 7);
}
