#pragma once

#include "common/durations.hpp"

#include <chrono>

namespace sema {

/// Marks the server's own timeline: it runs evenly, whatever is done to the wall clock, and goes on
/// across restarts, downtime included. Its points are compared with each other and stored; only
/// server/service/clock.hpp relates them to the time on the wall.
struct Timeline {
    using rep = Duration::rep;
    using period = Duration::period;
    using duration = Duration;
    using time_point = std::chrono::time_point<Timeline, Duration>;
    static constexpr bool is_steady = true;

    /// Later than any other time: a deadline that is never reached.
    static const time_point never;
    /// Earlier than any other time: a deadline that has passed.
    static const time_point long_ago;
};

inline constexpr Timeline::time_point Timeline::never = time_point::max();
inline constexpr Timeline::time_point Timeline::long_ago = time_point::min();

using TimePoint = Timeline::time_point;

}  // namespace sema
