#include "cli/run/child.hpp"

#include "cli/exit_status.hpp"
#include "cli/run/process_tree.hpp"
#include "tests/support/catch.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <tuple>

using namespace sema;

namespace {

const ChildSpec nothing{"/bin/true", {"true"}, {}};

// What becomes of such a process, as wait() says it, when another one, whose signals are blocked for good,
// does that with it; -1 where it is not to be had.
int end_after(const std::function<void(StartedChild&)>& action) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const pid_t starter = fork();
    if (starter == 0) {
        // The test framework handles it.
        std::signal(SIGTERM, SIG_DFL);
        const Signals signals;
        const InheritedDescriptors descriptors;
        pid_t pid = -1;
        {
            StartedChild child = start_child(nothing, signals, descriptors);
            pid = child.pid();
            action(child);
        }
        int status = -1;
        if (waitpid(pid, &status, 0) != pid) status = -1;
        std::ignore = write(ends[1], &status, sizeof status);
        _exit(0);
    }
    close(ends[1]);
    int status = -1;
    if (read(ends[0], &status, sizeof status) != static_cast<ssize_t>(sizeof status)) status = -1;
    close(ends[0]);
    REQUIRE(waitpid(starter, nullptr, 0) == starter);
    return status;
}

}  // namespace

TEST_CASE("a process that is let go executes its program, and another one ends without that") {
    const int done = end_after([](StartedChild& child) { child.let_go(); });
    CHECK(WIFEXITED(done));
    CHECK(WEXITSTATUS(done) == 0);
    const int left = end_after([](StartedChild&) {});
    CHECK(WIFEXITED(left));
    CHECK(WEXITSTATUS(left) == exit_status::failed);
}

TEST_CASE("a signal that comes before a process is let go is seen to wait, and is the program's") {
    const int ended = end_after([](StartedChild& child) {
        const ProcFolder proc;
        const auto has = [&] {
            const auto pending = pending_signals(child.pid(), proc);
            return pending && (*pending >> (SIGTERM - 1) & 1) == 1;
        };
        const bool had = has();
        kill(child.pid(), SIGTERM);
        if (!had && has()) child.let_go();
    });
    CHECK(WIFSIGNALED(ended));
    CHECK(WTERMSIG(ended) == SIGTERM);
}

TEST_CASE("where /proc does not show which signals are pending, that is not taken for none") {
    CHECK_FALSE(pending_signals(getpid(), ProcFolder("/nowhere")));
}
