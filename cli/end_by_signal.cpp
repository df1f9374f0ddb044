#include "cli/end_by_signal.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <csignal>

namespace sema {

void end_by_signal(int number) {
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    // Where cores go to a program, the limit does not count.
    prctl(PR_SET_DUMPABLE, 0);
    std::signal(number, SIG_DFL);
    // Signals are blocked since `run` and others began to read them.
    std::raise(number);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    sigprocmask(SIG_UNBLOCK, &only, nullptr);
}

}  // namespace sema
