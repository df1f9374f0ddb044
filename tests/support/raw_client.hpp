#pragma once

#include "tests/support/eventually.hpp"

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

struct ssl_st;

namespace sema::test {

/// A response as it came over the connection.
struct HttpResponse {
    int status = 0;
    /// By their names in lower case.
    std::map<std::string, std::string> headers;
    std::string body;

    bool has(const std::string& name) const { return headers.count(name) != 0; }
    /// The value of a header, or nothing.
    std::string header(const std::string& name) const { return has(name) ? headers.at(name) : ""; }
};

/// A request with the headers that every HTTP/1.1 client sends, and a Content-Length where there is a body.
/// `headers` are further ones, each with its CRLF.
std::string http_request(const std::string& method, const std::string& target, const std::string& body = "",
                         const std::string& headers = "");

/// A bare connection to a server, for what well-behaved HTTP clients cannot be made to do. All calls throw
/// std::runtime_error where what they wait for doesn't happen within `patience`, or the limit that is given.
///
/// With SEMA_TEST_TLS in the environment, the version, connections to a port speak TLS, and ends of it that
/// were said within it: half_close() says so, close() does not, as a program doesn't that is killed.
class RawClient {
  public:
    /// Connects to a port of this machine, or of another one.
    explicit RawClient(int port, const std::string& address = "127.0.0.1",
                       std::chrono::milliseconds limit = patience);
    /// Connects to a Unix socket.
    explicit RawClient(const std::filesystem::path& socket);
    RawClient(RawClient&& other) noexcept;
    RawClient& operator=(RawClient&& other) noexcept;
    ~RawClient() { close(); }

    /// Speaks TLS from here on, of this version at most: `1.2` or `1.3`. Throws where the server refuses.
    void start_tls(const std::string& version = "1.3", std::chrono::milliseconds limit = patience);

    /// Makes the system keep no more than about this many bytes that were not received yet.
    void receive_at_most(int bytes);

    /// From now on the network loses whatever the server sends, and that it got what was sent to it.
    void lose_input();

    /// False where the server has closed the connection before it took everything.
    bool send(std::string_view bytes);
    /// Sends these bytes, which must be few, and says in the same packet that no more will be sent.
    void send_last(std::string_view bytes);

    /// Says that no more will be sent; answers can still be received.
    void half_close();
    /// Says so within TLS alone, and leaves the connection below as it is.
    void say_goodbye();
    /// Closes as a program does that ends. What was received but not read makes it an abort().
    void close();
    /// Closes with a reset.
    void abort();

    /// The next response. `head_only`: it answers a HEAD, and has no body whatever its headers say. Throws
    /// also where the connection ends before the response does.
    HttpResponse receive(bool head_only = false, std::chrono::milliseconds limit = patience);

    /// What comes next, up to `end` and with it: for answers that go on and on. Throws also where the
    /// connection ends before.
    std::string receive_until(std::string_view end);

    /// Whether any byte of a further answer is here by now.
    bool has_answer();

    /// Waits for the server to close the connection. False where it sends something instead, or does
    /// nothing until `limit`.
    bool closed_by_server(std::chrono::milliseconds limit = patience);

    /// Waits for the same, whatever the server sends before.
    bool ends();

  private:
    enum class Received { bytes, end, nothing };
    struct Free {
        void operator()(ssl_st* tls) const;
    };

    /// Of connecting too.
    void limit_sending(std::chrono::milliseconds limit);
    void connect(const void* address, unsigned size);
    /// Adds to what was received what arrives before `deadline`.
    Received fill(std::chrono::steady_clock::time_point deadline);
    /// Waits until `size` bytes were received.
    void need(std::size_t size, std::chrono::steady_clock::time_point deadline);

    bool send_in_tls(std::string_view bytes);
    /// Waits until TLS can go on after `done`, what its last call returned. False where it cannot.
    bool wait_for_tls(int done, std::chrono::steady_clock::time_point deadline);

    int socket_ = -1;
    std::unique_ptr<ssl_st, Free> tls_;
    std::string received_;
};

}  // namespace sema::test
