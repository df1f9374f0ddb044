#include "bench/connection.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <utility>

namespace sema::bench {
namespace {

constexpr std::string_view end_of_headers = "\r\n\r\n";

bool matches_ignoring_case(std::string_view text, std::string_view lower) {
    if (text.size() != lower.size()) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != lower[i]) return false;
    }
    return true;
}

std::size_t content_length(std::string_view headers) {
    constexpr std::string_view name = "\r\ncontent-length: ";
    for (auto line = headers.find("\r\n"); line != headers.npos; line = headers.find("\r\n", line + 2)) {
        if (!matches_ignoring_case(headers.substr(line, name.size()), name)) continue;
        const auto value = headers.substr(line + name.size());
        std::size_t length = 0;
        if (std::from_chars(value.data(), value.data() + value.size(), length).ec == std::errc())
            return length;
    }
    throw std::runtime_error("an answer has no Content-Length: " + std::string(headers));
}

boost::asio::ssl::context& tls_settings() {
    static boost::asio::ssl::context settings(boost::asio::ssl::context::tls_client);
    return settings;
}

}  // namespace

Connection::Connection(boost::asio::io_context& io, const boost::asio::ip::tcp::endpoint& server,
                       bool with_tls)
    : socket_(io) {
    socket_.connect(server);
    socket_.set_option(boost::asio::ip::tcp::no_delay(true));
    if (with_tls) tls_.emplace(socket_, tls_settings()).handshake(boost::asio::ssl::stream_base::client);
}

void Connection::call(std::string_view method, std::string_view target, std::string_view body,
                      Handler handler) {
    handler_ = std::move(handler);
    request_.clear();
    request_.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: localhost\r\n");
    request_.append("Content-Type: application/json\r\nContent-Length: ").append(std::to_string(body.size()));
    request_.append(end_of_headers).append(body);
    const auto sent = [this](const boost::system::error_code& error, std::size_t) {
        if (error) throw boost::system::system_error(error, "sending a request");
        read_more();
    };
    tls_ ? boost::asio::async_write(*tls_, boost::asio::buffer(request_), sent)
         : boost::asio::async_write(socket_, boost::asio::buffer(request_), sent);
}

void Connection::read_more() {
    const auto received = [this](const boost::system::error_code& error, std::size_t size) {
        if (error) throw boost::system::system_error(error, "reading an answer");
        received_.append(chunk_.data(), size);
        answer_is_complete() ? deliver() : read_more();
    };
    tls_ ? tls_->async_read_some(boost::asio::buffer(chunk_), received)
         : socket_.async_read_some(boost::asio::buffer(chunk_), received);
}

bool Connection::answer_is_complete() {
    if (body_begin_ == 0) {
        const auto end = received_.find(end_of_headers);
        if (end == received_.npos) return false;
        body_begin_ = end + end_of_headers.size();
        body_size_ = content_length(std::string_view(received_).substr(0, end));
    }
    return received_.size() >= body_begin_ + body_size_;
}

void Connection::deliver() {
    // The handler may make the next request: everything of this one is put aside before.
    const Handler handler = std::move(handler_);
    const std::size_t body_begin = std::exchange(body_begin_, 0);
    answer_.swap(received_);
    received_.clear();

    constexpr std::string_view version = "HTTP/1.1 ";
    int status = 0;
    std::from_chars(answer_.data() + std::min(version.size(), answer_.size()),
                    answer_.data() + answer_.size(), status);
    handler({status, std::string_view(answer_).substr(body_begin)});
}

}  // namespace sema::bench
