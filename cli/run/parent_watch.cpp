#include "cli/run/parent_watch.hpp"

#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cstdint>
#include <stdexcept>
#include <tuple>

namespace sema {
namespace {

constexpr long nanoseconds_between_looks = 500'000'000;

}  // namespace

ParentWatch::ParentWatch(pid_t parent) : parent_(parent) {
    if (parent_ == 0)
        throw std::runtime_error(
            "--die-with-parent: the process that started semactl is outside of this container, and cannot be "
            "watched");
    // Through syscall(), since glibc 2.36 declares its function for it in a way that C++ can't link.
    fd_ = static_cast<int>(syscall(SYS_pidfd_open, parent_, 0));
    // Its pid may be another's by now.
    const bool is_over = getppid() != parent_;
    if (fd_ >= 0 && !is_over) return;
    if (fd_ >= 0) close(fd_);
    is_timer_ = true;
    fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    const itimerspec rounds{{0, nanoseconds_between_looks}, {0, is_over ? 1 : nanoseconds_between_looks}};
    if (fd_ < 0 || timerfd_settime(fd_, 0, &rounds, nullptr) != 0) {
        if (fd_ >= 0) close(fd_);
        throw std::runtime_error("--die-with-parent: the process that started semactl cannot be watched");
    }
}

ParentWatch::~ParentWatch() {
    close(fd_);
}

bool ParentWatch::is_gone() const {
    if (is_timer_) {
        std::uint64_t looks = 0;
        std::ignore = read(fd_, &looks, sizeof looks);
    }
    // The kernel gives a process its new parent before it reports the old one's end.
    return getppid() != parent_;
}

}  // namespace sema
