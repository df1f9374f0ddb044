// Processes that semactl has as its children without having started them: those of a shell that it took the
// place of.
#include "cli/run/process_tree.hpp"
#include "tests/e2e/one_slot.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

using namespace sema::test;

namespace {

pid_t number_behind(const std::string& word, const std::string& output) {
    return std::stoi(output.substr(output.find(word) + word.size()));
}

}  // namespace

TEST_CASE(
    "what a process of before the command has started is left alone, also when it is semactl's orphan") {
    const OneSlot world;
    // It starts another one when it is told to, after semactl has begun.
    const std::string before =
        "mkfifo go; sh -c 'read word < go; sleep 60 >&- 2>&- & echo later $!; wait' & echo before $!; exec "
        "\"$@\"";
    Program run(
        Words{"sh", "-c", before, "sh"} + Semactl::command({"-v", "run", "vsim", "--ttl", "10", "--", "sh",
                                                            "-c", "echo ready; exec sleep 600"}),
        world.here());
    REQUIRE(run.prints("ready"));
    std::ofstream(world.semactl.folder() / "go") << "go\n";
    REQUIRE(run.prints("later "));
    const pid_t later = number_behind("later ", run.out());
    // Each renewal is two seconds behind the one before.
    const auto renewals = [&run] {
        const std::string said = run.err();
        int count = 0;
        for (std::size_t at = 0; (at = said.find("renewed the lease", at)) != std::string::npos; ++at)
            ++count;
        return count;
    };
    const int then = renewals();
    REQUIRE(eventually([&] { return renewals() >= then + 2; }));
    kill(number_behind("before ", run.out()), SIGKILL);
    const auto is_orphan = [&] {
        const auto process = sema::find_process(later, sema::ProcFolder());
        return process && process->parent == run.pid();
    };
    REQUIRE(eventually(is_orphan));
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGTERM);
    const auto left = sema::find_process(later, sema::ProcFolder());
    CHECK((left && !left->has_ended()));
    kill(later, SIGKILL);
}
