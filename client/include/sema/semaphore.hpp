/// @file
/// A pool of slots.
#pragma once

#include <sema/acquire_options.hpp>
#include <sema/api.hpp>
#include <sema/client.hpp>
#include <sema/errc.hpp>
#include <sema/lease.hpp>
#include <sema/operation.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace sema {
inline namespace v1 {

/// How a pool stands.
struct pool_state {
    /// How many slots it has.
    unsigned count = 0;
    /// How many are held. More than `count` for a while after the pool was made smaller.
    unsigned in_use = 0;
    /// How many could be lent now.
    unsigned available = 0;
};

/// A holder of slots of a pool: one lease. Its UUID is a secret of its holder's.
struct holder {
    unsigned position = 0;
    /// Ascending; the first is `position`.
    std::vector<unsigned> positions{};
    /// As acquire_options has them; empty where the holder gave none.
    std::string name{};
    std::string url{};
    std::uint64_t fence = 0;
    /// By the server's clock, to the second.
    std::chrono::system_clock::time_point granted_at{};
    std::chrono::system_clock::time_point expires_at{};
};

/// A pool, named by its UUID. A small handle: it may be copied. Thread-safe.
///
/// Each call comes twice: one throws sema::error, and one sets a `std::error_code`, which it clears where all
/// is well. These are the codes of all calls, beside those that are named at each:
/// - errc::no_such_pool,
/// - errc::unavailable where no server answers: after client_options::call_timeout at the latest, or, of an
///   acquire that waits, at the end of its wait, as it tries again until then. An answer that is due then is
///   given a second, or call_timeout where that is less,
/// - errc::rejected where the server refuses, as for a value beyond its limits,
/// - errc::client_closed.
/// Times are elapsed time (CLOCK_BOOTTIME), and of any length.
class SEMA_API semaphore {
  public:
    /// Throws sema::error with `std::errc::invalid_argument` where `pool` is not a UUID. The server is not
    /// asked for anything yet.
    semaphore(client& client, std::string_view pool);
    ~semaphore();
    semaphore(const semaphore&);
    semaphore& operator=(const semaphore&);

    /// Waits for slots for up to `options.wait`: errc::no_slot where none came free. Places in the queue are
    /// first come, first served. A slot that is granted too late for the wait is given back.
    /// `std::errc::invalid_argument` where an option is out of range.
    lease acquire(const acquire_options& options = {});
    lease acquire(const acquire_options& options, std::error_code& code);

    /// Slots that are free now, or nothing. Never overtakes the queue.
    std::optional<lease> try_acquire(const acquire_options& options = {});
    std::optional<lease> try_acquire(const acquire_options& options, std::error_code& code);

    /// Slots within a time, or nothing.
    template <class Rep, class Period>
    std::optional<lease> try_acquire_for(std::chrono::duration<Rep, Period> time,
                                         const acquire_options& options = {}) {
        return try_within(detail_time(time), options);
    }
    template <class Rep, class Period>
    std::optional<lease> try_acquire_for(std::chrono::duration<Rep, Period> time,
                                         const acquire_options& options, std::error_code& code) {
        return try_within(detail_time(time), options, code);
    }

    /// Slots until a moment, or nothing.
    template <class Clock, class Duration>
    std::optional<lease> try_acquire_until(std::chrono::time_point<Clock, Duration> moment,
                                           const acquire_options& options = {}) {
        return try_within(detail_time_until(moment), options);
    }
    template <class Clock, class Duration>
    std::optional<lease> try_acquire_until(std::chrono::time_point<Clock, Duration> moment,
                                           const acquire_options& options, std::error_code& code) {
        return try_within(detail_time_until(moment), options, code);
    }

    /// How the pool stands.
    pool_state state();
    pool_state state(std::error_code& code);

    /// More slots, or fewer. Never done twice: where it is not known whether it was done, the code is
    /// errc::timed_out.
    pool_state resize(std::int64_t by);
    pool_state resize(std::int64_t by, std::error_code& code);

    /// The holders of slots, by position.
    std::vector<holder> holders();
    std::vector<holder> holders(std::error_code& code);

    /// Makes the pool with so many slots, or gives it so many where it is there.
    pool_state create(unsigned count);
    pool_state create(unsigned count, std::error_code& code);

    /// A lease of this pool that is held already, by its UUID: it is renewed at once, for `options.ttl`, and
    /// kept as one that was acquired. Its first position is known; its fence and payload are not, and read as
    /// 0 and empty. errc::lease_lost where it is not held, errc::not_renewable.
    lease attach(std::string_view lease_id, const acquire_options& options = {});
    lease attach(std::string_view lease_id, const acquire_options& options, std::error_code& code);

    /// Renews a lease of any program's once, to end `ttl` from now: false where it is not held.
    /// errc::not_renewable.
    bool keepalive(std::string_view lease_id, std::chrono::nanoseconds ttl);
    bool keepalive(std::string_view lease_id, std::chrono::nanoseconds ttl, std::error_code& code);

    /// Returns a lease of any program's: false where it is not held.
    bool give_back(std::string_view lease_id);
    bool give_back(std::string_view lease_id, std::error_code& code);

    /// What asynchronous calls end with.
    using acquired = std::function<void(std::error_code, lease)>;
    using stated = std::function<void(std::error_code, pool_state)>;

    /// acquire() without waiting. `done` is called exactly once: on the client's thread, or within this call
    /// where no call can be made, as an option is out of range, or the client is closed: one that begins the
    /// call anew after errc::client_closed would call itself without end. It must not block or throw. No
    /// thread and no connection beyond client_options::most_places is taken by a wait.
    void start_acquire(const acquire_options& options, acquired done, const operation& operation = {});
    /// state() without waiting, in the same way. Within this call `done` is called, too, where `operation`
    /// was cancelled before.
    void start_state(stated done, const operation& operation = {});

  private:
    friend struct detail::Access;

    /// In whole nanoseconds, rounded up, of any length.
    template <class Rep, class Period>
    static std::chrono::nanoseconds detail_time(std::chrono::duration<Rep, Period> time) {
        // NaN counts as zero.
        if (!(time > time.zero())) return std::chrono::nanoseconds::zero();
        if (detail_seconds(time) >= detail_longest) return detail_longest;
        return std::chrono::ceil<std::chrono::nanoseconds>(time);
    }
    /// From now on. The two may be further from each other than the clock can count.
    template <class Clock, class Duration>
    static std::chrono::nanoseconds detail_time_until(std::chrono::time_point<Clock, Duration> moment) {
        const auto now = Clock::now();
        const auto about = detail_seconds(moment.time_since_epoch()) - detail_seconds(now.time_since_epoch());
        if (!(about > std::chrono::seconds(-1))) return std::chrono::nanoseconds::zero();
        if (about >= detail_longest) return detail_longest;
        return detail_time(moment - now);
    }
    template <class Rep, class Period>
    static std::chrono::duration<double> detail_seconds(std::chrono::duration<Rep, Period> time) {
        return std::chrono::duration_cast<std::chrono::duration<double>>(time);
    }
    /// About 31 years: what is longer is taken for this.
    static constexpr std::chrono::seconds detail_longest{1'000'000'000};

    std::optional<lease> try_within(std::chrono::nanoseconds time, const acquire_options& options);
    std::optional<lease> try_within(std::chrono::nanoseconds time, const acquire_options& options,
                                    std::error_code& code);

    std::shared_ptr<detail::Core> core_;
    std::shared_ptr<const detail::PoolName> pool_;
};

}  // namespace v1
}  // namespace sema
