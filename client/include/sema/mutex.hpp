/// @file
/// A mutex between threads, processes and machines.
#pragma once

#include <sema/semaphore.hpp>

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string_view>

namespace sema {
inline namespace v1 {

/// A mutex on a pool of one slot. TimedLockable: std::unique_lock, std::scoped_lock and std::lock work on it.
/// As with std::timed_mutex, the thread that locked it unlocks it, and it is not recursive. The lock of a
/// program that dies is free at the end of its ttl.
///
/// A lock can be lost: see lost(). Calls throw sema::error with the codes of semaphore. Thread-safe, but for
/// its destructor.
class SEMA_API mutex {
  public:
    /// Makes the pool with one slot where there is none. `options` are those of the lock's lease; its `wait`
    /// and `slots` are not looked at.
    mutex(client& client, std::string_view pool, const acquire_options& options = {});
    ~mutex();
    mutex(const mutex&) = delete;
    mutex& operator=(const mutex&) = delete;

    /// Waits for as long as it takes.
    void lock();
    bool try_lock();
    template <class Rep, class Period>
    bool try_lock_for(std::chrono::duration<Rep, Period> time) {
        return keep(pool().try_acquire_for(time, options()));
    }
    template <class Clock, class Duration>
    bool try_lock_until(std::chrono::time_point<Clock, Duration> moment) {
        return keep(pool().try_acquire_until(moment, options()));
    }

    /// Never throws: std::unique_lock's destructor calls it. Where the lock cannot be returned within 1.5 s,
    /// it is tried in the background, until it ends by itself. REQUIRES: this thread has locked it; else
    /// nothing is done.
    void unlock() noexcept;

    /// Stops when the lock that this thread holds is lost. A token that never stops where it holds none.
    std::stop_token lost() const;
    /// The number of this thread's lock, greater than those of all locks before: for the resource to check. 0
    /// where it holds none.
    std::uint64_t fence() const;

  private:
    class impl;
    bool keep(std::optional<lease> lock);
    semaphore& pool() const;
    const acquire_options& options() const;
    std::unique_ptr<impl> impl_;
};

}  // namespace v1
}  // namespace sema
