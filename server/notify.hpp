#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace sema {

/// Reports our state (`READY=1`, `STOPPING=1`) to the supervisor that started us, as sd_notify(3) describes.
/// Does nothing when there is none. A supervisor that does not listen is no error; one that hangs is waited
/// for a moment.
void notify_supervisor(const char* state);

/// Reports that what follows belongs to a reload, which ends with `READY=1`.
void notify_supervisor_reloading();

/// Whether there is one.
bool has_supervisor();

/// Reports how we do, in a line for people. Waits for nothing: a supervisor that hangs may miss it.
void notify_supervisor_status(const std::string& line);

/// Reports that we are alive. Waits for nothing: a supervisor that hangs may miss it.
void notify_supervisor_alive();

/// The longest time between two of these reports, after which it takes us for dead, as
/// sd_watchdog_enabled(3) describes. Nothing where it does not care.
std::optional<std::chrono::microseconds> supervisor_patience();

}  // namespace sema
