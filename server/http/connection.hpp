#pragma once

#include "server/http/request_reader.hpp"
#include "server/http/routes.hpp"

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace sema::http {

class Worker;

/// One client's connection: cuts what arrives into requests, hands them on one at a time, and writes the
/// answers in order. It costs no thread while it is idle or waits, and always listens for the client
/// hanging up, unless that sends on and on while it waits.
///
/// Lives on its worker's thread; only deliver() may be called from elsewhere.
class Connection : public std::enable_shared_from_this<Connection> {
  public:
    using Socket = boost::asio::generic::stream_protocol::socket;
    using Time = std::chrono::steady_clock::time_point;

    Connection(Worker& worker, Socket socket, const Limits& limits);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void start();

    /// The answer of the call under way; one of many where that is a stream.
    void answered(const Answer& answer);

    /// Closes the connection if it has been idle, or busy with one request's bytes, for too long.
    void check_time(Time now);

    /// Finishes the call under way, if there is one, and closes.
    void drain();

  private:
    enum class State {
        reading,    ///< no whole request is there
        waiting,    ///< for the service's answer
        writing,    ///< the answer
        streaming,  ///< events, for as long as both sides like
        lingering,  ///< everything is said; lets the client read it before the socket closes
        closed,
    };

    void read();
    void received(const boost::system::error_code& error, std::size_t size);
    void hung_up(bool reset);
    void serve();
    void handle(const Message& message);
    void respond(const Response& response);
    void write();
    void written(const boost::system::error_code& error);
    void show(const Answer& answer);
    void begin_stream();
    void write_event();
    void event_written(const boost::system::error_code& error);
    bool peer_stopped_sending();
    void confirm_delivery(int tries);
    void finish_answer();
    void linger();
    void close();
    void set_time_limit(std::chrono::seconds limit);

    Worker& worker_;
    Socket socket_;
    RequestReader reader_;
    State state_ = State::reading;
    /// The peer sends no more. It may still read.
    bool end_of_input_ = false;
    bool read_under_way_ = false;
    bool keep_alive_ = true;
    bool http_1_0_ = false;
    bool head_only_ = false;
    Time time_limit_;
    std::optional<Pending> call_;
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
    std::shared_ptr<const std::string> body_;
    /// Large enough for a whole borrow, small enough to keep one for each of thousands of waiters.
    std::array<char, 1024> input_;
};

}  // namespace sema::http
