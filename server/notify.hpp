#pragma once

namespace sema {

/// Tells the supervisor that started us how we do (`READY=1`, `STOPPING=1`), as sd_notify(3) describes.
/// Does nothing when there is none. A supervisor that does not listen is no error.
void notify_supervisor(const char* state);

}  // namespace sema
