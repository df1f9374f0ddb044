// What semactl says goes to a file, as where CI keeps the log of each job: on a disk that may hang.
#include "cli/run/process_tree.hpp"
#include "tests/e2e/one_slot.hpp"
#include "tests/support/eventually.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

using namespace sema::test;

namespace {

Words with_log(const Words& command) {
    return Words{"sh", "-c", "exec \"$@\" 2>log", "sh"} + command;
}

std::string log_of(const OneSlot& world) {
    std::ifstream file(world.semactl.folder() / "log");
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE(
    "what semactl says into a file is all there at its end, and nothing of it is taken for the command's") {
    const OneSlot world;
    Program run(with_log(Semactl::command({"-v", "run", "vsim", "--hold-tree", "--", "sh", "-c",
                                           "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done"})),
                world.here());
    REQUIRE(run.prints("ready"));
    // Which is reported, by a process that goes by a name of its own.
    run.signal(SIGWINCH);
    REQUIRE(eventually([&] {
        const auto all = sema::descendants(run.pid(), {}, sema::ProcFolder()).found;
        return std::any_of(all.begin(), all.end(),
                           [](const sema::Process& process) { return process.name == "slot-messages"; });
    }));
    CHECK(run_program({"pgrep", "-g", std::to_string(run.pid()), "-f", "semactl -v run vsim"}).out ==
          std::to_string(run.pid()) + "\n");
    run.signal(SIGUSR2);
    CHECK(run.wait() == 128 + SIGUSR2);
    const std::string log = log_of(world);
    const auto passed = log.find("passed USR2 on");
    CHECK(passed != std::string::npos);
    CHECK(log.find("returned position 0", passed) != std::string::npos);
    CHECK_THAT(log, !has_text("left running") && !has_text("cannot kill"));
    CHECK(world.semactl.in_use() == 0);
}

// A sanitizer's library wants to be loaded before any other.
#if !SANITIZED
namespace {

bool is_alive(pid_t pid) {
    const auto process = sema::find_process(pid, sema::ProcFolder());
    return process && !process->has_ended();
}

}  // namespace

TEST_CASE("a log on a disk that hangs keeps no command running, and the slot from nobody") {
    const OneSlot world;
    const std::filesystem::path hangs = world.semactl.folder() / "hangs";
    const bool is_revoked = GENERATE(true, false);
    CAPTURE(is_revoked);
    ProgramOptions options = world.here();
    options.environment["LD_PRELOAD"] = HANGING_DISK;
    options.environment["HANGING_DISK"] = hangs;
    Program run(
        with_log(Semactl::command({"-v", "run", "vsim", "--ttl", "6", "--kill-after", "200ms", "--", "sh",
                                   "-c", "trap '' TERM; echo child $$; while :; do sleep 0.05; done"})),
        options);
    REQUIRE(run.prints("child "));
    const pid_t child = std::stoi(run.out().substr(run.out().find("child ") + 6));
    std::ofstream(hangs) << "now";
    if (is_revoked)
        REQUIRE(world.semactl({"revoke", "vsim", "0"}).status == 0);
    else
        run.signal(SIGTERM);
    CHECK(run.wait() == (is_revoked ? 79 : 128 + SIGKILL));
    CHECK_FALSE(is_alive(child));
    CHECK(world.semactl.in_use() == 0);
    std::filesystem::remove(hangs);
    const std::string said = is_revoked ? "the lease is gone before its time" : "returned position 0";
    CHECK(eventually([&] { return log_of(world).find(said) != std::string::npos; }));
}
#endif
