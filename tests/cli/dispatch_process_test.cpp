#include "cli/dispatch/process.hpp"
#include "tests/support/catch.hpp"

#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

using namespace sema;
using namespace std::chrono_literals;

namespace {

void set_processes(rlim_t count) {
    const rlimit limit{count, RLIM_INFINITY};
    setrlimit(RLIMIT_NPROC, &limit);
}

// A user who has no process but this one may have another one a moment later. Returns an exit status.
int start_after_a_moment(uid_t user) {
    set_processes(1);
    if (setresuid(user, user, user) != 0) return 2;
    std::signal(SIGALRM, [](int) { set_processes(RLIM_INFINITY); });
    const itimerval moment{{0, 0}, {0, 300'000}};
    setitimer(ITIMER_REAL, &moment, nullptr);
    const auto ended = run_command(
        {.path = "/bin/true", .arguments = {"true"}, .environment = {}, .folder = "/"}, 1min, false);
    return ended && ended->end.is_success() ? 0 : 1;
}

}  // namespace

TEST_CASE("a command waits for a system that has no process to give for a moment") {
    if (getuid() != 0) {
        WARN("this process may not become another user's");
        return;
    }
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) _exit(start_after_a_moment(static_cast<uid_t>(1'000'000 + getpid())));
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}
