#include "tests/support/catch.hpp"
#include "tests/support/program.hpp"

// What semactl says to a command line that it does not understand.

using namespace sema::test;

namespace {

using Words = std::vector<std::string>;

// The message, without the program's name before it.
std::string refusal_of(Words words) {
    words.insert(words.begin(), SEMACTL);
    const Finished refused = run_program(words);
    CAPTURE(words, refused.err);
    CHECK(refused.status == (std::find(words.begin(), words.end(), "run") != words.end() ? 125 : 2));
    CHECK(refused.out.empty());
    const std::string name = "semactl: ";
    REQUIRE(refused.err.rfind(name, 0) == 0);
    CHECK(refused.err.find('\n') == refused.err.size() - 1);
    return refused.err.substr(name.size(), refused.err.size() - name.size() - 1);
}

}  // namespace

TEST_CASE("a word that is no command is named, with the command that was likely meant") {
    CHECK(refusal_of({"status", "vsim"}) == "unknown command 'status' (did you mean 'inspect'?)");
    CHECK(refusal_of({"release", "vsim", "x"}) == "unknown command 'release' (did you mean 'return'?)");
    CHECK(refusal_of({"statistics", "vsim"}) == "unknown command 'statistics' (did you mean 'stats'?)");
    CHECK(refusal_of({"log", "vsim"}) == "unknown command 'log' (did you mean 'history'?)");
    CHECK(refusal_of({"disable", "vsim", "1"}) == "unknown command 'disable' (did you mean 'slot'?)");
    CHECK(refusal_of({"out", "vsim", "1"}) == "unknown command 'out' (did you mean 'slot'?)");
    CHECK(refusal_of({"cancel", "vsim", "x"}) == "unknown command 'cancel' (did you mean 'callbacks'?)");
    CHECK(refusal_of({"watchh", "vsim"}) == "unknown command 'watchh' (did you mean 'watch'?)");
    CHECK(refusal_of({"whoo", "vsim"}) == "unknown command 'whoo' (did you mean 'who'?)");
    CHECK(refusal_of({"frobnicate", "a", "b"}) ==
          "unknown command 'frobnicate' (semactl --help lists the commands)");
    CHECK(refusal_of({"help", "watchh"}) == "unknown command 'watchh' (did you mean 'watch'?)");
    CHECK(refusal_of({"watchh", "--help"}) == "unknown command 'watchh' (did you mean 'watch'?)");
    CHECK(refusal_of({"-h", "watchh", "vsim"}) == "unknown command 'watchh' (did you mean 'watch'?)");
    CHECK(refusal_of({}) == "a command is required (semactl --help lists them)");
}

TEST_CASE("an option that does not exist is named, with the one that was likely meant") {
    CHECK(refusal_of({"run", "vsim", "--wiat", "3", "--", "true"}) ==
          "run: unknown option '--wiat' (did you mean '--wait'?)");
    CHECK(refusal_of({"ping", "--ouput", "json"}) ==
          "ping: unknown option '--ouput' (did you mean '--output'?)");
    CHECK(refusal_of({"ping", "--ouput=json"}) ==
          "ping: unknown option '--ouput' (did you mean '--output'?)");
    CHECK(refusal_of({"holders", "-ouptut"}) ==
          "holders: unknown option '-ouptut' (did you mean '--output'?)");
    CHECK(refusal_of({"ping", "--frobnicate"}) ==
          "ping: unknown option '--frobnicate' (semactl ping --help lists the options)");
    CHECK(refusal_of({"--frobnicate", "ping"}) ==
          "ping: unknown option '--frobnicate' (semactl ping --help lists the options)");
    CHECK_THAT(refusal_of({"---"}), Catch::Matchers::StartsWith("unknown option '---'"));
    CHECK(refusal_of({"-x"}) == "unknown option '-x' (semactl --help lists the options)");
}

TEST_CASE("of several words too many the first is named") {
    CHECK(refusal_of({"holders", "vsim", "extra", "more"}) ==
          "holders: 'extra' is one argument too many (semactl holders --help shows what it takes)");
    CHECK(refusal_of({"ping", "ping"}) ==
          "ping: 'ping' is one argument too many (semactl ping --help shows what it takes)");
}

