#include "cli/client.hpp"

#include "cli/overloaded.hpp"
#include "common/version.hpp"

#include <curl/curl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

namespace sema {
namespace {

using namespace std::chrono_literals;

// Long enough for a lost SYN to be sent again (after 1 s, and after 2 s more), short enough to sit out.
constexpr Duration connect_limit = 5s;
// What a call may take that nobody is kept waiting by; the server syncs a disk before it answers.
constexpr Duration call_limit = 15s;
// What a borrow that doesn't wait may take in all.
constexpr Duration try_limit = 5s;
// How much later than the end of the wait an answer may arrive from a server that works.
constexpr Duration answer_margin = 2s;
// How long a server that has just granted a slot is asked for the time.
constexpr Duration check_limit = 2s;
// How long a grant that crossed our leaving is waited for.
constexpr Duration leaving_limit = 1s;
// How often a borrower looks whether its answer has come, even if nothing wakes it: what may have gone by
// since the last look is lost of the lease, so it is a small part of a short one.
constexpr Duration longest_round = 1s;
constexpr Duration shortest_round = 20ms;
constexpr int rounds_in_ttl = 20;
// No answer of a semad is longer; what is, comes from something else.
constexpr std::size_t longest_answer = 65536;

struct HttpAnswer {
    long status = 0;
    std::string body;
    std::optional<Duration> retry_after;
    /// The last moment at which nothing of it had come.
    Moment unanswered;
    /// When it was made, by the clock of the server or of a proxy.
    std::optional<std::time_t> date;
};

using Exchange = std::variant<HttpAnswer, Left, Unavailable, Rejected>;

enum class Reuse { allowed, never };

struct Request {
    const char* method;
    std::string path;
    std::string body;
    Duration connect_limit = sema::connect_limit;
    Duration limit = call_limit;
    Reuse reuse = Reuse::allowed;
    Waiter* waiter = nullptr;
    Duration round = longest_round;
};

std::string pool_path(const PoolId& pool, const char* call = "") {
    return "/l/" + pool.str() + call;
}

long milliseconds(Duration duration) {
    // curl takes 0 for "no limit".
    return std::max(1L, static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(duration).count()));
}

// The server's own reason, where the body is an error of ours.
std::optional<std::string> error_reason(const HttpAnswer& answer) {
    auto error = wire::parse_error_body(answer.body);
    if (!error) return std::nullopt;
    return std::move(error->error);
}

bool is_temporary(long status) {
    return status == 429 || status == 500 || (status >= 502 && status <= 504);
}

// What every call makes of an answer that isn't the one it hopes for.
template <class Result>
Result unexpected(const HttpAnswer& answer) {
    const auto reason = error_reason(answer);
    const std::string status = "status " + std::to_string(answer.status);
    if (is_temporary(answer.status))
        return Unavailable{status + (reason ? ", " + *reason : ""), answer.retry_after};
    if (reason) return Rejected{"refused: " + *reason + " (" + status + ")"};
    return Rejected{"gave an answer that no semad gives (" + status + ")"};
}

template <class Result, class Parse>
Result parsed(const HttpAnswer& answer, Parse parse) {
    auto value = parse(answer.body);
    if (!value) return Rejected{"gave an answer that no semad gives: " + value.error().message};
    return std::move(*value);
}

// A 404 of a proxy, of another web server, or of a semad that knows no such path, is no news of the pool.
bool says_no_such_pool(const HttpAnswer& answer) {
    return answer.status == 404 && error_reason(answer) == "no such pool";
}

// Goes from what came over the wire to a call's result; `understand` gets every complete HTTP answer.
template <class Result, class Understand>
Result resolve(Exchange exchange, Understand understand) {
    return std::visit(Overloaded{[&](HttpAnswer& answer) -> Result { return understand(answer); },
                                 [](Left&) -> Result {
                                     if constexpr (std::is_constructible_v<Result, Left>) return Left{};
                                     throw std::logic_error("only a borrower can leave");
                                 },
                                 [](Unavailable& why) -> Result { return std::move(why); },
                                 [](Rejected& why) -> Result { return std::move(why); }},
                      exchange);
}

std::size_t collect(char* data, std::size_t, std::size_t size, void* into) {
    auto& body = *static_cast<std::string*>(into);
    if (body.size() + size > longest_answer) return 0;
    body.append(data, size);
    return size;
}

// What came of an answer's header, as far as it matters here.
struct Header {
    bool begun = false;
    bool complete = false;
    std::optional<std::time_t> date;
};

std::size_t read_header_line(char* data, std::size_t, std::size_t size, void* into) {
    auto& header = *static_cast<Header*>(into);
    const std::string_view line(data, size);
    // A proxy may send word that it is still at it (status 1xx) before the answer itself.
    if (line.substr(0, 5) == "HTTP/") {
        header = {};
        header.begun = line.find(" 1") == std::string_view::npos;
    }
    header.complete = header.complete || line == "\r\n" || line == "\n";
    constexpr std::string_view date = "date:";
    if (size > date.size() && curl_strnequal(data, date.data(), date.size()) != 0) {
        const std::time_t time = curl_getdate(std::string(line.substr(date.size())).c_str(), nullptr);
        if (time != -1) header.date = time;
    }
    return size;
}

}  // namespace

