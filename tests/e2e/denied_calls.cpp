// Runs a program to which the system refuses some calls, as old kernels and many containers do:
//
//   denied_calls ENOSYS|EPERM CALL... -- PROGRAM ARG...
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

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
constexpr std::array<Call, 10> calls = {{{"pidfd_open", SYS_pidfd_open},
                                         {"pidfd_send_signal", SYS_pidfd_send_signal},
                                         {"timerfd_create", SYS_timerfd_create},
                                         {"close_range", SYS_close_range},
                                         {"signalfd4", SYS_signalfd4},
                                         {"prctl", SYS_prctl},
                                         {"timer_create", SYS_timer_create},
                                         {"socketpair", SYS_socketpair},
                                         {"pipe2", SYS_pipe2},
                                         {"clone", SYS_clone}}};

int fail(const char* what) {
    std::perror(what);
    return 125;
}

}  // namespace

int main(int argc, char** argv) {
    const unsigned error = argc > 1 && std::strcmp(argv[1], "EPERM") == 0 ? EPERM : ENOSYS;
    // The call's number; two lines for each name, of which the second is left out for other calls; the rest.
    std::array<sock_filter, 2 * calls.size() + 2> filter{};
    unsigned short length = 0;
    filter[length++] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
    int word = 2;
    for (; word < argc && std::strcmp(argv[word], "--") != 0; ++word) {
        for (const Call& call : calls) {
            if (std::strcmp(call.name, argv[word]) != 0) continue;
            filter[length++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call.number, 0, 1);
            filter[length++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
        }
    }
    filter[length++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    if (word + 1 >= argc) return 125;

    const sock_fprog program{length, filter.data()};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail("prctl");
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) return fail("seccomp");
    execvp(argv[word + 1], argv + word + 1);
    return fail(argv[word + 1]);
}
