#include "server/callback/attempt.hpp"

#include "common/version.hpp"
#include "server/callback/signature.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <new>
#include <utility>

namespace sema::callback {
namespace {

// Of the header: nobody reads what a receiver says beyond its status.
constexpr std::size_t most_bytes = 64 * 1024;

template <class Value>
void set(CURL* handle, CURLoption option, Value value) {
    curl_easy_setopt(handle, option, value);
}

bool is_named(const std::vector<std::pair<std::string, std::string>>& headers, std::string_view name) {
    return std::any_of(headers.begin(), headers.end(), [name](const auto& header) {
        return std::equal(header.first.begin(), header.first.end(), name.begin(), name.end(),
                          [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
    });
}

}  // namespace

Attempt::Attempt(std::shared_ptr<const RequestOptions> options, const wire::Callback& callback,
                 Receiver receiver, const std::vector<std::string>& keys, Message message,
                 std::chrono::milliseconds time_limit)
    : options_(std::move(options)),
      receiver_(std::move(receiver)),
      message_(std::move(message)),
      time_limit_(time_limit),
      handle_(curl_easy_init()) {
    if (!handle_) throw std::bad_alloc();
    if (!is_named(callback.headers, "content-type")) add_header("Content-Type", "application/json");
    if (!is_named(callback.headers, "user-agent")) add_header("User-Agent", std::string("semad/") + version);
    // Some answer the question whether they want the body, and then none at all.
    add_header("Expect", "");
    add_header("webhook-id", message_.id);
    add_header("webhook-timestamp", std::to_string(message_.timestamp));
    if (!keys.empty())
        add_header("webhook-signature", sign(keys, message_.id, message_.timestamp, message_.body));
    for (const auto& [name, value] : callback.headers)
        add_header(name, value);

    CURL* const it = handle_.get();
    set(it, CURLOPT_CURLU, receiver_.url.get());
    set(it, CURLOPT_PROTOCOLS_STR, "http,https");
    set(it, CURLOPT_POSTFIELDS, message_.body.c_str());
    set(it, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(message_.body.size()));
    set(it, CURLOPT_HTTPHEADER, headers_.get());
    set(it, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(it, CURLOPT_FOLLOWLOCATION, 0L);
    // The environment has its say by default.
    set(it, CURLOPT_PROXY, "");
    set(it, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    set(it, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!options_->authorities.empty()) {
        set(it, CURLOPT_CAINFO, options_->authorities.c_str());
        set(it, CURLOPT_CAPATH, nullptr);
    }
    set(it, CURLOPT_ERRORBUFFER, trouble_.data());
    set(it, CURLOPT_NOSIGNAL, 1L);
    set(it, CURLOPT_TIMEOUT_MS, static_cast<long>(time_limit_.count()));
    set(it, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    // A connection that is kept would be used without a look at its address, and holds a descriptor.
    set(it, CURLOPT_FRESH_CONNECT, 1L);
    set(it, CURLOPT_FORBID_REUSE, 1L);
    // Nobody waits for a thread that looks up a name after the time for that is over.
    set(it, CURLOPT_QUICK_EXIT, 1L);
    set(it, CURLOPT_OPENSOCKETFUNCTION, &Attempt::open_socket);
    set(it, CURLOPT_OPENSOCKETDATA, static_cast<void*>(this));
    set(it, CURLOPT_WRITEFUNCTION, &Attempt::refuse_body);
    set(it, CURLOPT_HEADERFUNCTION, &Attempt::take_header);
    set(it, CURLOPT_HEADERDATA, static_cast<void*>(this));
}

/// An empty value takes away what libcurl would send.
void Attempt::add_header(const std::string& name, const std::string& value) {
    const std::string line = value.empty() ? name + (name == "Expect" ? ":" : ";") : name + ": " + value;
    curl_slist* const longer = curl_slist_append(headers_.get(), line.c_str());
    if (!longer) throw std::bad_alloc();
    (void)headers_.release();
    headers_.reset(longer);
}

/// The name was looked up; this is the address that is about to be connected to.
curl_socket_t Attempt::open_socket(void* attempt, curlsocktype, curl_sockaddr* address) {
    auto& self = *static_cast<Attempt*>(attempt);
    const auto found = address_of(address->addr);
    if (!found || !self.options_->allowed.allows(self.receiver_.host, self.receiver_.port, *found)) {
        self.is_refused_ = true;
        return CURL_SOCKET_BAD;
    }
    self.is_allowed_ = true;
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/// Taken line by line. Once the header is complete the transfer is broken off: the body may have no end.
std::size_t Attempt::take_header(char* bytes, std::size_t size, std::size_t count, void* attempt) {
    auto& self = *static_cast<Attempt*>(attempt);
    const std::string_view line(bytes, size * count);
    self.received_ += line.size();
    if (self.received_ > most_bytes) return 0;
    if (line != "\r\n" && line != "\n") return line.size();
    long status = 0;
    curl_easy_getinfo(self.handle_.get(), CURLINFO_RESPONSE_CODE, &status);
    // 100 and the like come before the answer; 101 would be followed by something else.
    self.is_answered_ = status >= 200;
    return self.is_answered_ || status == 101 ? 0 : line.size();
}

Attempt::Result Attempt::result(CURLcode code) const {
    long status = 0;
    curl_easy_getinfo(handle_.get(), CURLINFO_RESPONSE_CODE, &status);
    // A failure is none the less one when its header has no end.
    if (!is_answered_ && status < 300) return {.error = trouble(code, status)};
    Result result{.status = status};
    if (result.is_success()) return result;
    curl_off_t retry_after = 0;
    curl_easy_getinfo(handle_.get(), CURLINFO_RETRY_AFTER, &retry_after);
    if (retry_after > 0) result.retry_after = std::chrono::seconds(retry_after);
    result.error = "it answered " + std::to_string(status);
    if (status < 400) result.error += " (redirects are not followed)";
    return result;
}

/// Why there was no answer.
std::string Attempt::trouble(CURLcode code, long status) const {
    if (is_refused_ && !is_allowed_)
        return "its address is a private one, and --callback-allow names the host alone: the address has "
               "to be named too";
    if (received_ > most_bytes) return "the header of its answer was too long";
    if (code == CURLE_OPERATION_TIMEDOUT)
        return "there was no answer within " +
               std::to_string((time_limit_ + std::chrono::milliseconds(999)) / std::chrono::seconds(1)) +
               " seconds";
    // The first is for an answer without a header, as HTTP/0.9 had it.
    if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY) return "it answered no HTTP";
    if (status == 101) return "it answered 101 (other protocols are not spoken)";
    if (status != 0) return "its answer ended within the header";
    std::string text = trouble_[0] != 0 ? trouble_.data() : curl_easy_strerror(code);
    // A certificate may have had its say.
    std::erase_if(text, [](char c) { return c < ' ' || c > '~'; });
    return text;
}

}  // namespace sema::callback
