#include "server/http/connection.hpp"

#include "server/http/worker.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/socket_base.hpp>
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
// For TLS to be agreed upon, which takes a few round trips.
constexpr std::chrono::seconds handshake_limit(10);
// For a request to arrive once its first byte is there, and for an answer to be taken.
constexpr std::chrono::seconds transfer_limit(30);
// Of a body that is longer, so much has to be taken within that time.
constexpr std::size_t longest_piece = 1024 * 1024;
// A stream without news gets a comment, so that both sides notice when the other is gone.
constexpr std::chrono::seconds heartbeat_interval(15);
// For the client to read the last answer and close.
constexpr std::chrono::seconds linger_limit(2);
// While a call is under way, no more than this is kept of what the client sends after it.
constexpr std::size_t read_ahead = 64 * 1024;
// For how long a borrow may wait before more than that is thrown away.
constexpr std::chrono::seconds longest_backlog(1);
// How often, and how many times, a client that half-closed its connection is asked whether it has the
// answer.
constexpr std::chrono::milliseconds delivery_interval(10);
constexpr int delivery_tries = 200;

// Of a connection that is older than the access log.
const std::string unknown_client = "-";

const char* reason_phrase(int status) {
    switch (status) {
        case 200:
            return "OK";
        case 202:
            return "Accepted";
        case 302:
            return "Found";
        case 304:
            return "Not Modified";
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

Connection::Connection(Worker& worker, Socket socket, TlsSettings tls, Serves serves, const Limits& limits)
    : worker_(worker), stream_(std::move(socket), std::move(tls)), serves_(serves), reader_(limits) {
    worker_.add(*this);
}

Connection::~Connection() {
    close();
}

void Connection::start() {
    if (worker_.observers().access_log && worker_.observers().access_log->is_on()) {
        error_code error;
        client_ = client_text(*stream_.socket().remote_endpoint(error).data());
    }
    if (stream_.needs_handshake()) {
        state_ = State::shaking_hands;
        handshake_ = worker_.add_handshake(*this);
        set_time_limit(handshake_limit);
        return await_handshake(Stream::Handshake::wants_read);
    }
    set_time_limit(idle_limit);
    read();
}

void Connection::await_handshake(Stream::Handshake wish) {
    stream_.async_wait_for_handshake(wish, [self = shared_from_this()](const error_code& error) {
        if (error) return self->close();
        self->worker_.queue_handshake(self);
    });
}

void Connection::shake_hands() {
    if (state_ != State::shaking_hands) return;
    const auto reached = stream_.shake_hands();
    switch (reached) {
        case Stream::Handshake::wants_read:
        case Stream::Handshake::wants_write:
            return await_handshake(reached);
        case Stream::Handshake::done:
            end_handshake();
            state_ = State::reading;
            set_time_limit(idle_limit);
            return read();
        case Stream::Handshake::not_tls:
            return refuse_plain_request();
        case Stream::Handshake::failed:
            return await_close();
    }
}

void Connection::end_handshake() {
    if (handshake_) worker_.remove_handshake(*handshake_);
    handshake_.reset();
}

/// Answers a client that wrote http:// for https://.
void Connection::refuse_plain_request() {
    error_code error;
    const std::size_t size = stream_.socket().read_some(asio::buffer(input_), error);
    if (error) return close();
    reader_.feed({input_.data(), size});
    keep_alive_ = false;
    head_only_ = std::string_view(input_.data(), size).starts_with("HEAD ");
    respond(error_response(400, "TLS is spoken here: use https://"));
}

void Connection::read() {
    if (read_under_way_ || end_of_input_ || state_ == State::closed) return;
    const bool busy = state_ == State::waiting || state_ == State::writing;
    if (busy && !is_overrun_ && reader_.buffered() >= read_ahead) return;
    read_under_way_ = true;
    stream_.async_read_some(asio::buffer(input_),
                            [self = shared_from_this()](const error_code& error, std::size_t size) {
                                self->read_under_way_ = false;
                                self->received(error, size);
                            });
}

void Connection::received(const error_code& error, std::size_t size) {
    if (state_ == State::closed) return;
    if (error) return hung_up(error != asio::error::eof);
    if (state_ == State::lingering || state_ == State::streaming || is_overrun_) return read();
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
            stream_.write_some({asio::buffer(output_), asio::const_buffer()}, error);
            if (error) return close();
            continue;
        }
        if (const auto* rejected = std::get_if<BadRequest>(&next)) {
            begin_request();
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

/// It is all there.
void Connection::begin_request() {
    kind_ = CallKind::other;
    // The limit was set when its first byte came, or when the request before it was done.
    begun_ = time_limit_ - transfer_limit;
    waited_ = {};
}

/// It is answered. `now` counts where somebody counts.
void Connection::end_request(Time now) {
    if (auto* const counters = worker_.observers().counters) {
        counters->count(kind_, status_);
        if (begun_ != Time::max()) counters->count_time(now - begun_ - waited_);
    }
    log_access(now);
    status_ = 0;
    begun_ = Time::max();
}

void Connection::log_access(Time now) {
    const auto* const log = worker_.observers().access_log;
    if (!log || !log->is_on()) return;
    const bool has_pool = call_ && kind_ != CallKind::pools && kind_ != CallKind::metrics;
    log->add({.client = client_.empty() ? unknown_client : client_,
              .call = kind_,
              .pool = has_pool ? std::optional(call_->pool) : std::nullopt,
              .status = status_,
              .time = begun_ == Time::max() ? Time::duration::zero() : now - begun_,
              .bytes = bytes_});
}

void Connection::handle(const Message& message) {
    begin_request();
    keep_alive_ = message.keep_alive;
    http_1_0_ = message.http_1_0;
    head_only_ = message.method() == "HEAD";
    if (!Engine::knows(message.method())) return respond(error_response(501, "method not implemented"));
    const Engine::Target* target = worker_.engine().parse(message.request_line);
    if (target == nullptr) return respond(error_response(400, "request not understood"));
    const Request request{.method = target->method,
                          .path = target->path,
                          .body = message.body,
                          .authorization = message.authorization,
                          .query = message.query,
                          .known_tags = message.known_tags,
                          .served = serves_};
    auto result = worker_.routes().handle(
        request, [self = shared_from_this()](const Answer& answer) { self->worker_.deliver(self, answer); });
    kind_ = std::visit([](const auto& any) { return any.call; }, result);
    if (const auto* response = std::get_if<Response>(&result)) return respond(*response);
    call_ = std::get<Pending>(result);
    state_ = State::waiting;
}

void Connection::answered(const Answer& answer) {
    if (!call_) return;
    if (call_->is_stream) return show(answer);
    if (state_ != State::waiting) return worker_.routes().undelivered(call_->pool, answer);
    if (const auto* granted = std::get_if<LeaseGranted>(&answer)) {
        waited_ = granted->waited;
        answer_ = answer;
        // The client may have gone without that having been read here yet.
        delivery_in_doubt_ = end_of_input_ || peer_stopped_sending();
    } else if (call_->may_wait && worker_.observers().counters) {
        // Whether it waited or not, all but the wait is over in no time.
        waited_ = std::chrono::steady_clock::now() - begun_;
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
    output_ += "\r\nContent-Type: ";
    output_ += response.content_type;
    output_ += "\r\nContent-Length: ";
    output_ += std::to_string(response.long_body ? response.long_body->size() : response.body.size());
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
    // RFC 9110, section 15.4.5: a 304 states the length of the content, and has no content.
    if (!head_only_ && response.status != 304) {
        output_ += response.body;
        body_ = response.long_body;
    }
    status_ = response.status;
    bytes_ = output_.size() + (body_ ? body_->size() : 0);
    state_ = State::writing;
    write();
}

void Connection::write() {
    const Stream::Parts parts = {asio::buffer(output_), body_ ? asio::buffer(*body_) : asio::const_buffer()};
    error_code error;
    const std::size_t sent = stream_.write_some(parts, error);
    if (!error && sent == asio::buffer_size(parts)) return written(error);
    if (error && error != asio::error::would_block) return written(error);
    write_rest(Stream::without(parts, sent));
}

/// Of a long body a piece at a time, each of which has as long as a short answer.
void Connection::write_rest(const Stream::Parts& rest) {
    set_time_limit(transfer_limit);
    const Stream::Parts piece = {rest[0], asio::buffer(rest[1], longest_piece)};
    stream_.async_write(piece, [self = shared_from_this(), rest](const error_code& failed) {
        if (!failed && rest[1].size() > longest_piece)
            return self->write_rest({asio::const_buffer(), rest[1] + longest_piece});
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
    if (keep_alive_) set_time_limit(transfer_limit);
    if (worker_.observers().counters || worker_.observers().access_log)
        end_request(keep_alive_ ? time_limit_ - transfer_limit : std::chrono::steady_clock::now());
    answer_.reset();
    call_.reset();
    output_.clear();
    body_.reset();
    if (!keep_alive_) return linger();
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
    status_ = 200;
    bytes_ = output_.size();
    if (auto* const counters = worker_.observers().counters) counters->count(kind_, status_);
    if (!head_only_) return;
    is_last_event_ = true;
    next_event_ = std::make_shared<const std::string>();
    write_event();
}

void Connection::write_event() {
    if (event_ || !next_event_) return;
    event_ = std::exchange(next_event_, nullptr);
    bytes_ += event_->size();
    set_time_limit(transfer_limit);
    stream_.async_write(
        {asio::buffer(output_), asio::buffer(*event_)},
        [self = shared_from_this()](const error_code& failed) { self->event_written(failed); });
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
    pollfd socket{stream_.socket().native_handle(), POLLRDHUP, 0};
    return poll(&socket, 1, 0) > 0;
}

/// A client that half-closed its connection either waits for the answer or is gone altogether. In the
/// latter case its system refuses the answer with a reset, which arrives a round trip after the write.
void Connection::confirm_delivery(int tries) {
    boost::asio::detail::socket_option::integer<SOL_SOCKET, SO_ERROR> failure;
    error_code error;
    stream_.socket().get_option(failure, error);
    if (error || failure.value() != 0) return close();
    int unacknowledged = 0;
    ioctl(stream_.socket().native_handle(), SIOCOUTQ, &unacknowledged);
    if (unacknowledged == 0 || tries == 0) return finish_answer();
    const auto timer =
        std::make_shared<asio::steady_timer>(stream_.socket().get_executor(), delivery_interval);
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
    await_close();
}

void Connection::await_close() {
    state_ = State::lingering;
    stream_.shutdown_send();
    set_time_limit(linger_limit);
    read();
}

void Connection::close() {
    if (state_ == State::closed) return;
    end_handshake();
    state_ = State::closed;
    stream_.close();
    worker_.remove(*this);
    if (begun_ != Time::max()) {
        // Of a stream the status counts; any other answer was not taken.
        if (!call_ || !call_->is_stream) status_ = 0;
        if (worker_.observers().access_log) log_access(std::chrono::steady_clock::now());
    }
    if (answer_) worker_.routes().undelivered(call_->pool, *answer_);
    if (call_ && call_->is_stream) worker_.routes().leave(call_->pool, *call_->ticket);
}

/// For so long that bytes that are sent behind it may be thrown away. A call that waits for the store is soon
/// over, and the next request is read then.
bool Connection::waits_in_queue(Time now) {
    return call_->may_wait && now - begun_ >= longest_backlog &&
           worker_.routes().is_queued(call_->pool, *call_->ticket);
}

void Connection::check_time(Time now) {
    // While nothing is read, it goes unnoticed that the client has gone: its end stands behind all that it
    // sent.
    if (state_ == State::waiting && !read_under_way_ && !end_of_input_ && waits_in_queue(now)) {
        is_overrun_ = true;
        keep_alive_ = false;
        return read();
    }
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
    if (state_ == State::reading || state_ == State::streaming || state_ == State::shaking_hands) close();
}

void Connection::set_time_limit(std::chrono::seconds limit) {
    time_limit_ = std::chrono::steady_clock::now() + limit;
}

}  // namespace sema::http
