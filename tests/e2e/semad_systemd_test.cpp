#include "tests/e2e/notify_socket.hpp"
#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

// What semad does with systemd: notifications, sockets that it is given, and its unit.

using namespace sema::test;
using sema::test::has_text;
namespace fs = std::filesystem;

namespace {

ProgramOptions notifying(const TempDir& folder, const std::string& watchdog_usec = "") {
    ProgramOptions options;
    options.environment = {{"NOTIFY_SOCKET", (folder.path() / "notify").string()},
                           {"WATCHDOG_USEC", watchdog_usec}};
    return options;
}

/// A socket that listens on a free port of this machine, as a service manager has it.
class ListeningSocket {
  public:
    ListeningSocket() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        REQUIRE(::bind(socket_, reinterpret_cast<sockaddr*>(&address), size) == 0);
        REQUIRE(::listen(socket_, 100) == 0);
        REQUIRE(::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
        port_ = ntohs(address.sin_port);
    }
    ListeningSocket(const ListeningSocket&) = delete;
    ListeningSocket& operator=(const ListeningSocket&) = delete;
    ~ListeningSocket() { ::close(socket_); }

    int descriptor() const { return socket_; }
    int port() const { return port_; }

  private:
    int socket_;
    int port_ = 0;
};

/// A command that runs semad with a descriptor as the one that it was given.
std::vector<std::string> semad_given(int descriptor, const std::vector<std::string>& options) {
    std::vector<std::string> command = {
        "sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&" + std::to_string(descriptor), SEMAD};
    command.insert(command.end(), options.begin(), options.end());
    return command;
}

ProgramOptions passing(int descriptor) {
    ProgramOptions options;
    options.passed = {descriptor};
    return options;
}

std::string unit_text() {
    std::ifstream file(std::string(PROJECT_FOLDER) + "/packaging/semad.service");
    std::stringstream text;
    text << file.rdbuf();
    REQUIRE_FALSE(text.str().empty());
    return text.str();
}

std::string replaced(std::string text, const std::string& old, const std::string& with) {
    for (auto at = text.find(old); at != text.npos; at = text.find(old, at + with.size()))
        text.replace(at, old.size(), with);
    return text;
}

#if !SANITIZED
/// The names of the system calls in systemd's set of them.
std::set<std::string> calls_of(const std::string& set) {
    const Finished listed = run_program({"systemd-analyze", "syscall-filter", set});
    REQUIRE(listed.status == 0);
    std::set<std::string> calls;
    std::istringstream lines(listed.out);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string word;
        if (!(words >> word) || word == set || word.front() == '#') continue;
        word.front() == '@' ? calls.merge(calls_of(word)) : void(calls.insert(word));
    }
    return calls;
}

/// What the unit lets semad call.
std::set<std::string> allowed_calls() {
    std::set<std::string> allowed = calls_of("@default");
    std::istringstream lines(unit_text());
    const std::string key = "SystemCallFilter=";
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind(key, 0) != 0) continue;
        std::string sets = line.substr(key.size());
        const bool is_denied = sets.front() == '~';
        std::istringstream names(is_denied ? sets.substr(1) : sets);
        for (std::string name; names >> name;) {
            for (const std::string& call : calls_of(name)) {
                is_denied ? void(allowed.erase(call)) : void(allowed.insert(call));
            }
        }
    }
    return allowed;
}
#endif

}  // namespace

TEST_CASE("a supervisor is told when semad is ready and when it stops") {
    const TempDir folder;
    const NotifySocket socket(folder.path() / "notify");
    RunningServer server({}, notifying(folder));
    CHECK(socket.receive() == "READY=1");
    CHECK(server.terminate() == 0);
    CHECK(socket.receive() == "STOPPING=1");
}

TEST_CASE("a supervisor that wants signs of life gets them") {
    const TempDir folder;
    const NotifySocket socket(folder.path() / "notify");
    RunningServer server({}, notifying(folder, "20000"));
    int signs = 0;
    for (bool ready = false; !ready || signs < 3;) {
        const std::string message = socket.receive();
        REQUIRE((message == "READY=1" || message == "WATCHDOG=1"));
        ready = ready || message == "READY=1";
        signs += message == "WATCHDOG=1" ? 1 : 0;
    }
    server.kill9();
}

TEST_CASE("signs of life that another process is to give are left to it") {
    const TempDir folder;
    const NotifySocket socket(folder.path() / "notify");
    ProgramOptions options = notifying(folder, "2");
    options.environment["WATCHDOG_PID"] = std::to_string(getpid());
    RunningServer server({}, options);
    CHECK(call(server.port(), "GET", "/healthz").status == 200);
    CHECK(server.terminate() == 0);
    CHECK(socket.receive() == "READY=1");
    CHECK(socket.receive() == "STOPPING=1");
}

