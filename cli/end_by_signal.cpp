#include "cli/end_by_signal.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>

namespace sema {

void end_by_signal(int number) {
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    // Where cores go to a program, the limit does not count.
    prctl(PR_SET_DUMPABLE, 0);
    std::signal(number, SIG_DFL);
    // Signals are blocked since `run` and others began to read them. The kernel's own set, since a sigset_t
    // leaves out what libc keeps to itself.
    const std::uint64_t only = std::uint64_t{1} << (number - 1);
    kill(getpid(), number);
    syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &only, nullptr, sizeof only);
}

}  // namespace sema
