#include "tests/support/raw_client.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace sema::test {
namespace {

using Clock = std::chrono::steady_clock;

std::system_error system_failure(const char* attempt) {
    return {errno, std::generic_category(), attempt};
}

// For all clients of a test. Whose certificate they are shown is the subject of other tests.
SSL_CTX* tls_settings() {
    static const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> settings(SSL_CTX_new(TLS_client_method()),
                                                                            SSL_CTX_free);
    return settings.get();
}

void set_option(int socket, int level, int name, int value) {
    setsockopt(socket, level, name, &value, sizeof value);
}

HttpResponse parse_head(std::string_view head) {
    HttpResponse response;
    if (head.substr(0, 9) != "HTTP/1.1 " || head.size() < 12)
        throw std::runtime_error("not a response: " + std::string(head));
    response.status = std::stoi(std::string(head.substr(9, 3)));
    for (auto at = head.find("\r\n"); at != std::string_view::npos;) {
        const auto begin = at + 2;
        at = head.find("\r\n", begin);
        const std::string_view line = head.substr(begin, at == std::string_view::npos ? at : at - begin);
        const auto colon = line.find(": ");
        if (colon == std::string_view::npos) throw std::runtime_error("not a header: " + std::string(line));
        std::string name(line.substr(0, colon));
        std::transform(name.begin(), name.end(), name.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        if (!response.headers.emplace(name, line.substr(colon + 2)).second)
            throw std::runtime_error("twice the header " + name);
    }
    return response;
}

}  // namespace

std::string http_request(const std::string& method, const std::string& target, const std::string& body,
                         const std::string& headers) {
    const std::string length = body.empty() ? "" : "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n" + length + headers + "\r\n" + body;
}

RawClient::RawClient(int port, const std::string& address, std::chrono::milliseconds limit) {
    if (address.find(':') != std::string::npos) {
        sockaddr_in6 to{};
        to.sin6_family = AF_INET6;
        to.sin6_port = htons(static_cast<std::uint16_t>(port));
        inet_pton(AF_INET6, address.c_str(), &to.sin6_addr);
        socket_ = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        limit_sending(limit);
        connect(&to, sizeof to);
    } else {
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(static_cast<std::uint16_t>(port));
        inet_pton(AF_INET, address.c_str(), &to.sin_addr);
        socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        limit_sending(limit);
        connect(&to, sizeof to);
    }
    // Each send() is to be on its way at once, as a piece of its own.
    set_option(socket_, IPPROTO_TCP, TCP_NODELAY, 1);
    if (const char* const version = std::getenv("SEMA_TEST_TLS")) start_tls(version, limit);
}

RawClient::RawClient(const std::filesystem::path& socket) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::strncpy(to.sun_path, socket.c_str(), sizeof to.sun_path - 1);
    socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connect(&to, sizeof to);
}

RawClient::RawClient(RawClient&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)),
      tls_(std::move(other.tls_)),
      received_(std::move(other.received_)) {}

RawClient& RawClient::operator=(RawClient&& other) noexcept {
    close();
    socket_ = std::exchange(other.socket_, -1);
    tls_ = std::move(other.tls_);
    received_ = std::move(other.received_);
    return *this;
}

void RawClient::Free::operator()(ssl_st* tls) const {
    SSL_free(tls);
}

