#pragma once

#include "server/service/clock.hpp"
#include "server/sync.hpp"
#include "server/time.hpp"

#include <atomic>

namespace sema {

/// What the threads of a service have to do, and how they wake each other. Thread-safe.
class Wakeups {
  public:
    /// There may be something to commit or load.
    void add_work() { work_ = true; }
    bool has_work() const { return work_; }
    /// To be called before the work is looked for.
    void take_work() { work_ = false; }

    void wake_committer();
    /// Until wake_committer() is called, or was since the last time.
    void wait_for_committer_call();

    /// Something is due then.
    void schedule(TimePoint deadline);
    /// Waits until something is due, or for a second. True: it is, and is forgotten.
    bool wait_until_due(const Clock& clock);

    /// Nobody waits any more.
    void stop();
    bool is_stopping() const { return stopping_; }

  private:
    std::atomic<bool> work_{false};
    std::atomic<bool> stopping_{false};
    /// 1 while the committer is called for. (An int: the kernel can wait on it directly.)
    std::atomic<int> committer_wanted_{0};
    Mutex mutex_;
    ConditionVariable changed_;
    TimePoint due_ GUARDED_BY(mutex_) = Timeline::never;
};

}  // namespace sema
