#include "client/alarm.hpp"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>

namespace sema {
namespace {

using namespace std::chrono_literals;

// A part of the second that killing a command before its lease's end may take.
constexpr Duration longest_round = 250ms;
// For a moment that has passed already.
constexpr Duration shortest_round = 1ms;

}  // namespace

Alarm::Alarm() : fd_(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)) {}

Alarm::~Alarm() {
    if (fd_ >= 0) close(fd_);
}

Duration Alarm::set(Moment when) {
    itimerspec timer{};
    if (when != BootClock::never) {
        const Duration since_boot = std::max<Duration>(when.time_since_epoch(), 1us);
        timer.it_value.tv_sec = static_cast<time_t>(since_boot / 1s);
        timer.it_value.tv_nsec = static_cast<long>((since_boot % 1s) / 1us) * 1000;
    }
    if (fd_ >= 0 && timerfd_settime(fd_, TFD_TIMER_ABSTIME, &timer, nullptr) == 0) return longest_duration;
    if (when == BootClock::never) return longest_duration;
    return std::clamp<Duration>(when - BootClock::now(), shortest_round, longest_round);
}

}  // namespace sema
