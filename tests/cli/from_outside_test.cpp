#include "cli/run/from_outside.hpp"

#include "tests/support/catch.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <stdexcept>

using namespace sema;

namespace {

// What becomes of work that another process is to do: it does `there`, this one does nothing.
int with_sender_that(void (*there)()) {
    const pid_t self = getpid();
    return from_outside([self, there] {
        if (getpid() == self) return 2;
        there();
        return 1;
    });
}

}  // namespace

TEST_CASE("work is done by another process, of a group of its own", "[alone]") {
    const pid_t group = getpgrp();
    CHECK(from_outside([group] { return getpgrp() == group ? 1 : 7; }) == 7);
}

TEST_CASE("work that is stopped, ended or takes too long in another process is done here", "[alone]") {
    CHECK(with_sender_that([] { raise(SIGSTOP); }) == 2);
    CHECK(with_sender_that([] { raise(SIGKILL); }) == 2);
    CHECK(with_sender_that([] {
              for (;;)
                  pause();
          }) == 2);
    CHECK(with_sender_that([] { throw std::runtime_error("no memory"); }) == 2);
    // None of them is left.
    errno = 0;
    CHECK(waitpid(-1, nullptr, WNOHANG) == -1);
    CHECK(errno == ECHILD);
}
