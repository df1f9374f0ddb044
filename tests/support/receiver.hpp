#pragma once

#include "tests/support/eventually.hpp"
#include "tests/support/tls_files.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

struct ssl_ctx_st;

namespace sema::test {

/// A server that is called, on a free port of 127.0.0.1, in threads of its own. It answers each connection's
/// first request, and closes.
class Receiver {
  public:
    struct Request {
        std::string method;
        std::string target;
        /// By their names in lower case.
        std::map<std::string, std::string> headers;
        std::string body;
    };
    /// The bytes to send; nothing at all where it is to hang until the receiver goes.
    using React = std::function<std::optional<std::string>(const Request&)>;

    /// An answer of that status, without a body.
    static std::string answer(int status, const std::string& headers = "");
    static React answering(int status, const std::string& headers = "");
    static React hanging();

    explicit Receiver(React react = answering(200), std::optional<CertificateFiles> tls = std::nullopt);
    ~Receiver();
    Receiver(const Receiver&) = delete;
    Receiver& operator=(const Receiver&) = delete;

    int port() const { return port_; }
    /// `path` begins with a slash.
    std::string url(const std::string& path = "/", const std::string& host = "127.0.0.1") const;

    /// From the next request on.
    void react(React react);
    /// Those that came, in their order.
    std::vector<Request> requests() const;
    std::size_t calls() const { return requests().size(); }
    /// Connections, also those that sent no request.
    std::size_t connections() const { return connections_; }
    /// Waits until so many have come. Throws where they do not.
    std::vector<Request> await(std::size_t count) const;

  private:
    void run();
    void serve(int socket);

    const bool is_tls_;
    ssl_ctx_st* context_ = nullptr;
    int listener_ = -1;
    int port_ = 0;
    std::atomic<bool> ends_{false};
    std::atomic<std::size_t> connections_{0};
    mutable std::mutex mutex_;
    React react_;
    std::vector<Request> requests_;
    std::vector<std::thread> threads_;
    std::thread acceptor_;
};

}  // namespace sema::test
