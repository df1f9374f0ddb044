#pragma once

#include <chrono>
#include <optional>

namespace sema {

/// Reports our state (`READY=1`, `STOPPING=1`) to the supervisor that started us, as sd_notify(3) describes.
/// Does nothing when there is none. A supervisor that does not listen is no error.
void notify_supervisor(const char* state);

/// Reports that we are alive. Waits for nothing: a supervisor that hangs may miss it.
void tell_supervisor_alive();

/// The longest time between two of these reports, after which it takes us for dead, as
/// sd_watchdog_enabled(3) describes. Nothing where it does not care.
std::optional<std::chrono::microseconds> supervisor_patience();

}  // namespace sema
