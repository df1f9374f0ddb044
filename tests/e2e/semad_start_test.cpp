#include "common/version.hpp"
#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

using namespace sema::test;
using Catch::Matchers::StartsWith;
using sema::test::has_text;
namespace fs = std::filesystem;

namespace {

const std::string version = sema::version;
const std::vector<std::string> anywhere = {SEMAD, "--listen", "127.0.0.1:0"};

std::vector<std::string> with(std::vector<std::string> command, const std::vector<std::string>& more) {
    command.insert(command.end(), more.begin(), more.end());
    return command;
}

/// What semad says where it cannot start: one line, and exit status 2.
std::string refusal(const std::vector<std::string>& options) {
    std::vector<std::string> command = {SEMAD};
    const Finished run = run_program(with(command, options));
    CHECK(run.status == 2);
    CHECK(run.out.empty());
    CHECK_THAT(run.err, StartsWith("semad: "));
    CHECK(run.err.find('\n') == run.err.size() - 1);
    return run.err;
}

}  // namespace

TEST_CASE("semad says in one line that it serves, where, and with what store") {
    RunningServer server;
    const std::string line = "semad " + version + " listening on " + server.url() +
                             ", store sqlite:" + server.store().string() + "\n";
    CHECK_THAT(server.log(), StartsWith(line));
    CHECK(call(server.port(), "GET", "/version").body == R"({"version":")" + version + R"("})");
}

TEST_CASE("semad tells every address that it listens on") {
    const TempDir folder;
    const std::string socket = "unix:" + (folder.path() / "semad.sock").string();
    const RunningServer server({"--listen", socket, "--store", "memory:"});
    CHECK(server.log() ==
          "semad " + version + " listening on " + server.url() + ", " + socket + ", store memory:\n");
}

TEST_CASE("port 0 is any free port, and is told") {
    const auto port_of = [](Program& semad) {
        REQUIRE(semad.warns(", store memory:\n"));
        const std::string start = "semad " + version + " listening on http://127.0.0.1:";
        REQUIRE_THAT(semad.err(), StartsWith(start));
        return std::stoi(semad.err().substr(start.size()));
    };
    Program one(with(anywhere, {"--store", "memory:"}));
    Program other(with(anywhere, {"--store", "memory:"}));
    const int port = port_of(one);
    CHECK(port != port_of(other));
    CHECK(call(port, "GET", "/healthz").body == R"({"status":"ok"})");
}

TEST_CASE("the ready line is printed whatever the log level") {
    const RunningServer server({"--log-level", "off"});
    CHECK_THAT(server.log(), StartsWith("semad " + version + " listening on "));
}

TEST_CASE("the store is in the service's state folder, else in the user's") {
    const TempDir folder;
    const auto store_with = [&](const std::map<std::string, std::string>& environment) {
        ProgramOptions options;
        options.environment = {{"STATE_DIRECTORY", ""}, {"XDG_STATE_HOME", ""}, {"HOME", ""}};
        for (const auto& [name, path] : environment)
            options.environment[name] = (folder.path() / path).string();
        Program semad(anywhere, options);
        REQUIRE(semad.warns("store sqlite:"));
        REQUIRE(semad.warns("\n"));
        const std::string line = semad.err();
        const fs::path store =
            line.substr(line.find("store sqlite:") + 13, line.find('\n') - line.find("store sqlite:") - 13);
        CHECK(fs::exists(store));
        return store.lexically_relative(folder.path()).string();
    };
    CHECK(store_with({{"STATE_DIRECTORY", "service"}, {"XDG_STATE_HOME", "xdg"}, {"HOME", "home"}}) ==
          "service/semad.db");
    CHECK(store_with({{"XDG_STATE_HOME", "xdg"}, {"HOME", "home"}}) == "xdg/semad/semad.db");
    CHECK(store_with({{"HOME", "home"}}) == "home/.local/state/semad/semad.db");
    CHECK(fs::status(folder.path() / "home/.local/state/semad/semad.db").permissions() == fs::perms(0600));
}

TEST_CASE("help and version go to stdout") {
    const Finished help = run_program({SEMAD, "--help"});
    CHECK(help.status == 0);
    CHECK(help.err.empty());
    CHECK_THAT(help.out, has_text("--listen") && has_text("--store"));
    const Finished shown = run_program({SEMAD, "--version"});
    CHECK(shown.status == 0);
    CHECK(shown.out == "semad " + version + "\n");
}