class Client::Connection {
  public:
    explicit Connection(ServerAddress server) : server_(std::move(server)) {
        curl_global_init(CURL_GLOBAL_NOTHING);
        multi_ = curl_multi_init();
        easy_ = curl_easy_init();
        if (!multi_ || !easy_) throw std::bad_alloc();
        headers_ = curl_slist_append(nullptr, "Content-Type: application/json");
        headers_ = curl_slist_append(headers_, "Accept: application/json");
    }

    ~Connection() {
        curl_slist_free_all(headers_);
        curl_easy_cleanup(easy_);
        curl_multi_cleanup(multi_);
        curl_global_cleanup();
    }

    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    const ServerAddress& server() const { return server_; }

    Exchange exchange(const Request& request) {
        std::string body;
        prepare(request, body);
        curl_multi_add_handle(multi_, easy_);
        const Finish finish = transfer(request.waiter, request.round);
        // Removing an unfinished transfer closes its connection.
        curl_multi_remove_handle(multi_, easy_);
        if (finish.left) {
            fresh_next_ = true;
            if (!finish.code) return Left{};
        }
        return outcome(finish, std::move(body));
    }

    // The moment after which the answer to a borrow was surely made, apart from the time that answers take on
    // their way. Of a network or a proxy that held the answer back, nothing is to be seen here; so another
    // answer is asked for, and whoever dated both tells how much time lies between them.
    Moment granted_after(const HttpAnswer& answer, Moment asked, Waiter& waiter) {
        // Dates are whole seconds: they tell nothing of less than two.
        constexpr Duration unclear = 2s;
        const Moment checked = BootClock::now();
        if (checked - asked <= unclear || !answer.date) return answer.unanswered;
        Request request{"GET", "/version", ""};
        request.connect_limit = request.limit = check_limit;
        request.waiter = &waiter;
        const Exchange check = exchange(request);
        const auto* now = std::get_if<HttpAnswer>(&check);
        // All that is known then is that the network is not to be trusted.
        if (now == nullptr) return asked;
        if (!now->date) return answer.unanswered;
        const Duration between = std::chrono::seconds(*now->date - *answer.date);
        if (between < unclear) return answer.unanswered;
        return std::clamp(checked - between - 1s, asked, answer.unanswered);
    }

  private:
    struct Finish {
        std::optional<CURLcode> code;
        bool left = false;
        Moment unanswered = BootClock::now();
    };

