#include "client/transfer.hpp"

#include "client/transfer_trouble.hpp"
#include "common/given_text.hpp"
#include "common/version.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

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

// libcurl would hand the socket on to commands that the program starts.
curl_socket_t open_socket(void*, curlsocktype, curl_sockaddr* address) {
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

}  // namespace

template <class Value>
void Transfer::set(CURLoption option, Value value) {
    if (curl_easy_setopt(easy_, option, value) != CURLE_OK)
        throw std::runtime_error("this libcurl lacks what semactl needs");
}

Transfer::Transfer(ServerAddress server)
    : server_(std::move(server)),
      proxy_(proxy_for(server_, [](const char* name) { return environment_value(name).value_or(""); })) {
    curl_global_init(CURL_GLOBAL_NOTHING);
    easy_ = curl_easy_init();
    if (!easy_) throw std::bad_alloc();
    headers_ = curl_slist_append(nullptr, "Content-Type: application/json");
    headers_ = curl_slist_append(headers_, "Accept: application/json, text/event-stream");
}

Transfer::~Transfer() {
    curl_slist_free_all(headers_);
    curl_easy_cleanup(easy_);
    curl_global_cleanup();
}

void Transfer::prepare(const Request& request) {
    curl_easy_reset(easy_);
    error_[0] = '\0';
    header_ = {};
    body_.clear();
    longest_answer_ = request.longest_answer;
    sink_ = request.sink;
    events_.reset();
    heard_ = BootClock::now();
    set(CURLOPT_URL, (server_.base_url + request.path).c_str());
    if (!server_.unix_socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, server_.unix_socket.c_str());
    if (server_.is_https()) prepare_tls();
    // libcurl does not say afterwards which proxy it has taken from the environment by itself.
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

void Transfer::prepare_stream(const Request& request) {
    prepare(request);
    // A stream has no end that could be waited for.
    set(CURLOPT_TIMEOUT_MS, 0L);
    events_.emplace(request.longest_answer);
}

void Transfer::prepare_tls() {
    const TlsFiles& files = server_.tls;
    const auto set_file = [this](CURLoption path, const std::string& file, CURLoption content,
                                 const TlsFiles::Content& read) {
        if (!read) return set(path, file.c_str());
        curl_blob blob{const_cast<char*>(read->data()), read->size(), CURL_BLOB_COPY};
        set(content, &blob);
    };
    if (!files.authorities.empty()) {
        set_file(CURLOPT_CAINFO, files.authorities, CURLOPT_CAINFO_BLOB, files.authorities_read);
        // Those of the system are not to be trusted then.
        set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
    }
    if (files.certificate.empty()) return;
    set_file(CURLOPT_SSLCERT, files.certificate, CURLOPT_SSLCERT_BLOB, files.certificate_read);
    // Where none is named, libcurl looks for it where the certificate is.
    if (!files.key.empty()) set_file(CURLOPT_SSLKEY, files.key, CURLOPT_SSLKEY_BLOB, files.key_read);
    // Without one, OpenSSL asks the terminal for a key's password.
    set(CURLOPT_KEYPASSWD, "");
}

void Transfer::prepare_limits(const Request& request) {
    // A borrower may wait for hours behind a NAT that forgets connections it sees nothing of.
    set(CURLOPT_TCP_KEEPALIVE, 1L);
    set(CURLOPT_TCP_KEEPIDLE, 30L);
    set(CURLOPT_TCP_KEEPINTVL, 30L);
    set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(request.connect_limit));
    set(CURLOPT_TIMEOUT_MS, milliseconds(request.limit));
    if (request.longest_silence > Duration::zero()) {
        set(CURLOPT_LOW_SPEED_LIMIT, 1L);
        set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(whole_seconds(request.longest_silence)));
    }
    set(CURLOPT_FRESH_CONNECT, request.reuse == Reuse::never || fresh_next_ || look_up_next_ ? 1L : 0L);
    // libcurl would believe for a minute in what a name stood for before a failover.
    if (std::exchange(look_up_next_, false)) set(CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    // After the call was ended or has timed out, a name server that does not answer is not waited for.
    set(CURLOPT_QUICK_EXIT, 1L);
    fresh_next_ = false;
}

