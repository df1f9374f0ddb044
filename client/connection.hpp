#pragma once

#include "client/transfer.hpp"

#include <functional>
#include <optional>
#include <vector>

namespace sema {

/// Requests to one server, each of which blocks until its answer is there. Nothing throws for what the server
/// or the network does. One thread at a time.
class Connection {
  public:
    explicit Connection(ServerAddress server);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    const ServerAddress& server() const { return transfer_.server(); }

    /// Sends a request and waits for its answer. Where the control ends the call, the sending side is closed,
    /// and an answer that crosses this is still received.
    Exchange exchange(const Request& request);

    /// Begins a request whose answer is not waited for: proceed() and wait() see to it, and drop() gives it
    /// up. One at a time, and no exchange() or stream() meanwhile.
    void begin(const Request& request);
    /// Goes on with the request, and gives what came of it once that is known.
    std::optional<Exchange> proceed();
    void drop();
    /// Waits until a descriptor of `wakes` is readable, the request can go on, or `limit` is over.
    void wait(std::vector<int> wakes, Duration limit);

    /// Sends a request whose answer is a stream of events, and hands each out as it comes, until the control
    /// ends the call, `on_event` returns false (both are Left), or the server is gone: one that is silent for
    /// `longest_silence` is, or one that does not begin to answer within the request's limit. An HttpAnswer
    /// is what came instead of a stream. REQUIRES: it has a control.
    Exchange stream(const Request& request, Duration longest_silence,
                    const std::function<bool(const ServerEvent&)>& on_event);

  private:
    struct Finish {
        std::optional<CURLcode> code;
        bool left = false;
    };

    void start();
    Finish finish(WaitControl* control);
    Finish follow(WaitControl& control, Duration answer_limit, Duration longest_silence,
                  const std::function<bool(const ServerEvent&)>& on_event);
    std::optional<CURLcode> perform();
    bool stop_sending();
    static curl_socket_t open_socket(void* self, curlsocktype, curl_sockaddr* address);
    static int close_socket(void* self, curl_socket_t socket);

    Transfer transfer_;
    CURLM* multi_ = nullptr;
    std::vector<curl_socket_t> sockets_;
    bool is_under_way_ = false;
};

}  // namespace sema
