#pragma once

#include "client/library/core.hpp"

#include <sema/errc.hpp>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace sema {
inline namespace v1 {
namespace detail {

/// A value that the client's thread gives to another one, which waits for it. Any thread.
template <class Value>
class Promised {
  public:
    void give(Value value) {
        const std::lock_guard lock(mutex_);
        value_ = std::move(value);
        given_.notify_all();
    }
    Value wait() {
        std::unique_lock lock(mutex_);
        given_.wait(lock, [this] { return value_.has_value(); });
        return std::move(*value_);
    }
    /// Whether it came in time.
    bool wait_for(Duration time) {
        std::unique_lock lock(mutex_);
        return given_.wait_for(lock, time, [this] { return value_.has_value(); });
    }

  private:
    std::mutex mutex_;
    std::condition_variable given_;
    std::optional<Value> value_;
};

/// Waiting on the client's own thread would never end.
inline Failure deadlock() {
    return {std::make_error_code(std::errc::resource_deadlock_would_occur), "sema"};
}

/// What a failure becomes in either form of a call.
inline void say(const Failure& why, std::error_code& code) {
    code = why.code;
}
inline void raise(const Failure& why) {
    if (why) throw error(why.code, why.what);
}

}  // namespace detail
}  // namespace v1
}  // namespace sema
