#pragma once

#include "common/durations.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace sema {

/// So long ago, as a Unix time by this machine's clock.
inline std::optional<std::int64_t> unix_time_before(const std::optional<Duration>& time) {
    if (!time) return std::nullopt;
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::max<std::int64_t>(
        std::chrono::floor<std::chrono::seconds>(std::chrono::duration_cast<Duration>(now) - *time).count(),
        0);
}

}  // namespace sema
