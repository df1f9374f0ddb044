#include "tests/e2e/semad_config.hpp"
#include "tests/e2e/terminal.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/reserved_port.hpp"

#include <poll.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

using namespace sema::test;
using sema::test::has_text;

namespace {

const std::string admin_token = "s3cret-admin-token";

/// Gives semad something to say: all calls, good and bad, failures of its store, and its end. Returns what
/// it said.
std::string log_of_a_troubled_life(std::vector<std::string> options) {
    const TempDir folder;
    const std::string file = (folder.path() / "admin-token").string();
    // Readable by others, as there is something to say then.
    std::ofstream(file) << admin_token << "\n";
    std::filesystem::permissions(file, std::filesystem::perms(0644));
    options.insert(options.end(), {"--admin-token-file", file});
    RunningServer server(options);
    const TestPool pool(server, 2);
    const Slot slot = pool.take();
    for (const std::string& value : {"Bearer " + admin_token, "Bearer x" + admin_token, admin_token})
        call(server.port(), "GET", "/pools", "", "Authorization: " + value + "\r\n");
    RawClient client(server.port());
    client.send("nonsense /l/" + pool.id() + "\r\n\r\n");
    client.receive();
    call(server.port(), "POST", "/" + pool.id(), R"({"lease":")" + slot.lease + "\"");
    pool.give_back(R"({"lease":")" + slot.lease + R"(","lease")");
    pool.give_back(R"({"lease":"{)" + slot.lease + R"("})");
    {
        const FullDisk full(server);
        CHECK(pool.give_back(R"({"lease":")" + slot.lease + R"("})").status == 502);
        CHECK(pool.remove().status == 502);
    }
    CHECK(pool.returns(slot));
    pool.take();
    const RawClient waiter = pool.queue_up();
    pool.remove();
    CHECK(server.terminate() == 0);
    return server.log();
}

/// Writes there until it takes nothing more.
void fill(const std::string& path) {
    const int end = open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    REQUIRE(end >= 0);
    const std::string text(4096, 'x');
    while (write(end, text.data(), text.size()) > 0) {
    }
    CHECK(errno == EAGAIN);
    close(end);
}

const std::string any_pool = "11111111-2222-4333-8444-555555555555";

/// Has a semad whose log nobody reads reload twice, which it logs, serve meanwhile, and end.
void expect_life(Program& semad, int port, const ConfigFile& file) {
    for (const std::string count : {"5", "6"}) {
        file.write("[limits]\nmax-count = " + count + "\n");
        semad.signal(SIGHUP);
        CHECK(eventually(
            [&] { return call(port, "PUT", "/l/" + any_pool, R"({"count":)" + count + "}").status == 200; }));
    }
    semad.signal(SIGTERM);
    CHECK(semad.wait() == 0);
}

}  // namespace

TEST_CASE("semad serves, reloads and ends though the pipe that it logs to is full") {
    std::array<int, 2> ends{};
    REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
    const ConfigFile file("[limits]\nmax-count = 4\n");
    const ReservedPort port;
    ProgramOptions options;
    options.passed = {ends[1]};
    Program semad(
        {"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&" + std::to_string(ends[1]), SEMAD, "--config", file.path(),
         "--listen", "127.0.0.1:" + std::to_string(port.number()), "--store", "memory:"},
        options);
    // The line that says where it listens.
    pollfd output{ends[0], POLLIN, 0};
    REQUIRE(poll(&output, 1, 60'000) == 1);
    fill("/proc/self/fd/" + std::to_string(ends[1]));
    expect_life(semad, port.number(), file);
    for (const int end : ends)
        close(end);
}

TEST_CASE("semad serves, reloads and ends though its terminal was halted with Ctrl-S") {
    Terminal terminal;
    const ConfigFile file("[limits]\nmax-count = 4\n");
    const ReservedPort port;
    ProgramOptions options;
    options.terminal = terminal.name();
    Program semad({SEMAD, "--config", file.path(), "--listen", "127.0.0.1:" + std::to_string(port.number()),
                   "--store", "memory:"},
                  options);
    REQUIRE(terminal.shows(" listening on "));
    terminal.type(ctrl_s);
    fill(terminal.name());
    expect_life(semad, port.number(), file);
}

TEST_CASE("no UUID and no admin token is ever logged") {
    const std::string log = log_of_a_troubled_life({"--log-level", "debug"});
    CHECK_THAT(log, has_text("could not commit") && has_text("stopped"));
    const std::regex uuid("[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}");
    CAPTURE(log);
    CHECK_FALSE(std::regex_search(log, uuid));
    CHECK_THAT(log, has_text("admin token") && !has_text("s3cret"));
}

TEST_CASE("a log in JSON is one object a line") {
    std::istringstream log(log_of_a_troubled_life({"--log-format", "json"}));
    std::string line;
    int lines = 0;
    int errors = 0;
    while (std::getline(log, line)) {
        CAPTURE(line);
        const auto object = nlohmann::json::parse(line);
        CHECK(object.size() == 3);
        CHECK(std::regex_match(object.at("time").get<std::string>(),
                               std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z)")));
        if (lines++ == 0) CHECK_THAT(object.at("message").get<std::string>(), has_text(" listening on "));
        if (object.at("level") == "error") ++errors;
    }
    CHECK(lines >= 4);
    CHECK(errors >= 1);
}
