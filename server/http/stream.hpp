#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <openssl/types.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <utility>

namespace sema::http {

/// What OpenSSL keeps for all connections that begin with it; null where they are plain.
using TlsSettings = std::shared_ptr<SSL_CTX>;

/// The bytes of one client's connection: those of its socket or, with settings, those within TLS. Without
/// them each call is the socket's own. Not for use by more than one thread at a time.
///
/// An operation that is under way when the stream is closed ends with operation_aborted. Handlers keep the
/// stream alive. One read and one write may be under way at a time.
class Stream {
  public:
    using Socket = boost::asio::generic::stream_protocol::socket;
    using error_code = boost::system::error_code;
    /// The second may be empty.
    using Parts = std::array<boost::asio::const_buffer, 2>;

    enum class Handshake {
        done,
        wants_read,
        wants_write,
        /// What came first is no TLS. From here on the stream is plain, and nothing was read.
        not_tls,
        /// The peer was sent the reason. From here on the stream is plain.
        failed,
    };

    /// REQUIRES: the process ignores SIGPIPE where there are settings, since OpenSSL may raise it.
    Stream(Socket socket, TlsSettings settings);
    ~Stream();

    Socket& socket() { return socket_; }

    /// TLS has to be agreed upon before anything else is done.
    bool needs_handshake() const { return settings_ != nullptr; }

    /// Goes as far as what has arrived allows: a client that sends nothing costs a socket alone.
    Handshake shake_hands();

    /// Calls `handler(error)` once the next shake_hands() can go on.
    template <class Handler>
    void async_wait_for_handshake(Handshake wish, Handler handler) {
        socket_.async_wait(wish == Handshake::wants_write ? Socket::wait_write : Socket::wait_read,
                           std::move(handler));
    }

    /// Calls `handler(error, size)`. That the peer sends no more is asio::error::eof.
    template <class Handler>
    void async_read_some(boost::asio::mutable_buffer to, Handler handler) {
        if (!tls_) return socket_.async_read_some(boost::asio::buffer(to), std::move(handler));
        if (!holds_input()) return read_when_ready(to, Socket::wait_read, std::move(handler));
        // A record held more than was asked for: the rest is in memory, and the socket may stay silent.
        const Transfer done = read_tls(to);
        if (done.error == boost::asio::error::would_block)
            return read_when_ready(to, done.wish, std::move(handler));
        boost::asio::post(socket_.get_executor(),
                          [handler = std::move(handler), done]() mutable { handler(done.error, done.size); });
    }

    /// Writes what goes at once, of these bytes or of the same as before: would_block where not all did.
    std::size_t write_some(const Parts& parts, error_code& error) {
        if (tls_) {
            const Transfer done = write_tls(parts);
            error = done.error;
            return done.size;
        }
        // Most have one part, which costs the system less.
        return parts[1].size() > 0 ? socket_.write_some(parts, error)
                                   : socket_.write_some(boost::asio::buffer(parts[0]), error);
    }

    /// What is left of these after the first `size` bytes.
    static Parts without(const Parts& parts, std::size_t size) {
        return {parts[0] + size, parts[1] + (size - std::min(size, parts[0].size()))};
    }

    /// Writes all, and calls `handler(error)`.
    template <class Handler>
    void async_write(const Parts& parts, Handler handler) {
        if (tls_) return write_when_ready(parts, Socket::wait_write, std::move(handler));
        boost::asio::async_write(
            socket_, parts,
            [handler = std::move(handler)](const error_code& error, std::size_t) mutable { handler(error); });
    }

    /// Says that no more will be sent. What the peer sends can still be read.
    void shutdown_send();

    void close();

  private:
    struct Transfer {
        error_code error;
        std::size_t size = 0;
        /// Where that is would_block: what to wait for.
        Socket::wait_type wish = Socket::wait_read;
    };
    struct Free {
        void operator()(SSL* tls) const;
    };

    bool holds_input() const;
    Transfer read_tls(boost::asio::mutable_buffer to);
    Transfer write_tls(Parts parts);
    /// Why the last call of OpenSSL did not do what it was to do.
    Transfer interrupted(std::size_t size);
    void say_goodbye();

    template <class Handler>
    void read_when_ready(boost::asio::mutable_buffer to, Socket::wait_type wish, Handler handler) {
        socket_.async_wait(wish, [this, to, handler = std::move(handler)](error_code error) mutable {
            if (!error && !tls_) error = boost::asio::error::operation_aborted;
            if (error) return handler(error, std::size_t(0));
            const Transfer done = read_tls(to);
            if (done.error == boost::asio::error::would_block)
                return read_when_ready(to, done.wish, std::move(handler));
            handler(done.error, done.size);
        });
    }

    template <class Handler>
    void write_when_ready(const Parts& parts, Socket::wait_type wish, Handler handler) {
        socket_.async_wait(wish, [this, parts, handler = std::move(handler)](error_code error) mutable {
            if (!error && !tls_) error = boost::asio::error::operation_aborted;
            if (error) return handler(error);
            const Transfer done = write_tls(parts);
            if (done.error == boost::asio::error::would_block)
                return write_when_ready(without(parts, done.size), done.wish, std::move(handler));
            handler(done.error);
        });
    }

    Socket socket_;
    /// Until the client has sent something.
    TlsSettings settings_;
    std::unique_ptr<SSL, Free> tls_;
    /// Nothing may be said any more.
    bool is_broken_ = false;
};

}  // namespace sema::http
