#include "cli/run/signals.hpp"

#include "cli/run/held_lease.hpp"
#include "cli/run/requests.hpp"
#include "cli/run/return_deadline.hpp"
#include "tests/support/catch.hpp"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

using namespace sema;

namespace {

// Whether this holds in another process, which blocks its signals for good and must not be stopped.
bool holds_elsewhere(const std::function<bool()>& condition) {
    const pid_t process = fork();
    if (process == 0) {
        // The test framework handles some of them, and others may be ignored.
        for (const int number : {SIGINT, SIGTERM, SIGTSTP, SIGCONT, SIGUSR1})
            std::signal(number, SIG_DFL);
        _exit(condition() ? 0 : 1);
    }
    int status = 0;
    REQUIRE(waitpid(process, &status, WUNTRACED) == process);
    if (WIFSTOPPED(status)) {
        kill(process, SIGKILL);
        waitpid(process, nullptr, 0);
        return false;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TEST_CASE("a CONT that came after the signal that asks for a stop keeps a process from stopping") {
    CHECK(holds_elsewhere([] {
        Signals signals;
        raise(SIGTSTP);
        const auto asks = signals.next();
        raise(SIGCONT);
        // The one stop that the kernel lets nobody ignore.
        const bool was_continued = signals.stop_self(SIGSTOP);
        const auto next = signals.next();
        return asks && asks->number == SIGTSTP && !was_continued && next && next->number == SIGCONT;
    }));
}

TEST_CASE("a request to end is known to have come since signals were looked for before, and not only now") {
    CHECK(holds_elsewhere([] {
        Signals signals;
        const Moment before = BootClock::now();
        Requests requests(signals);
        requests.take_in();
        raise(SIGTERM);
        const Moment sent = BootClock::now();
        // As in a call on the server.
        poll(nullptr, 0, 20);
        requests.take_in();
        const auto& end = requests.end();
        // On a machine that stalls for seconds, as far back as a call may be under way.
        return end && end->since >= before && end->at > sent &&
               (end->since <= sent || end->at - end->since >= std::chrono::seconds(2));
    }));
}

TEST_CASE("a request to end stays, and one to stop lasts until a CONT") {
    CHECK(holds_elsewhere([] {
        Signals signals;
        Requests requests(signals);
        bool fits = !requests.take_in() && !requests.end() && !requests.suspension();
        raise(SIGTSTP);
        fits =
            fits && !requests.take_in() && requests.suspension() && requests.suspension()->signal == SIGTSTP;
        raise(SIGCONT);
        fits = fits && !requests.take_in() && !requests.suspension();
        requests.suspend();
        raise(SIGUSR1);
        fits = fits && !requests.take_in() && !requests.end();
        const Moment before = BootClock::now();
        raise(SIGTERM);
        fits = fits && requests.take_in() && requests.end() && requests.end()->at >= before;
        raise(SIGINT);
        fits = fits && requests.take_in() && !requests.take_in();
        return fits && requests.end()->signal == SIGTERM;
    }));
}

TEST_CASE("what comes for one request twice is one, also where the first was read elsewhere") {
    const bool parent_is_first = GENERATE(false, true);
    CHECK(holds_elsewhere([&] {
        Signals signals;
        const Moment now = BootClock::now();
        Requests requests(signals, Requests::Request{SIGTERM, now, now, parent_is_first});
        raise(SIGTERM);
        bool fits = requests.end() && !requests.take_in();
        raise(SIGINT);
        fits = fits && requests.take_in();
        return fits && requests.end()->at == now;
    }));
}

TEST_CASE("a request to end or to stop that comes while slots are returned leaves less time for that") {
    const int number = GENERATE(SIGTERM, SIGTSTP);
    // Read by the deadline itself, or by what looks at the signals in between.
    const bool is_read_elsewhere = GENERATE(false, true);
    CAPTURE(number, is_read_elsewhere);
    CHECK(holds_elsewhere([&] {
        Signals signals;
        Requests requests(signals);
        ReturnDeadline deadline(requests);
        const Moment usual = deadline();
        raise(number);
        if (is_read_elsewhere) requests.take_in();
        const Moment sooner = deadline();
        return sooner < usual && sooner <= BootClock::now() + Returning::short_patience;
    }));
}
