#include "server/http/connection.hpp"

#include "server/http/worker.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/write.hpp>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace sema::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// Browsers and client libraries give up idle connections within a minute or two themselves.
constexpr std::chrono::seconds idle_limit(120);
// For a request to arrive once its first byte is there, and for an answer to be taken.
constexpr std::chrono::seconds transfer_limit(30);
// A stream without news gets a comment, so that both sides notice when the other is gone.
constexpr std::chrono::seconds heartbeat_interval(15);
// For the client to read the last answer and close.
constexpr std::chrono::seconds linger_limit(2);
// While a call is under way, no more than this is read of what the client sends after it.
constexpr std::size_t read_ahead = 64 * 1024;
// How often, and how many times, a client that half-closed its connection is asked whether it has the
// answer.
constexpr std::chrono::milliseconds delivery_interval(10);
constexpr int delivery_tries = 200;

const char* reason_phrase(int status) {
    switch (status) {
        case 200:
            return "OK";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 408:
            return "Request Timeout";
        case 409:
            return "Conflict";
        case 413:
            return "Content Too Large";
        case 414:
            return "URI Too Long";
        case 415:
            return "Unsupported Media Type";
        case 417:
            return "Expectation Failed";
        case 431:
            return "Request Header Fields Too Large";
        case 501:
            return "Not Implemented";
        case 502:
            return "Bad Gateway";
        case 503:
            return "Service Unavailable";
        case 505:
            return "HTTP Version Not Supported";
        default:
            return "Error";
    }
}

}  // namespace

Connection::Connection(Worker& worker, Socket socket, const Limits& limits)
    : worker_(worker), socket_(std::move(socket)), reader_(limits) {
    worker_.add(*this);
}

Connection::~Connection() {
    close();
}

void Connection::start() {
    error_code ignored;
    socket_.non_blocking(true, ignored);
    set_time_limit(idle_limit);
    read();
}

void Connection::read() {
    if (read_under_way_ || end_of_input_ || state_ == State::closed) return;
    const bool busy = state_ == State::waiting || state_ == State::writing;
    if (busy && reader_.buffered() >= read_ahead) return;
    read_under_way_ = true;
    socket_.async_read_some(asio::buffer(input_),
                            [self = shared_from_this()](const error_code& error, std::size_t size) {
                                self->read_under_way_ = false;
                                self->received(error, size);
                            });
}

void Connection::received(const error_code& error, std::size_t size) {
    if (state_ == State::closed) return;
    if (error) return hung_up(error != asio::error::eof);
    if (state_ == State::lingering || state_ == State::streaming) return read();
    if (state_ == State::reading && reader_.idle()) set_time_limit(transfer_limit);
    reader_.feed({input_.data(), size});
    state_ == State::reading ? serve() : read();
}

void Connection::hung_up(bool reset) {
    // A waiter that does not read is kept by its place in the queue alone.
    const auto self = shared_from_this();
    end_of_input_ = true;
    if (state_ == State::waiting) {
        if (call_->ticket && worker_.routes().leave(call_->pool, *call_->ticket)) return close();
        // The answer is under way. A client that only stopped sending may still want it.
        if (!reset) return;
    }
    if (state_ == State::writing && !reset) return;
    if (state_ == State::reading && !reset) serve();
    close();
}

/// Handles what has arrived, until the service has to be waited for or more bytes are needed.
void Connection::serve() {
    const auto self = shared_from_this();
    while (state_ == State::reading) {
        auto next = reader_.next();
        if (std::holds_alternative<Continue100>(next)) {
            output_ = "HTTP/1.1 100 Continue\r\n\r\n";
            error_code error;
            // So few bytes always fit, unless the client leaves its answers unread.
            socket_.write_some(asio::buffer(output_), error);
            if (error) return close();
            continue;
        }
        if (const auto* rejected = std::get_if<BadRequest>(&next)) {
            keep_alive_ = false;
            head_only_ = rejected->answer_without_body;
            respond(error_response(rejected->status, rejected->reason));
        } else if (const auto* message = std::get_if<Message>(&next)) {
            handle(*message);
        } else if (end_of_input_) {
            return close();
        } else {
            if (reader_.idle()) set_time_limit(idle_limit);
            return read();
        }
    }
    if (state_ != State::waiting) return;
    // What came with the last request may have been the client's last bytes.
    end_of_input_ ? hung_up(false) : read();
}

