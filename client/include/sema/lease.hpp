/// @file
/// A slot that is held.
#pragma once

#include <sema/api.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <system_error>
#include <vector>

namespace sema {
inline namespace v1 {

namespace detail {
class Held;
struct Access;
}  // namespace detail

/// One slot, or several, for as long as this object lives. Renewed in the background, unless
/// `acquire_options::renew` says otherwise.
///
/// Before a slot can be lent to the next holder, lost() fires: at once where the server says that the lease
/// is gone (it was revoked, or its pool deleted), and `grace` before its end where it could not be renewed in
/// time. Times are those of CLOCK_BOOTTIME: neither a step of the time of day nor a sleep of the machine
/// makes a lease look longer than it is. A process that is stopped (SIGSTOP) past the end of its lease cannot
/// be notified before it goes on: then `operator bool`, lost() and reason() know at once, in any thread; what
/// must not be done twice passes fence() to the resource that checks it.
///
/// Thread-safe, but for moving, assigning and destroying. An empty one may only be asked `operator bool`,
/// moved, assigned and destroyed; its other calls give zeros and empty values.
class SEMA_API lease {
  public:
    /// Holds nothing.
    lease() noexcept;
    /// Gives the slots back, and waits for up to 1.5 s to hear that they are. Where that takes longer, the
    /// client goes on trying for as long as it lives, until the lease's end. Never throws. On the client's
    /// own thread, as in a callback, it does not wait.
    ~lease();
    lease(lease&& other) noexcept;
    /// Gives back what this one held, as the destructor does.
    lease& operator=(lease&& other) noexcept;
    lease(const lease&) = delete;
    lease& operator=(const lease&) = delete;

    /// Whether slots are held: neither given back, nor detached, nor lost.
    explicit operator bool() const noexcept;

    /// The first slot's number in the pool, from 0 on.
    unsigned position() const;
    /// The numbers of all its slots, ascending.
    std::vector<unsigned> positions() const;
    /// The number of this grant: a later grant of the pool has a greater one. For the resource to check.
    std::uint64_t fence() const;
    /// What the pool says of the slot: a string as it is, an object as its JSON. Empty where there is none.
    std::string payload() const;
    /// The same for all slots, in the order of positions().
    std::vector<std::string> payloads() const;
    /// Until when the lease surely lasts, as the time of day is set now. It moves with each renewal.
    std::chrono::system_clock::time_point expires_at() const;
    /// The lease's UUID: a secret, as it is all it takes to return or renew the lease.
    std::string id() const;

    /// Stops when the lease is lost: see above. Callbacks (std::stop_callback) run on the client's thread,
    /// mostly, and must not block: all other leases of the client wait for them.
    std::stop_token lost() const;
    /// Calls a function once when the lease is lost, or at once where it is. As with lost(), mostly on the
    /// client's thread. It is not called any more once the lease is given back, detached or destroyed, which
    /// wait for one that runs on another thread. What the function throws ends the program.
    void on_lost(std::function<void()> function);
    /// Why the lease was lost: errc::lease_lost where the server said so, errc::unavailable where it could
    /// not be renewed in time, errc::not_renewable, errc::timed_out where it was not to be renewed,
    /// errc::client_closed. No error where it was not.
    std::error_code reason() const;

    /// Returns the slots. True where they were still held. Waits for up to client_options::call_timeout, and
    /// never beyond the lease's end. Throws sema::error (errc::unavailable, errc::rejected,
    /// errc::client_closed) where it is not known to be returned by then: the client goes on trying for as
    /// long as it lives, and the slots free themselves at the end of the ttl at the latest. The lease is
    /// empty afterwards in any case. False, and no error, for one that was. On the client's own thread, where
    /// it would wait for ever, nothing is done: `std::errc::resource_deadlock_would_occur`.
    bool give_back();
    bool give_back(std::error_code& code);

    /// Stops renewing the lease and leaves it to its ttl. Gives its UUID, by which any program may renew or
    /// return it.
    std::string detach();

    /// The same as give_back() without waiting: `done` is called on the client's thread, once it is known,
    /// or within this call where the client is closed, or this lease is empty. It gets whether the slots were
    /// still held. It must not block or throw. This lease is empty then.
    void start_give_back(std::function<void(std::error_code, bool)> done);

  private:
    friend struct detail::Access;
    explicit lease(std::shared_ptr<detail::Held> held) noexcept;
    std::shared_ptr<detail::Held> held_;
};

}  // namespace v1
}  // namespace sema
