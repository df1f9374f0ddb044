#include "cli/run/wake_up.hpp"

#include <signal.h>

namespace sema {

using namespace std::chrono_literals;

WakeUp::~WakeUp() {
    if (exists_) timer_delete(timer_);
}

bool WakeUp::set(Moment when) {
    if (!exists_) {
        if (when == BootClock::never) return true;
        sigevent event{};
        event.sigev_notify = SIGEV_SIGNAL;
        event.sigev_signo = SIGCONT;
        exists_ = timer_create(CLOCK_BOOTTIME, &event, &timer_) == 0;
    }
    itimerspec timer{};
    if (when != BootClock::never) {
        const Duration since_boot = when.time_since_epoch();
        timer.it_value.tv_sec = static_cast<time_t>(since_boot / 1s);
        timer.it_value.tv_nsec = static_cast<long>(std::chrono::nanoseconds(since_boot % 1s).count());
    }
    return exists_ && timer_settime(timer_, TIMER_ABSTIME, &timer, nullptr) == 0;
}

}  // namespace sema
