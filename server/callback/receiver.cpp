#include "server/callback/receiver.hpp"

#include "common/numbers.hpp"

#include <algorithm>
#include <optional>

namespace sema::callback {
namespace {

// Empty where it is not there.
std::string part(CURLU* url, CURLUPart what, unsigned flags = 0) {
    char* text = nullptr;
    if (curl_url_get(url, what, &text, flags) != CURLUE_OK) return "";
    const std::unique_ptr<char, void (*)(void*)> owned(text, curl_free);
    return text;
}

bool is_printable_ascii(const std::string& text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace

Expected<Receiver> parse_receiver(const std::string& url) {
    if (url.empty() || !is_printable_ascii(url))
        return failure("callback.url must have no spaces and ASCII alone: encode what is none");
    Receiver receiver{.url = std::unique_ptr<CURLU, FreeUrl>(curl_url())};
    if (!receiver.url || curl_url_set(receiver.url.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK)
        return failure("callback.url must be a URL such as https://ci.example.com/start");
    CURLU* const parsed = receiver.url.get();
    const std::string scheme = part(parsed, CURLUPART_SCHEME);
    if (scheme != "https" && scheme != "http")
        return failure("callback.url must begin with https:// or http://");
    // libcurl is content with fewer slashes, or more.
    const std::size_t begin = scheme.size() + 3;
    const auto authority = url.substr(0, url.find_first_of("/?#", begin));
    if (url.compare(scheme.size(), 3, "://") != 0 || authority.size() <= begin)
        return failure("callback.url must be a URL such as https://ci.example.com/start");
    if (authority.find('@') != authority.npos)
        return failure("callback.url must name no user: put credentials into callback.headers");
    receiver.host = part(parsed, CURLUPART_HOST);
    if (receiver.host.size() > 2 && receiver.host.front() == '[')
        receiver.host = receiver.host.substr(1, receiver.host.size() - 2);
    // The name with its root at the end is the same name.
    if (receiver.host.size() > 1 && receiver.host.back() == '.') receiver.host.pop_back();
    std::transform(receiver.host.begin(), receiver.host.end(), receiver.host.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    if (receiver.host.empty() || !part(parsed, CURLUPART_ZONEID).empty())
        return failure("callback.url must name a host");
    const auto port = parse_number(part(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT), {1, 65535});
    if (!port) return failure("callback.url has a port that is none: use 1 to 65535");
    receiver.port = static_cast<std::uint16_t>(*port);
    const bool has_colon = receiver.host.find(':') != receiver.host.npos;
    receiver.origin = scheme + "://" + (has_colon ? "[" + receiver.host + "]" : receiver.host);
    if (receiver.port != (scheme == "https" ? 443 : 80))
        receiver.origin += ":" + std::to_string(receiver.port);
    return receiver;
}

}  // namespace sema::callback
