// Runs a program to which the system refuses all calls but those that are named, as systemd does for a unit
// with a SystemCallFilter=: they fail with EPERM.
//
//   allowed_calls CALL... -- PROGRAM ARG...
//
// Names that this machine has no call for are passed over.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

struct Call {
    const char* name;
    unsigned number;
};
// Written by CMake: all of the compiler's headers.
constexpr Call calls[] = {
#include "tests/e2e/system_calls.inc"
};

int fail(const char* what) {
    std::perror(what);
    return 125;
}

}  // namespace

int main(int argc, char** argv) {
    // KILL shows which call is missing: to the one who looks into it.
    const unsigned refusal =
        std::getenv("ALLOWED_CALLS_KILL") ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EPERM;
    std::vector<sock_filter> filter;
    filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
    int word = 1;
    for (; word < argc && std::strcmp(argv[word], "--") != 0; ++word) {
        for (const Call& call : calls) {
            if (std::strcmp(call.name, argv[word]) != 0) continue;
            filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call.number, 0, 1));
            filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
        }
    }
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, refusal));
    if (word + 1 >= argc) return 125;

    const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail("prctl");
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) return fail("seccomp");
    execvp(argv[word + 1], argv + word + 1);
    return fail(argv[word + 1]);
}
