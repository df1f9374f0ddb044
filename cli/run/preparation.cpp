#include "cli/run/preparation.hpp"

#include "cli/run/process_tree.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
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

// Signals, /proc and its list of semactl's children, a timer, two connections (one to renew the lease) with
// what finding a server's address takes, and what starting and stopping a command does. Seen are 22 at most.
constexpr std::size_t descriptors_needed = 24;
// The first three.
constexpr std::size_t descriptors_open = 3;
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
    // No signal announces its end.
    const pid_t pid =
        clone(note_parent, stack.data() + stack.size(), CLONE_VM | CLONE_VFORK | CLONE_FILES, &parent);
    if (pid < 0) return std::nullopt;
    waitpid(pid, nullptr, __WALL);
    return parent;
}

bool are_children_shown(const ProcFolder& proc) {
    OwnChildren children(proc);
    children.look();
    while (const pid_t pid = children.next())
        if (!find_process(pid, proc)) return false;
    return true;
}

// Makes each call once that semactl makes for the first time while a command runs, or stops. It can do
// without those that are refused; but a system that ends a process for one is to do that before there is a
// slot.
void make_later_calls() {
    const pid_t self = getpid();
    // Through syscall(), since glibc 2.36 declares its functions for these in a way that C++ can't link.
    const int process = static_cast<int>(syscall(SYS_pidfd_open, self, 0));
    syscall(SYS_pidfd_send_signal, process, 0, nullptr, 0);
    const int alarm = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    const itimerspec never{};
    timerfd_settime(alarm, 0, &never, nullptr);
    const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const int several = epoll_create1(EPOLL_CLOEXEC);
    epoll_event readable{};
    epoll_ctl(several, EPOLL_CTL_ADD, event, &readable);
    for (const int fd : {process, alarm, event, several})
        if (fd >= 0) close(fd);
    timer_t timer{};
    sigevent silent{};
    silent.sigev_notify = SIGEV_NONE;
    if (timer_create(CLOCK_MONOTONIC, &silent, &timer) == 0) {
        timer_settime(timer, 0, &never, nullptr);
        timer_delete(timer);
    }
    sigset_t signals;
    sigemptyset(&signals);
    const timespec at_once{};
    sigtimedwait(&signals, nullptr, &at_once);
    sigpending(&signals);
    syscall(SYS_tgkill, self, self, 0);
    static_cast<void>(getpgid(0) + getsid(0));
}

bool can_have_pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    close(ends[0]);
    close(ends[1]);
    return true;
}

}  // namespace

std::optional<std::string> prepare_to_supervise(const ProcFolder& proc, const InheritedDescriptors& inherited,
                                                std::size_t leases) {
    const std::size_t descriptors = descriptors_needed + (leases - 1) * descriptors_per_lease;
    if (!has_room_for(descriptors - descriptors_open))
        return "too few files may be open: " + std::to_string(descriptors) +
               " more are needed (see ulimit -n)";
    if (const auto why = proc.why_unusable())
        return *why + ", and a command's processes are found nowhere else";
    if (!inherited.all_known()) return "/proc/self/fd does not show the open files";
    make_later_calls();
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
    if (has_children && !(descendants(getpid(), {}, proc).complete && are_children_shown(proc)))
        return std::string("/proc does not show all processes, and semactl was started with children");
    return std::nullopt;
}

}  // namespace sema
