// Takes signals as sudo before 1.9.13 does: one from a process of its own process group counts for nothing,
// since its command may have sent it. "ready" is its first line. It ends with status 3 at a TERM that counts,
// and after a minute.
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <cstdio>
#include <initializer_list>

int main() {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    sigset_t taken;
    sigemptyset(&taken);
    for (const int number : {SIGTERM, SIGUSR1})
        sigaddset(&taken, number);
    sigprocmask(SIG_BLOCK, &taken, nullptr);
    alarm(60);
    std::puts("ready");
    for (;;) {
        siginfo_t info{};
        const int number = sigwaitinfo(&taken, &info);
        const bool counts = info.si_code != SI_USER || getpgid(info.si_pid) != getpgrp();
        std::printf("%s %s\n", counts ? "took" : "ignored", sigabbrev_np(number));
        if (counts && number == SIGTERM) return 3;
    }
}
