// Signals of a program are its own: they come to no thread of the library's.
#include "tests/library/no_work.hpp"
#include "tests/library/world.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

using namespace sema;
using namespace sema::test;

namespace {

std::set<std::string> threads() {
    std::set<std::string> all;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
        all.insert(entry.path().filename());
    return all;
}

bool blocks(const std::string& thread, int signal) {
    std::ifstream status("/proc/self/task/" + thread + "/status");
    for (std::string word; status >> word;) {
        if (word != "SigBlk:") continue;
        status >> word;
        return (std::stoull(word, nullptr, 16) >> (signal - 1) & 1U) != 0;
    }
    return false;
}

}  // namespace

TEST_CASE("the threads of a client and of a scheduler block all signals") {
    RunningServer server;
    const TestPool slots(server, 1);
    const std::set<std::string> before = threads();
    client owner(server.url());
    const scheduler keeper(owner, slots.id(), {std::make_shared<NoWork>()});
    int count = 0;
    for (const std::string& thread : threads()) {
        if (before.contains(thread)) continue;
        ++count;
        for (const int signal : {SIGTERM, SIGINT, SIGCHLD, SIGUSR1, SIGPROF})
            CHECK(blocks(thread, signal));
    }
    // A sanitizer begins one of its own with the first.
    CHECK(count >= 2);
}
