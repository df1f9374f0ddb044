#include "cli/server_address.hpp"

#include <curl/curl.h>

#include <memory>
#include <new>
#include <optional>

namespace sema {
namespace {

struct UrlCleanup {
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, UrlCleanup>;

std::optional<std::string> part(const Url& url, CURLUPart what) {
    char* text = nullptr;
    if (curl_url_get(url.get(), what, &text, 0) != CURLUE_OK) return std::nullopt;
    std::string copy(text);
    curl_free(text);
    return copy;
}

bool is_loopback(const std::string& host) {
    return host == "localhost" || host == "[::1]" || host.rfind("127.", 0) == 0;
}

}  // namespace

Expected<ServerAddress> parse_server_address(std::string_view text) {
    const auto refuse = [&](const std::string& why) {
        return failure("the server's address " + why +
                       ": write it as http://HOST:PORT, https://HOST or unix:/PATH");
    };
    constexpr std::string_view unix_scheme = "unix:";
    if (text.substr(0, unix_scheme.size()) == unix_scheme) {
        const std::string path(text.substr(unix_scheme.size()));
        if (path.empty() || path.front() != '/') return refuse("names no absolute path after unix:");
        return ServerAddress{"http://localhost", path, std::string(text), true};
    }

    const Url url(curl_url());
    if (!url) throw std::bad_alloc();
    if (curl_url_set(url.get(), CURLUPART_URL, std::string(text).c_str(), 0) != CURLUE_OK)
        return refuse("is not a URL");
    const auto scheme = part(url, CURLUPART_SCHEME);
    if (scheme != "http" && scheme != "https") return refuse("is not an http URL");
    if (part(url, CURLUPART_QUERY) || part(url, CURLUPART_FRAGMENT))
        return refuse("has a query or a fragment");

    const auto without_end_slash = [](std::string address) {
        while (!address.empty() && address.back() == '/')
            address.pop_back();
        return address;
    };
    ServerAddress address;
    address.base_url = without_end_slash(part(url, CURLUPART_URL).value_or(""));
    address.local = is_loopback(part(url, CURLUPART_HOST).value_or(""));
    curl_url_set(url.get(), CURLUPART_USER, nullptr, 0);
    curl_url_set(url.get(), CURLUPART_PASSWORD, nullptr, 0);
    address.name = without_end_slash(part(url, CURLUPART_URL).value_or(""));
    return address;
}

}  // namespace sema
