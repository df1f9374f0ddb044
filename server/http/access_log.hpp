#pragma once

#include "server/http/call_kind.hpp"
#include "server/http/keyed_hash.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>

struct sockaddr;

namespace sema::http {

/// A request that was answered, or whose client left before.
struct Access {
    const std::string& client;
    CallKind call{};
    std::optional<PoolId> pool{};
    /// 0 where the client left before an answer.
    int status = 0;
    /// The wait of a borrow and the length of a stream included.
    std::chrono::steady_clock::duration time{};
    /// Of the answer, with its head.
    std::size_t bytes = 0;
};

/// One line for each request. It has no pool's UUID: a pool is named by a hash with a key that is random for
/// each run of the process. Any threads.
class AccessLog {
  public:
    enum class Form { text, json };

    /// `write` takes a line with its end, and must not block.
    explicit AccessLog(std::function<void(std::string)> write) : write_(std::move(write)) {}

    void turn_on(Form form);
    void turn_off() { is_on_ = false; }
    bool is_on() const { return is_on_.load(std::memory_order_relaxed); }

    void add(const Access& access) const;

  private:
    std::string text(const Access& access, std::chrono::system_clock::time_point now) const;
    std::string json(const Access& access, std::chrono::system_clock::time_point now) const;

    const std::function<void(std::string)> write_;
    const PoolHash hash_;
    std::atomic<bool> is_on_{false};
    std::atomic<Form> form_{Form::text};
};

/// A client's address as the log shows it: `127.0.0.1:4711`, `[::1]:4711`, `unix`.
std::string client_text(const sockaddr& address);

}  // namespace sema::http