TEST_CASE("a word behind -- is no option") {
    CHECK(refusal_of({"inspect", "vsim", "--", "--shell"}) ==
          "inspect: '--shell' is one argument too many, as it stands behind -- "
          "(semactl inspect --help shows what it takes)");
}

TEST_CASE("what is missing is told") {
    CHECK_THAT(refusal_of({"inspect", "--"}), Catch::Matchers::StartsWith("inspect: POOL is missing"));
    CHECK(refusal_of({"return", "vsim"}) ==
          "return: LEASE is missing: the lease's UUID, env:NAME or file:PATH");
    CHECK_THAT(refusal_of({"holders"}),
               Catch::Matchers::StartsWith("holders: POOL is missing: a pool's UUID, an alias"));
    CHECK(refusal_of({"resize", "vsim"}) == "resize: N is missing: how many slots come (+2) or go (-2)");
    CHECK(refusal_of({"borrow", "vsim", "--ttl"}) == "--ttl: its value is missing");
    CHECK(refusal_of({"run", "vsim", "--wait", "--", "true"}) == "--wait: its value is missing");
    CHECK(refusal_of({"run", "vsim", "-I", "--", "echo", "{}"}) == "-I: its value is missing");
}

TEST_CASE("a value that is empty is not one that is left out") {
    CHECK(refusal_of({"run", "vsim", "-I", "", "--", "true"}) == "-I: it is empty");
    CHECK(refusal_of({"new", "--save="}) == "--save: it is empty");
    CHECK(refusal_of({"new", "--save", ""}) == "--save: it is empty");
    CHECK(refusal_of({"borrow", "vsim", "--ttl", "5", "--lease="}) == "--lease: it is empty");
    CHECK(refusal_of({"run", "vsim", "--teardown", "", "--", "true"}) == "--teardown: it is empty");
    CHECK(refusal_of({"run", "vsim", "--on-lost=", "--", "true"}) == "--on-lost: it is empty");
    CHECK(refusal_of({"return", "vsim", ""}) == "LEASE: it is empty");
}

TEST_CASE("what is given more than once, or to a flag, is told") {
    CHECK(refusal_of({"borrow", "vsim", "--ttl", "5", "--ttl", "6"}) == "--ttl: it is given more than once");
    CHECK(refusal_of({"run", "vsim", "--hold-tree=yes", "--", "true"}) == "--hold-tree: it takes no value");
    CHECK(refusal_of({"--quiet=no", "ping"}) == "--quiet: it takes no value");
}

TEST_CASE("a number that is wrong is told the range") {
    CHECK(refusal_of({"run", "vsim", "-E", "300", "--", "true"}) ==
          "--conflict-exit-code: 300 is out of range (1 to 255)");
    CHECK(refusal_of({"run", "vsim", "--slots", "0", "--", "true"}) ==
          "--slots: 0 is out of range (1 to 1000000)");
    CHECK(refusal_of({"register", "vsim", "--count", "x"}) ==
          "--count: 'x' is not a whole number (0 to 1000000)");
    CHECK(refusal_of({"register", "vsim", "--count", "9999999999999"}) ==
          "--count: 9999999999999 is out of range (0 to 1000000)");
    CHECK(refusal_of({"borrow", "vsim", "--ttl", "5", "--priority", "101"}) ==
          "--priority: 101 is out of range (-100 to 100)");
    CHECK(refusal_of({"revoke", "vsim", "-1"}) == "POSITION: -1 is out of range (0 to 999999)");
    CHECK(refusal_of({"return", "vsim", "env:SEMA_LEASE", "--fence", "x"}) ==
          refusal_of({"keepalive", "vsim", "env:SEMA_LEASE", "--fence", "x"}));
    CHECK(refusal_of({"revoke", "vsim", "0", "--fence", "-1"}) ==
          "--fence: -1 is out of range (0 to 9223372036854775807)");
}

TEST_CASE("a word that is none of those to choose from is told them") {
    CHECK(refusal_of({"--output", "xml", "ping"}) == "--output: 'xml' is not text or json");
    CHECK(refusal_of({"completion", "tcsh"}) == "SHELL: 'tcsh' is not bash, zsh or fish");
}
