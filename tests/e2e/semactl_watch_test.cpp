#include "tests/e2e/semactl.hpp"
#include "tests/e2e/terminal.hpp"
#include "tests/support/catch.hpp"

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <array>
#include <csignal>
#include <sstream>

using namespace sema::test;
using Json = nlohmann::json;

namespace {

struct World {
    World() { REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0); }

    RunningServer server;
    Semactl semactl{server.url()};
};

// The states that were printed in whole.
std::vector<Json> states_in(const std::string& output) {
    std::vector<Json> states;
    std::istringstream lines(output.substr(0, output.rfind('\n') + 1));
    for (std::string line; std::getline(lines, line);)
        states.push_back(Json::parse(line));
    return states;
}

bool shows_in_use(const Program& watch, int in_use) {
    return eventually([&] {
        const auto states = states_in(watch.out());
        return !states.empty() && states.back().at("in_use") == in_use;
    });
}

}  // namespace

TEST_CASE("a watch prints a line at once and one for each change") {
    const World world;
    Program watch(Semactl::command({"watch", "vsim"}), world.semactl.options());
    REQUIRE(shows_in_use(watch, 0));
    REQUIRE(world.semactl({"borrow", "vsim", "--ttl", "60", "--holder", "ann"}).status == 0);
    REQUIRE(shows_in_use(watch, 1));
    CHECK(states_in(watch.out()).back().at("holders").at(0).at("holder").at("name") == "ann");
    REQUIRE(world.semactl({"revoke", "vsim", "0"}).status == 0);
    REQUIRE(shows_in_use(watch, 0));
    CHECK(states_in(watch.out()).size() == 3);

    watch.signal(SIGTERM);
    CHECK(watch.wait() == 128 + SIGTERM);
    CHECK(watch.err().empty());
}

TEST_CASE("a watch goes on after the server was killed and started again") {
    World world;
    Program watch(Semactl::command({"watch", "vsim"}), world.semactl.options());
    REQUIRE(shows_in_use(watch, 0));
    world.server.kill9();
    const std::string server = "semactl: " + world.server.url();
    const std::string away = server + " is not available: the connection was closed (trying again)\n";
    REQUIRE(watch.warns(away));
    world.server.start();
    REQUIRE(world.semactl({"borrow", "vsim", "--ttl", "60"}).status == 0);
    REQUIRE(shows_in_use(watch, 1));
    watch.signal(SIGINT);
    CHECK(watch.wait() == 128 + SIGINT);
    // Each is said once, however often the server is tried.
    CHECK(watch.err() == away + server + " is available again\n");
}

TEST_CASE("a watch ends at a signal while the server is away") {
    World world;
    Program watch(Semactl::command({"watch", "vsim"}), world.semactl.options());
    REQUIRE(shows_in_use(watch, 0));
    world.server.kill9();
    REQUIRE(watch.warns("trying again"));
    watch.signal(SIGINT);
    CHECK(watch.wait() == 128 + SIGINT);
}

TEST_CASE("a watch ends when its pool is deleted, and doesn't begin without one") {
    const World world;
    Program watch(Semactl::command({"watch", "vsim"}), world.semactl.options());
    REQUIRE(shows_in_use(watch, 0));
    REQUIRE(world.semactl({"delete", "vsim"}).status == 0);
    CHECK(watch.wait() == 66);
    CHECK_THAT(watch.err(), has_text("semactl: vsim: no such pool on " + world.server.url()));

    const Finished none = world.semactl({"watch", "vsim"});
    CHECK(none.status == 66);
    CHECK(none.out.empty());
}

TEST_CASE("a watch of a server that was never there is an error") {
    const Finished nobody = Semactl("http://127.0.0.1:9")({"watch", "vsim"});
    CHECK(nobody.status == 69);
}

