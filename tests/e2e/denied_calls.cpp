// Runs a program to which the system refuses some calls, as old kernels and many containers do:
//
//   denied_calls ENOSYS|EPERM|KILL CALL... -- PROGRAM ARG...
//
// With KILL the system ends the program for one. The call `newer-than-3.10` is each one that Linux 3.10
// lacks, and timerfd_create() with the clock that it took later.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>

namespace {

struct Call {
    const char* name;
    unsigned number;
};
constexpr std::array<Call, 18> calls = {{{"pidfd_open", SYS_pidfd_open},
                                         {"pidfd_send_signal", SYS_pidfd_send_signal},
                                         {"timerfd_create", SYS_timerfd_create},
                                         {"close_range", SYS_close_range},
                                         {"signalfd4", SYS_signalfd4},
                                         {"prctl", SYS_prctl},
                                         {"timer_create", SYS_timer_create},
                                         {"socketpair", SYS_socketpair},
                                         {"pipe2", SYS_pipe2},
                                         {"clone", SYS_clone},
                                         {"access", SYS_access},
                                         {"faccessat2", SYS_faccessat2},
                                         {"getpgid", SYS_getpgid},
                                         {"getsid", SYS_getsid},
                                         {"eventfd2", SYS_eventfd2},
                                         {"epoll_create1", SYS_epoll_create1},
                                         {"tgkill", SYS_tgkill},
                                         {"rt_sigtimedwait", SYS_rt_sigtimedwait}}};

// The last call of Linux 3.10 for x86-64.
constexpr unsigned finit_module = 313;
constexpr std::array<sock_filter, 6> newer_than_3_10 = {
    {BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, finit_module, 0, 1),
     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_timerfd_create, 0, 3),
     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOCK_BOOTTIME, 0, 1),
     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL)}};

int fail(const char* what) {
    std::perror(what);
    return 125;
}

}  // namespace

int main(int argc, char** argv) {
    const auto is = [&](const char* how) { return argc > 1 && std::strcmp(argv[1], how) == 0; };
    const unsigned answer =
        is("KILL") ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | (is("EPERM") ? EPERM : ENOSYS);
    // The call's number; two lines for each name, of which the second is left out for other calls; the rest.
    std::array<sock_filter, 2 * calls.size() + newer_than_3_10.size() + 2> filter{};
    unsigned short length = 0;
    filter[length++] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
    int word = 2;
    bool is_old = false;
    for (; word < argc && std::strcmp(argv[word], "--") != 0; ++word) {
        is_old = is_old || std::strcmp(argv[word], "newer-than-3.10") == 0;
        for (const Call& call : calls) {
            if (std::strcmp(call.name, argv[word]) != 0) continue;
            filter[length++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call.number, 0, 1);
            filter[length++] = BPF_STMT(BPF_RET | BPF_K, answer);
        }
    }
    if (is_old) {
        // Last, since it loads an argument in the number's place.
        std::copy(newer_than_3_10.begin(), newer_than_3_10.end(), filter.begin() + length);
        length += newer_than_3_10.size();
    }
    filter[length++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    if (word + 1 >= argc) return 125;

    const sock_fprog program{length, filter.data()};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail("prctl");
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) return fail("seccomp");
    execvp(argv[word + 1], argv + word + 1);
    return fail(argv[word + 1]);
}