void Transfer::prepare_callbacks() {
    set(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    set(CURLOPT_WRITEFUNCTION, on_body);
    set(CURLOPT_WRITEDATA, this);
    set(CURLOPT_HEADERFUNCTION, on_header);
    set(CURLOPT_HEADERDATA, this);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_ERRORBUFFER, error_);
    set(CURLOPT_PRIVATE, this);
}

Exchange Transfer::outcome(CURLcode code, bool has_left) {
    const bool is_complete = code == CURLE_OK && header_.complete;
    if (!is_complete && has_left) return Left{};
    Exchange result = is_complete ? answer_of(has_left) : trouble(code);
    constexpr long failures = 500;
    const auto* answer = std::get_if<HttpAnswer>(&result);
    look_up_next_ = answer != nullptr ? answer->status >= failures : !has_left;
    return result;
}

Exchange Transfer::answer_of(bool has_left) {
    HttpAnswer answer;
    if (proxy_) answer.proxy = proxy_->name;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &answer.status);
    // What web servers say of a request that should have been TLS, or have shown a certificate.
    constexpr long bad_request = 400;
    if (answer.status == bad_request && server_.unix_socket.empty()) {
        if (!server_.is_https()) answer.advice = "write https:// where it speaks TLS";
        if (server_.is_https() && server_.tls.certificate.empty())
            answer.advice =
                "it may ask for a certificate of its clients: " + std::string(server_.tls.pair_options) +
                " name ours";
    }
    curl_off_t retry_after = 0;
    curl_easy_getinfo(easy_, CURLINFO_RETRY_AFTER, &retry_after);
    if (retry_after > 0) answer.retry_after = from_seconds(static_cast<double>(retry_after));
    answer.body = std::move(body_);
    if (has_left && answer.status != 200) return Left{};
    return answer;
}

Exchange Transfer::trouble(CURLcode code) const {
    // Of a proxy, too, that does not know its backend yet and shows a certificate of its own.
    if (const auto why = disagreement(code, error_, server_.tls)) return Rejected{*why, true, true, false};
    switch (code) {
        case CURLE_OK:
            return Unreachable{reason(CURLE_PARTIAL_FILE)};
        case CURLE_WRITE_ERROR:
            return Rejected{"gave an answer that no semad gives: it is too long", true};
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_WEIRD_SERVER_REPLY:
            return Rejected{"does not speak HTTP" + (proxy_ ? ", through " + proxy_->name : ""), true};
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
bool Transfer::may_be_done() const {
    long sent = 0;
    return curl_easy_getinfo(easy_, CURLINFO_REQUEST_SIZE, &sent) != CURLE_OK || sent > 0;
}

int Transfer::system_error() const {
    long number = 0;
    curl_easy_getinfo(easy_, CURLINFO_OS_ERRNO, &number);
    return static_cast<int>(number);
}

std::string Transfer::advice(CURLcode code) const {
    // How a server may answer a request that should have been TLS.
    if (code == CURLE_GOT_NOTHING && !server_.is_https() && server_.unix_socket.empty())
        return "write https:// where it speaks TLS";
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

std::string Transfer::reason(CURLcode code) const {
    if (!proxy_) return own_reason(code);
    // libcurl's own words may have its password.
    if (code == CURLE_COULDNT_RESOLVE_PROXY) return "cannot find " + proxy_->name;
    long status = 0;
    curl_easy_getinfo(easy_, CURLINFO_HTTP_CONNECTCODE, &status);
    return (status >= 300 ? "status " + std::to_string(status) : own_reason(code)) + ", through " +
           proxy_->name;
}

std::string Transfer::own_reason(CURLcode code) const {
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
            return describe_trouble(code, error_, server_.tls);
    }
}

bool Transfer::receive(std::string_view bytes) {
    heard_ = BootClock::now();
    if (events_ && header_.is_event_stream) return events_->feed(bytes);
    long status = 0;
    if (sink_ && curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status == 200)
        return sink_(bytes);
    if (body_.size() + bytes.size() > longest_answer_) return false;
    body_.append(bytes);
    return true;
}

void Transfer::receive_header(std::string_view line) {
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

std::size_t Transfer::on_body(char* data, std::size_t, std::size_t size, void* self) {
    return static_cast<Transfer*>(self)->receive({data, size}) ? size : 0;
}

std::size_t Transfer::on_header(char* data, std::size_t, std::size_t size, void* self) {
    static_cast<Transfer*>(self)->receive_header({data, size});
    return size;
}

}  // namespace sema
