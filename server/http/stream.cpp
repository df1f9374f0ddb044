#include "server/http/stream.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cerrno>

namespace sema::http {

namespace asio = boost::asio;

namespace {

// The first byte of a record with a part of a handshake (RFC 8446, section 5.1). No request begins with it.
constexpr unsigned char handshake_record = 22;

}  // namespace

void Stream::Free::operator()(SSL* tls) const {
    SSL_free(tls);
}

Stream::Stream(Socket socket, TlsSettings settings)
    : socket_(std::move(socket)), settings_(std::move(settings)) {
    error_code ignored;
    socket_.non_blocking(true, ignored);
}

Stream::~Stream() {
    close();
}

Stream::Handshake Stream::shake_hands() {
    if (!tls_) {
        unsigned char first = 0;
        const ssize_t size = recv(socket_.native_handle(), &first, 1, MSG_PEEK);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) return Handshake::wants_read;
        const TlsSettings settings = std::exchange(settings_, nullptr);
        if (size <= 0) return Handshake::failed;
        if (first != handshake_record) return Handshake::not_tls;
        tls_.reset(SSL_new(settings.get()));
        if (!tls_ || SSL_set_fd(tls_.get(), socket_.native_handle()) != 1) {
            tls_.reset();
            return Handshake::failed;
        }
        SSL_set_accept_state(tls_.get());
    }
    ERR_clear_error();
    const int done = SSL_do_handshake(tls_.get());
    if (done == 1) return Handshake::done;
    switch (SSL_get_error(tls_.get(), done)) {
        case SSL_ERROR_WANT_READ:
            return Handshake::wants_read;
        case SSL_ERROR_WANT_WRITE:
            return Handshake::wants_write;
        default:
            tls_.reset();
            return Handshake::failed;
    }
}

bool Stream::holds_input() const {
    return SSL_has_pending(tls_.get()) == 1;
}

Stream::Transfer Stream::read_tls(asio::mutable_buffer to) {
    std::size_t size = 0;
    ERR_clear_error();
    if (SSL_read_ex(tls_.get(), to.data(), to.size(), &size) == 1) return {{}, size};
    return interrupted(0);
}

Stream::Transfer Stream::write_tls(Parts parts) {
    std::size_t sent = 0;
    for (asio::const_buffer& part : parts) {
        while (part.size() > 0) {
            std::size_t size = 0;
            ERR_clear_error();
            if (SSL_write_ex(tls_.get(), part.data(), part.size(), &size) != 1) return interrupted(sent);
            part += size;
            sent += size;
        }
    }
    return {{}, sent};
}

Stream::Transfer Stream::interrupted(std::size_t size) {
    switch (SSL_get_error(tls_.get(), 0)) {
        case SSL_ERROR_WANT_READ:
            return {asio::error::would_block, size, Socket::wait_read};
        case SSL_ERROR_WANT_WRITE:
            return {asio::error::would_block, size, Socket::wait_write};
        case SSL_ERROR_ZERO_RETURN:
            return {asio::error::eof, size};
        default:
            is_broken_ = true;
            return {asio::error::connection_reset, size};
    }
}

/// So that the peer can distinguish the end from a truncation on the way.
void Stream::say_goodbye() {
    if (!tls_ || is_broken_ || SSL_in_init(tls_.get()) == 1) return;
    ERR_clear_error();
    SSL_shutdown(tls_.get());
}

void Stream::shutdown_send() {
    say_goodbye();
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
}

void Stream::close() {
    say_goodbye();
    tls_.reset();
    error_code ignored;
    socket_.close(ignored);
}

}  // namespace sema::http
