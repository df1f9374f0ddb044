// Prints a line for each signal that it gets, and ends with status 0 at a USR2 or after a minute. "ready"
// is the first line. With an argument, it prints what else it was started with: the numbers of the signals
// that are ignored or blocked, and its open descriptors.
#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <initializer_list>

namespace {

void print_state() {
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, nullptr, &blocked);
    for (int number = 1; number < 32; ++number) {
        struct sigaction action {};
        sigaction(number, nullptr, &action);
        if (action.sa_handler == SIG_IGN) std::printf("ignored %d\n", number);
        if (sigismember(&blocked, number) == 1) std::printf("blocked %d\n", number);
    }
    DIR* folder = opendir("/proc/self/fd");
    while (const dirent* entry = readdir(folder)) {
        const int fd = std::atoi(entry->d_name);
        if (entry->d_name[0] != '.' && fd != dirfd(folder)) std::printf("descriptor %d\n", fd);
    }
    closedir(folder);
}

}  // namespace

int main(int argc, char**) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    if (argc > 1) {
        print_state();
        return 0;
    }
    sigset_t all;
    sigemptyset(&all);
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH, SIGURG,
                             SIGALRM, SIGXCPU, SIGRTMIN, SIGRTMAX})
        sigaddset(&all, number);
    sigprocmask(SIG_BLOCK, &all, nullptr);
    alarm(60);
    std::puts("ready");
    for (;;) {
        int number = 0;
        if (sigwait(&all, &number) != 0) return 1;
        if (const char* name = sigabbrev_np(number))
            std::printf("got %s\n", name);
        else
            std::printf("got %d\n", number);
        if (number == SIGUSR2 || number == SIGALRM) return 0;
    }
}
