#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

// Where semad listens, and who may connect.

using namespace sema::test;
using sema::test::has_text;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> semad(const std::vector<std::string>& options) {
    std::vector<std::string> command = {SEMAD, "--store", "memory:"};
    command.insert(command.end(), options.begin(), options.end());
    return command;
}

std::string refusal(const std::vector<std::string>& options, const ProgramOptions& program = {}) {
    const Finished run = run_program(semad(options), program);
    CHECK(run.status == 2);
    CHECK(run.err.find('\n') == run.err.size() - 1);
    return run.err;
}

bool answers_on(const fs::path& socket) {
    RawClient client(socket);
    client.send(http_request("GET", "/healthz"));
    return client.receive().status == 200;
}

struct stat info_of(const fs::path& path) {
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    return info;
}

/// A group that this user may give files to, and that they do not have by themselves, where there is one.
gid_t other_group() {
    if (::geteuid() == 0) return 65534;
    std::vector<gid_t> groups(static_cast<std::size_t>(::getgroups(0, nullptr)));
    ::getgroups(static_cast<int>(groups.size()), groups.data());
    for (const gid_t group : groups) {
        if (group != ::getegid()) return group;
    }
    return ::getegid();
}

}  // namespace

// A sanitizer's library wants to be loaded before any other.
#if !SANITIZED
namespace {

ProgramOptions seats(const std::string& addresses) {
    ProgramOptions options;
    options.environment["LD_PRELOAD"] = LACKING_NETWORK;
    options.environment["SEATS_ADDRESSES"] = addresses;
    return options;
}

// An address for documentation (RFC 5737) is no machine's own.
constexpr const char* foreign = "192.0.2.1";

}  // namespace

TEST_CASE("of a name's addresses, those that the machine lacks are left out, and told") {
    const ReservedPort port;
    const std::string number = std::to_string(port.number());
    const std::string listen = "seats.example:" + number;
    const auto serves = [&](const ProgramOptions& options, const std::string& missing) {
        Program server(semad({"--listen", listen}), options);
        REQUIRE(server.warns(" listening on http://127.0.0.1:" + number + ", store"));
        CHECK(server.warns("not listening on " + missing));
        CHECK(call(port.number(), "GET", "/healthz").status == 200);
    };
    serves(seats(std::string(foreign) + " 127.0.0.1"),
           "http://192.0.2.1:" + number + ": Cannot assign requested address");
    serves(seats(std::string("127.0.0.1 ") + foreign),
           "http://192.0.2.1:" + number + ": Cannot assign requested address");
    ProgramOptions old = seats("::1 127.0.0.1");
    old.environment["NO_IPV6"] = "1";
    serves(old, "http://[::1]:" + number + ": Address family not supported by protocol");
}

TEST_CASE("a name of which the machine has no address, or not all that are free, is refused") {
    CHECK_THAT(refusal({"--listen", "seats.example:0"}, seats("192.0.2.1 198.51.100.1")),
               has_text("seats.example:0: Cannot assign requested address"));
    ProgramOptions old = seats("::1");
    old.environment["NO_IPV6"] = "1";
    CHECK_THAT(refusal({"--listen", "seats.example:0"}, old), has_text("Address family not supported"));
    const RunningServer server;
    const std::string busy = "seats.example:" + std::to_string(server.port());
    CHECK_THAT(refusal({"--listen", busy}, seats(std::string("127.0.0.1 ") + foreign)),
               has_text("another program listens there"));
}
#endif

TEST_CASE("a Unix socket has the mode and the group that are asked for") {
    const TempDir folder;
    const fs::path socket = folder.path() / "semad.sock";
    const std::string group = std::to_string(other_group());
    Program server(
        semad({"--listen", "unix:" + socket.string(), "--socket-mode", "0660", "--socket-group", group}));
    REQUIRE(server.warns(" listening on "));
    CHECK((info_of(socket).st_mode & 07777U) == 0660);
    CHECK(info_of(socket).st_gid == other_group());
    CHECK(answers_on(socket));
}

TEST_CASE("a Unix socket's group is asked for by its name, too") {
    const group* const own = ::getgrgid(::getegid());
    if (!own) return;
    const TempDir folder;
    const fs::path socket = folder.path() / "semad.sock";
    Program server(semad({"--listen", "unix:" + socket.string(), "--socket-group", own->gr_name}));
    REQUIRE(server.warns(" listening on "));
    CHECK(info_of(socket).st_gid == ::getegid());
}

TEST_CASE("a Unix socket's mode is what the umask leaves where none is asked for") {
    const TempDir folder;
    const fs::path socket = folder.path() / "semad.sock";
    const mode_t usual = ::umask(027);
    const RunningServer server({"--listen", "unix:" + socket.string()});
    ::umask(usual);
    CHECK((info_of(socket).st_mode & 07777U) == 0750);
}

TEST_CASE("a mode or a group that cannot be had is refused, and leaves no socket behind") {
    const TempDir folder;
    const fs::path socket = folder.path() / "semad.sock";
    const auto refused = [&](const std::string& option, const std::string& value) {
        const std::string message = refusal({"--listen", "unix:" + socket.string(), option, value});
        CHECK_FALSE(fs::exists(socket));
        return message;
    };
    for (const char* mode : {"rw-rw----", "0668", "1777", "-1", "", "0x1"}) {
        CAPTURE(mode);
        CHECK_THAT(refused("--socket-mode", mode), has_text("--socket-mode"));
    }
    CHECK_THAT(refused("--socket-group", "no-such-group"), has_text("there is no group 'no-such-group'"));
    CHECK_THAT(refused("--socket-group", ""), has_text("--socket-group"));
    if (::geteuid() != 0) CHECK_THAT(refused("--socket-group", "0"), has_text("Operation not permitted"));
    CHECK_THAT(refusal({"--listen", "127.0.0.1:0", "--socket-mode", "0600"}),
               has_text("--socket-mode is for a Unix socket: name one with --listen unix:/PATH"));
    CHECK_THAT(refusal({"--listen", "127.0.0.1:0", "--socket-group", "0"}),
               has_text("--socket-group is for"));
}
