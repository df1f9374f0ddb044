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
    void add(pid_t pid, pid_t parent, const std::string& name = "sh", char state = 'S',
             int threads = 1) const {
        const auto folder = folder_.path() / std::to_string(pid);
        std::filesystem::create_directory(folder);
        std::ofstream file(folder / "stat");
        file << pid << " (" << name << ") " << state << " " << parent;
        for (int field = 5; field < 20; ++field)
            file << " -" << field;
        file << " " << threads << " -21 " << 1000 + pid << " 23 24\n";
    }
    void remove(pid_t pid) const { std::filesystem::remove_all(folder_.path() / std::to_string(pid)); }
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
    const auto process = find_process(7, ProcFolder(proc.path()));
    REQUIRE(process);
    CHECK(process->parent == 3);
    CHECK(process->name == ") R 1 (x");
    CHECK(process->state == 'S');
    CHECK(process->started == 1007);
    CHECK_FALSE(find_process(8, ProcFolder(proc.path())));
}

TEST_CASE("a process whose first thread has ended has ended with its last one") {
    const FakeProc proc;
    proc.add(7, 3, "sh", 'S');
    proc.add(8, 3, "sh", 'Z');
    proc.add(9, 3, "sh", 'Z', 2);
    const ProcFolder folder(proc.path());
    CHECK_FALSE(find_process(7, folder)->has_ended());
    CHECK(find_process(8, folder)->has_ended());
    CHECK_FALSE(find_process(9, folder)->has_ended());
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
    CHECK(pids(descendants(10, {}, ProcFolder(proc.path()))) == std::set<pid_t>{50, 20, 90});
    const Process gone = *find_process(20, ProcFolder(proc.path()));
    CHECK(pids(descendants(10, {gone}, ProcFolder(proc.path()))) == std::set<pid_t>{50});
    Process earlier = gone;
    earlier.started -= 1;
    CHECK(pids(descendants(10, {earlier}, ProcFolder(proc.path()))) == std::set<pid_t>{50, 20, 90});
    CHECK(pids(descendants(90, {}, ProcFolder(proc.path()))).empty());
    CHECK(is_descendant(90, 10, ProcFolder(proc.path())));
    CHECK_FALSE(is_descendant(12, 10, ProcFolder(proc.path())));
    CHECK_FALSE(is_descendant(10, 10, ProcFolder(proc.path())));
    CHECK_FALSE(is_descendant(77, 10, ProcFolder(proc.path())));
}

TEST_CASE("what was once seen below a process is followed to wherever it goes") {
    const FakeProc proc;
    const ProcFolder folder(proc.path());
    proc.add(1, 0);
    proc.add(10, 1);
    proc.add(20, 10);
    proc.add(30, 10);
    std::vector<Process> family = {*find_process(20, folder)};
    const auto members = [&] { return pids({family}); };
    follow(family, folder);
    CHECK(members() == std::set<pid_t>{20});
    proc.add(21, 20);
    proc.add(22, 21);
    proc.add(31, 30);
    follow(family, folder);
    CHECK(members() == std::set<pid_t>{20, 21, 22});
    // It ends, and what it has started goes to the next one up.
    proc.remove(20);
    proc.remove(22);
    proc.add(21, 10);
    proc.add(23, 21);
    follow(family, folder);
    CHECK(members() == std::set<pid_t>{21, 23});
    CHECK(pids(descendants(10, family, folder)) == std::set<pid_t>{30, 31});
    // Where not all are shown, one that is not may be there.
    proc.remove(1);
    proc.remove(21);
    proc.add(24, 23);
    follow(family, folder);
    CHECK(members() == std::set<pid_t>{21, 23, 24});
}

TEST_CASE("the children of this process are found without another descriptor") {
    const ProcFolder proc;
    OwnChildren children(proc);
    const auto found = [&] {
        std::set<pid_t> all;
        children.look();
        while (const pid_t pid = children.next())
            all.insert(pid);
        return all;
    };
    CHECK(found().empty());
    const auto sleeper = [] {
        const pid_t pid = fork();
        if (pid == 0) {
            pause();
            _exit(0);
        }
        return pid;
    };
    const pid_t first = sleeper();
    const pid_t second = sleeper();
    CHECK(found() == std::set<pid_t>{first, second});
    for (const pid_t pid : {first, second}) {
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
    }
    CHECK(found().empty());
}

TEST_CASE("it is told whether all descendants could be seen") {
    const FakeProc proc;
    proc.add(10, 1);
    // Where the first process of all is hidden, so may others be.
    CHECK_FALSE(descendants(10, {}, ProcFolder(proc.path())).complete);
    proc.add(1, 0);
    CHECK(descendants(10, {}, ProcFolder(proc.path())).complete);
    CHECK_FALSE(descendants(10, {}, ProcFolder(proc.path() + "/absent")).complete);
    // It is there, and no process may look at it.
    std::filesystem::create_directory(proc.path() + "/11");
    std::filesystem::create_symlink("stat", proc.path() + "/11/stat");
    const Descendants tree = descendants(10, {}, ProcFolder(proc.path()));
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
        return ProcFolder(proc.path()).why_unusable();
    };
    CHECK(ProcFolder(proc.path() + "/absent").why_unusable());
    CHECK(ProcFolder(proc.path()).why_unusable());
    const std::string own = std::to_string(getpid());
    CHECK_FALSE(show_self_as(getpid(), "NSpid:\t" + own + "\nThreads:\t1\n"));
    CHECK_FALSE(show_self_as(getpid(), ""));
    // The same number by chance.
    CHECK(show_self_as(getpid(), "NSpid:\t" + own + "\t" + own + "\n"));
    CHECK(show_self_as(getpid() + 1, ""));
    CHECK_FALSE(ProcFolder().why_unusable());
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
    const auto process = find_process(child, ProcFolder());
    REQUIRE(process);
    Process earlier = *process;
    earlier.started -= 1;
    CHECK(send_signal(earlier, SIGKILL, ProcFolder()));
    CHECK(waitpid(child, nullptr, WNOHANG) == 0);

    CHECK(send_signal(*process, SIGTERM, ProcFolder()));
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM));
    CHECK(send_signal(*process, SIGKILL, ProcFolder()));
}

TEST_CASE("a process that ends while it is looked at is none, and no error") {
    const test::TempDir proc;
    // Reading a folder fails, as reading the file of a process that has just ended does.
    std::filesystem::create_directories(proc.path() / "123" / "stat");
    CHECK_FALSE(find_process(123, ProcFolder(proc.path())));
    CHECK(descendants(1, {}, ProcFolder(proc.path())).found.empty());
}