TEST_CASE("bad usage is refused in one line") {
    CHECK_THAT(refusal({"--frobnicate"}), has_text("--frobnicate"));
    CHECK_THAT(refusal({"surplus"}), has_text("surplus"));
    CHECK_THAT(refusal({"--max-count", "many"}), has_text("--max-count"));
    CHECK_THAT(refusal({"--max-count", "-1"}), has_text("--max-count"));
    CHECK_THAT(refusal({"--max-ttl", "0"}), has_text("--max-ttl"));
    CHECK_THAT(refusal({"--max-wait", "soon"}), has_text("--max-wait"));
    CHECK_THAT(refusal({"--max-pools", "x"}), has_text("--max-pools"));
    CHECK_THAT(refusal({"--threads", "5000"}), has_text("--threads"));
    CHECK_THAT(refusal({"--log-level", "loud"}), has_text("--log-level"));
    CHECK_THAT(refusal({"--log-format", "xml"}), has_text("--log-format"));
    CHECK_THAT(refusal({"--store", "paper:"}), has_text("paper:"));
    CHECK_THAT(refusal({"--store"}), has_text("--store"));
    for (const char* address : {"7717", "localhost", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536",
                                ":7717", "::1:7717", "unix:"}) {
        CHECK_THAT(refusal({"--store", "memory:", "--listen", address}), has_text(address));
    }
}

TEST_CASE("an admin token that cannot be had is refused in one line, and not quoted") {
    const TempDir folder;
    const std::string file = (folder.path() / "admin-token").string();
    const auto refused = [&](const std::string& path) {
        return refusal({"--store", "memory:", "--listen", "127.0.0.1:0", "--admin-token-file", path});
    };
    CHECK_THAT(refused(file), has_text(file + ": No such file or directory"));
    std::ofstream(file) << "\n";
    CHECK_THAT(refused(file), has_text(file + ": it is empty"));
    std::ofstream(file) << "hunter2 hunter3\n";
    CHECK_THAT(refused(file), has_text(file) && !has_text("hunter"));
    CHECK_THAT(refused(""), has_text("--admin-token-file"));
}

TEST_CASE("an admin token that others can read is warned of behind the ready line") {
    const TempDir folder;
    const std::string file = (folder.path() / "admin-token").string();
    std::ofstream(file) << "hunter2\n";
    fs::permissions(file, fs::perms(0644));
    RunningServer server({"--admin-token-file", file});
    CHECK(server.program().warns(file + " holds the admin token and others can read it (chmod 600 it)\n"));
    CHECK_THAT(server.log(), StartsWith("semad " + version + " listening on ") && !has_text("hunter2"));
    CHECK(server.terminate() == 0);
    fs::permissions(file, fs::perms(0600));
    server.start();
    CHECK(server.terminate() == 0);
    CHECK_THAT(server.log(), !has_text("admin token"));
}

TEST_CASE("an address that cannot be had is refused in one line") {
    const RunningServer server;
    const std::string busy = "127.0.0.1:" + std::to_string(server.port());
    CHECK_THAT(refusal({"--store", "memory:", "--listen", busy}), has_text(busy));
    CHECK_THAT(refusal({"--store", "memory:", "--listen", "127.0.0.1:0", "--listen", busy}), has_text(busy));
    // Addresses for documentation (RFC 5737) are no machine's own.
    CHECK_THAT(refusal({"--store", "memory:", "--listen", "192.0.2.1:7717"}), has_text("192.0.2.1:7717"));
    CHECK_THAT(refusal({"--store", "memory:", "--listen", "no-such-host.invalid:7717"}),
               has_text("no-such-host.invalid:7717"));
    CHECK_THAT(refusal({"--store", "memory:", "--listen", "unix:/nonexistent/semad.sock"}),
               has_text("/nonexistent/semad.sock"));
    CHECK_THAT(refusal({"--store", "memory:", "--listen", "unix:/" + std::string(200, 'x')}),
               has_text("too long"));
    CHECK(call(server.port(), "GET", "/healthz").status == 200);
}

