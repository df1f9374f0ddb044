#include "cli/run/process_tree.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>

using namespace sema;

namespace {

// A /proc with the processes that a test puts there.
class FakeProc {
  public:
    FakeProc() { std::ofstream(folder_.path() / "uptime") << "1 1\n"; }
    void add(pid_t pid, pid_t parent, const std::string& name = "sh", char state = 'S') const {
        const auto folder = folder_.path() / std::to_string(pid);
        std::filesystem::create_directory(folder);
        std::ofstream file(folder / "stat");
        file << pid << " (" << name << ") " << state << " " << parent;
        for (int field = 5; field < 22; ++field)
            file << " -" << field;
        file << " " << 1000 + pid << " 23 24\n";
    }
    std::string path() const { return folder_.path(); }

  private:
    test::TempDir folder_;
};

std::set<pid_t> pids(const Descendants& tree) {
    std::set<pid_t> all;
    for (const Process& process : tree.found)
        all.insert(process.pid);
    return all;
}

}  // namespace

TEST_CASE("a process is read whatever its name is") {
    const FakeProc proc;
    proc.add(7, 3, ") R 1 (x");
    const auto process = find_process(7, proc.path());
    REQUIRE(process);
    CHECK(process->parent == 3);
    CHECK(process->name == ") R 1 (x");
    CHECK(process->state == 'S');
    CHECK(process->started == 1007);
    CHECK_FALSE(find_process(8, proc.path()));
}

TEST_CASE("the descendants of a process are found at every depth and in any order") {
    const FakeProc proc;
    proc.add(1, 0);
    proc.add(10, 1);
    proc.add(50, 10);
    proc.add(20, 50, "gone", 'Z');
    proc.add(90, 20);
    proc.add(11, 1);
    proc.add(12, 11);
    CHECK(pids(descendants(10, {}, proc.path())) == std::set<pid_t>{50, 20, 90});
    const Process gone = *find_process(20, proc.path());
    CHECK(pids(descendants(10, {gone}, proc.path())) == std::set<pid_t>{50});
    Process earlier = gone;
    earlier.started -= 1;
    CHECK(pids(descendants(10, {earlier}, proc.path())) == std::set<pid_t>{50, 20, 90});
    CHECK(pids(descendants(90, {}, proc.path())).empty());
    CHECK(is_descendant(90, 10, proc.path()));
    CHECK_FALSE(is_descendant(12, 10, proc.path()));
    CHECK_FALSE(is_descendant(10, 10, proc.path()));
    CHECK_FALSE(is_descendant(77, 10, proc.path()));
}

TEST_CASE("it is told whether all descendants could be seen") {
    const FakeProc proc;
    proc.add(10, 1);
    // Where the first process of all is hidden, so may others be.
    CHECK_FALSE(descendants(10, {}, proc.path()).complete);
    proc.add(1, 0);
    CHECK(descendants(10, {}, proc.path()).complete);
    CHECK_FALSE(descendants(10, {}, proc.path() + "/absent").complete);
    // It is there, and no process may look at it.
    std::filesystem::create_directory(proc.path() + "/11");
    std::filesystem::create_symlink("stat", proc.path() + "/11/stat");
    const Descendants tree = descendants(10, {}, proc.path());
    CHECK_FALSE(tree.complete);
    CHECK(tree.found.empty());
}

TEST_CASE("/proc counts where it shows this process as itself") {
    const FakeProc proc;
    const auto show_self_as = [&](pid_t pid, const std::string& namespaces) {
        proc.add(pid, 1);
        std::ofstream(proc.path() + "/" + std::to_string(pid) + "/status") << "Name:\tx\n" << namespaces;
        std::filesystem::remove(proc.path() + "/self");
        std::filesystem::create_symlink(std::to_string(pid), proc.path() + "/self");
        return why_not_shown(proc.path());
    };
    CHECK(why_not_shown(proc.path() + "/absent"));
    CHECK(why_not_shown(proc.path()));
    const std::string own = std::to_string(getpid());
    CHECK_FALSE(show_self_as(getpid(), "NSpid:\t" + own + "\nThreads:\t1\n"));
    CHECK_FALSE(show_self_as(getpid(), ""));
    // The same number by chance.
    CHECK(show_self_as(getpid(), "NSpid:\t" + own + "\t" + own + "\n"));
    CHECK(show_self_as(getpid() + 1, ""));
    CHECK_FALSE(why_not_shown());
}

TEST_CASE("a signal goes to the process that was seen, not to a later one of the same pid") {
    // The child has the default action from its first instruction on, not Catch2's handler.
    const auto handler = std::signal(SIGTERM, SIG_DFL);
    const pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    std::signal(SIGTERM, handler);
    const auto process = find_process(child);
    REQUIRE(process);
    Process earlier = *process;
    earlier.started -= 1;
    CHECK(send_signal(earlier, SIGKILL));
    CHECK(waitpid(child, nullptr, WNOHANG) == 0);

    CHECK(send_signal(*process, SIGTERM));
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM));
    CHECK(send_signal(*process, SIGKILL));
}

TEST_CASE("a process that ends while it is looked at is none, and no error") {
    const test::TempDir proc;
    // Reading a folder fails, as reading the file of a process that has just ended does.
    std::filesystem::create_directories(proc.path() / "123" / "stat");
    CHECK_FALSE(find_process(123, proc.path()));
    CHECK(descendants(1, {}, proc.path()).found.empty());
}
