#include "server/log_output.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/forked_child.hpp"
#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>

using namespace sema;
using namespace sema::test;

namespace {

/// As a disk is full, once files have so many bytes.
void allow_bytes(rlim_t most) {
    rlimit limit{};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = most;
    ::setrlimit(RLIMIT_FSIZE, &limit);
}

}  // namespace

TEST_CASE(
    "lines for which there is no room are counted, and the next one does not end the stump of another") {
    const TempDir folder;
    const std::string path = (folder.path() / "log").string();
    // Longer than what is written at a time, so that it is tried after the one before it.
    const std::string last = std::string(6000, 'x') + "\n";
    ForkedChild child([&](const ForkedChild::Report& report) {
        std::signal(SIGXFSZ, SIG_IGN);
        const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
        ::dup2(file, STDERR_FILENO);
        {
            LogOutput output([](std::uint64_t lines, const std::string& why) {
                allow_bytes(RLIM_INFINITY);
                return std::to_string(lines) + " lost, since " + why + "\n";
            });
            allow_bytes(9);
            output.write_first("first\nsecond\nthird\n" + last);
        }
        report("done");
    });
    CHECK(child.next_line() == "done");
    std::ifstream file(path);
    const std::string log{std::istreambuf_iterator<char>(file), {}};
    CHECK(log == "first\nsec\n2 lost, since they could not be written: File too large\n" + last);
}
