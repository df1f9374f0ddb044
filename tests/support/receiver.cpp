#include "tests/support/receiver.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <stdexcept>

namespace sema::test {
namespace {

using namespace std::chrono_literals;

constexpr int look_interval_ms = 20;

/// One connection, plain or not. Reading gives up once the receiver ends.
class Peer {
  public:
    Peer(int socket, ssl_ctx_st* context, const std::atomic<bool>& ends) : socket_(socket), ends_(ends) {
        if (!context) return;
        ssl_ = SSL_new(context);
        SSL_set_fd(ssl_, socket_);
        if (SSL_accept(ssl_) != 1) is_broken_ = true;
    }
    ~Peer() {
        if (ssl_) SSL_shutdown(ssl_);
        SSL_free(ssl_);
        ::close(socket_);
    }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    /// Empty at the end.
    std::string read() {
        char bytes[4096];
        while (!is_broken_ && !ends_) {
            pollfd ready{socket_, POLLIN, 0};
            if (!(ssl_ && SSL_pending(ssl_) > 0) && poll(&ready, 1, look_interval_ms) <= 0) continue;
            const long size =
                ssl_ ? SSL_read(ssl_, bytes, sizeof bytes) : ::recv(socket_, bytes, sizeof bytes, 0);
            return size > 0 ? std::string(bytes, static_cast<std::size_t>(size)) : "";
        }
        return "";
    }
    void write(const std::string& text) {
        std::size_t sent = 0;
        while (!is_broken_ && sent < text.size()) {
            const long size = ssl_ ? SSL_write(ssl_, text.data() + sent, static_cast<int>(text.size() - sent))
                                   : ::send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
            if (size <= 0) return;
            sent += static_cast<std::size_t>(size);
        }
    }

  private:
    int socket_;
    const std::atomic<bool>& ends_;
    SSL* ssl_ = nullptr;
    bool is_broken_ = false;
};

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

Receiver::Request parse(const std::string& head) {
    Receiver::Request request;
    const auto line = head.substr(0, head.find("\r\n"));
    const auto space = line.find(' ');
    request.method = line.substr(0, space);
    request.target = line.substr(space + 1, line.rfind(' ') - space - 1);
    for (std::size_t at = line.size() + 2; at < head.size();) {
        const auto end = std::min(head.find("\r\n", at), head.size());
        const auto colon = head.find(':', at);
        if (colon < end) {
            const auto value = head.find_first_not_of(' ', colon + 1);
            request.headers[lower(head.substr(at, colon - at))] =
                value < end ? head.substr(value, end - value) : "";
        }
        at = end + 2;
    }
    return request;
}

}  // namespace

std::string Receiver::answer(int status, const std::string& headers) {
    return "HTTP/1.1 " + std::to_string(status) + " Whatever\r\n" + headers +
           "Content-Length: 0\r\nConnection: close\r\n\r\n";
}

Receiver::React Receiver::answering(int status, const std::string& headers) {
    return [text = answer(status, headers)](const Request&) { return text; };
}

Receiver::React Receiver::hanging() {
    return [](const Request&) -> std::optional<std::string> { return std::nullopt; };
}

Receiver::Receiver(React react, std::optional<CertificateFiles> tls)
    : is_tls_(tls.has_value()), react_(std::move(react)) {
    if (tls) {
        context_ = SSL_CTX_new(TLS_server_method());
        SSL_CTX_use_certificate_chain_file(context_, tls->certificate.c_str());
        SSL_CTX_use_PrivateKey_file(context_, tls->key.c_str(), SSL_FILETYPE_PEM);
    }
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener_, 512) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        throw std::runtime_error("the receiver cannot listen");
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { run(); });
}

Receiver::~Receiver() {
    ends_ = true;
    acceptor_.join();
    for (std::thread& thread : threads_)
        thread.join();
    ::close(listener_);
    SSL_CTX_free(context_);
}

std::string Receiver::url(const std::string& path, const std::string& host) const {
    return (is_tls_ ? "https://" : "http://") + host + ":" + std::to_string(port_) + path;
}

void Receiver::react(React react) {
    const std::lock_guard lock(mutex_);
    react_ = std::move(react);
}

std::vector<Receiver::Request> Receiver::requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
}

std::vector<Receiver::Request> Receiver::await(std::size_t count) const {
    if (!eventually([&] { return calls() >= count; }))
        throw std::runtime_error("only " + std::to_string(calls()) + " calls came");
    return requests();
}

void Receiver::run() {
    while (!ends_) {
        pollfd ready{listener_, POLLIN, 0};
        if (poll(&ready, 1, look_interval_ms) <= 0) continue;
        const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (socket < 0) continue;
        ++connections_;
        threads_.emplace_back([this, socket] { serve(socket); });
    }
}

void Receiver::serve(int socket) {
    Peer peer(socket, context_, ends_);
    std::string text;
    std::size_t head = text.npos;
    while ((head = text.find("\r\n\r\n")) == text.npos) {
        const std::string more = peer.read();
        if (more.empty()) return;
        text += more;
    }
    Request request = parse(text.substr(0, head + 2));
    request.body = text.substr(head + 4);
    const auto length = request.headers.find("content-length");
    const std::size_t size = length == request.headers.end() ? 0 : std::stoul(length->second);
    while (request.body.size() < size) {
        const std::string more = peer.read();
        if (more.empty()) return;
        request.body += more;
    }
    React react;
    {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
        react = react_;
    }
    const auto answer = react(request);
    if (answer) return peer.write(*answer);
    // Until the caller has gone, or this.
    while (!peer.read().empty()) {
    }
}

}  // namespace sema::test
