/// @file
/// The handle of an asynchronous call.
#pragma once

#include <sema/api.hpp>

#include <memory>

namespace sema {
inline namespace v1 {

namespace detail {
class Pending;
struct Access;
}  // namespace detail

/// Cancels an asynchronous call. Given to the call when it is begun; copies mean the same call. Thread-safe.
class SEMA_API operation {
  public:
    /// For one call that is yet to be begun.
    operation();
    ~operation();
    operation(const operation&) noexcept;
    operation& operator=(const operation&) noexcept;

    /// Ends the call with errc::cancelled, unless it has ended. The borrower leaves the queue at once, and
    /// what it may be granted in the same moment is given back. A call that is begun afterwards ends at once.
    /// Does not wait.
    void cancel() noexcept;

  private:
    friend struct detail::Access;
    std::shared_ptr<detail::Pending> pending_;
};

}  // namespace v1
}  // namespace sema
