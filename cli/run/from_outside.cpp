#include "cli/run/from_outside.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace sema {

int from_outside(const std::function<int()>& work) {
    const pid_t sender = fork();
    if (sender < 0) return work();
    if (sender == 0) {
        // Of the same session nonetheless, in which every process may continue every other.
        setpgid(0, 0);
        _exit(work());
    }
    int status = 0;
    while (waitpid(sender, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

}  // namespace sema
