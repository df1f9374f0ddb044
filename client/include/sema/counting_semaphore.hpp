/// @file
/// A semaphore with the words of std::counting_semaphore, shared by threads, processes and machines.
#pragma once

#include <sema/semaphore.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <stop_token>
#include <string_view>

namespace sema {
inline namespace v1 {

/// Says that a counting_semaphore may be released more often than it was acquired.
struct unbounded_t {
    explicit unbounded_t() = default;
};
inline constexpr unbounded_t unbounded{};

/// A semaphore with the words of std::counting_semaphore on a pool: each permit that this object acquired is
/// a lease that is renewed in the background. The permits of a program that dies come back at the end of
/// their ttl. All users of the pool see each other's permits: other objects, semaphore, semactl.
///
/// Bounded: no more can be released than this object acquired. Unbounded: what is released beyond that
/// raises the pool's count.
///
/// Thread-safe, but for its destructor, which gives back what is still held, and takes less than 2 s. On the
/// client's own thread, as in a callback, it does not wait.
/// Calls throw sema::error with the codes of semaphore.
class SEMA_API counting_semaphore {
  public:
    /// Makes the pool with `initial` permits where there is none; where there is one, its count stays.
    /// `initial` may be 0: a semaphore that only waits until somebody raises it. `options` are those of each
    /// permit; its `wait` and `slots` are not looked at. `std::errc::invalid_argument` where `initial` is
    /// negative or `pool` is not a UUID.
    counting_semaphore(client& client, std::string_view pool, std::ptrdiff_t initial = 1,
                       const acquire_options& options = {});
    counting_semaphore(client& client, std::string_view pool, std::ptrdiff_t initial, unbounded_t,
                       const acquire_options& options = {});
    ~counting_semaphore();
    counting_semaphore(const counting_semaphore&) = delete;
    counting_semaphore& operator=(const counting_semaphore&) = delete;

    /// Waits for a permit, for as long as it takes.
    void acquire();
    /// Whether there was one now.
    bool try_acquire();
    /// Whether there was one within a time, or until a moment.
    template <class Rep, class Period>
    bool try_acquire_for(std::chrono::duration<Rep, Period> time) {
        return keep(pool().try_acquire_for(time, options()));
    }
    template <class Clock, class Duration>
    bool try_acquire_until(std::chrono::time_point<Clock, Duration> moment) {
        return keep(pool().try_acquire_until(moment, options()));
    }

    /// Gives back `n` permits of this object, the oldest first. Where it has fewer: errc::not_held of a
    /// bounded one, which keeps them all then; an unbounded one first raises the pool's count by what is
    /// missing, and where that fails it keeps them all as well, and throws what semaphore::resize() does.
    /// `std::errc::invalid_argument` where `n` is less than 1. errc::lease_lost where one of them was lost
    /// before: it is released all the same. On the client's own thread, where it would wait for ever, nothing
    /// is done: `std::errc::resource_deadlock_would_occur`.
    void release(std::ptrdiff_t n = 1);

    /// How many permits could be acquired now, by anybody.
    std::ptrdiff_t value() const;
    /// How many the pool had when this object was made.
    std::ptrdiff_t initial_value() const noexcept;
    /// Whether there is none now.
    bool locked() const;
    /// How many this object holds.
    std::ptrdiff_t held() const;

    /// Stops when the first permit of this object is lost: see lease::lost(). It stays stopped then, also
    /// once that permit is released and others are acquired: a program that goes on makes a new object.
    std::stop_token lost() const;

  private:
    class impl;
    bool keep(std::optional<lease> permit);
    semaphore& pool() const;
    const acquire_options& options() const;
    std::unique_ptr<impl> impl_;
};

}  // namespace v1
}  // namespace sema
