#pragma once

#include "server/metrics/text.hpp"

namespace sema {

/// What every program reports of itself under these names: `process_cpu_seconds_total`,
/// `process_resident_memory_bytes`, `process_open_fds` and so on. What the system does not show is left out.
void write_process_metrics(MetricsText& text);

}  // namespace sema
