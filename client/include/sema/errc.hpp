/// @file
/// Why a call did not do what it was asked for: error codes, and the exception that carries one.
#pragma once

#include <sema/api.hpp>

#include <string>
#include <system_error>
#include <type_traits>

namespace sema {
inline namespace v1 {

/// Why a call did not do what it was asked for. What is wrong with an argument is
/// `std::errc::invalid_argument`.
enum class errc {
    /// No slot became free within the wait. Equal to `std::errc::resource_unavailable_try_again`.
    no_slot = 1,
    /// The server has no pool of that id.
    no_such_pool,
    /// The lease is not held any more: it was revoked, it ended before it could be renewed, or its pool was
    /// deleted.
    lease_lost,
    /// The call's own time limit is over, and the server may have done what it was asked for. Equal to
    /// `std::errc::timed_out`.
    timed_out,
    /// No server could be reached, or those that were have no room for more or fail. Trying again later may
    /// help.
    unavailable,
    /// A server refused the request, or what answers is no semad. Trying again does not help.
    rejected,
    /// More was released than is held.
    not_held,
    /// The pool forbids that its leases are renewed.
    not_renewable,
    /// The call was cancelled. Equal to `std::errc::operation_canceled`.
    cancelled,
    /// The client is being destroyed, or was, or belongs to the process that this one was forked from. Not to
    /// be tried again: every further call on this client fails so, and one that takes a function calls that
    /// before it returns.
    client_closed,
};

/// The category of errc, named `sema`. Any thread.
SEMA_API const std::error_category& error_category() noexcept;

/// Found by `std::error_code`'s constructor, so that `code == sema::errc::no_slot` works.
inline std::error_code make_error_code(errc code) noexcept {
    return {static_cast<int>(code), error_category()};
}

/// What the calls without a `std::error_code&` throw. `what()` says what was attempted, and why it failed, in
/// words for people, on one line; it never has the UUID of a pool or of a lease, which are secrets: `<UUID>`
/// stands for what looks like one, also in a server's own words.
class SEMA_API error : public std::system_error {
  public:
    error(std::error_code code, const std::string& what);
    error(const error&) noexcept;
    error& operator=(const error&) noexcept;
    ~error() override;
};

}  // namespace v1
}  // namespace sema

template <>
struct std::is_error_code_enum<sema::errc> : std::true_type {};