TEST_CASE("a watch whose output nobody takes any more ends") {
    const World world;
    const Finished lost =
        run_program({"sh", "-c", SEMACTL " watch vsim > /dev/full"}, world.semactl.options());
    CHECK(lost.status == 125);
    CHECK(lost.err == "semactl: cannot write to the standard output\n");
}

TEST_CASE("a watch into a pipe without a reader ends as other programs do") {
    const World world;
    std::array<int, 2> ends{};
    REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
    close(ends[0]);
    ProgramOptions options = world.semactl.options();
    options.passed = {ends[1]};
    const std::vector<std::string> watch = {"sh", "-c",
                                            "exec " SEMACTL " watch vsim >&" + std::to_string(ends[1])};
    for (const bool is_ignored : {false, true}) {
        if (is_ignored) options.ignored = {SIGPIPE};
        const Finished ended = run_program(watch, options);
        CHECK(ended.status == 128 + SIGPIPE);
        CHECK(ended.err.empty());
    }
    close(ends[1]);
}

TEST_CASE("on a terminal a watch draws its table in place, and puts the cursor back at Ctrl-C") {
    const World world;
    Terminal terminal;
    terminal.resize(24, 60);
    ProgramOptions options;
    options.terminal = terminal.name();
    options.environment["TERM"] = "xterm";
    Program watch(Semactl::command({"watch", "vsim"}), world.semactl.options(options));
    REQUIRE(terminal.shows("vsim: 0 of 1 in use, 1 available"));
    const std::string name(100, 'n');
    REQUIRE(world.semactl({"borrow", "vsim", "--ttl", "60", "--holder", name, "--holder-url", "https://x"})
                .status == 0);
    REQUIRE(terminal.shows("\r\x1b[Kvsim: 1 of 1 in use, 0 available\r"));
    // Shortened, so that the line fits.
    REQUIRE(terminal.shows("\x1b]8;;https://x\x1b\\nnn"));
    CHECK(terminal.screen().find(name) == std::string::npos);
    REQUIRE(terminal.shows("\x1b[3A"));

    terminal.resize(2, 60);
    REQUIRE(terminal.shows("\x1b[2J"));
    REQUIRE(terminal.shows("(4 lines more)"));
    terminal.type(ctrl_c);
    CHECK(watch.wait() == 130);
    // What a program writes last may come to the other side after its end is seen.
    const std::string last = "\x1b[?7h\x1b[?25h";
    CHECK(eventually([&] {
        const std::string& screen = terminal.screen();
        return screen.size() >= last.size() &&
               screen.compare(screen.size() - last.size(), last.size(), last) == 0;
    }));
}

TEST_CASE("a watch on a terminal can be suspended, and draws anew when it goes on") {
    const World world;
    Terminal terminal;
    ProgramOptions options;
    options.terminal = terminal.name();
    options.environment["TERM"] = "xterm";
    // A shell between, since a session's leader is not suspended by a key.
    Program watch({"bash", "-ic", SEMACTL " watch vsim; echo suspended; fg"}, world.semactl.options(options));
    REQUIRE(terminal.shows("vsim: 0 of 1 in use"));
    terminal.type(ctrl_z);
    REQUIRE(terminal.shows("\x1b[?25h"));
    REQUIRE(terminal.shows("suspended"));
    REQUIRE(world.semactl({"resize", "vsim", "+3"}).status == 0);
    REQUIRE(terminal.shows("vsim: 0 of 4 in use"));
    terminal.type(ctrl_c);
    CHECK(eventually([&] { return watch.ended(); }));
}

