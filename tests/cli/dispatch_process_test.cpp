#include "cli/dispatch/process.hpp"
#include "cli/dispatch/running_commands.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"

#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <mutex>

using namespace sema;
using namespace sema::test;
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

ProcessSpec shell_with(const std::string& script) {
    return {.path = "/bin/sh", .arguments = {"sh", "-c", script}, .environment = {}, .folder = "/"};
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

TEST_CASE("a command that ended has freed its slot, and one that a signal ended once its lease is over") {
    std::mutex mutex;
    std::map<std::uint64_t, Moment> ends;
    RunningCommands running([&](std::uint64_t fence) {
        const std::lock_guard lock(mutex);
        ends[fence] = BootClock::now();
    });
    const auto has_ended = [&](std::uint64_t fence) {
        return eventually([&] {
            const std::lock_guard lock(mutex);
            return ends.count(fence) != 0;
        });
    };
    REQUIRE(running.start(1, shell_with("exit 3"), 1h));
    REQUIRE(has_ended(1));
    CHECK(running.end(1, 0s)->end.status == 3);

    const Moment begin = BootClock::now();
    REQUIRE(running.start(2, shell_with("kill -KILL $$"), 700ms));
    REQUIRE(has_ended(2));
    CHECK(ends[2] - begin >= 700ms);
    const auto end = running.end(2, 0s);
    REQUIRE(end);
    CHECK(end->end.by_signal);
    CHECK_FALSE(end->was_asked);
}
