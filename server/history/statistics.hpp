#pragma once

#include "server/history/past.hpp"
#include "server/history/replay.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace sema {

/// The waits of some borrowers. Nothing where there were none.
struct WaitTimes {
    /// Half of them waited no longer.
    std::optional<Duration> p50{};
    std::optional<Duration> p95{};
    std::optional<Duration> max{};
};

/// `waits` are sorted.
WaitTimes times_of(const Waits& waits);

/// How a pool was used.
struct Statistics {
    struct Step {
        TimePoint at;
        /// At its end.
        unsigned count = 0;
        /// On an average over the step: slots, and borrowers.
        double in_use = 0;
        double queue = 0;
    };
    struct ByHolder {
        /// Nothing: they gave no name.
        std::optional<std::string> name;
        std::size_t leases = 0;
        /// Of all their slots together.
        Duration held{};
    };

    Duration step{};
    std::vector<Step> use{};
    std::size_t granted = 0;
    WaitTimes waits{};
    std::size_t refusals = 0;
    /// The names that held slots longest, ten at the most.
    std::vector<ByHolder> holders{};
};

/// From Past::since to now, in three hundred steps or less, which begin at multiples of their length:
/// `unix_offset` is the wall clock's time less the timeline's.
Statistics statistics_of(const Past& past, Duration unix_offset);

/// By what a holder's leases are added up: its name, but for the process and the command that semactl writes
/// into it, `user@host:pid command`, since each of them would be a holder of its own.
std::string holder_group(const std::string& name);

}  // namespace sema