TEST_CASE("a watch in the background stops until it is brought to the foreground, and draws nothing before") {
    const World world;
    Terminal terminal;
    ProgramOptions options;
    options.terminal = terminal.name();
    options.environment["TERM"] = "xterm";
    const std::string shell = "set -m; " SEMACTL
                              " watch vsim & wait %1; echo status $?; fg; echo in front no more; "
                              "bg; wait %1; echo status again $?; fg; echo ended $?";
    Program bash({"bash", "-c", shell}, world.semactl.options(options));
    // 128 + TTOU
    REQUIRE(terminal.shows("status 150"));
    CHECK_THAT(terminal.screen().substr(0, terminal.screen().find("status 150")), !has_text("\x1b"));
    REQUIRE(terminal.shows("vsim: 0 of 1 in use"));
    terminal.type(ctrl_z);
    REQUIRE(terminal.shows("in front no more"));
    REQUIRE(terminal.shows("status again 150"));
    REQUIRE(world.semactl({"resize", "vsim", "+3"}).status == 0);
    REQUIRE(terminal.shows("vsim: 0 of 4 in use"));
    terminal.type("q");
    REQUIRE(terminal.shows("ended 0"));
    CHECK(bash.wait() == 0);
}

TEST_CASE("on a terminal a watch with JSON output prints lines") {
    const World world;
    Terminal terminal;
    ProgramOptions options;
    options.terminal = terminal.name();
    options.environment["TERM"] = "xterm";
    Program watch(Semactl::command({"--output", "json", "watch", "vsim"}), world.semactl.options(options));
    REQUIRE(terminal.shows("\"available\":1"));
    CHECK(terminal.screen().find('\x1b') == std::string::npos);
    terminal.type(ctrl_c);
    CHECK(watch.wait() == 130);
}

TEST_CASE("a watch on a terminal ends at q, with the terminal as it was") {
    const World world;
    Terminal terminal;
    ProgramOptions options;
    options.terminal = terminal.name();
    options.environment["TERM"] = "xterm";
    const std::string modes = "stty -a | grep -o '.icanon\\|.echo '";
    Program watch({"bash", "-c", modes + "; " SEMACTL " watch vsim; echo ended $?; " + modes},
                  world.semactl.options(options));
    REQUIRE(terminal.shows("vsim: 0 of 1 in use, 1 available"));
    terminal.type("x");
    terminal.type("q");
    REQUIRE(terminal.shows("ended 0"));
    CHECK(watch.wait() == 0);
    // The keys are not echoed.
    CHECK_THAT(terminal.screen(), !has_text("x") && !has_text("q"));
    const std::string after = terminal.screen().substr(terminal.screen().find("ended 0"));
    CHECK_THAT(terminal.screen(), Catch::Matchers::StartsWith(after.substr(after.find('\n') + 1)));
}

TEST_CASE("a watch that is suspended gives its terminal back, and takes keys again when it goes on") {
    const World world;
    Terminal terminal;
    ProgramOptions options;
    options.terminal = terminal.name();
    options.environment["TERM"] = "xterm";
    Program watch({"bash", "-ic", SEMACTL " watch vsim; stty -a; echo suspended; fg; echo ended $?"},
                  world.semactl.options(options));
    REQUIRE(terminal.shows("vsim: 0 of 1 in use"));
    terminal.type(ctrl_z);
    REQUIRE(terminal.shows("suspended"));
    CHECK_THAT(terminal.screen(), has_text(" icanon") && has_text(" echo "));
    REQUIRE(world.semactl({"resize", "vsim", "+1"}).status == 0);
    REQUIRE(terminal.shows("vsim: 0 of 2 in use"));
    terminal.type("q");
    REQUIRE(terminal.shows("ended 0"));
}

TEST_CASE("a line that fills its row loses no character") {
    const World world;
    Terminal terminal;
    const std::string line = "vsim: 0 of 1 in use, 1 available";
    terminal.resize(24, static_cast<unsigned short>(line.size()));
    ProgramOptions options;
    options.terminal = terminal.name();
    options.environment["TERM"] = "xterm";
    Program watch(Semactl::command({"watch", "vsim"}), world.semactl.options(options));
    REQUIRE(terminal.shows(line));
    terminal.type("q");
    CHECK(watch.wait() == 0);
    // Behind a full row the cursor stands on its last character.
    const std::string screen = terminal.screen();
    CHECK(screen.substr(screen.find(line) + line.size(), 1) == "\r");
}
