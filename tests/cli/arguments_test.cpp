#include "cli/arguments.hpp"

#include "tests/support/catch.hpp"

#include <CLI/Config.hpp>

#include <algorithm>
#include <utility>

using Words = std::vector<std::string>;

namespace {

// A command line of semactl's, parted. Its options are like semactl's, one of each sort.
sema::CommandLine part(const Words& words) {
    CLI::App app;
    std::string text;
    bool flag = false;
    app.add_option("--server", text);
    app.add_flag("-q,--quiet", flag);
    CLI::App* run = app.add_subcommand("run");
    run->add_option("--ttl", text);
    run->add_option("-I", text);
    run->add_flag("--dry-run", flag);
    app.add_subcommand("inspect");
    return sema::part_command_line(app, words);
}

void parts_into(const Words& words, const Words& own, const Words& command) {
    const auto line = part(words);
    CAPTURE(words, line.own, line.command);
    CHECK(line.own == own);
    CHECK(line.command == command);
}

}  // namespace

TEST_CASE("the command begins after the first double hyphen") {
    parts_into({"run", "vsim", "--", "make", "-j4"}, {"run", "vsim"}, {"make", "-j4"});
    parts_into({"run", "vsim", "--ttl", "5", "--", "git", "log", "--", "file"}, {"run", "vsim", "--ttl", "5"},
               {"git", "log", "--", "file"});
    parts_into({"run", "--", "make"}, {"run"}, {"make"});
    parts_into({"run", "vsim", "--"}, {"run", "vsim"}, {});
    parts_into({"run", "vsim", "--", "--", "x"}, {"run", "vsim"}, {"--", "x"});
    parts_into({"run", "vsim", "gpu", "--ttl", "5", "--", "make"}, {"run", "vsim", "gpu", "--ttl", "5"},
               {"make"});
}

TEST_CASE("a task's id that begins with a hyphen stands behind a double hyphen") {
    parts_into({"dispatch", "stop", "--", "-rf", "farm.toml"}, {"dispatch", "stop"}, {"-rf", "farm.toml"});
    parts_into({"dispatch", "stop", "x", "farm.toml"}, {"dispatch", "stop", "x", "farm.toml"}, {});
}

TEST_CASE("without one, the command begins at the first word after the pool that is no option") {
    parts_into({"run", "vsim", "make", "-x", "--", "y"}, {"run", "vsim"}, {"make", "-x", "--", "y"});
    parts_into({"run", "--ttl", "5", "vsim", "make"}, {"run", "--ttl", "5", "vsim"}, {"make"});
    parts_into({"run", "vsim", "--ttl=5", "-I{}", "make"}, {"run", "vsim", "--ttl=5", "-I{}"}, {"make"});
    parts_into({"run", "vsim", "-I", "{}", "--dry-run", "make"}, {"run", "vsim", "-I", "{}", "--dry-run"},
               {"make"});
    parts_into({"run", "vsim", "inspect", "x"}, {"run", "vsim"}, {"inspect", "x"});
    parts_into({"run", "vsim", ""}, {"run", "vsim"}, {""});
}

TEST_CASE("short options may share a word, and the last one's value may be the next") {
    parts_into({"run", "-qI", "{}", "vsim", "make"}, {"run", "-qI", "{}", "vsim"}, {"make"});
    parts_into({"run", "-qI{}", "vsim", "make"}, {"run", "-qI{}", "vsim"}, {"make"});
    parts_into({"run", "-qq", "vsim", "make"}, {"run", "-qq", "vsim"}, {"make"});
    parts_into({"run", "-qx", "vsim", "make"}, {"run", "-qx"}, {});
}

TEST_CASE("options for all subcommands are known before and behind run") {
    parts_into({"--server", "run", "-q", "run", "--server", "x", "vsim", "make"},
               {"--server", "run", "-q", "run", "--server", "x", "vsim"}, {"make"});
}

TEST_CASE("no option has the double hyphen for its value") {
    parts_into({"run", "vsim", "-I", "--", "make", "{}"}, {"run", "vsim", "-I"}, {"make", "{}"});
    parts_into({"run", "vsim", "--ttl", "--", "make"}, {"run", "vsim", "--ttl"}, {"make"});
}

TEST_CASE("an option that ends with its equals sign has an empty value") {
    parts_into({"--server=", "inspect", "vsim"}, {"--server", "", "inspect", "vsim"}, {});
    parts_into({"run", "--server=", "vsim", "--", "make", "--x="}, {"run", "--server", "", "vsim"},
               {"make", "--x="});
    parts_into({"run", "--ttl=a=", "vsim"}, {"run", "--ttl=a=", "vsim"}, {});
}

TEST_CASE("what is no command line of run stays whole, and ends at an unknown option") {
    for (const Words& words : {Words{}, Words{"inspect", "vsim"}, Words{"inspect", "--", "vsim"},
                               Words{"run", "vsim"}, Words{"--what", "run", "vsim", "--", "make"}})
        parts_into(words, words, {});
    // Which the parser then names, and nothing else.
    parts_into({"run", "vsim", "--tll", "5", "--", "make"}, {"run", "vsim", "--tll"}, {});
}

namespace {

// What a command makes of the words, whose only option or argument has this name.
std::optional<std::int64_t> number_of(const std::string& name, Words words) {
    CLI::App app;
    std::optional<std::int64_t> number;
    sema::add_signed(app, name, number, "", {-100, 100});
    std::reverse(words.begin(), words.end());
    app.parse(words);
    return number;
}

}  // namespace

TEST_CASE("a number with a sign is taken as an argument and as an option's value") {
    for (const auto& [text, number] :
         {std::pair{"2", 2}, {"+2", 2}, {"-2", -2}, {"0", 0}, {"-100", -100}, {"+100", 100}, {"007", 7}}) {
        CAPTURE(text);
        CHECK(number_of("N", {text}) == number);
        CHECK(number_of("--by", {"--by", text}) == number);
        CHECK(number_of("--by", {std::string("--by=") + text}) == number);
    }
}

TEST_CASE("what is no number with a sign is refused") {
    for (const char* text : {"", "+", "2.0", "two", "101", "-101"}) {
        CAPTURE(text);
        CHECK_THROWS_AS(number_of("--by", {std::string("--by=") + text}), CLI::ParseError);
    }
}
