#pragma once

#include "client/boot_clock.hpp"
#include "client/events.hpp"
#include "client/outcome.hpp"
#include "client/proxy.hpp"
#include "client/server_address.hpp"

#include <curl/curl.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace sema {

struct HttpAnswer {
    long status = 0;
    std::string body;
    std::optional<Duration> retry_after;
    /// What messages call the proxy that it came through; empty where there is none.
    std::string proxy;
    /// What to look at where no semad gives such an answer, and that is plain.
    std::string advice;
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
    /// Where it is set, it takes the body of a 200 as that comes; false ends the call. Other bodies are in
    /// the answer, as ever.
    std::function<bool(std::string_view)> sink{};
    /// How long nothing may come, where it is not zero.
    Duration longest_silence{};
    /// Sent as a bearer's credentials where it is not empty. REQUIRES: is_bearer_token().
    std::string bearer_token{};
};

/// One request at a time to one server, over HTTP by way of libcurl: all but the waiting. Nothing throws for
/// what the server or the network does. One thread at a time.
class Transfer {
  public:
    explicit Transfer(ServerAddress server);
    ~Transfer();
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;

    const ServerAddress& server() const { return server_; }

    /// libcurl's handle, which has this object as its CURLOPT_PRIVATE: for a multi handle.
    CURL* handle() const { return easy_; }

    /// Makes the handle ready for a request. REQUIRES: no multi handle has it.
    void prepare(const Request& request);
    /// The same where the answer is a stream of events, which events() has as they come.
    void prepare_stream(const Request& request);
    EventParser& events() { return *events_; }
    bool is_event_stream() const { return header_.is_event_stream; }
    /// When something came last.
    Moment heard() const { return heard_; }

    /// What came of the request, once libcurl is done with it. `has_left`: the sending side was closed.
    Exchange outcome(CURLcode code, bool has_left);
    /// The next request goes out on a connection of its own.
    void start_afresh_next() { fresh_next_ = true; }
    /// The server's name may stand for another machine by now.
    void look_up_next() { look_up_next_ = true; }
    bool looks_up_next() const { return look_up_next_; }

  private:
    /// The fields of an answer's header that matter here.
    struct Header {
        bool begun = false;
        bool complete = false;
        bool is_event_stream = false;
    };

    void prepare_tls();
    void prepare_limits(const Request& request);
    void prepare_callbacks();
    Exchange answer_of(bool has_left);
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

    template <class Value>
    void set(CURLoption option, Value value);

    ServerAddress server_;
    std::optional<Proxy> proxy_;
    CURL* easy_ = nullptr;
    curl_slist* headers_ = nullptr;
    bool fresh_next_ = false;
    /// The last request was not answered, or by something that cannot reach the server: the name may stand
    /// for another machine by now.
    bool look_up_next_ = false;

    // What belongs to the request that is under way.
    Header header_;
    std::string body_;
    std::size_t longest_answer_ = 0;
    std::function<bool(std::string_view)> sink_;
    std::optional<EventParser> events_;
    Moment heard_;
    char error_[CURL_ERROR_SIZE] = "";
};

}  // namespace sema
