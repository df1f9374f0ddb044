/// @file
/// Tells a process from the children that it forks. For the library's own headers.
#pragma once

#include <sema/api.hpp>

#include <cstdint>

namespace sema {
inline namespace v1 {
namespace detail {

/// A number of this process: another one than that of the process that it was forked from, and of those
/// before. Any thread; takes no lock, and can be called in a child at once.
SEMA_API std::uint64_t process_number() noexcept;

/// The process that this was made in.
class Process {
  public:
    bool is_here() const noexcept { return process_number() == number_; }

  private:
    std::uint64_t number_ = process_number();
};

}  // namespace detail
}  // namespace v1
}  // namespace sema