TEST_CASE("signs of life do not come without pause, and a time that is none asks for none") {
    const TempDir folder;
    const NotifySocket socket(folder.path() / "notify");
    const auto start = std::chrono::steady_clock::now();
    RunningServer hurried({}, notifying(folder, "1"));
    for (int signs = 0; signs < 5;) {
        const std::string message = socket.receive();
        REQUIRE_FALSE(message.empty());
        signs += message == "WATCHDOG=1" ? 1 : 0;
    }
    CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(4 * 50));
    hurried.kill9();
    for (const char* other :
         {"9223372036854775807", "99999999999999999999", "20000x", "-20000", "0", " 20000"}) {
        CAPTURE(other);
        const TempDir own;
        const NotifySocket silent(own.path() / "notify");
        RunningServer server({}, notifying(own, other));
        CHECK(call(server.port(), "GET", "/healthz").status == 200);
        CHECK(server.terminate() == 0);
        CHECK(silent.receive() == "READY=1");
        CHECK(silent.receive() == "STOPPING=1");
    }
}

TEST_CASE("a supervisor that reads nothing keeps semad neither from a reload nor from its end") {
    const TempDir folder;
    const NotifySocket socket(folder.path() / "notify");
    RunningServer server({}, notifying(folder));
    const int filler = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const std::string path = (folder.path() / "notify").string();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    while (::sendto(filler, "x", 1, 0, reinterpret_cast<sockaddr*>(&address), sizeof address) == 1) {
    }
    CHECK(errno == EAGAIN);
    server.program().signal(SIGHUP);
    CHECK(server.program().warns("the settings were read anew"));
    CHECK(server.terminate() == 0);
    ::close(filler);
}

TEST_CASE("a supervisor is told how many pools, leases and waiters there are, where that changes") {
    const TempDir folder;
    const NotifySocket socket(folder.path() / "notify");
    RunningServer server({}, notifying(folder, "20000"));
    const auto hears = [&](const std::string& status) {
        for (std::string message = socket.receive_any(); !message.empty(); message = socket.receive_any()) {
            if (message == "STATUS=" + status) return true;
        }
        return false;
    };
    CHECK(hears("0 pools, 0 leases, 0 waiters"));
    const TestPool pool(server, 2);
    const TestPool other(server, 1);
    const Slot slot = pool.take(600);
    const Grant wide = other.take_with({{"slots", 1}, {"ttl", 600}});
    CHECK(hears("2 pools, 2 leases, 0 waiters"));
    pool.take(600);
    const RawClient waiter = pool.queue_up();
    CHECK(hears("2 pools, 3 leases, 1 waiter"));
    pool.returns(slot);
    other.remove();
    CHECK(hears("1 pool, 2 leases, 0 waiters"));
    for (int signs = 0; signs < 5;) {
        const std::string message = socket.receive_any();
        CHECK(message == "WATCHDOG=1");
        ++signs;
    }
    pool.remove();
    CHECK(hears("0 pools, 0 leases, 0 waiters"));
    server.kill9();
}

TEST_CASE("systemd starts semad with the sockets on which it listens") {
    const TempDir folder;
    const ReservedPort port;
    const std::string address = "127.0.0.1:" + std::to_string(port.number());
    const fs::path file = folder.path() / "semad.sock";
    Program server({"systemd-socket-activate", "-l", address, "-l", file.string(), "--", SEMAD, "--listen",
                    "127.0.0.1:1", "--store", "memory:"});
    REQUIRE(eventually([&] { return fs::is_socket(file); }));
    CHECK(call(port.number(), "GET", "/healthz").status == 200);
    RawClient local(file);
    local.send(http_request("GET", "/healthz"));
    CHECK(local.receive().status == 200);
    // It may serve a moment before it says so.
    CHECK(server.warns(" listening on http://" + address + ", unix:" + file.string() + ", store memory:\n"));
    server.signal(SIGTERM);
    CHECK(server.wait() == 0);
    // It belongs to the socket unit.
    CHECK(fs::is_socket(file));
}

