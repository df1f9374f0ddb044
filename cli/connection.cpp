#include "cli/connection.hpp"

#include "cli/transfer_trouble.hpp"
#include "common/given_text.hpp"
#include "common/version.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// How long a grant that crossed our leaving is waited for.
constexpr Duration leaving_limit = 1s;

long milliseconds(Duration duration) {
    // curl takes 0 for "no limit".
    return std::max(1L, static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(duration).count()));
}

// The value of a header's line, where that is the field's.
std::optional<std::string_view> field_value(std::string_view line, std::string_view name) {
    if (line.size() <= name.size() || curl_strnequal(line.data(), name.data(), name.size()) == 0)
        return std::nullopt;
    line.remove_prefix(name.size());
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    return line;
}

}  // namespace

template <class Value>
void Connection::set(CURLoption option, Value value) {
    if (curl_easy_setopt(easy_, option, value) != CURLE_OK)
        throw std::runtime_error("this libcurl lacks what semactl needs");
}

Connection::Connection(ServerAddress server)
    : server_(std::move(server)),
      proxy_(proxy_for(server_, [](const char* name) { return environment_value(name).value_or(""); })) {
    curl_global_init(CURL_GLOBAL_NOTHING);
    multi_ = curl_multi_init();
    easy_ = curl_easy_init();
    if (!multi_ || !easy_) throw std::bad_alloc();
    headers_ = curl_slist_append(nullptr, "Content-Type: application/json");
    headers_ = curl_slist_append(headers_, "Accept: application/json, text/event-stream");
}

Connection::~Connection() {
    drop();
    curl_slist_free_all(headers_);
    curl_easy_cleanup(easy_);
    curl_multi_cleanup(multi_);
    curl_global_cleanup();
}

Exchange Connection::exchange(const Request& request) {
    prepare(request);
    curl_multi_add_handle(multi_, easy_);
    const Finish finish = transfer(request.control);
    // Removing an unfinished transfer closes its connection.
    curl_multi_remove_handle(multi_, easy_);
    if (finish.left) {
        fresh_next_ = true;
        if (!finish.code) return Left{};
    }
    return outcome(finish);
}

void Connection::begin(const Request& request) {
    prepare(request);
    curl_multi_add_handle(multi_, easy_);
    is_under_way_ = true;
}

std::optional<Exchange> Connection::proceed() {
    if (!is_under_way_) return std::nullopt;
    Finish finish;
    finish.code = perform();
    if (!finish.code) return std::nullopt;
    drop();
    return outcome(finish);
}

void Connection::drop() {
    if (std::exchange(is_under_way_, false)) curl_multi_remove_handle(multi_, easy_);
}

void Connection::wait(std::vector<int> wakes, Duration limit) {
    std::vector<curl_waitfd> descriptors;
    for (const int wake : wakes)
        descriptors.push_back({wake, CURL_WAIT_POLLIN, 0});
    const auto round = std::min<Duration>(limit, std::chrono::hours(1));
    curl_multi_poll(multi_, descriptors.data(), static_cast<unsigned>(descriptors.size()),
                    static_cast<int>(milliseconds(round)), nullptr);
}

Exchange Connection::stream(const Request& request, Duration longest_silence,
                            const std::function<bool(const ServerEvent&)>& on_event) {
    prepare(request);
    // A stream has no end that could be waited for.
    set(CURLOPT_TIMEOUT_MS, 0L);
    events_.emplace(request.longest_answer);
    curl_multi_add_handle(multi_, easy_);
    const Finish finish = follow(*request.control, longest_silence, on_event);
    curl_multi_remove_handle(multi_, easy_);
    events_.reset();
    if (finish.left) return Left{};
    const bool was_cut = header_.is_event_stream && finish.code && *finish.code != CURLE_WRITE_ERROR;
    if (finish.code && !was_cut) return outcome(finish);
    look_up_next_ = true;
    return Unreachable{was_cut ? "the connection was closed"
                               : "nothing was heard of it for " + describe(longest_silence)};
}

