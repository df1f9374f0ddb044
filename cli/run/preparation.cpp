#include "cli/run/preparation.hpp"

#include "cli/run/process_tree.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <system_error>
#include <vector>

namespace sema {
namespace {

// Signals, a timer, two connections (one to renew the lease) with what finding a server's address takes, and
// what starting and stopping a command does. Seen are 15 at most.
constexpr std::size_t descriptors_needed = 24;
// Each further lease has a connection of its own to renew it.
constexpr std::size_t descriptors_per_lease = 6;

std::string refused(const std::string& what, const std::string& call) {
    return "the system refuses " + what + " (" + call + ": " + std::generic_category().message(errno) + ")";
}

bool has_room_for(std::size_t descriptors) {
    std::vector<int> opened;
    while (opened.size() < descriptors) {
        // The first three are always open.
        const int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);
        if (fd < 0) break;
        opened.push_back(fd);
    }
    for (const int fd : opened)
        close(fd);
    return opened.size() == descriptors;
}

bool becomes_subreaper() {
    int is_subreaper = 0;
    return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && prctl(PR_GET_CHILD_SUBREAPER, &is_subreaper) == 0 &&
           is_subreaper == 1;
}

// The new process asks for such a signal itself: this is the same call, and changes nothing.
bool can_have_parent_death_signal() {
    int signal = 0;
    return prctl(PR_GET_PDEATHSIG, &signal) == 0 && prctl(PR_SET_PDEATHSIG, signal) == 0;
}

// Shares the caller's memory.
int note_parent(void* parent) {
    *static_cast<pid_t*>(parent) = getppid();
    return 0;
}

// Starts a process and has it end: with the call that fork() makes, but without copying semactl's memory. Its
// parent as it sees it; none where it cannot be started.
std::optional<pid_t> parent_of_child() {
    alignas(16) std::array<char, 16384> stack;
    pid_t parent = -1;
    // No signal tells of its end.
    const pid_t pid =
        clone(note_parent, stack.data() + stack.size(), CLONE_VM | CLONE_VFORK | CLONE_FILES, &parent);
    if (pid < 0) return std::nullopt;
    waitpid(pid, nullptr, __WALL);
    return parent;
}

bool can_have_pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    close(ends[0]);
    close(ends[1]);
    return true;
}

}  // namespace

std::optional<std::string> prepare_to_supervise(const InheritedDescriptors& inherited, std::size_t leases) {
    const std::size_t descriptors = descriptors_needed + (leases - 1) * descriptors_per_lease;
    if (!has_room_for(descriptors))
        return "too few files may be open: " + std::to_string(descriptors) +
               " more are needed (see ulimit -n)";
    if (const auto why = why_not_shown()) return *why + ", and a command's processes are found nowhere else";
    if (!inherited.all_known()) return "/proc/self/fd does not show the open files";
    // By that a run around this one knows that there is a slot to return, whatever its file is called.
    prctl(PR_SET_NAME, "semactl");
    if (!becomes_subreaper()) return refused("to give semactl a command's orphans", "prctl");
    if (!can_have_pipe()) return refused("to tell how a start went", "pipe2");
    const auto parent = parent_of_child();
    if (!parent) return refused("to start another process", "clone");
    if (*parent != getpid())
        return std::string("what semactl starts is in another pid namespace (see unshare --fork)");
    if (!can_have_parent_death_signal()) return refused("to tell a command of semactl's death", "prctl");
    if (kill(getpid(), 0) != 0) return refused("to send signals", "kill");
    timespec time{};
    if (clock_gettime(CLOCK_BOOTTIME, &time) != 0)
        return refused("a clock that counts the machine's sleep", "clock_gettime");
    siginfo_t info{};
    const bool has_children = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
    if (!has_children && errno != ECHILD) return refused("to wait for processes", "waitid");
    // A command's processes must be distinguished from them.
    if (has_children && !descendants(getpid(), {}).complete)
        return std::string("/proc does not show all processes, and semactl was started with children");
    return std::nullopt;
}

}  // namespace sema
