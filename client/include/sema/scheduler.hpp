/// @file
/// Slots kept busy with tasks from ordered sources of work.
#pragma once

#include <sema/api.hpp>
#include <sema/client.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sema {
inline namespace v1 {

/// A task that has a slot.
struct task {
    /// What poll() named it. Unique among all tasks of the pool.
    std::string id;
    /// The name of the backend that it came from.
    std::string backend;
    /// The slot's number in the pool, from 0 on.
    unsigned position = 0;
    /// What the pool says of the slot: a string as it is, an object as its JSON. Empty where there is none.
    std::string slot;
    /// The lease's UUID: a secret, as it is all it takes to return the slot.
    std::string lease;
    /// The number of the grant: a later one has a greater number.
    std::uint64_t fence = 0;
    /// Whether the slot is held while the function runs. Not in stop() after somebody returned or revoked the
    /// lease.
    bool holds_slot = true;
};

/// The functions of a backend.
enum class backend_call { poll, start, stop, timeout, keepalive, run };

/// A source of work. A program derives from it, and says what its tasks are.
///
/// A function fails by throwing. No two calls of poll() run at the same time, and no two calls about one
/// task; calls about different tasks, and poll(), do: each is made on a thread of the scheduler's own. A
/// function that takes its time holds up its own task, or the polling of its own backend, and nothing else.
class SEMA_API backend {
  public:
    backend();
    virtual ~backend();
    backend(const backend&) = delete;
    backend& operator=(const backend&) = delete;

    /// What it is called: the same in all programs that share the pool and this source. 1 to 64 characters
    /// of ASCII, without control characters.
    virtual std::string name() const = 0;

    /// The id of a task that waits to be started; none where there is no work. It is asked again while slots
    /// are free, so start() should see to it that the task is not named again. 1 to 200 bytes of UTF-8
    /// without control characters. An id for which no slot is free is kept, and the backend is not asked
    /// again until there is one: start() fails where the task is not to be started any more.
    virtual std::optional<std::string> poll() = 0;

    /// Starts the task, and returns: the task goes on until someone calls scheduler::stop(), from wherever.
    /// Where it fails, error() is called, and the slot is free. A backend whose starts fail one after the
    /// other is left alone for up to a second.
    virtual void start(const task& what) = 0;

    /// The task has ended: it was stopped, or it timed out, or its lease was revoked.
    virtual void stop(const task& what);

    /// The task has had no keepalive for too long. stop() comes next, and the slot is held until it returns.
    virtual void timeout(const task& what);

    /// A keepalive came.
    virtual void keepalive(const task& what);

    /// One of the functions above failed, but for poll(). True frees the slot; false, which is the default,
    /// keeps it, and the time until the timeout begins anew. After a failed start(), and where error() itself
    /// fails, the slot is freed whatever it says. A failed keepalive() that frees the slot ends the task:
    /// stop() is called.
    virtual bool error(const task& what, backend_call failed, const std::exception& why);

    /// Whether start() hands the lease to something that renews it, and returns it when the task has ended: a
    /// `semactl run --lease`, say. The scheduler then leaves the lease alone, and stop() has to end the task
    /// where it has not ended by itself.
    virtual bool hands_lease_on() const;
};

struct scheduler_options {
    /// How many tasks at a time from this scheduler, at most, >= 1. The pool's slots bound it too.
    unsigned slots = 1;
    /// A task times out this long after its start, or its last keepalive. The lease's ttl
    /// is this and what the functions may take, so the server's `--max-ttl` bounds it.
    std::chrono::nanoseconds timeout = std::chrono::hours(8);
    /// What one call of start(), stop(), timeout() or keepalive() takes at most. A start() that takes longer
    /// has failed, as its lease ends. No thread can be stopped, so a function that never returns keeps
    /// the destructor waiting.
    std::chrono::nanoseconds limit = std::chrono::seconds(30);
    /// How long schedule() waits for a poll() before it asks the next backend: the answer counts when it
    /// comes.
    std::chrono::nanoseconds poll_patience = std::chrono::seconds(10);
    /// How long schedule() waits for the functions that it calls of tasks. They go on after that.
    std::chrono::nanoseconds patience = std::chrono::seconds(30);
    /// Names the scheduler: one that begins under the name of an earlier one goes on with its tasks. No two
    /// that live may have the same name in one pool. Empty for a fresh one. 1 to 64 letters, digits and
    /// hyphens.
    std::string name{};
    /// Called with what goes wrong, in words for people, which name no UUID. From any thread, one at a time.
    std::function<void(const std::string& message)> on_trouble{};
};

/// What is known of a task that has a slot.
struct task_state {
    /// All but `slot` and `lease`, which only the scheduler that started it knows.
    task what;
    std::chrono::system_clock::time_point since;
    /// None where that is known to the scheduler that started it alone.
    std::optional<std::chrono::system_clock::time_point> last_keepalive;
    std::optional<std::chrono::nanoseconds> times_out_in;
    /// Whether this scheduler looks after it.
    bool is_own = false;
};

/// Keeps the slots of a pool busy with tasks from its backends, which are asked in their order. Programs on
/// any machines may do so on one pool: a task's lease has an id that is made of the pool's and the task's
/// (a UUID of version 5), so no task has two slots at a time, however many schedulers find it.
///
/// All that must outlive the program is on the server: which tasks there are, of which backend, since when,
/// and until when. A scheduler that was killed is followed by one of the same name.
///
/// Calls throw sema::error: errc::no_such_pool, errc::unavailable, errc::rejected, errc::client_closed once
/// the client is destroyed. Thread-safe. A server that is silent is given up after the client's call_timeout.
///
/// After fork() it goes on in the parent. In the child its calls fail with errc::client_closed, and its
/// destructor does nothing.
///
/// The backends' functions are called with the signals blocked that the thread blocks which calls schedule(),
/// stop() or keepalive(), since a process that they start inherits that. Its other threads block all signals.
class SEMA_API scheduler {
  public:
    /// `std::errc::invalid_argument` where an option, a backend's name or the pool's UUID is none. Nothing is
    /// asked of the server yet. The backends are asked in this order.
    scheduler(client& client, std::string_view pool, std::vector<std::shared_ptr<backend>> backends,
              scheduler_options options = {});
    /// Leaves the pool's queue, where a task waits in it. Waits for functions that run, for as long as they
    /// take, and no more than two seconds for a server that is gone. A call to a server that is silent takes
    /// client_options::call_timeout. The tasks go on; a slot that could not be returned frees itself at the
    /// end of its lease.
    ~scheduler();
    scheduler(const scheduler&) = delete;
    scheduler& operator=(const scheduler&) = delete;

    /// One pass: takes in what has become of the tasks and calls the functions that go with it; ends tasks
    /// that timed out; then asks the backends, for each slot that is free, and starts the tasks that they
    /// name. To be called again when wait() returns, and now and then anyway. A function for which there is
    /// no thread to be had is called in a later pass, and on_trouble is called with that; where the system
    /// has no descriptors or memory for the pass itself, it fails with errc::unavailable.
    void schedule();

    /// Waits until schedule() has something to do, a task times out, or the time is over. A slot that was
    /// freed ends it at once. So `limit` is how often a backend is asked that has no work; one that named a
    /// task which was started a moment ago is asked again sooner.
    void wait(std::chrono::nanoseconds limit);

    /// Ends a task, whichever scheduler of the pool looks after it, and returns its slot. False where the
    /// pool has no such task. stop() is called by the scheduler that looks after it: where that is this one,
    /// before this returns. errc::unavailable where the task's lease is handed on, and another function of it
    /// has been running for as long as one may take.
    bool stop(const std::string& id);

    /// The task's timeout begins anew. As with stop(), it may be another scheduler's.
    bool keepalive(const std::string& id);

    /// All tasks that have a slot of the pool, by their positions.
    std::vector<task_state> inspect();

  private:
    class impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace v1
}  // namespace sema
