#include "cli/run/process_tree.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"

using namespace sema::test;
using namespace std::chrono_literals;

TEST_CASE("a command is stopped before its lease ends") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);

    const auto begin = std::chrono::steady_clock::now();
    const Finished stopped = semactl({"run", "vsim", "--ttl", "3", "--", "sh", "-c",
                                      "trap 'echo stopping; exit 0' TERM; "
                                      "while :; do sleep 0.05; done"});
    CHECK(stopped.status == 79);
    CHECK(stopped.out == "stopping\n");
    CHECK_THAT(stopped.err,
               Catch::Matchers::StartsWith("semactl: vsim: the lease is about to end, stopping the "
                                           "command (give a longer --ttl)\n"));
    CHECK(std::chrono::steady_clock::now() - begin < 3s);
    CHECK(semactl.in_use() == 0);
}

TEST_CASE("a command that ignores TERM is dead, with its tree, before its slot is lent again") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);

    const std::string stubborn =
        "trap '' TERM; echo $$ > command; sh -c 'echo $$ > child; echo ready; while :; do sleep 1; done'";
    ProgramOptions here;
    here.directory = semactl.folder();
    Program first(Semactl::command({"run", "vsim", "--ttl", "2", "--", "sh", "-c", stubborn}),
                  semactl.options(here));
    REQUIRE(first.prints("ready"));

    // The next holder looks whether anybody of the last one is still there.
    const std::string look =
        "for who in command child; do kill -0 $(cat $who) 2>&- && echo $who lives; done; :";
    const Finished second = semactl({"run", "vsim", "--wait", "60", "--", "sh", "-c", look}, here);
    CHECK(second.status == 0);
    CHECK(second.out.empty());
    CHECK(first.wait() == 79);
}

TEST_CASE("when a lease ends, TERM reaches every process of the command") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    // One in a session of its own, one whose parent is gone.
    const std::string child = "trap \"echo $0 stops; exit\" TERM; while :; do sleep 0.05; done";
    const std::string tree =
        "setsid sh -c '" + child + "' sessionist & (sh -c '" + child + "' orphan &); wait";
    const Finished stopped = semactl({"run", "vsim", "--ttl", "3", "--", "sh", "-c", tree});
    CHECK(stopped.status == 79);
    CHECK_THAT(stopped.out, has_text("sessionist stops") && has_text("orphan stops"));
    CHECK(semactl.in_use() == 0);
}

TEST_CASE("a command that ends within its lease is not touched") {
    const RunningServer server;
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
    CHECK(semactl({"run", "vsim", "--ttl", "10", "--", "sleep", "0.5"}).status == 0);
}
