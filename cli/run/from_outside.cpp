#include "cli/run/from_outside.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// The work takes well below a millisecond, more where many processes are signalled or the machine is busy.
constexpr Duration longest_work = 500ms;
// The time for it where more is pressing.
constexpr Duration shortest_work = 20ms;

// Both have the same descriptors: the end of a process with its own ones closes them, and that may wait for a
// disk that hangs, as where stderr is a file on it.
pid_t fork_with_same_files() {
    return static_cast<pid_t>(syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0));
}

}  // namespace

int from_outside(const std::function<int()>& work, Moment latest) {
    const pid_t sender = fork_with_same_files();
    if (sender < 0) return work();
    if (sender == 0) {
        // Of the same session nonetheless, in which every process may continue every other.
        setpgid(0, 0);
        try {
            _exit(work());
        } catch (const std::exception&) {
            // No more memory. It must not go on as semactl, which does the work itself.
            kill(getpid(), SIGKILL);
            _exit(1);
        }
    }
    // Any process of the user's may stop the sender, the command too: nothing here waits for it without end.
    const auto end_of_try = [latest] {
        const Moment now = BootClock::now();
        return std::max(std::min(now + longest_work, latest), now + shortest_work);
    };
    Moment end = end_of_try();
    for (bool is_killed = false;;) {
        int status = 0;
        const pid_t changed = waitpid(sender, &status, WNOHANG | WUNTRACED);
        if (changed == sender && WIFEXITED(status)) return WEXITSTATUS(status);
        if (changed < 0 || (changed == sender && WIFSIGNALED(status))) return work();
        if (changed == sender || BootClock::now() >= end) {
            if (std::exchange(is_killed, true)) return work();
            kill(sender, SIGKILL);
            end = end_of_try();
        }
        poll(nullptr, 0, 1);
    }
}

}  // namespace sema
