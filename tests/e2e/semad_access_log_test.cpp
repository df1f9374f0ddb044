#include "tests/e2e/monitored.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <regex>
#include <sstream>

using namespace sema::test;

namespace {

/// The lines of the access log but for those of calls with which tests look around, once so many of them have
/// that message.
std::vector<Json> lines_of(const RunningServer& server, const std::string& message, std::size_t number = 1) {
    std::vector<Json> lines;
    REQUIRE(eventually([&] {
        lines.clear();
        std::size_t found = 0;
        std::istringstream log(server.log());
        for (std::string text; std::getline(log, text);) {
            if (text.find(R"("level":"access")") == text.npos || text.back() != '}') continue;
            const Json line = Json::parse(text);
            if (line.at("call") == "inspect" || line.at("call") == "holders") continue;
            lines.push_back(line);
            if (line.at("message") == message) ++found;
        }
        return found >= number;
    }));
    return lines;
}

const std::vector<std::string> logging = {"--access-log", "--log-format", "json", "--threads", "1"};

}  // namespace

TEST_CASE("each request is a line of the access log, without a UUID") {
    const RunningServer server(logging);
    const TestPool pool(server, 1);
    const Slot slot = pool.take();
    pool.borrow(R"({"ttl":1})");
    call(server.port(), "GET", "/nothing/" + pool.id());
    RawClient client(server.port());
    client.send("nonsense /l/" + pool.id() + "\r\n\r\n");
    client.receive();
    RawClient waiting = pool.queue_up();
    pool.returns(slot);
    waiting.receive();
    lines_of(server, "borrow 200", 2);
    const std::vector<Json> lines = lines_of(server, "return 200");
    std::vector<std::string> messages;
    for (const Json& line : lines)
        messages.push_back(line.at("message"));
    // One comes before the borrow that waits, whose answer goes with that to the return.
    std::sort(messages.begin() + 6, messages.end());
    CHECK(messages == std::vector<std::string>{"register 200", "borrow 200", "borrow 409", "other 404",
                                               "other 400", "other 404", "borrow 200", "return 200"});
    CHECK(lines[0].at("pool").get<std::string>().size() == 16);
    CHECK(lines[0].at("pool") == lines[1].at("pool"));
    CHECK(lines[3].at("pool").is_null());
    CHECK(std::regex_match(lines[0].at("client").get<std::string>(), std::regex("127\\.0\\.0\\.1:\\d+")));
    CHECK(lines[0].at("bytes") > 100);
    CHECK_FALSE(
        std::regex_search(server.log(), std::regex("[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")));
}

TEST_CASE("a line of the access log counts the wait, and tells of a client that left") {
    const RunningServer server(logging);
    const TestPool pool(server, 0);
    CHECK(pool.borrow(R"({"ttl":1,"wait":0.3})").status == 409);
    { RawClient gone = pool.queue_up(); }
    const std::vector<Json> lines = lines_of(server, "borrow -");
    CHECK(lines[1].at("seconds") >= 0.3);
    const Json& last = lines.back();
    CHECK(last.at("call") == "borrow");
    CHECK(last.at("status").is_null());
    CHECK(last.at("pool") == lines[1].at("pool"));
}

TEST_CASE("a stream is one line of the access log, when it ends") {
    const RunningServer server(logging);
    const TestPool pool(server, 1);
    std::size_t bytes = 0;
    {
        EventStream stream(pool);
        bytes = stream.next().data.size();
    }
    const Json line = lines_of(server, "events 200").back();
    CHECK(line.at("message") == "events 200");
    CHECK(line.at("bytes") > bytes);
}

TEST_CASE("the access log is text like the rest, and off where nobody asks for it") {
    const RunningServer server({"--access-log"});
    const TestPool pool(server, 1);
    CHECK(eventually([&] {
        return std::regex_search(server.log(),
                                 std::regex("\n[-0-9]{10} [:.0-9]{12} access: 127\\.0\\.0\\.1:\\d+ register "
                                            "[0-9a-f]{16} 200 \\d+\\.\\d{6} \\d+\n"));
    }));
    const RunningServer silent;
    const TestPool other(silent, 1);
    CHECK(silent.log().find("register") == std::string::npos);
}