void Connection::handle(const Message& message) {
    keep_alive_ = message.keep_alive;
    http_1_0_ = message.http_1_0;
    head_only_ = message.method() == "HEAD";
    if (!Engine::knows(message.method())) return respond(error_response(501, "method not implemented"));
    const Engine::Target* target = worker_.engine().parse(message.request_line);
    if (target == nullptr) return respond(error_response(400, "request not understood"));
    const Request request{target->method, target->path, message.body, message.authorization};
    auto result = worker_.routes().handle(
        request, [self = shared_from_this()](const Answer& answer) { self->worker_.deliver(self, answer); });
    if (const auto* response = std::get_if<Response>(&result)) return respond(*response);
    call_ = std::get<Pending>(result);
    state_ = State::waiting;
}

void Connection::answered(const Answer& answer) {
    if (!call_) return;
    if (call_->is_stream) return show(answer);
    if (state_ != State::waiting) return worker_.routes().undelivered(call_->pool, answer);
    if (std::holds_alternative<LeaseGranted>(answer)) {
        answer_ = answer;
        // The client may have gone without that having been read here yet.
        delivery_in_doubt_ = end_of_input_ || peer_stopped_sending();
    }
    respond(worker_.routes().respond(call_->pool, answer));
    serve();
}

void Connection::respond(const Response& response) {
    if (worker_.draining()) keep_alive_ = false;
    output_ = "HTTP/1.1 ";
    output_ += std::to_string(response.status);
    output_ += ' ';
    output_ += reason_phrase(response.status);
    output_ += "\r\nContent-Type: application/json\r\nContent-Length: ";
    output_ += std::to_string((response.long_body ? *response.long_body : response.body).size());
    output_ += "\r\nDate: ";
    output_ += worker_.date();
    output_ += "\r\n";
    output_ += response.headers;
    if (!keep_alive_) {
        output_ += "Connection: close\r\n";
    } else if (http_1_0_) {
        output_ += "Connection: keep-alive\r\n";
    }
    output_ += "\r\n";
    if (!head_only_) {
        output_ += response.body;
        body_ = response.long_body;
    }
    state_ = State::writing;
    write();
}

void Connection::write() {
    const std::array<asio::const_buffer, 2> parts = {asio::buffer(output_),
                                                     body_ ? asio::buffer(*body_) : asio::const_buffer()};
    error_code error;
    // Most have one part, which costs the system less.
    const std::size_t sent =
        body_ ? socket_.write_some(parts, error) : socket_.write_some(parts.front(), error);
    if (!error && sent == asio::buffer_size(parts)) return written(error);
    if (error && error != asio::error::would_block) return written(error);
    set_time_limit(transfer_limit);
    const std::array<asio::const_buffer, 2> rest = {parts[0] + sent,
                                                    parts[1] + (sent - std::min(sent, parts[0].size()))};
    asio::async_write(socket_, rest, [self = shared_from_this()](const error_code& failed, std::size_t) {
        self->written(failed);
        self->serve();
    });
}

void Connection::written(const error_code& error) {
    if (state_ == State::closed) return;
    if (error) return close();
    if (answer_ && delivery_in_doubt_) return confirm_delivery(delivery_tries);
    finish_answer();
}

/// The answer is out: on to the next request.
void Connection::finish_answer() {
    answer_.reset();
    call_.reset();
    output_.clear();
    body_.reset();
    if (!keep_alive_) return linger();
    set_time_limit(transfer_limit);
    state_ = State::reading;
}

void Connection::show(const Answer& answer) {
    const auto* view = std::get_if<std::shared_ptr<const PoolView>>(&answer);
    if (state_ == State::waiting && !view) {
        // Nothing that is still under way to the stream may be taken for the answer to another call.
        keep_alive_ = false;
        worker_.routes().leave(call_->pool, *call_->ticket);
        respond(worker_.routes().respond(call_->pool, answer));
        return serve();
    }
    if (state_ == State::waiting) begin_stream();
    if (state_ != State::streaming || is_last_event_) return;
    if (view) {
        if ((*view)->revision < shown_revision_) return;
        shown_revision_ = (*view)->revision;
        next_event_ = worker_.event(call_->pool, *view);
    } else if (std::get<Refusal>(answer) == Refusal::no_such_pool) {
        is_last_event_ = true;
        next_event_ = std::make_shared<const std::string>(Routes::deleted_event());
    } else if (std::get<Refusal>(answer) != Refusal::store_failed) {
        // There will be no more: the client sees that, and may connect again.
        return close();
    }
    write_event();
}

