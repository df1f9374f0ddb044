#include "cli/run/process_tree.hpp"
#include "tests/e2e/semactl.hpp"
#include "tests/e2e/terminal.hpp"
#include "tests/support/catch.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <fstream>
#include <regex>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;

constexpr char ctrl_d = 4;

// A person at a terminal, with a server and a pool of one slot.
struct Desk {
    Desk() {
        REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0);
        terminal.resize(24, 120);
    }
    ProgramOptions at_terminal() const {
        ProgramOptions options;
        options.terminal = terminal.name();
        options.environment["TERM"] = "xterm";
        options.environment["LESS"] = "";
        options.directory = semactl.folder();
        return semactl.options(options);
    }
    // As somebody else would take the slot, and give it back.
    std::string take() const {
        const Finished borrowed = semactl({"borrow", "vsim", "--ttl", "1h", "--output", "json"});
        REQUIRE(borrowed.status == 0);
        return nlohmann::json::parse(borrowed.out).at("lease");
    }
    void give_back(const std::string& lease) const {
        REQUIRE(semactl({"return", "vsim", lease}).status == 0);
    }

    RunningServer server;
    Semactl semactl{server.url()};
    Terminal terminal;
};

Words run(Words command) {
    Words words = {"run", "vsim", "--"};
    words.insert(words.end(), command.begin(), command.end());
    return Semactl::command(words);
}

// How often a text is on the screen.
int count(const std::string& screen, const std::string& text) {
    int all = 0;
    for (std::size_t at = 0; (at = screen.find(text, at)) != std::string::npos; at += text.size())
        ++all;
    return all;
}

}  // namespace

TEST_CASE("a command that reads the terminal does so after the wait, too") {
    Desk desk;
    const std::string lease = desk.take();
    Program cat(run({"cat"}), desk.at_terminal());
    REQUIRE(desk.terminal.shows("1/1 in use"));
    desk.give_back(lease);
    REQUIRE(desk.terminal.shows("vsim: position 0, after"));
    desk.terminal.type("some words\n");
    // Once as the terminal's echo, and once from cat.
    REQUIRE(eventually([&] { return count(desk.terminal.screen(), "some words\r\n") == 2; }));
    desk.terminal.type(ctrl_d);
    CHECK(cat.wait() == 0);
    CHECK(desk.semactl.in_use() == 0);
}

TEST_CASE("a program that takes the whole screen works under semactl") {
    Desk desk;
    std::ofstream lines(desk.semactl.folder() / "lines");
    for (int i = 1; i <= 200; ++i)
        lines << "line " << i << " of many\n";
    lines.close();
    Program less(run({"less", "lines"}), desk.at_terminal());
    REQUIRE(desk.terminal.shows("line 23 of many"));
    CHECK(desk.terminal.screen().find("line 24 of many") == std::string::npos);
    desk.terminal.type('G');
    REQUIRE(desk.terminal.shows("line 200 of many"));
    desk.terminal.type('q');
    CHECK(less.wait() == 0);
}

TEST_CASE("an interactive shell works under semactl, with jobs of its own") {
    Desk desk;
    ProgramOptions options = desk.at_terminal();
    options.environment["PS1"] = "inner> ";
    Program shell(run({"bash", "--norc", "--noprofile", "-i"}), options);
    REQUIRE(desk.terminal.shows("inner> "));
    CHECK(desk.terminal.screen().find("no job control") == std::string::npos);
    desk.terminal.type("sleep 60\n");
    const auto sleep_is_in_front = [&] {
        const auto process = sema::find_process(desk.terminal.foreground(), sema::ProcFolder());
        return process && process->name == "sleep" && process->state != 'T';
    };
    REQUIRE(eventually(sleep_is_in_front));
    CHECK(desk.semactl.in_use() == 1);
    desk.terminal.type(ctrl_z);
    REQUIRE(desk.terminal.shows("Stopped"));
    const auto prompts = [&](int number) {
        return eventually([&] { return count(desk.terminal.screen(), "inner> ") == number; });
    };
    REQUIRE(prompts(2));
    desk.terminal.type("fg\n");
    // What is typed, what the shell said of the job that stopped, and what it says of the one in front.
    REQUIRE(eventually([&] { return count(desk.terminal.screen(), "sleep 60") == 3; }));
    REQUIRE(eventually(sleep_is_in_front));
    desk.terminal.type(ctrl_c);
    REQUIRE(prompts(3));
    desk.terminal.type("echo $((6 * 7))\n");
    REQUIRE(desk.terminal.shows("42\r\n"));
    desk.terminal.type("exit 5\n");
    CHECK(shell.wait() == 5);
    CHECK(desk.semactl.in_use() == 0);
}