TEST_CASE("a client on a Unix socket is called that, and a file can ask for the access log") {
    const TempDir folder;
    const auto file = folder.path() / "semad.toml";
    const auto socket = folder.path() / "socket";
    std::ofstream(file) << "[log]\nformat = \"json\"\naccess = true\n";
    const RunningServer server({"--config", file.string(), "--listen", "unix:" + socket.string()});
    RawClient client(socket);
    client.send(http_request("GET", "/healthz"));
    client.receive();
    CHECK(eventually(
        [&] { return server.log().find(R"("client":"unix","call":"healthz")") != std::string::npos; }));
}

TEST_CASE("a reload turns the access log on and off") {
    const TempDir folder;
    const auto file = folder.path() / "semad.toml";
    const auto set = [&](bool is_on) {
        std::ofstream(file) << "[log]\nformat = \"json\"\naccess = " << (is_on ? "true" : "false") << "\n";
    };
    set(false);
    RunningServer server({"--config", file.string(), "--threads", "1"});
    const TestPool pool(server, 1);
    // Older than the access log.
    RawClient client(server.port());
    client.send(http_request("GET", "/healthz"));
    client.receive();
    // The one thread is done with a call, its line included, when it answers the next.
    pool.in_use();
    set(true);
    server.program().signal(SIGHUP);
    REQUIRE(server.program().warns("the settings were read anew"));
    client.send(http_request("GET", "/version"));
    client.receive();
    const Json line = lines_of(server, "version 200").back();
    CHECK(line.at("client") == "-");
    CHECK(server.log().find("healthz") == std::string::npos);
    set(false);
    server.program().signal(SIGHUP);
    const auto reloads = [&] {
        const std::string log = server.log();
        const auto first = log.find("were read anew");
        return log.find("were read anew", first + 1) != log.npos;
    };
    REQUIRE(eventually(reloads));
    client.send(http_request("GET", "/livez"));
    client.receive();
    CHECK(server.terminate() == 0);
    CHECK(server.log().find("livez") == std::string::npos);
}

TEST_CASE("nobody waits for a reader of the access log who stands still, and what is lost is said") {
    std::array<int, 2> ends{};
    REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
    const TempDir folder;
    const ReservedPort port;
    const std::string address = "127.0.0.1:" + std::to_string(port.number());
    ProgramOptions options;
    options.passed = {ends[1]};
    Program server({"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&" + std::to_string(ends[1]), SEMAD,
                    "--access-log", "--listen", address, "--store", "memory:", "--threads", "1"},
                   options);
    close(ends[1]);
    std::string log;
    const auto read_some = [&](int limit_ms) {
        pollfd input{ends[0], POLLIN, 0};
        if (poll(&input, 1, limit_ms) <= 0) return false;
        std::array<char, 65536> bytes{};
        const ssize_t size = read(ends[0], bytes.data(), bytes.size());
        if (size > 0) log.append(bytes.data(), static_cast<std::size_t>(size));
        return size > 0;
    };
    while (log.find("listening") == log.npos)
        REQUIRE(read_some(60'000));

    // More than the pipe and the queue hold.
    RawClient client(port.number());
    std::string batch;
    constexpr int in_batch = 200;
    for (int i = 0; i < in_batch; ++i)
        batch += http_request("GET", "/healthz");
    for (int sent = 0; sent < 80'000; sent += in_batch) {
        REQUIRE(client.send(batch));
        for (int i = 0; i < in_batch; ++i)
            REQUIRE(client.receive().status == 200);
    }
    while (log.find(" of the log were lost") == log.npos)
        REQUIRE(read_some(60'000));
    CHECK(std::regex_search(log.substr(log.size() > 200 ? log.size() - 200 : 0),
                            std::regex("semad: \\d+ lines of the log were lost")));
    // It ends too, though nobody reads.
    client.send(http_request("GET", "/healthz"));
    client.receive();
    server.signal(SIGTERM);
    CHECK(server.wait() == 0);
    close(ends[0]);
}
