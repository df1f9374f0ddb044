#pragma once

#include "common/durations.hpp"
#include "common/ids.hpp"
#include "common/wire.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sema {

/// The lease of a task: the UUID of version 5 (RFC 9562, section 5.5) of the pool's id and the task's.
LeaseId lease_of_task(const PoolId& pool, std::string_view task);

/// Why a text is no task's id; none where it is one: 1 to 200 bytes of UTF-8 without control characters.
std::optional<std::string> fault_of_task_id(std::string_view text);

/// What all who look at the pool can know of a task: it stands in the holder of the task's lease, which is
/// the same for as long as the lease is held.
struct TaskMark {
    std::string id;
    std::string backend;
    /// The name of the scheduler that looks after it.
    std::string by;
    /// Names that scheduler as the one that was lent the slot: another one for each that is made, also of the
    /// same name. Empty where an earlier release wrote the mark.
    std::string instance{};
    /// Whether the lease is renewed by what was started, as by `semactl run`, and is not to be touched.
    bool is_handed_on = false;
    /// How long after its last keepalive the task times out.
    Duration timeout{};
    /// For how long the lease is renewed at its start and with each keepalive. It is longer than the timeout
    /// by the time that the functions at the task's end take.
    Duration hold{};

    /// By how much it is longer.
    Duration margin() const { return hold - timeout; }

    bool operator==(const TaskMark&) const = default;
};

/// Whole seconds: how long a lease lasts at first, until its holder is known to be this scheduler; then until
/// the task is started; then as long as TaskMark::hold says. What is too long for a lease is cut off.
inline constexpr std::chrono::seconds claim_ttl{10};
std::chrono::seconds start_ttl(Duration call_limit);
std::chrono::seconds hold_ttl(Duration timeout, Duration call_limit);
/// TaskMark::margin(), and the timeout that leaves room for it.
std::chrono::seconds hold_margin(Duration call_limit);
Duration bounded_timeout(Duration timeout, Duration call_limit);

Holder holder_of(const TaskMark& mark);
/// None where the holder is no task.
std::optional<TaskMark> mark_of_task(const Holder& holder);

/// Asks the scheduler of a task that is handed on for something, by a place in the pool's queue that asks for
/// more slots than the task leaves. The scheduler answers by cancelling the place.
struct TaskAsk {
    enum class What { stop, keepalive };
    What what{};
    std::string id;
    /// Of the task's lease.
    std::uint64_t fence = 0;
    /// The UUID under which the place waits.
    std::string key;

    bool operator==(const TaskAsk&) const = default;
};

Holder holder_of(const TaskAsk& ask);
std::optional<TaskAsk> ask_of(const Holder& holder);

/// A task that has a slot.
struct SeenTask {
    TaskMark mark;
    unsigned position = 0;
    std::uint64_t fence = 0;
    std::int64_t granted_at_unix = 0;
    std::int64_t expires_at_unix = 0;
    std::int64_t expires_in = 0;

    /// Whether its start is over: the lease has been renewed for its hold, or is handed on.
    bool is_started() const;
    /// When the last keepalive came, its start included. None where it is handed on.
    std::optional<std::int64_t> last_keepalive_unix() const;
    /// None where that is known to its scheduler alone.
    std::optional<Duration> times_out_in() const;
};

/// A task that a scheduler leaves when it exits, for the one that goes on with it: a line of text, without
/// its end, and back.
std::string line_of(const SeenTask& task);
std::optional<SeenTask> left_task(const std::string& line);

/// A task that waits in the queue.
struct QueuedTask {
    TaskMark mark;
    /// Its borrower is gone, and may come back.
    bool is_away = false;
};

/// A pool, as schedulers see it.
struct TaskView {
    unsigned available = 0;
    unsigned count = 0;
    /// Slots that are out of service.
    unsigned out = 0;
    /// By position.
    std::vector<SeenTask> tasks{};
    std::vector<QueuedTask> queued{};
    std::vector<TaskAsk> asks{};
    /// Whether anybody else waits in the queue.
    bool others_wait = false;
    /// Whether one of them may be lent a slot: it is not away, and asks for no more than are in service. For
    /// any other the server holds no slot back.
    bool others_are_ready = false;
};

TaskView view_tasks(const wire::PoolDetails& details);

}  // namespace sema