void Connection::prepare(const Request& request) {
    curl_easy_reset(easy_);
    error_[0] = '\0';
    header_ = {};
    body_.clear();
    longest_answer_ = request.longest_answer;
    heard_ = BootClock::now();
    set(CURLOPT_URL, (server_.base_url + request.path).c_str());
    if (!server_.unix_socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, server_.unix_socket.c_str());
    // What libcurl takes from the environment by itself cannot be asked for afterwards.
    set(CURLOPT_PROXY, proxy_ ? proxy_->url.c_str() : "");
    set(CURLOPT_NOPROXY, "");
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_USERAGENT, (std::string("semactl/") + sema::version).c_str());
    set(CURLOPT_CUSTOMREQUEST, request.method);
    set(CURLOPT_HTTPHEADER, headers_);
    if (!request.bearer_token.empty()) {
        set(CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        set(CURLOPT_XOAUTH2_BEARER, request.bearer_token.c_str());
    }
    if (!request.body.empty()) {
        set(CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
        set(CURLOPT_COPYPOSTFIELDS, request.body.c_str());
    }
    prepare_limits(request);
    prepare_callbacks();
}

void Connection::prepare_limits(const Request& request) {
    // A borrower may wait for hours behind a NAT that forgets connections it sees nothing of.
    set(CURLOPT_TCP_KEEPALIVE, 1L);
    set(CURLOPT_TCP_KEEPIDLE, 30L);
    set(CURLOPT_TCP_KEEPINTVL, 30L);
    set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(request.connect_limit));
    set(CURLOPT_TIMEOUT_MS, milliseconds(request.limit));
    set(CURLOPT_FRESH_CONNECT, request.reuse == Reuse::never || fresh_next_ || look_up_next_ ? 1L : 0L);
    // libcurl would believe for a minute in what a name stood for before a failover.
    if (std::exchange(look_up_next_, false)) set(CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    // After the call was ended or has timed out, a name server that does not answer is not waited for.
    set(CURLOPT_QUICK_EXIT, 1L);
    fresh_next_ = false;
}

void Connection::prepare_callbacks() {
    set(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    set(CURLOPT_OPENSOCKETDATA, this);
    set(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    set(CURLOPT_CLOSESOCKETDATA, this);
    set(CURLOPT_WRITEFUNCTION, on_body);
    set(CURLOPT_WRITEDATA, this);
    set(CURLOPT_HEADERFUNCTION, on_header);
    set(CURLOPT_HEADERDATA, this);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_ERRORBUFFER, error_);
}

Connection::Finish Connection::transfer(WaitControl* control) {
    Finish finish;
    Moment patience{};
    for (;;) {
        finish.code = perform();
        if (finish.code || (finish.left && BootClock::now() >= patience)) return finish;

        curl_waitfd wake{control && !finish.left ? control->wake_fd() : -1, CURL_WAIT_POLLIN, 0};
        const bool listening = wake.fd >= 0;
        const Duration pause = finish.left ? 20ms
                               : control   ? std::min(Request::longest_round, control->longest_round())
                                           : Request::longest_round;
        curl_multi_poll(multi_, &wake, listening ? 1U : 0U, static_cast<int>(milliseconds(pause)), nullptr);
        if (listening && !control->keep_waiting()) {
            finish.left = true;
            patience = BootClock::now() + leaving_limit;
            if (!stop_sending()) return finish;
        }
    }
}

Connection::Finish Connection::follow(WaitControl& control, Duration longest_silence,
                                      const std::function<bool(const ServerEvent&)>& on_event) {
    Finish finish;
    for (;;) {
        // What came while semactl did not run, as after a SIGSTOP, is read before its absence is judged.
        const Moment looked = BootClock::now();
        finish.code = perform();
        while (const auto event = events_->next()) {
            finish.left = !on_event(*event);
            if (finish.left) return finish;
        }
        if (finish.code || looked - heard_ >= longest_silence) return finish;

        curl_waitfd wake{control.wake_fd(), CURL_WAIT_POLLIN, 0};
        const auto round_ms = static_cast<int>(milliseconds(Request::longest_round));
        curl_multi_poll(multi_, &wake, wake.fd >= 0 ? 1U : 0U, round_ms, nullptr);
        finish.left = !control.keep_waiting();
        if (finish.left) return finish;
    }
}

// How the transfer ended, once it has.
std::optional<CURLcode> Connection::perform() {
    int running = 0;
    curl_multi_perform(multi_, &running);
    std::optional<CURLcode> code;
    int queued = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &queued)) {
        if (message->msg == CURLMSG_DONE) code = message->data.result;
    }
    return code;
}

// Closes the sending side, which takes the borrower out of the queue, and keeps listening. False where there
// is no connection yet. libcurl names a transfer's socket only once the transfer is over. Idle connections of
// earlier calls may be among these; they are not used again.
bool Connection::stop_sending() {
    bool connected = false;
    for (const curl_socket_t socket : sockets_)
        connected = shutdown(socket, SHUT_WR) == 0 || connected;
    return connected;
}

Exchange Connection::outcome(const Finish& finish) {
    const bool is_complete = *finish.code == CURLE_OK && header_.complete;
    if (!is_complete && finish.left) return Left{};
    Exchange result = is_complete ? answer_of(finish) : trouble(*finish.code);
    constexpr long failures = 500;
    const auto* answer = std::get_if<HttpAnswer>(&result);
    look_up_next_ = answer != nullptr ? answer->status >= failures : !finish.left;
    return result;
}

Exchange Connection::answer_of(const Finish& finish) {
    HttpAnswer answer;
    if (proxy_) answer.proxy = proxy_->name;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &answer.status);
    curl_off_t retry_after = 0;
    curl_easy_getinfo(easy_, CURLINFO_RETRY_AFTER, &retry_after);
    if (retry_after > 0) answer.retry_after = from_seconds(static_cast<double>(retry_after));
    answer.body = std::move(body_);
    if (finish.left && answer.status != 200) return Left{};
    return answer;
}

