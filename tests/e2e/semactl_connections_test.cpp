#include "tests/e2e/semactl.hpp"
#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

// What a waiting semactl costs the server, and whatever stands between.

using namespace sema::test;

namespace {

namespace fs = std::filesystem;

// The sockets that a process has open.
std::set<std::string> sockets_of(pid_t pid) {
    std::set<std::string> inodes;
    std::error_code gone;
    for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd", gone)) {
        const std::string target = fs::read_symlink(entry.path(), gone).string();
        const std::string kind = "socket:[";
        if (target.rfind(kind, 0) == 0)
            inodes.insert(target.substr(kind.size(), target.size() - kind.size() - 1));
    }
    return inodes;
}

// The local ports of a process's connections to a port of this machine that are open on both sides.
std::set<std::string> connections(pid_t pid, int port) {
    const auto inodes = sockets_of(pid);
    std::ostringstream hex;
    hex << std::uppercase << std::hex << port;
    std::ifstream table("/proc/net/tcp");
    std::set<std::string> found;
    for (std::string line; std::getline(table, line);) {
        std::istringstream fields(line);
        std::string number, local, remote, state, queues, timer, retransmits, user, timeout, inode;
        fields >> number >> local >> remote >> state >> queues >> timer >> retransmits >> user >> timeout >>
            inode;
        const bool is_there = remote.size() > 4 && remote.substr(remote.find(':') + 1) == hex.str();
        if (is_there && state == "01" && inodes.count(inode) != 0) found.insert(local);
    }
    return found;
}

}  // namespace

TEST_CASE("a semactl that waits has two connections at most") {
    // It waits in calls, each of them over a new connection, which are short here.
    const RunningServer server({"--max-wait", "0.3"});
    const Semactl semactl(server.url());
    REQUIRE(semactl({"register", "vsim", "--count", "0"}).status == 0);
    Program run(Semactl::command({"run", "vsim", "--wait", "5m", "--", "true"}), semactl.options());
    std::set<std::string> all;
    std::size_t most = 0;
    REQUIRE(eventually([&] {
        const auto now = connections(run.pid(), server.port());
        most = std::max(most, now.size());
        all.insert(now.begin(), now.end());
        return all.size() >= 8;
    }));
    CHECK(most <= 2);
}
