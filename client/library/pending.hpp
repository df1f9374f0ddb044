#pragma once

#include <sema/process.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace sema {
inline namespace v1 {
namespace detail {

class Core;

/// What stands behind an operation: whether its call was cancelled, and what is called then. Any thread. In a
/// child process, where the mutex may never be free, nothing comes of the parent's operations.
class Pending {
  public:
    /// The call begins; `on_cancel` is called on the client's thread where it is cancelled from here on.
    /// False where it was cancelled already.
    bool begin(std::shared_ptr<Core> core, std::function<void()> on_cancel);
    /// The call has ended.
    void end();
    void cancel() noexcept;

  private:
    const Process process_{};
    std::mutex mutex_;
    bool is_cancelled_ = false;
    std::shared_ptr<Core> core_;
    std::function<void()> on_cancel_;
};

}  // namespace detail
}  // namespace v1
}  // namespace sema
