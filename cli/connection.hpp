#pragma once

#include "cli/boot_clock.hpp"
#include "cli/events.hpp"
#include "cli/outcome.hpp"
#include "cli/proxy.hpp"
#include "cli/server_address.hpp"

#include <curl/curl.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace sema {

struct HttpAnswer {
    long status = 0;
    std::string body;
    std::optional<Duration> retry_after;
    /// What messages call the proxy that it came through; empty where there is none.
    std::string proxy;
};

using Exchange = std::variant<HttpAnswer, Left, Unreachable, Rejected>;

enum class Reuse { allowed, never };

struct Request {
    /// Long enough for a lost SYN to be sent again (after 1 s, and after 2 s more), short enough to sit out.
    static constexpr Duration usual_connect_limit = std::chrono::seconds(5);
    /// What a call that does not queue may take; the server syncs a disk before it answers.
    static constexpr Duration usual_limit = std::chrono::seconds(15);
    /// How often it is looked whether the answer has come, even if nothing wakes the control.
    static constexpr Duration longest_round = std::chrono::seconds(1);
    /// No answer of a semad is longer, lists aside; what is, comes from something else.
    static constexpr std::size_t usual_answer = 65536;

    const char* method;
    std::string path;
    std::string body;
    Duration connect_limit = usual_connect_limit;
    Duration limit = usual_limit;
    Reuse reuse = Reuse::allowed;
    WaitControl* control = nullptr;
    /// The longest answer that is read; of a stream, the longest event.
    std::size_t longest_answer = usual_answer;
    /// Sent as a bearer's credentials where it is not empty. REQUIRES: is_bearer_token().
    std::string bearer_token{};
};

/// One server, spoken to over HTTP by way of libcurl. Nothing throws for what the server or the network does.
/// One thread at a time.
class Connection {
  public:
    explicit Connection(ServerAddress server);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    const ServerAddress& server() const { return server_; }

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
    /// `longest_silence` is. An HttpAnswer is what came instead of a stream. REQUIRES: it has a control.
    Exchange stream(const Request& request, Duration longest_silence,
                    const std::function<bool(const ServerEvent&)>& on_event);

  private:
    /// The fields of an answer's header that matter here.
    struct Header {
        bool begun = false;
        bool complete = false;
        bool is_event_stream = false;
    };
    struct Finish {
        std::optional<CURLcode> code;
        bool left = false;
    };

    void prepare(const Request& request);
    void prepare_limits(const Request& request);
    void prepare_callbacks();
    Finish transfer(WaitControl* control);
    Finish follow(WaitControl& control, Duration longest_silence,
                  const std::function<bool(const ServerEvent&)>& on_event);
    std::optional<CURLcode> perform();
    bool stop_sending();
    Exchange outcome(const Finish& finish);
    Exchange answer_of(const Finish& finish);
    Exchange trouble(CURLcode code) const;
    bool may_be_done() const;
    std::string reason(CURLcode code) const;
    std::string own_reason(CURLcode code) const;
    std::string advice(CURLcode code) const;
    int system_error() const;

    bool receive(std::string_view bytes);
    void receive_header(std::string_view line);
    static std::size_t on_body(char* data, std::size_t, std::size_t size, void* self);
    static std::size_t on_header(char* data, std::size_t, std::size_t size, void* self);
    static curl_socket_t open_socket(void* self, curlsocktype, curl_sockaddr* address);
    static int close_socket(void* self, curl_socket_t socket);

    template <class Value>
    void set(CURLoption option, Value value);

    ServerAddress server_;
    std::optional<Proxy> proxy_;
    CURLM* multi_ = nullptr;
    CURL* easy_ = nullptr;
    curl_slist* headers_ = nullptr;
    std::vector<curl_socket_t> sockets_;
    bool fresh_next_ = false;
    /// The last request was not answered, or by something that cannot reach the server: the name may stand
    /// for another machine by now.
    bool look_up_next_ = false;
    bool is_under_way_ = false;

    // What belongs to the request that is under way.
    Header header_;
    std::string body_;
    std::size_t longest_answer_ = 0;
    std::optional<EventParser> events_;
    /// When something came last.
    Moment heard_;
    char error_[CURL_ERROR_SIZE] = "";
};

}  // namespace sema
