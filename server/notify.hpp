#pragma once

#include <chrono>
#include <optional>

namespace sema {

/// Tells the supervisor that started us how we do (`READY=1`, `STOPPING=1`), as sd_notify(3) describes.
/// Does nothing when there is none. A supervisor that does not listen is no error.
void notify_supervisor(const char* state);

/// Tells it that we are alive. Waits for nothing: one that hangs may miss it.
void tell_supervisor_alive();

/// Within what time it has to be told so again and again, lest it takes us for dead, as
/// sd_watchdog_enabled(3) describes. Nothing where it does not care.
std::optional<std::chrono::microseconds> supervisor_patience();

}  // namespace sema
