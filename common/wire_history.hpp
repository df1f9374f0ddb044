#pragma once

#include "common/durations.hpp"
#include "common/error.hpp"
#include "common/holder.hpp"
#include "common/ids.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The bodies of the calls that look back, like common/wire.hpp.
namespace sema::wire {

/// The answer of GET /l/{id}/history. It contains no lease's id.
struct PoolHistory {
    struct Entry {
        unsigned position = 0;
        std::vector<unsigned> positions{};
        std::shared_ptr<const Holder> holder{};
        std::uint64_t fence = 0;
        /// To the millisecond on the wire, as are all durations here.
        Duration waited{};
        std::int64_t granted_at_unix = 0;
        std::int64_t ended_at_unix = 0;
        /// `returned`, `expired`, `revoked` or `deleted`.
        std::string how{};
    };

    PoolId id{};
    /// Empty where it has none; `null` on the wire.
    std::string name{};
    /// Seconds for which ended leases are kept; 0: none are. A server of before does not say.
    std::optional<std::int64_t> kept_for{};
    /// The latest first.
    std::vector<Entry> history{};
};

/// Nothing where nobody waited: `null` on the wire.
struct WaitTimes {
    std::optional<Duration> p50{};
    std::optional<Duration> p95{};
    std::optional<Duration> max{};
};

/// The answer of GET /l/{id}/statistics.
struct PoolStatistics {
    struct Step {
        std::int64_t at_unix = 0;
        unsigned count = 0;
        /// Averages over the step.
        double in_use = 0;
        double queue = 0;
    };
    struct ByHolder {
        std::optional<std::string> name;
        std::size_t leases = 0;
        Duration held{};
    };
    struct WhatIf {
        unsigned count = 0;
        WaitTimes waits{};
        std::size_t refusals = 0;
    };

    PoolId id{};
    std::string name{};
    std::optional<std::int64_t> kept_for{};
    unsigned count = 0;
    std::int64_t since_unix = 0;
    std::int64_t until_unix = 0;
    /// Seconds.
    std::int64_t step = 0;
    std::vector<Step> use{};
    std::size_t granted = 0;
    WaitTimes waits{};
    std::size_t refusals = 0;
    /// By the time that they held slots, longest first.
    std::vector<ByHolder> holders{};
    /// By count. Empty where it was not asked for.
    std::vector<WhatIf> what_if{};
};

Expected<PoolHistory> parse_pool_history(std::string_view body);
Expected<PoolStatistics> parse_pool_statistics(std::string_view body);

std::string to_json(const PoolHistory& history);
std::string to_json(const PoolStatistics& statistics);

}  // namespace sema::wire