    void prepare(const Request& request, std::string& body) {
        curl_easy_reset(easy_);
        error_[0] = '\0';
        set(CURLOPT_URL, (server_.base_url + request.path).c_str());
        if (!server_.unix_socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, server_.unix_socket.c_str());
        // The environment's proxies are honoured, but none can reach a server on this machine for us.
        if (server_.local) set(CURLOPT_PROXY, "");
        set(CURLOPT_PROTOCOLS_STR, "http,https");
        set(CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
        set(CURLOPT_FOLLOWLOCATION, 0L);
        set(CURLOPT_NOSIGNAL, 1L);
        set(CURLOPT_OPENSOCKETFUNCTION, open_socket);
        set(CURLOPT_OPENSOCKETDATA, this);
        set(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
        set(CURLOPT_CLOSESOCKETDATA, this);
        // A borrower may wait for hours behind a NAT that forgets connections it sees nothing of.
        set(CURLOPT_TCP_KEEPALIVE, 1L);
        set(CURLOPT_TCP_KEEPIDLE, 30L);
        set(CURLOPT_TCP_KEEPINTVL, 30L);
        set(CURLOPT_USERAGENT, (std::string("semactl/") + sema::version).c_str());
        set(CURLOPT_CUSTOMREQUEST, request.method);
        set(CURLOPT_HTTPHEADER, headers_);
        if (!request.body.empty()) {
            set(CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
            set(CURLOPT_COPYPOSTFIELDS, request.body.c_str());
        }
        set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(request.connect_limit));
        set(CURLOPT_TIMEOUT_MS, milliseconds(request.limit));
        set(CURLOPT_FRESH_CONNECT, request.reuse == Reuse::never || fresh_next_ ? 1L : 0L);
        set(CURLOPT_WRITEFUNCTION, collect);
        set(CURLOPT_WRITEDATA, &body);
        header_ = {};
        set(CURLOPT_HEADERFUNCTION, read_header_line);
        set(CURLOPT_HEADERDATA, &header_);
        set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
        // A name server that doesn't answer is not waited for by who gave up or left.
        set(CURLOPT_QUICK_EXIT, 1L);
        set(CURLOPT_ERRORBUFFER, error_);
        fresh_next_ = false;
    }

    Finish transfer(Waiter* waiter, Duration round) {
        Finish finish;
        Moment patience{};
        const auto round_ms = static_cast<int>(milliseconds(round));
        for (;;) {
            const Moment looked = BootClock::now();
            int running = 0;
            curl_multi_perform(multi_, &running);
            int queued = 0;
            while (const CURLMsg* message = curl_multi_info_read(multi_, &queued)) {
                if (message->msg == CURLMSG_DONE) finish.code = message->data.result;
            }
            if (finish.code || (finish.left && BootClock::now() >= patience)) return finish;
            if (!header_.begun) finish.unanswered = looked;

            curl_waitfd wake{waiter && !finish.left ? waiter->wake_fd() : -1, CURL_WAIT_POLLIN, 0};
            const bool listening = wake.fd >= 0;
            curl_multi_poll(multi_, &wake, listening ? 1U : 0U, finish.left ? 20 : round_ms, nullptr);
            if (listening && !waiter->keep_waiting()) {
                finish.left = true;
                patience = BootClock::now() + leaving_limit;
                if (!stop_sending()) return finish;
            }
        }
    }

    // Tells the server that we left, and keeps listening. False where there is no connection yet.
    // libcurl names a transfer's socket only once the transfer is over. Idle connections of earlier calls
    // may be among these; they are not used again.
    bool stop_sending() {
        bool connected = false;
        for (const curl_socket_t socket : sockets_)
            connected = shutdown(socket, SHUT_WR) == 0 || connected;
        return connected;
    }

    static curl_socket_t open_socket(void* self, curlsocktype, curl_sockaddr* address) {
        const int socket = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
        if (socket >= 0) static_cast<Connection*>(self)->sockets_.push_back(socket);
        return socket;
    }

    static int close_socket(void* self, curl_socket_t socket) {
        auto& sockets = static_cast<Connection*>(self)->sockets_;
        sockets.erase(std::remove(sockets.begin(), sockets.end(), socket), sockets.end());
        return close(socket);
    }

    Exchange outcome(const Finish& finish, std::string body) {
        const CURLcode code = *finish.code;
        if (code == CURLE_OK && header_.complete) {
            HttpAnswer answer;
            answer.date = header_.date;
            answer.unanswered = finish.unanswered;
            curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &answer.status);
            curl_off_t retry_after = 0;
            curl_easy_getinfo(easy_, CURLINFO_RETRY_AFTER, &retry_after);
            if (retry_after > 0) answer.retry_after = from_seconds(static_cast<double>(retry_after));
            answer.body = std::move(body);
            if (finish.left && answer.status != 200) return Left{};
            return answer;
        }
        if (finish.left) return Left{};
        switch (code) {
            case CURLE_OK:
                return Unavailable{reason(CURLE_PARTIAL_FILE), std::nullopt};
            case CURLE_WRITE_ERROR:
                return Rejected{"gave an answer that no semad gives: it is too long"};
            case CURLE_UNSUPPORTED_PROTOCOL:
            case CURLE_WEIRD_SERVER_REPLY:
                return Rejected{"does not speak HTTP"};
            case CURLE_URL_MALFORMAT:
            case CURLE_PEER_FAILED_VERIFICATION:
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
                return Rejected{"gave an answer that does not fit in memory"};
            default:
                return Unavailable{reason(code), std::nullopt};
        }
    }

    std::string reason(CURLcode code) const {
        switch (code) {
            case CURLE_COULDNT_CONNECT: {
                long number = 0;
                curl_easy_getinfo(easy_, CURLINFO_OS_ERRNO, &number);
                return number != 0 ? std::generic_category().message(static_cast<int>(number))
                                   : "connection failed";
            }
            case CURLE_OPERATION_TIMEDOUT:
                return "no answer came in time";
            case CURLE_GOT_NOTHING:
            case CURLE_RECV_ERROR:
            case CURLE_SEND_ERROR:
            case CURLE_PARTIAL_FILE:
                return "the connection was closed without an answer";
            default:
                return error_[0] != '\0' ? error_ : curl_easy_strerror(code);
        }
    }

    template <class Value>
    void set(CURLoption option, Value value) {
        if (curl_easy_setopt(easy_, option, value) != CURLE_OK)
            throw std::runtime_error("this libcurl lacks what semactl needs");
    }

    ServerAddress server_;
    CURLM* multi_ = nullptr;
    CURL* easy_ = nullptr;
    curl_slist* headers_ = nullptr;
    std::vector<curl_socket_t> sockets_;
    bool fresh_next_ = false;
    Header header_;
    char error_[CURL_ERROR_SIZE] = "";
};

Client::Client(ServerAddress server) : connection_(std::make_unique<Connection>(std::move(server))) {}
Client::~Client() = default;

const ServerAddress& Client::server() const {
    return connection_->server();
}

Answer<wire::PoolState> Client::register_pool(const PoolId& pool, unsigned count) {
    using Result = Answer<wire::PoolState>;
    return resolve<Result>(
        connection_->exchange({"PUT", pool_path(pool), wire::to_json(wire::RegisterRequest{count})}),
        [](const HttpAnswer& answer) {
            if (answer.status == 200) return parsed<Result>(answer, wire::parse_pool_state);
            return unexpected<Result>(answer);
        });
}

PoolAnswer<wire::PoolState> Client::inspect(const PoolId& pool) {
    using Result = PoolAnswer<wire::PoolState>;
    return resolve<Result>(connection_->exchange({"GET", pool_path(pool), ""}),
                           [](const HttpAnswer& answer) -> Result {
                               if (answer.status == 200)
                                   return parsed<Result>(answer, wire::parse_pool_state);
                               if (says_no_such_pool(answer)) return NoSuchPool{};
                               return unexpected<Result>(answer);
                           });
}

Answer<wire::Deleted> Client::remove(const PoolId& pool) {
    using Result = Answer<wire::Deleted>;
    return resolve<Result>(connection_->exchange({"DELETE", pool_path(pool), ""}),
                           [](const HttpAnswer& answer) {
                               if (answer.status == 200) return parsed<Result>(answer, wire::parse_deleted);
                               return unexpected<Result>(answer);
                           });
}

Answer<wire::Version> Client::version() {
    using Result = Answer<wire::Version>;
    return resolve<Result>(connection_->exchange({"GET", "/version", ""}), [](const HttpAnswer& answer) {
        if (answer.status == 200) return parsed<Result>(answer, wire::parse_version);
        return unexpected<Result>(answer);
    });
}

BorrowAnswer Client::borrow(const PoolId& pool, Duration ttl, Duration wait, Waiter& waiter) {
    Request request{"POST", pool_path(pool, "/borrow"), wire::to_json(wire::BorrowRequest{ttl, wait})};
    // Somebody who waits for 2 s isn't kept for 5 by a host that swallows packets.
    if (wait > 0s) request.connect_limit = std::clamp<Duration>(wait, 1s, connect_limit);
    request.limit = std::max(wait + answer_margin, wait > 0s ? Duration::zero() : try_limit);
    // On a connection that was used before, curl would send the request again once the server hangs up,
    // and so queue anew when we mean to leave.
    request.reuse = Reuse::never;
    request.waiter = &waiter;
    request.round = std::clamp<Duration>(ttl / rounds_in_ttl, shortest_round, longest_round);

    const Moment asked = BootClock::now();
    return resolve<BorrowAnswer>(
        connection_->exchange(request), [&](const HttpAnswer& answer) -> BorrowAnswer {
            if (answer.status == 200) {
                auto lease = wire::parse_lease_grant(answer.body);
                if (!lease) return Rejected{"gave an answer that no semad gives: " + lease.error().message};
                return Grant{*lease, asked, connection_->granted_after(answer, asked, waiter)};
            }
            if (says_no_such_pool(answer)) return NoSuchPool{};
            if (answer.status == 409 && error_reason(answer) == "no resource available") return NoSlot{};
            return unexpected<BorrowAnswer>(answer);
        });
}

Answer<wire::Returned> Client::give_back(const PoolId& pool, const LeaseId& lease, Duration limit) {
    using Result = Answer<wire::Returned>;
    Request request{"POST", pool_path(pool, "/return"), wire::to_json(wire::ReturnRequest{lease})};
    request.connect_limit = limit;
    request.limit = limit;
    return resolve<Result>(connection_->exchange(request), [](const HttpAnswer& answer) {
        if (answer.status == 200) return parsed<Result>(answer, wire::parse_returned);
        return unexpected<Result>(answer);
    });
}

}  // namespace sema