Exchange Connection::trouble(CURLcode code) const {
    switch (code) {
        case CURLE_OK:
            return Unreachable{reason(CURLE_PARTIAL_FILE)};
        case CURLE_WRITE_ERROR:
            return Rejected{"gave an answer that no semad gives: it is too long", true};
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_WEIRD_SERVER_REPLY:
            return Rejected{"does not speak HTTP" + (proxy_ ? ", through " + proxy_->name : ""), true};
        // A proxy that does not know its backend yet shows a certificate of its own.
        case CURLE_PEER_FAILED_VERIFICATION:
            return Rejected{"cannot be used: " + reason(code), true};
        case CURLE_URL_MALFORMAT:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_NOT_BUILT_IN:
        case CURLE_BAD_FUNCTION_ARGUMENT:
            return Rejected{"cannot be used: " + reason(code)};
        // What libcurl says of a header that is too long for it: before 8.6 the former.
        case CURLE_OUT_OF_MEMORY:
#if LIBCURL_VERSION_NUM >= 0x080600
        case CURLE_TOO_LARGE:
#endif
            return Rejected{"gave an answer that does not fit in memory", true};
        default:
            return Unreachable{reason(code), std::nullopt, advice(code), may_be_done()};
    }
}

// Not where nothing of the request was sent.
bool Connection::may_be_done() const {
    long sent = 0;
    return curl_easy_getinfo(easy_, CURLINFO_REQUEST_SIZE, &sent) != CURLE_OK || sent > 0;
}

int Connection::system_error() const {
    long number = 0;
    curl_easy_getinfo(easy_, CURLINFO_OS_ERRNO, &number);
    return static_cast<int>(number);
}

std::string Connection::advice(CURLcode code) const {
    if (code != CURLE_COULDNT_CONNECT || proxy_) return "";
    const int error = system_error();
    if (error == ECONNREFUSED || error == ENOENT) {
        const std::string port = port_advice(server_);
        return port.empty() ? "is semad running there? --server names another" : port;
    }
    if (error == EACCES && !server_.unix_socket.empty())
        return "this user may not use the socket: semad's --socket-mode and --socket-group say who may";
    return "";
}

std::string Connection::reason(CURLcode code) const {
    if (!proxy_) return own_reason(code);
    // libcurl's own words may have its password.
    if (code == CURLE_COULDNT_RESOLVE_PROXY) return "cannot find " + proxy_->name;
    long status = 0;
    curl_easy_getinfo(easy_, CURLINFO_HTTP_CONNECTCODE, &status);
    return (status >= 300 ? "status " + std::to_string(status) : own_reason(code)) + ", through " +
           proxy_->name;
}

std::string Connection::own_reason(CURLcode code) const {
    switch (code) {
        case CURLE_COULDNT_CONNECT: {
            const int number = system_error();
            return number != 0 ? std::generic_category().message(number) : "connection failed";
        }
        case CURLE_OPERATION_TIMEDOUT:
            return "no answer came in time";
        case CURLE_GOT_NOTHING:
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR:
        case CURLE_PARTIAL_FILE:
            return "the connection was closed without an answer";
        default:
            return describe_trouble(code, error_);
    }
}

bool Connection::receive(std::string_view bytes) {
    heard_ = BootClock::now();
    if (events_ && header_.is_event_stream) return events_->feed(bytes);
    if (body_.size() + bytes.size() > longest_answer_) return false;
    body_.append(bytes);
    return true;
}

void Connection::receive_header(std::string_view line) {
    heard_ = BootClock::now();
    // A proxy may report progress (status 1xx) before the answer itself.
    if (line.substr(0, 5) == "HTTP/") {
        header_ = {};
        header_.begun = line.find(" 1") == std::string_view::npos;
    }
    header_.complete = header_.complete || line == "\r\n" || line == "\n";
    constexpr std::string_view event_stream = "text/event-stream";
    if (const auto type = field_value(line, "content-type:"))
        header_.is_event_stream = field_value(*type, event_stream).has_value();
}

std::size_t Connection::on_body(char* data, std::size_t, std::size_t size, void* self) {
    return static_cast<Connection*>(self)->receive({data, size}) ? size : 0;
}

std::size_t Connection::on_header(char* data, std::size_t, std::size_t size, void* self) {
    static_cast<Connection*>(self)->receive_header({data, size});
    return size;
}

curl_socket_t Connection::open_socket(void* self, curlsocktype, curl_sockaddr* address) {
    const int socket = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (socket >= 0) static_cast<Connection*>(self)->sockets_.push_back(socket);
    return socket;
}

int Connection::close_socket(void* self, curl_socket_t socket) {
    auto& sockets = static_cast<Connection*>(self)->sockets_;
    sockets.erase(std::remove(sockets.begin(), sockets.end(), socket), sockets.end());
    return close(socket);
}

}  // namespace sema
