#include "client/library/pending.hpp"

#include "client/library/core.hpp"

#include <sema/operation.hpp>

namespace sema {
inline namespace v1 {
namespace detail {

bool Pending::begin(std::shared_ptr<Core> core, std::function<void()> on_cancel) {
    // The call itself fails.
    if (!process_.is_here()) return true;
    const std::lock_guard lock(mutex_);
    if (is_cancelled_) return false;
    core_ = std::move(core);
    on_cancel_ = std::move(on_cancel);
    return true;
}

void Pending::end() {
    if (!process_.is_here()) return;
    const std::lock_guard lock(mutex_);
    core_.reset();
    on_cancel_ = nullptr;
}

void Pending::cancel() noexcept {
    if (!process_.is_here()) return;
    const std::lock_guard lock(mutex_);
    is_cancelled_ = true;
    if (core_) core_->post(on_cancel_);
}

}  // namespace detail

operation::operation() : pending_(std::make_shared<detail::Pending>()) {}
operation::~operation() = default;
operation::operation(const operation&) noexcept = default;
operation& operation::operator=(const operation&) noexcept = default;

void operation::cancel() noexcept {
    pending_->cancel();
}

}  // namespace v1
}  // namespace sema
