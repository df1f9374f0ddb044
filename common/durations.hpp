#pragma once

#include "common/error.hpp"

#include <chrono>
#include <string>
#include <string_view>

namespace sema {

/// The one unit of elapsed time in both programs. The wire speaks of seconds, with fractions.
using Duration = std::chrono::microseconds;

/// The longest time that any part of Sema handles (about 31 years): what is longer is taken as this, so
/// that adding it to a point in time cannot overflow.
inline constexpr Duration longest_duration = std::chrono::seconds(1'000'000'000);

/// `seconds` as a Duration, rounded up to the next microsecond so that a positive number never becomes
/// zero, and cut off at `longest_duration`. REQUIRES: `seconds` is not negative and not NaN.
Duration from_seconds(double seconds);

/// Whole seconds, rounded down.
std::int64_t whole_seconds(Duration duration);

/// Reads a duration as people write it on a command line: numbers, each with its unit, the largest first:
/// `30s`, `500ms`, `1.5h`, `1h30m`, `1h 30m`, `5mins`, `2days`. One number alone means seconds: `90`, `1.5`.
/// Not negative.
Expected<Duration> parse_duration(std::string_view text);

/// A duration for people, in its largest fitting units: `45s`, `5m`, `1h 30m`, `2d`. Rounded to seconds.
std::string describe(Duration duration);

}  // namespace sema
