#include "cli/bounded_write.hpp"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace sema {
namespace {

using namespace std::chrono_literals;

// How long a write may block that was expected not to.
constexpr auto tick = 5ms;

void do_nothing(int) {}

// While it lives, each blocking call is interrupted after a tick at most, and a pipe without a reader is an
// error and no signal. A file that polls as writable can still block the writer: another program may have
// been quicker, or there is room for a part only. Where the system gives no timer nothing is interrupted: a
// pipe that polls as writable has room for PIPE_BUF bytes, unless another program was quicker.
class Interruptions {
  public:
    Interruptions() {
        struct sigaction action {};
        // Without SA_RESTART, and with a handler: else the call would go on.
        action.sa_handler = do_nothing;
        sigaction(SIGRTMAX, &action, &old_action_);
        sigemptyset(&interruption_);
        sigaddset(&interruption_, SIGRTMAX);
        pthread_sigmask(SIG_UNBLOCK, &interruption_, &old_mask_);
        sigemptyset(&broken_pipe_);
        sigaddset(&broken_pipe_, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &broken_pipe_, nullptr);

        sigevent event{};
        // A library's thread that got the signal would leave this one in its call.
        event.sigev_notify = SIGEV_THREAD_ID;
        event.sigev_signo = SIGRTMAX;
        event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
        running_ = timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
        // Again and again, since the first may come just before the call.
        const timespec time{0, std::chrono::nanoseconds(tick).count()};
        const itimerspec when{time, time};
        if (running_) timer_settime(timer_, 0, &when, nullptr);
    }
    ~Interruptions() {
        if (running_) timer_delete(timer_);
        const timespec at_once{};
        sigtimedwait(&broken_pipe_, nullptr, &at_once);
        // Not with a whole mask: libc would unblock the signals that it keeps to itself.
        if (sigismember(&old_mask_, SIGRTMAX) == 1) pthread_sigmask(SIG_BLOCK, &interruption_, nullptr);
        if (sigismember(&old_mask_, SIGPIPE) == 0) pthread_sigmask(SIG_UNBLOCK, &broken_pipe_, nullptr);
        sigaction(SIGRTMAX, &old_action_, nullptr);
    }
    Interruptions(const Interruptions&) = delete;
    Interruptions& operator=(const Interruptions&) = delete;

    bool running() const { return running_; }

  private:
    struct sigaction old_action_ {};
    sigset_t old_mask_{};
    sigset_t interruption_{};
    sigset_t broken_pipe_{};
    timer_t timer_{};
    bool running_ = false;
};

}  // namespace

std::optional<std::size_t> write_within(int fd, std::string_view text, std::chrono::milliseconds patience) {
    using Clock = std::chrono::steady_clock;
    const auto give_up = Clock::now() + patience;
    std::size_t done = 0;
    while (done < text.size()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(give_up - Clock::now());
        pollfd ready{fd, POLLOUT, 0};
        const int found = poll(&ready, 1, static_cast<int>(std::max(left, 0ms) / 1ms));
        if (found == 0) break;
        if (found < 0 && errno == EINTR) continue;
        // A process from which all descriptors were taken may not poll, but write to those that are open.
        const bool may_poll = found > 0 || errno != EINVAL;
        if (found < 0 && may_poll) return std::nullopt;
        const Interruptions interruptions;
        if (!may_poll && !interruptions.running()) return std::nullopt;
        const std::size_t rest = text.size() - done;
        const std::size_t part = interruptions.running() ? rest : std::min<std::size_t>(rest, PIPE_BUF);
        const ssize_t written = write(fd, text.data() + done, part);
        if (written > 0) {
            done += static_cast<std::size_t>(written);
        } else if (errno != EINTR && errno != EAGAIN) {
            return std::nullopt;
        } else if (Clock::now() >= give_up) {
            break;
        } else if (!may_poll) {
            poll(nullptr, 0, 1);
        }
    }
    return done;
}

}  // namespace sema
