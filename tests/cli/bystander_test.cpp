#include "cli/run/bystander.hpp"

#include "tests/support/catch.hpp"

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <tuple>

using namespace sema;
using namespace std::chrono_literals;

namespace {

// Starts a process that traces the other one and collects nothing of it. -1 where it may not.
pid_t trace(pid_t other) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const pid_t tracer = fork();
    if (tracer == 0) {
        const char may = ptrace(PTRACE_SEIZE, other, nullptr, nullptr) == 0 ? 1 : 0;
        std::ignore = write(ends[1], &may, 1);
        for (;;)
            pause();
    }
    char may = 0;
    CHECK(read(ends[0], &may, 1) == 1);
    close(ends[0]);
    close(ends[1]);
    if (may == 1) return tracer;
    kill(tracer, SIGKILL);
    waitpid(tracer, nullptr, 0);
    return -1;
}

}  // namespace

TEST_CASE("a bystander that is ended is gone", "[alone]") {
    const ProcFolder proc;
    Bystander bystander(proc);
    const pid_t pid = bystander.pid();
    REQUIRE(pid > 0);
    CHECK(bystander.got(SIGUSR1, BootClock::now(), BootClock::never) == false);
    bystander.end();
    // A machine that is busy takes a moment more.
    if (bystander.pid() == pid) {
        REQUIRE(waitpid(pid, nullptr, 0) == pid);
        bystander.was_reaped();
    }
    CHECK(bystander.pid() == -1);
    CHECK(bystander.fd() == -1);
    CHECK(kill(pid, 0) != 0);
    CHECK_FALSE(bystander.got(SIGUSR1, BootClock::now(), BootClock::never));
}

TEST_CASE("the end of a bystander does not wait for the program that traces it") {
    const ProcFolder proc;
    Bystander bystander(proc);
    const pid_t pid = bystander.pid();
    const pid_t tracer = trace(pid);
    if (tracer < 0) {
        WARN("this process may not trace another one");
        return;
    }
    const Moment begin = BootClock::now();
    for (int round = 0; round < 100; ++round)
        bystander.end();
    CHECK(BootClock::now() - begin < 5s);
    CHECK(bystander.pid() == pid);
    CHECK(bystander.fd() == -1);
    CHECK_FALSE(bystander.got(SIGUSR1, BootClock::now(), BootClock::never));
    kill(tracer, SIGKILL);
    CHECK(waitpid(tracer, nullptr, 0) == tracer);
    CHECK(waitpid(pid, nullptr, 0) == pid);
    bystander.was_reaped();
    CHECK(bystander.pid() == -1);
}