TEST_CASE("while a semad with given sockets restarts, who connects waits and is not refused") {
    const TempDir folder;
    const ListeningSocket socket;
    const std::vector<std::string> command =
        semad_given(socket.descriptor(), {"--store", "sqlite:" + (folder.path() / "semad.db").string()});
    const std::string path = "/l/" + sema::PoolId::random().str();
    std::string holder;
    {
        Program first(command, passing(socket.descriptor()));
        CHECK(call(socket.port(), "PUT", path, R"({"count":1})").status == 200);
        holder = granted(call(socket.port(), "POST", path + "/borrow", R"({"ttl":600})")).lease;
        first.signal(SIGTERM);
        REQUIRE(first.wait() == 0);
    }
    RawClient waiter(socket.port());
    waiter.send(http_request("POST", path + "/borrow", R"({"ttl":60,"wait":60})"));
    RawClient giver(socket.port());
    CHECK_FALSE(waiter.has_answer());
    Program second(command, passing(socket.descriptor()));
    giver.send(http_request("POST", path + "/return", R"({"lease":")" + holder + "\"}"));
    CHECK(giver.receive().body == R"({"returned":true})");
    CHECK(granted(waiter.receive()).position == 0);
}

TEST_CASE("what is given and is no socket to listen on is refused, and what is given to others left alone") {
    const auto refusal = [](int descriptor) {
        const Finished run =
            run_program(semad_given(descriptor, {"--store", "memory:"}), passing(descriptor));
        CHECK(run.status == 2);
        CHECK(run.err.find('\n') == run.err.size() - 1);
        return run.err;
    };
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_THAT(refusal(null), has_text("descriptor 3") && has_text("no stream socket"));
    ::close(null);
    const int silent = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_THAT(refusal(silent), has_text("descriptor 3") && has_text("no stream socket"));
    ::close(silent);

    ProgramOptions options;
    options.environment = {{"LISTEN_PID", std::to_string(getpid())}, {"LISTEN_FDS", "7"}};
    const RunningServer server({}, options);
    CHECK(call(server.port(), "GET", "/healthz").status == 200);

    Program confused({"sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=many exec \"$0\" --store memory:", SEMAD});
    CHECK(confused.wait() == 2);
    CHECK_THAT(confused.err(), has_text("LISTEN_FDS"));
}

TEST_CASE("the unit is one that systemd takes, and as secure as is said") {
    const TempDir folder;
    const fs::path unit = folder.path() / "semad.service";
    std::ofstream(unit) << replaced(unit_text(), "/usr/bin/semad", SEMAD);
    fs::copy_file(std::string(PROJECT_FOLDER) + "/packaging/semad.socket", folder.path() / "semad.socket");
    const Finished verified = run_program(
        {"systemd-analyze", "verify", "--man=no", unit.string(), (folder.path() / "semad.socket").string()});
    CHECK(verified.err.empty());
    CHECK(verified.status == 0);
    const Finished rated =
        run_program({"systemd-analyze", "security", "--offline=true", "--threshold=15", unit.string()});
    CHECK(rated.status == 0);
    const std::string figure = rated.out.substr(rated.out.rfind(": ") + 2, 3);
    CAPTURE(rated.out);
    std::ifstream manual(std::string(PROJECT_FOLDER) + "/man/semad.8");
    std::stringstream text;
    text << manual.rdbuf();
    CHECK_THAT(text.str(), has_text("calls its exposure " + figure));
}

// A sanitizer has calls of its own.
#if !SANITIZED
TEST_CASE("the system calls that the unit allows are enough for semad", "[sqlite]") {
    std::vector<std::string> command = {ALLOWED_CALLS};
    for (const std::string& name : allowed_calls())
        command.push_back(name);
    REQUIRE(command.size() > 200);
    const TempDir folder;
    const ReservedPort port;
    const fs::path token = folder.path() / "token";
    std::ofstream(token) << "s3cret\n";
    const std::vector<std::string> semad = {"--",
                                            SEMAD,
                                            "--listen",
                                            "localhost:" + std::to_string(port.number()),
                                            "--listen",
                                            "unix:" + (folder.path() / "sock").string(),
                                            "--store",
                                            "sqlite:" + (folder.path() / "semad.db").string(),
                                            "--admin-token-file",
                                            token.string()};
    command.insert(command.end(), semad.begin(), semad.end());
    Program server(command);
    // Often localhost is ::1 first.
    REQUIRE(server.warns("http://127.0.0.1:" + std::to_string(port.number())));
    const std::string path = "/l/" + sema::PoolId::random().str();
    CHECK(call(port.number(), "PUT", path, R"({"count":1})").status == 200);
    granted(call(port.number(), "POST", path + "/borrow", R"({"ttl":600})"));
    CHECK(call(port.number(), "POST", path + "/borrow", R"({"ttl":600,"wait":0.01})").status == 409);
    CHECK(call(port.number(), "GET", "/backup", "", "Authorization: Bearer s3cret\r\n").status == 200);
    server.signal(SIGTERM);
    CHECK(server.wait() == 0);
}
#endif
