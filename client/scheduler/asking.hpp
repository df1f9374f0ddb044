#pragma once

#include "client/scheduler/lease_source.hpp"
#include "client/scheduler/task_mark.hpp"

#include <optional>
#include <string>

namespace sema {

// What anybody who knows the pool can do about a task of it.

/// The task that has a slot under this id, if there is one.
LeaseOutcome<std::optional<SeenTask>> find_task(LeaseSource& leases, const std::string& id);

/// Ends a task, and returns its slot. One whose lease is handed on is ended by its scheduler, which is asked
/// to and given up to `ask_patience`: where it does not take that up, the trouble is that it is unavailable.
/// False where the task ended before.
LeaseOutcome<bool> stop_task(LeaseSource& leases, const PoolId& pool, const SeenTask& task);

/// The same for a keepalive: the task's timeout begins anew.
LeaseOutcome<bool> keep_task_alive(LeaseSource& leases, const PoolId& pool, const SeenTask& task);

/// As long as a scheduler may take over a pass in which others' functions are slow.
inline constexpr std::chrono::seconds ask_patience{20};

}  // namespace sema
