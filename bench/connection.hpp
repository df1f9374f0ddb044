#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace sema::bench {

struct Answer {
    int status;
    std::string_view body;  // valid until the handler returns
};

/// A keep-alive HTTP connection that makes one request at a time. It knows of HTTP what the servers
/// under test answer with: a status line, headers with a Content-Length, a body. Whatever goes wrong is
/// thrown out of io_context::run(): a benchmark with a failed request has no result.
class Connection {
  public:
    using Handler = std::function<void(Answer)>;

    /// Connects, with TLS where it is wanted, and blocks for that long. Whose certificate the server shows is
    /// no matter.
    Connection(boost::asio::io_context& io, const boost::asio::ip::tcp::endpoint& server, bool with_tls);

    /// Sends a request and calls `handler` with its answer. REQUIRES: no other request is under way.
    /// The handler may make the next one.
    void call(std::string_view method, std::string_view target, std::string_view body, Handler handler);

  private:
    void read_more();
    bool answer_is_complete();
    void deliver();

    boost::asio::ip::tcp::socket socket_;
    std::optional<boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>> tls_;
    std::string request_;
    std::array<char, 1024> chunk_;
    std::string received_;
    std::string answer_;
    std::size_t body_begin_ = 0;  // 0 until the headers are in
    std::size_t body_size_ = 0;
    Handler handler_;
};

}  // namespace sema::bench
