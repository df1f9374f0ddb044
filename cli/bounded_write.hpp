#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>

namespace sema {

/// Writes as much of `text` as the file takes within `patience`, and returns how much that was; with a
/// patience of zero, what it takes at once. None where it takes nothing any more, as a pipe without a
/// reader, which raises no signal here.
///
/// A descriptor may be shared with other programs, so its own mode stays as it is: it may block. That the
/// call returns nonetheless, a few milliseconds late at most, does not depend on what the file is or who
/// else writes to it, except for a disk that hangs (see ApartWriter), and where the system refuses a timer.
///
/// REQUIRES: nothing else in the process uses the signal SIGRTMAX. One thread at a time.
std::optional<std::size_t> write_within(int fd, std::string_view text, std::chrono::milliseconds patience);

}  // namespace sema
