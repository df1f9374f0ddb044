#pragma once

#include "common/error.hpp"
#include "server/store/redis/address.hpp"

#include <boost/asio/io_context.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct redisReply;

namespace sema::redis {

using Deadline = std::chrono::steady_clock::time_point;

/// What Redis answered to one command.
class Reply {
  public:
    explicit Reply(redisReply* owned) : owned_(owned), reply_(owned) {}

    bool is_nil() const;
    /// Nothing where it is no text. Valid as long as the reply, as is what follows.
    std::optional<std::string_view> text() const;
    std::optional<std::int64_t> integer() const;
    /// What went wrong with the command.
    std::optional<std::string_view> error() const;
    bool is_array() const;
    /// 0 where it is no array.
    std::size_t size() const;
    /// REQUIRES: index < size(). Lives no longer than this one.
    Reply operator[](std::size_t index) const;

  private:
    struct Free {
        void operator()(redisReply* reply) const;
    };

    explicit Reply(const redisReply* part) : reply_(part) {}

    std::unique_ptr<redisReply, Free> owned_;
    const redisReply* reply_;
};

/// Commands to be sent in one piece.
class Commands {
  public:
    void clear();
    /// A command of that many words, the first of them its name; word() is to be called for each.
    Commands& begin(std::size_t words);
    Commands& word(std::string_view text);
    Commands& add(std::initializer_list<std::string_view> words);

    std::size_t count() const { return count_; }
    const std::string& bytes() const { return bytes_; }

  private:
    void length(char mark, std::size_t number);

    std::string bytes_;
    std::size_t count_ = 0;
};

/// One place to connect to.
struct Endpoint {
    /// Not `sentinel`.
    RedisAddress::Way way = RedisAddress::Way::tcp;
    HostPort place;
    std::string path;
    /// Whose certificate is expected, for TLS.
    std::string certified_name;
    std::string ca_file;
};

std::string describe(const Endpoint& endpoint);

/// A connection to a Redis, without knowledge of what is said over it. One thread at a time, which runs
/// `io` while it waits: handlers of others that share it are called meanwhile.
///
/// An exchange that failed leaves no connection: what arrives late would be taken for the answer of the next.
class Connection {
  public:
    /// Waiting ends, as if the time were up, once `abandoned` is true and `io` has been given something to
    /// do.
    explicit Connection(boost::asio::io_context& io, const std::atomic<bool>* abandoned = nullptr);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// REQUIRES: !is_open(). The error tells neither where nor what for.
    Expected<void> open(const Endpoint& endpoint, Deadline deadline);
    bool is_open() const;
    void close();
    /// Where it leads, the name of a host resolved.
    const Endpoint& endpoint() const;
    /// Whether the other side hung up, as far as is known without waiting.
    bool was_closed() const;

    /// Sends the commands and waits for their answers, among which may be errors.
    Expected<std::vector<Reply>> exchange(const Commands& commands, Deadline deadline);

    /// From now on, calls `on_reply` for whatever arrives, while `io` runs; and once, after close() of our
    /// own too, `on_end` with the reason. send() instead of exchange() from here on. Called again, it
    /// replaces both.
    void receive(std::function<void(Reply)> on_reply, std::function<void(const std::string&)> on_end);
    void send(std::string_view bytes);

  private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace sema::redis