void RawClient::start_tls(const std::string& version, std::chrono::milliseconds limit) {
    const auto deadline = Clock::now() + limit;
    fcntl(socket_, F_SETFL, O_NONBLOCK);
    tls_.reset(SSL_new(tls_settings()));
    SSL_set_max_proto_version(tls_.get(), version == "1.2" ? TLS1_2_VERSION : TLS1_3_VERSION);
    SSL_set_mode(tls_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // A server that is killed says no goodbye.
    SSL_set_options(tls_.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_set_fd(tls_.get(), socket_);
    ERR_clear_error();
    int done = SSL_connect(tls_.get());
    while (done != 1) {
        if (!wait_for_tls(done, deadline)) throw std::runtime_error("no TLS with the server");
        ERR_clear_error();
        done = SSL_connect(tls_.get());
    }
    if (SSL_version(tls_.get()) != TLS1_3_VERSION) return;
    // The server sends a ticket then. Left where it is, it would make an abort() of each close().
    pollfd wanted{socket_, POLLIN, 0};
    poll(&wanted, 1, static_cast<int>(limit.count()));
    char first = 0;
    SSL_peek(tls_.get(), &first, 1);
}

bool RawClient::wait_for_tls(int done, Clock::time_point deadline) {
    const int wish = SSL_get_error(tls_.get(), done);
    if (wish != SSL_ERROR_WANT_READ && wish != SSL_ERROR_WANT_WRITE) return false;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd wanted{socket_, static_cast<short>(wish == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT), 0};
    return poll(&wanted, 1, static_cast<int>(std::max<std::int64_t>(0, left.count()))) > 0;
}

void RawClient::limit_sending(std::chrono::milliseconds limit) {
    const timeval time{limit.count() / 1000, limit.count() % 1000 * 1000};
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

void RawClient::connect(const void* address, unsigned size) {
    if (socket_ < 0) throw system_failure("socket");
    if (::connect(socket_, static_cast<const sockaddr*>(address), size) == 0) return;
    const auto failure = system_failure("connect");
    close();
    throw failure;
}

void RawClient::receive_at_most(int bytes) {
    setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

void RawClient::lose_input() {
    sock_filter drop{BPF_RET | BPF_K, 0, 0, 0};
    const sock_fprog program{1, &drop};
    if (setsockopt(socket_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
        throw system_failure("attach a filter");
}

bool RawClient::send_in_tls(std::string_view bytes) {
    const auto deadline = Clock::now() + patience;
    while (!bytes.empty()) {
        std::size_t sent = 0;
        ERR_clear_error();
        const int done = SSL_write_ex(tls_.get(), bytes.data(), bytes.size(), &sent);
        if (done != 1 && !wait_for_tls(done, deadline)) return false;
        bytes.remove_prefix(sent);
    }
    return true;
}

bool RawClient::send(std::string_view bytes) {
    if (tls_) return send_in_tls(bytes);
    while (!bytes.empty()) {
        const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return false;
        if (sent < 0) throw system_failure("send");
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

void RawClient::send_last(std::string_view bytes) {
    if (tls_) {
        set_option(socket_, IPPROTO_TCP, TCP_CORK, 1);
        send(bytes);
        return half_close();
    }
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_MORE);
    if (sent != static_cast<ssize_t>(bytes.size())) throw system_failure("send");
    half_close();
}

void RawClient::say_goodbye() {
    ERR_clear_error();
    if (tls_) SSL_shutdown(tls_.get());
}

void RawClient::half_close() {
    say_goodbye();
    ::shutdown(socket_, SHUT_WR);
}

void RawClient::close() {
    tls_.reset();
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

void RawClient::abort() {
    const linger at_once{1, 0};
    setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
}

HttpResponse RawClient::receive(bool head_only, std::chrono::milliseconds limit) {
    const auto deadline = Clock::now() + limit;
    auto end = received_.find("\r\n\r\n");
    while (end == std::string::npos) {
        need(received_.size() + 1, deadline);
        end = received_.find("\r\n\r\n");
    }
    HttpResponse response = parse_head(std::string_view(received_).substr(0, end));
    received_.erase(0, end + 4);
    if (head_only || response.status < 200 || response.status == 304) return response;
    const std::size_t length = std::stoul(response.header("content-length"));
    need(length, deadline);
    response.body = received_.substr(0, length);
    received_.erase(0, length);
    return response;
}

std::string RawClient::receive_until(std::string_view end) {
    const auto deadline = Clock::now() + patience;
    auto at = received_.find(end);
    while (at == std::string::npos) {
        need(received_.size() + 1, deadline);
        at = received_.find(end);
    }
    const std::string text = received_.substr(0, at + end.size());
    received_.erase(0, text.size());
    return text;
}

bool RawClient::has_answer() {
    return !received_.empty() || fill(Clock::now()) == Received::bytes;
}

bool RawClient::closed_by_server(std::chrono::milliseconds limit) {
    return received_.empty() && fill(Clock::now() + limit) == Received::end;
}

bool RawClient::ends() {
    const auto deadline = Clock::now() + patience;
    for (;;) {
        const Received received = fill(deadline);
        if (received != Received::bytes) return received == Received::end;
    }
}

RawClient::Received RawClient::fill(Clock::time_point deadline) {
    std::array<char, 65536> buffer{};
    if (tls_) {
        for (;;) {
            std::size_t size = 0;
            ERR_clear_error();
            const int done = SSL_read_ex(tls_.get(), buffer.data(), buffer.size(), &size);
            received_.append(buffer.data(), size);
            if (done == 1) return Received::bytes;
            if (SSL_get_error(tls_.get(), done) != SSL_ERROR_WANT_READ) return Received::end;
            if (!wait_for_tls(done, deadline)) return Received::nothing;
        }
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd wanted{socket_, POLLIN, 0};
    if (poll(&wanted, 1, static_cast<int>(std::max<std::int64_t>(0, left.count()))) <= 0)
        return Received::nothing;
    const ssize_t size = recv(socket_, buffer.data(), buffer.size(), 0);
    if (size <= 0) return Received::end;
    received_.append(buffer.data(), static_cast<std::size_t>(size));
    return Received::bytes;
}

void RawClient::need(std::size_t size, Clock::time_point deadline) {
    while (received_.size() < size) {
        switch (fill(deadline)) {
            case Received::bytes:
                break;
            case Received::end:
                throw std::runtime_error("the server closed the connection; before that came: " + received_);
            case Received::nothing:
                throw std::runtime_error("no answer in time; so far came: " + received_);
        }
    }
}

}  // namespace sema::test
