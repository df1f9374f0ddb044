#pragma once

#include "common/error.hpp"
#include "server/store/redis/address.hpp"

#include <boost/asio/io_context.hpp>
#include <hiredis/hiredis.h>
#include <openssl/types.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sema::redis {

using Deadline = std::chrono::steady_clock::time_point;

inline Deadline from_now(std::chrono::milliseconds time) {
    return std::chrono::steady_clock::now() + time;
}

/// What Redis answered to one command.
class Reply {
  public:
    explicit Reply(redisReply* owned) : owned_(owned), reply_(owned) {}

    bool is_nil() const { return reply_->type == REDIS_REPLY_NIL; }
    bool is_array() const { return reply_->type == REDIS_REPLY_ARRAY; }
    /// Nothing where it is no text. Valid as long as the reply, as is what follows.
    std::optional<std::string_view> text() const {
        return reply_->type == REDIS_REPLY_STRING ? words() : words_of(REDIS_REPLY_STATUS);
    }
    /// What went wrong with the command.
    std::optional<std::string_view> error() const { return words_of(REDIS_REPLY_ERROR); }
    std::optional<long long> integer() const {
        if (reply_->type != REDIS_REPLY_INTEGER) return std::nullopt;
        return reply_->integer;
    }
    /// 0 where it is no array.
    std::size_t size() const { return is_array() ? reply_->elements : 0; }
    /// REQUIRES: index < size(). Lives no longer than this one.
    Reply operator[](std::size_t index) const { return Reply(Part{reply_->element[index]}); }

  private:
    struct Free {
        void operator()(redisReply* reply) const { freeReplyObject(reply); }
    };
    struct Part {
        const redisReply* reply;
    };

    explicit Reply(Part part) : reply_(part.reply) {}
    std::optional<std::string_view> words() const { return std::string_view(reply_->str, reply_->len); }
    std::optional<std::string_view> words_of(int type) const {
        return reply_->type == type ? words() : std::nullopt;
    }

    std::unique_ptr<redisReply, Free> owned_;
    const redisReply* reply_;
};

/// Commands to be sent in one piece.
class Commands {
  public:
    void clear() {
        bytes_.clear();
        count_ = 0;
    }
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
    HostPort place{};
    std::string path{};
    /// The name that the certificate is to have, for TLS.
    std::string certified_name{};
    std::string ca_file{};
};

std::string describe(const Endpoint& endpoint);

/// A connection to a Redis, without knowledge of what is said over it. One thread at a time.
///
/// Whatever fails leaves no connection: what arrives late would be taken for the answer to the next question.
class Connection {
  public:
    /// Waiting ends, as if the time were up, once `abandoned`, a file descriptor, can be read; -1: there is
    /// none.
    explicit Connection(int abandoned = -1);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// What was open is closed. The error says neither where nor what for.
    /// REQUIRES: the process ignores SIGPIPE, as semad does, since OpenSSL may raise it.
    Expected<void> open(const Endpoint& endpoint, Deadline deadline);
    bool is_open() const { return socket_ >= 0; }
    void close();
    /// Where it leads, the name of a host resolved.
    const Endpoint& endpoint() const { return endpoint_; }
    /// To be polled for input; -1 where it is closed.
    int descriptor() const { return socket_; }
    /// Whether the other side hung up, as far as is known without waiting.
    bool was_closed() const;

    /// Sends the commands and waits for their answers, among which may be errors.
    Expected<std::vector<Reply>> exchange(const Commands& commands, Deadline deadline);
    Expected<void> send(const Commands& commands, Deadline deadline);
    /// The next reply that arrives; nothing where the time is up before, which is no failure.
    Expected<std::optional<Reply>> receive(Deadline deadline);

  private:
    struct Free {
        void operator()(redisReader* reader) const;
        void operator()(SSL_CTX* context) const;
        void operator()(SSL* tls) const;
    };

    bool wait_for(short what, Deadline deadline) const;
    Expected<void> connect_tcp(Deadline deadline);
    Expected<void> connect_unix(Deadline deadline);
    Expected<void> connect_to(const sockaddr* address, unsigned size, Deadline deadline);
    Expected<void> start_tls(Deadline deadline);
    template <class Step>
    Expected<std::size_t> repeat(const Step& step, short direction, Deadline deadline) const;

    const int abandoned_;
    int socket_ = -1;
    Endpoint endpoint_;
    /// Ends where the resolution of a name is under way only when that is over.
    std::unique_ptr<boost::asio::io_context> resolving_;
    std::unique_ptr<SSL_CTX, Free> context_;
    std::unique_ptr<SSL, Free> tls_;
    std::unique_ptr<redisReader, Free> reader_;
    /// One read takes an answer of some hundred rows.
    std::array<char, std::size_t{64} * 1024> received_;
};

}  // namespace sema::redis
