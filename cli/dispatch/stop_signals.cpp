#include "cli/dispatch/stop_signals.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace sema {

using namespace std::chrono_literals;

StopSignals::StopSignals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGTERM, SIGINT, SIGHUP})
        sigaddset(&signals, number);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    // What it writes to may be gone, as a terminal that was closed.
    signal(SIGPIPE, SIG_IGN);
    fd_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "signalfd");
    thread_ = std::thread([this] { run(); });
}

StopSignals::~StopSignals() {
    is_over_ = true;
    news_.ring();
    thread_.join();
    close(fd_);
}

void StopSignals::set_reaction(std::function<void()> react, std::optional<Duration> patience) {
    const std::lock_guard lock(mutex_);
    react_ = std::move(react);
    patience_ = patience;
    // To what came before.
    if (react_ && stops_ > 0) react_();
    news_.ring();
}

std::shared_ptr<const Wake> StopSignals::hurry() const {
    const std::lock_guard lock(mutex_);
    return hurry_;
}

void StopSignals::ring_hurry() {
    const auto next = std::make_shared<const Wake>();
    const std::lock_guard lock(mutex_);
    std::exchange(hurry_, next)->ring();
}

void StopSignals::run() {
    while (!is_over_) {
        std::array<pollfd, 2> entries{{{fd_, POLLIN, 0}, {news_.fd(), POLLIN, 0}}};
        const int limit =
            patience_ends_ == BootClock::never
                ? -1
                : static_cast<int>(std::clamp<Duration>(patience_ends_ - BootClock::now(), 0ms, 1h) / 1ms) +
                      1;
        poll(entries.data(), entries.size(), limit);
        news_.clear();
        signalfd_siginfo info{};
        while (read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
            if (info.ssi_signo == SIGHUP)
                reload_ = true;
            else if (++stops_ > 1)
                ring_hurry();
        }
        const std::lock_guard lock(mutex_);
        const Moment now = BootClock::now();
        if (stops_ > 0 && patience_ && !is_patience_over_) {
            if (patience_ends_ == BootClock::never) patience_ends_ = now + *patience_;
            is_patience_over_ = now >= patience_ends_;
            if (is_patience_over_) patience_ends_ = BootClock::never;
        }
        if (react_) react_();
    }
}

}  // namespace sema
