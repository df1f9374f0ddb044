#include "client/library/held.hpp"
#include "client/library/permits.hpp"

#include <sema/mutex.hpp>

#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

namespace sema {
inline namespace v1 {
namespace {

acquire_options for_one(acquire_options options) {
    options.wait = forever;
    options.slots = 1;
    return options;
}

}  // namespace

class mutex::impl {
  public:
    impl(client& client, std::string_view pool, const acquire_options& options)
        : pool_(client, pool), options_(for_one(options)) {
        detail::ensure_pool(pool_, 1);
    }

    /// In a child process the table and its mutex may be as another thread was changing them.
    bool is_here() const { return detail::Access::core_of(pool_)->is_here(); }
    semaphore& pool() { return pool_; }
    const acquire_options& options() const { return options_; }

    void keep(lease lock) {
        auto kept = std::make_shared<lease>(std::move(lock));
        // A lock of this thread that was lost and never unlocked is given back once the table is free.
        const std::lock_guard guard(mutex_);
        kept.swap(locks_[std::this_thread::get_id()]);
    }

    std::shared_ptr<lease> take() {
        if (!is_here()) return nullptr;
        const std::lock_guard guard(mutex_);
        const auto found = locks_.extract(std::this_thread::get_id());
        return found ? std::move(found.mapped()) : nullptr;
    }

    std::shared_ptr<const lease> of_this_thread() const {
        if (!is_here()) return none_;
        const std::lock_guard guard(mutex_);
        const auto found = locks_.find(std::this_thread::get_id());
        return found == locks_.end() ? none_ : found->second;
    }

  private:
    semaphore pool_;
    const acquire_options options_;
    const std::shared_ptr<const lease> none_ = std::make_shared<const lease>();
    mutable std::mutex mutex_;
    std::unordered_map<std::thread::id, std::shared_ptr<lease>> locks_;
};

mutex::mutex(client& client, std::string_view pool, const acquire_options& options)
    : impl_(std::make_unique<impl>(client, pool, options)) {}

mutex::~mutex() {
    if (!impl_->is_here()) static_cast<void>(impl_.release());
}

void mutex::lock() {
    impl_->keep(impl_->pool().acquire(impl_->options()));
}

bool mutex::try_lock() {
    return keep(impl_->pool().try_acquire(impl_->options()));
}

void mutex::unlock() noexcept {
    // Its destructor gives it back.
    const auto lock = impl_->take();
}

std::stop_token mutex::lost() const {
    return impl_->is_here() ? impl_->of_this_thread()->lost() : detail::lost_in_child();
}

std::uint64_t mutex::fence() const {
    return impl_->of_this_thread()->fence();
}

bool mutex::keep(std::optional<lease> lock) {
    if (!lock) return false;
    impl_->keep(*std::move(lock));
    return true;
}

semaphore& mutex::pool() const {
    return impl_->pool();
}

const acquire_options& mutex::options() const {
    return impl_->options();
}

}  // namespace v1
}  // namespace sema