void Connection::begin_stream() {
    if (worker_.draining() || end_of_input_) return close();
    state_ = State::streaming;
    // The field that is nginx's own keeps it from holding events back until it has many.
    output_ =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
        "X-Accel-Buffering: no\r\nDate: " +
        worker_.date() + "\r\nConnection: close\r\n\r\n";
    read();
    if (!head_only_) return;
    is_last_event_ = true;
    next_event_ = std::make_shared<const std::string>();
    write_event();
}

void Connection::write_event() {
    if (event_ || !next_event_) return;
    event_ = std::exchange(next_event_, nullptr);
    set_time_limit(transfer_limit);
    asio::async_write(
        socket_, std::array<asio::const_buffer, 2>{asio::buffer(output_), asio::buffer(*event_)},
        [self = shared_from_this()](const error_code& failed, std::size_t) { self->event_written(failed); });
}

void Connection::event_written(const error_code& error) {
    if (state_ == State::closed) return;
    if (error) return close();
    output_.clear();
    event_.reset();
    set_time_limit(heartbeat_interval);
    if (next_event_) return write_event();
    if (is_last_event_) linger();
}

bool Connection::peer_stopped_sending() {
    pollfd socket{socket_.native_handle(), POLLRDHUP, 0};
    return poll(&socket, 1, 0) > 0;
}

/// A client that half-closed its connection either waits for the answer or is gone altogether. In the
/// latter case its system refuses the answer with a reset, which arrives a round trip after the write.
void Connection::confirm_delivery(int tries) {
    boost::asio::detail::socket_option::integer<SOL_SOCKET, SO_ERROR> failure;
    error_code error;
    socket_.get_option(failure, error);
    if (error || failure.value() != 0) return close();
    int unacknowledged = 0;
    ioctl(socket_.native_handle(), SIOCOUTQ, &unacknowledged);
    if (unacknowledged == 0 || tries == 0) return finish_answer();
    const auto timer = std::make_shared<asio::steady_timer>(socket_.get_executor(), delivery_interval);
    timer->async_wait([self = shared_from_this(), timer, tries](const error_code&) {
        if (self->state_ != State::writing) return;
        self->confirm_delivery(tries - 1);
        self->serve();
    });
}

/// Closes so that the client can read the answer first: closing a socket with unread input resets the
/// connection, and the answer is lost with it.
void Connection::linger() {
    if (end_of_input_ || reader_.idle()) return close();
    state_ = State::lingering;
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    set_time_limit(linger_limit);
    read();
}

void Connection::close() {
    if (state_ == State::closed) return;
    state_ = State::closed;
    error_code ignored;
    socket_.close(ignored);
    worker_.remove(*this);
    if (answer_) worker_.routes().undelivered(call_->pool, *answer_);
    if (call_ && call_->is_stream) worker_.routes().leave(call_->pool, *call_->ticket);
}

void Connection::check_time(Time now) {
    // While nothing is read, it goes unnoticed that the client has gone.
    if (state_ == State::waiting && !read_under_way_ && !end_of_input_ && peer_stopped_sending())
        return hung_up(false);
    if (state_ == State::waiting || state_ == State::closed || now < time_limit_) return;
    if (state_ == State::streaming && !event_) {
        next_event_ = std::make_shared<const std::string>(":\n\n");
        return write_event();
    }
    if (state_ != State::reading || reader_.idle()) return close();
    keep_alive_ = false;
    head_only_ = false;
    respond(error_response(408, "the request did not arrive within 30 seconds"));
}

void Connection::drain() {
    keep_alive_ = false;
    if (state_ == State::reading || state_ == State::streaming) close();
}

void Connection::set_time_limit(std::chrono::seconds limit) {
    time_limit_ = std::chrono::steady_clock::now() + limit;
}

}  // namespace sema::http
