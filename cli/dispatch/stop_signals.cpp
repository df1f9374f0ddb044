#include "cli/dispatch/stop_signals.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace sema {

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
    over_.ring();
    thread_.join();
    close(fd_);
}

void StopSignals::ring(const Wake* bell) {
    const std::lock_guard lock(mutex_);
    bell_ = bell;
    if (bell_ != nullptr) bell_->ring();
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
        std::array<pollfd, 2> entries{{{fd_, POLLIN, 0}, {over_.fd(), POLLIN, 0}}};
        poll(entries.data(), entries.size(), -1);
        signalfd_siginfo info{};
        while (read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
            if (info.ssi_signo == SIGHUP)
                reload_ = true;
            else if (++stops_ > 1)
                ring_hurry();
        }
        const std::lock_guard lock(mutex_);
        if (bell_ != nullptr) bell_->ring();
    }
}

}  // namespace sema
