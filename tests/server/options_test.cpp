#include "server/options.hpp"

#include "tests/support/catch.hpp"

#include <cstdlib>

using namespace std::chrono_literals;
using namespace sema;

namespace {

Expected<std::variant<Options, Printed>> parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "semad");
    return parse_options(static_cast<int>(arguments.size()), arguments.data());
}

Options options(std::vector<const char*> arguments) {
    auto parsed = parse(std::move(arguments));
    INFO((parsed ? "" : parsed.error().message));
    REQUIRE(parsed);
    return std::get<Options>(*parsed);
}

std::string refusal(std::vector<const char*> arguments) {
    const auto parsed = parse(std::move(arguments));
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().message.find('\n') == std::string::npos);
    return parsed.error().message;
}

}  // namespace

TEST_CASE("without options semad listens on the loopback port and keeps its data in the state folder") {
    setenv("XDG_STATE_HOME", "/x/state", 1);
    unsetenv("STATE_DIRECTORY");
    const Options defaults = options({});
    REQUIRE(defaults.listen.size() == 1);
    CHECK(std::get<http::TcpAddress>(defaults.listen[0]).host == "127.0.0.1");
    CHECK(std::get<http::TcpAddress>(defaults.listen[0]).port == "7717");
    CHECK(describe(defaults.store) == "sqlite:/x/state/semad/semad.db");
    CHECK(defaults.limits.max_ttl == 24h);
    CHECK(defaults.limits.max_wait == 300s);
    CHECK(defaults.max_count == 1000);
    setenv("STATE_DIRECTORY", "/var/lib/semad:/other", 1);
    CHECK(describe(options({}).store) == "sqlite:/var/lib/semad/semad.db");
    unsetenv("STATE_DIRECTORY");
    unsetenv("XDG_STATE_HOME");
    setenv("HOME", "/home/me", 1);
    CHECK(describe(options({}).store) == "sqlite:/home/me/.local/state/semad/semad.db");
}

TEST_CASE("semad listens on as many addresses as it is told") {
    const Options many =
        options({"--listen", "0.0.0.0:80", "--listen", "[::1]:7717", "--listen", "unix:/run/s"});
    REQUIRE(many.listen.size() == 3);
    CHECK(std::get<http::TcpAddress>(many.listen[1]).host == "::1");
    CHECK(std::get<http::UnixAddress>(many.listen[2]).path == "/run/s");
}

TEST_CASE("limits are read with their units") {
    const Options limits = options({"--max-ttl", "2h", "--max-wait", "1.5", "--max-count=7", "--max-pools=8",
                                    "--max-waiters=9", "--max-connections=10", "--threads=3"});
    CHECK(limits.limits.max_ttl == 2h);
    CHECK(limits.limits.max_wait == 1500ms);
    CHECK(limits.max_count == 7);
    CHECK(limits.limits.max_pools == 8);
    CHECK(limits.limits.max_waiters == 9);
    CHECK(limits.max_connections == 10);
    CHECK(limits.threads == 3);
}

TEST_CASE("what semad does not understand is refused in one line") {
    for (const std::vector<const char*>& arguments :
         std::vector<std::vector<const char*>>{{"--nonsense"},
                                               {"stray"},
                                               {"--listen", "7717"},
                                               {"--listen", "::1:7717"},
                                               {"--listen", "h:70000"},
                                               {"--listen", "unix:"},
                                               {"--listen", ":80"},
                                               {"--store", "redis:x"},
                                               {"--store", "sqlite:"},
                                               {"--max-ttl", "0"},
                                               {"--max-ttl", "soon"},
                                               {"--max-count", "-1"},
                                               {"--max-count", "x"},
                                               {"--log-format", "xml"},
                                               {"--log-level", "loud"},
                                               {"--threads"}}) {
        CAPTURE(arguments.front());
        CHECK_FALSE(refusal(arguments).empty());
    }
}

TEST_CASE("help and version are text for stdout") {
    CHECK(std::get<Printed>(*parse({"--version"})).text.rfind("semad ", 0) == 0);
    const std::string help = std::get<Printed>(*parse({"--help"})).text;
    for (const char* option :
         {"--listen", "--store", "--max-ttl", "--max-wait", "--max-count", "--max-pools", "--max-connections",
          "--max-waiters", "--threads", "--log-format", "--log-level"}) {
        CAPTURE(option);
        CHECK(help.find(option) != std::string::npos);
    }
}
