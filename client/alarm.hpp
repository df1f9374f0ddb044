#pragma once

#include "client/boot_clock.hpp"

namespace sema {

/// Wakes a thread that polls, at a moment of the boot clock: at once also where the machine slept over it.
class Alarm {
  public:
    /// Never fails: where the system gives no such timer (kernels before 3.15, some containers), set() says
    /// so.
    Alarm();
    ~Alarm();
    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;

    /// Becomes readable at the moment that was set; -1 where there is no timer.
    int fd() const { return fd_; }

    /// With BootClock::never no moment is. Gives how long to poll at most before the clock is looked at:
    /// without a timer not for long, since poll() does not count the machine's sleep.
    Duration set(Moment when);

  private:
    int fd_;
};

}  // namespace sema
