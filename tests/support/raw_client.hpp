#pragma once

#include "tests/support/eventually.hpp"

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

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

  private:
    enum class Received { bytes, end, nothing };

    /// Of connecting too.
    void limit_sending(std::chrono::milliseconds limit);
    void connect(const void* address, unsigned size);
    /// Adds to what was received what arrives before `deadline`.
    Received fill(std::chrono::steady_clock::time_point deadline);
    /// Waits until `size` bytes were received.
    void need(std::size_t size, std::chrono::steady_clock::time_point deadline);

    int socket_ = -1;
    std::string received_;
};

}  // namespace sema::test
