#pragma once

#include "server/http/request_reader.hpp"
#include "server/http/routes.hpp"
#include "server/http/stream.hpp"

#include <boost/asio/steady_timer.hpp>

#include <array>
#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace sema::http {

class Worker;

/// One client's connection: cuts what arrives into requests, hands them on one at a time, and writes the
/// answers in order. It costs no thread while it is idle or waits, and always listens for the client
/// hanging up, unless that sends on and on while it waits.
///
/// Lives on its worker's thread; only deliver() may be called from elsewhere.
class Connection : public std::enable_shared_from_this<Connection> {
  public:
    using Socket = Stream::Socket;
    using Time = std::chrono::steady_clock::time_point;

    /// With settings, it speaks TLS.
    Connection(Worker& worker, Socket socket, TlsSettings tls, Serves serves, const Limits& limits);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void start();

    /// Goes on with agreeing upon TLS, which takes the processor longer than most calls do. On the worker's
    /// word, once it was asked for that.
    void shake_hands();

    /// The answer of the call under way; one of many where that is a stream.
    void answered(const Answer& answer);

    /// Closes the connection if it has been idle, or busy with one request's bytes, for too long.
    void check_time(Time now);

    /// Finishes the call under way, if there is one, and closes.
    void drain();

    /// What an answer granted that the client has not received is undone.
    void close();

  private:
    enum class State {
        shaking_hands,  ///< TLS is not agreed upon yet
        reading,        ///< no whole request is there
        waiting,        ///< for the service's answer
        writing,        ///< the answer
        streaming,      ///< events, for as long as both sides like
        lingering,      ///< everything is said; lets the client read it before the socket closes
        closed,
    };

    void await_handshake(Stream::Handshake wish);
    void end_handshake();
    void refuse_plain_request();
    void read();
    void received(const boost::system::error_code& error, std::size_t size);
    void hung_up(bool reset);
    void serve();
    void handle(const Message& message);
    void respond(const Response& response);
    void write();
    void write_rest(const Stream::Parts& rest);
    void written(const boost::system::error_code& error);
    void show(const Answer& answer);
    void begin_stream();
    void write_event();
    void event_written(const boost::system::error_code& error);
    bool peer_stopped_sending();
    bool waits_in_queue(Time now);
    void confirm_delivery(int tries);
    void finish_answer();
    void begin_request();
    void end_request(Time now);
    void log_access(Time now);
    void linger();
    void await_close();
    void set_time_limit(std::chrono::seconds limit);

    Worker& worker_;
    Stream stream_;
    const Serves serves_;
    RequestReader reader_;
    State state_ = State::reading;
    /// The peer sends no more. It may still read.
    bool end_of_input_ = false;
    bool read_under_way_ = false;
    /// It sent more behind a queued borrow than is kept: that is thrown away, and the borrow's answer the
    /// last.
    bool is_overrun_ = false;
    bool keep_alive_ = true;
    bool http_1_0_ = false;
    bool head_only_ = false;
    Time time_limit_;
    /// In the worker's list, until TLS is agreed upon.
    std::optional<std::list<Connection*>::iterator> handshake_;
    std::optional<Pending> call_;
    // Of the request under way, for metrics and the access log.
    CallKind kind_ = CallKind::other;
    /// 0 while there is no answer.
    int status_ = 0;
    /// When its first byte came; max() where there is none.
    Time begun_ = Time::max();
    /// What it waited for a slot.
    Time::duration waited_{};
    /// Of its answer.
    std::size_t bytes_ = 0;
    /// As the access log shows it. Empty where there was none when the client connected.
    std::string client_;
    /// The lease in the answer being written, for as long as it may yet fail to arrive.
    std::optional<Answer> answer_;
    bool delivery_in_doubt_ = false;
    /// Of a stream: what is being written, and what is to be written next. A client that reads slowly misses
    /// what came between.
    std::shared_ptr<const std::string> event_;
    std::shared_ptr<const std::string> next_event_;
    std::uint64_t shown_revision_ = 0;
    bool is_last_event_ = false;
    std::string output_;
    /// Written behind it, where the answer's body is a long one.
    std::shared_ptr<const std::string_view> body_;
    /// Large enough for a whole borrow, small enough to keep one for each of thousands of waiters.
    std::array<char, 1024> input_;
};

}  // namespace sema::http