TEST_CASE("a start that is refused for an address makes no store") {
    const TempDir folder;
    const fs::path socket = folder.path() / "s";
    const RunningServer other({"--listen", "unix:" + socket.string()});
    const fs::path store = folder.path() / "new.db";
    const std::vector<std::string> start = {SEMAD, "--store", "sqlite:" + store.string()};
    const auto refused = [&](std::vector<std::string> options) {
        options.insert(options.begin(), start.begin(), start.end());
        const Finished run = run_program(options);
        CHECK(run.status == 2);
        CHECK_THAT(run.err, has_text("another program listens there"));
        CHECK_FALSE(fs::exists(store));
    };
    const std::string taken = "127.0.0.1:" + std::to_string(other.port());
    refused({"--listen", taken});
    refused({"--listen", "127.0.0.1:0", "--listen", taken});
    refused({"--listen", "unix:" + socket.string()});
    refused({"--listen", "127.0.0.1:0", "--metrics-listen", taken});
}

TEST_CASE("a start that is refused for an address names the setting that chooses another one") {
    const TempDir folder;
    const fs::path socket = folder.path() / "s";
    const RunningServer other({"--listen", "unix:" + socket.string()});
    const std::string taken = "127.0.0.1:" + std::to_string(other.port());
    const auto named = [&](std::vector<std::string> options, const std::string& setting,
                           const ProgramOptions& program = {}) {
        // With the first of these it shows before the store is opened, with the other one after that.
        for (const std::string& kept :
             {"sqlite:" + (folder.path() / "new.db").string(), std::string("memory:")}) {
            const Finished run = run_program(with({SEMAD, "--store", kept}, options), program);
            CHECK(run.status == 2);
            CHECK_THAT(run.err, has_text("stop it, or choose another address with " + setting + ")\n"));
        }
    };
    named({"--listen", taken}, "--listen");
    named({"--listen", "unix:" + socket.string()}, "--listen");
    named({"--listen", "127.0.0.1:0", "--metrics-listen", taken}, "--metrics-listen");
    named({"--listen", "127.0.0.1:0", "--dashboard-listen", "unix:" + socket.string()}, "--dashboard-listen");
    ProgramOptions variable;
    variable.environment["SEMAD_LISTEN"] = taken;
    named({}, "SEMAD_LISTEN", variable);
    const std::string file = (folder.path() / "semad.toml").string();
    std::ofstream(file) << "listen = \"127.0.0.1:0\"\n[metrics]\nlisten = \"" << taken << "\"\n";
    named({"--config", file}, "metrics.listen in " + file + ":3");
    std::ofstream(file) << "listen = [\"127.0.0.1:0\", \"" << taken << "\"]\n";
    named({"--config", file}, "listen in " + file + ":1");
}

TEST_CASE("a Unix socket that a killed server left is replaced") {
    const TempDir folder;
    const fs::path socket = folder.path() / "semad.sock";
    RunningServer server({"--listen", "unix:" + socket.string()});
    server.kill9();
    REQUIRE(fs::is_socket(socket));
    server.start();
    RawClient client(socket);
    client.send(http_request("GET", "/healthz"));
    CHECK(client.receive().status == 200);
}

TEST_CASE("a Unix socket that another server listens on is left to it") {
    const TempDir folder;
    const fs::path socket = folder.path() / "semad.sock";
    const RunningServer server({"--listen", "unix:" + socket.string()});
    CHECK_THAT(refusal({"--store", "memory:", "--listen", "unix:" + socket.string()}),
               has_text(socket.string()));
    RawClient client(socket);
    client.send(http_request("GET", "/healthz"));
    CHECK(client.receive().status == 200);
}

TEST_CASE("a Unix socket that another server has taken over meanwhile outlives this one") {
    const TempDir folder;
    const fs::path socket = folder.path() / "semad.sock";
    RunningServer first({"--listen", "unix:" + socket.string()});
    fs::remove(socket);
    const RunningServer second({"--listen", "unix:" + socket.string()});
    CHECK(first.terminate() == 0);
    RawClient client(socket);
    client.send(http_request("GET", "/healthz"));
    CHECK(client.receive().status == 200);
}

TEST_CASE("a file that is no socket is not taken for one") {
    const TempDir folder;
    const fs::path file = folder.path() / "notes";
    std::ofstream(file) << "precious";
    refusal({"--store", "memory:", "--listen", "unix:" + file.string()});
    std::ifstream again(file);
    CHECK(std::string(std::istreambuf_iterator<char>(again), {}) == "precious");
}
