// Preloaded, it has a program take its time to be executed, as one on a disk that hangs, until the file is
// there that SLOW_EXEC names; and a process to be forked, as on a machine that sleeps, until that of
// SLOW_FORK is. Right before or after each fork, as SIGNAL_FORK says, the process group gets a USR1.
#include <dlfcn.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string_view>

namespace {

void signal_group(std::string_view when) {
    const char* const asked = std::getenv("SIGNAL_FORK");
    if (asked != nullptr && when == asked) kill(0, SIGUSR1);
}

void wait_for(const char* variable) {
    const char* const file = std::getenv(variable);
    while (file != nullptr && access(file, F_OK) != 0)
        usleep(5000);
}

}  // namespace

extern "C" pid_t fork() {
    wait_for("SLOW_FORK");
    using Fork = pid_t (*)();
    const auto real_fork = reinterpret_cast<Fork>(dlsym(RTLD_NEXT, "fork"));
    signal_group("before");
    const pid_t pid = real_fork();
    if (pid > 0) signal_group("after");
    return pid;
}

extern "C" int execve(const char* path, char* const* arguments, char* const* environment) {
    wait_for("SLOW_EXEC");
    using Exec = int (*)(const char*, char* const*, char* const*);
    return reinterpret_cast<Exec>(dlsym(RTLD_NEXT, "execve"))(path, arguments, environment);
}
