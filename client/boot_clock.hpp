#pragma once

#include "common/durations.hpp"

#include <chrono>
#include <ctime>

namespace sema {

/// The clock of a client's deadlines: it never jumps when the time of day is set, and it goes on while the
/// machine sleeps, since the server's leases do too.
struct BootClock {
    using rep = Duration::rep;
    using period = Duration::period;
    using duration = Duration;
    using time_point = std::chrono::time_point<BootClock, Duration>;
    static constexpr bool is_steady = true;

    /// A deadline that is never reached.
    static const time_point never;

    static time_point now() noexcept {
        timespec t{};
        clock_gettime(CLOCK_BOOTTIME, &t);
        return time_point(std::chrono::seconds(t.tv_sec) +
                          std::chrono::floor<Duration>(std::chrono::nanoseconds(t.tv_nsec)));
    }
};

inline constexpr BootClock::time_point BootClock::never = time_point::max();

/// A moment on the client's side. The server has a timeline of its own, and the two are never compared.
using Moment = BootClock::time_point;

}  // namespace sema
