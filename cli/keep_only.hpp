#pragma once

namespace sema {

/// Closes every descriptor but these two, and leaves the working directory for `/`: a helper process keeps
/// nothing open or busy that semactl's end is to close or free. Async-signal-safe.
void keep_only(int one, int other);

}  // namespace sema