TEST_CASE("the live line is one row, and gone before the command writes") {
    Desk desk;
    const std::string lease = desk.take();
    Program echo(run({"echo", "served"}), desk.at_terminal());
    REQUIRE(desk.terminal.shows("waiting for vsim: 1st of 1"));
    desk.terminal.resize(24, 30);
    // The time stays to the last.
    const std::regex short_line("waiting for vsim: [0-9]+s of ");
    REQUIRE(eventually([&] { return std::regex_search(desk.terminal.screen(), short_line); }));
    desk.give_back(lease);
    CHECK(echo.wait() == 0);
    const std::string& screen = desk.terminal.screen();
    // Whatever was drawn began at the row's left and never went to a next one.
    CHECK(screen.find('\n') == screen.find("\r\n", screen.find("vsim: position 0")) + 1);
    CHECK_THAT(screen, Catch::Matchers::EndsWith("s\r\nserved\r\n"));
}

TEST_CASE("a stop while waiting gives the terminal back, and the wait goes on after it") {
    Desk desk;
    const std::string lease = desk.take();
    const std::string shell =
        "set -m; " SEMACTL " run vsim --wait 60 -- echo served; echo status $?; fg; echo status $?";
    Program bash({"bash", "-c", shell}, desk.at_terminal());
    REQUIRE(desk.terminal.shows("waiting for vsim: 1st of 1"));
    desk.terminal.type(ctrl_z);
    // 128 + TSTP
    REQUIRE(desk.terminal.shows("status 148"));
    desk.give_back(lease);
    REQUIRE(desk.terminal.shows("served"));
    REQUIRE(desk.terminal.shows("status 0"));
    CHECK(bash.wait() == 0);
}

TEST_CASE("a command that is killed leaves the terminal as it was") {
    Desk desk;
    Words words =
        GENERATE(Words{"--kill-after", "100ms"}, Words{"--ttl", "4", "--no-keepalive"}, Words{"-q"});
    words.insert(words.begin(), {"run", "vsim"});
    words.insert(words.end(), {"--", "sh", "-c",
                               "trap '' TERM; stty raw -echo; echo ready; while :; do sleep 0.05; done"});
    Program raw(Semactl::command(words), desk.at_terminal());
    REQUIRE(desk.terminal.shows("ready"));
    REQUIRE_FALSE(desk.terminal.echoes());
    if (words[2] == "-q") {
        // By somebody else.
        for (const auto& process : sema::descendants(raw.pid(), {}, sema::ProcFolder()).found) {
            if (process.parent == raw.pid() && process.name == "sh") kill(process.pid, SIGKILL);
        }
    } else if (words[2] == "--kill-after") {
        raw.signal(SIGTERM);
    }
    CHECK(raw.wait() == (words[2] == "--ttl" ? 79 : 128 + SIGKILL));
    CHECK(desk.terminal.echoes());
}

TEST_CASE("a command that ends by itself leaves the terminal as it wants to") {
    Desk desk;
    Program stty(run({"stty", "-echo"}), desk.at_terminal());
    CHECK(stty.wait() == 0);
    CHECK_FALSE(desk.terminal.echoes());
}

TEST_CASE("a job that is killed in the background leaves the terminal alone") {
    Desk desk;
    const std::string shell = "set -m; " SEMACTL
                              " run vsim -- sh -c 'echo ready; exec sleep 60'; bg; stty -echo; "
                              "kill -TERM $(jobs -p); wait; echo all over";
    Program bash({"bash", "-c", shell}, desk.at_terminal());
    REQUIRE(desk.terminal.shows("ready"));
    desk.terminal.type(ctrl_z);
    REQUIRE(desk.terminal.shows("all over"));
    CHECK_FALSE(desk.terminal.echoes());
}

TEST_CASE("a shell that is killed with the job in its foreground leaves the terminal as it was") {
    Desk desk;
    const std::string shell =
        "set -m; " SEMACTL
        " run vsim --ttl 8 --no-keepalive -- env PS1='inner> ' bash --norc --noprofile -i; "
        "echo all over";
    Program bash({"bash", "-c", shell}, desk.at_terminal());
    REQUIRE(desk.terminal.shows("inner> "));
    desk.terminal.type("sh -c 'trap \"\" TERM; stty -echo; echo $((6 * 7)); exec sleep 60'\n");
    REQUIRE(desk.terminal.shows("42\r\n"));
    REQUIRE_FALSE(desk.terminal.echoes());
    REQUIRE(desk.terminal.shows("all over"));
    CHECK(desk.terminal.echoes());
}

TEST_CASE("Ctrl-C ends what a command left behind, where that is waited for") {
    Desk desk;
    const auto ready = desk.semactl.folder() / "ready";
    Program run(Semactl::command({"run", "vsim", "--hold-tree", "--", "sh", "-c",
                                  "setsid sh -c 'echo $$ > ready; exec sleep 1000' & exit 0"}),
                desk.at_terminal());
    REQUIRE(eventually([&] { return std::filesystem::exists(ready); }));
    REQUIRE(desk.terminal.shows("the slot is held until these end too"));
    desk.terminal.type(ctrl_c);
    // The command's own status.
    CHECK(run.wait() == 0);
    CHECK(desk.semactl.in_use() == 0);
}
