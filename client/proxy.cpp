#include "client/proxy.hpp"

#include <arpa/inet.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <vector>

namespace sema {
namespace {

using Variable = std::function<std::string(const char*)>;

/// An address as bits, of whichever family.
using Bits = std::vector<bool>;

std::optional<Bits> address_bits(std::string text) {
    if (text.size() > 1 && text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
    std::array<unsigned char, 16> bytes{};
    std::size_t size = 0;
    if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) size = 4;
    if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) size = 16;
    if (size == 0) return std::nullopt;
    Bits bits;
    for (std::size_t i = 0; i < size * 8; ++i)
        bits.push_back((bytes[i / 8] >> (7 - i % 8) & 1) != 0);
    return bits;
}

// An address, or as many of its first bits as stand behind a slash.
bool excepts_address(const std::string& entry, const Bits& host) {
    const auto slash = entry.find('/');
    const auto network = address_bits(entry.substr(0, slash));
    if (!network || network->size() != host.size()) return false;
    std::size_t length = host.size();
    if (slash != entry.npos) {
        const char* const end = entry.data() + entry.size();
        const auto [rest, error] = std::from_chars(entry.data() + slash + 1, end, length);
        if (error != std::errc() || rest != end || length > host.size()) return false;
    }
    return std::equal(host.begin(), host.begin() + static_cast<std::ptrdiff_t>(length), network->begin());
}

// A name, or one above it. `host` has no dot at its end.
bool excepts_name(std::string_view entry, std::string_view host) {
    if (entry.ends_with('.')) entry.remove_suffix(1);
    if (entry.starts_with('.')) entry.remove_prefix(1);
    if (entry.empty() || entry.size() > host.size()) return false;
    const std::size_t before = host.size() - entry.size();
    return strncasecmp(host.data() + before, entry.data(), entry.size()) == 0 &&
           (before == 0 || host[before - 1] == '.');
}

bool is_excepted(const std::string& exceptions, std::string_view host) {
    if (exceptions == "*") return true;
    const auto bits = address_bits(std::string(host));
    if (host.ends_with('.')) host.remove_suffix(1);
    constexpr const char* separators = ", \t";
    for (std::size_t begin = 0; begin < exceptions.size();) {
        const std::size_t end = std::min(exceptions.find_first_of(separators, begin), exceptions.size());
        const std::string entry = exceptions.substr(begin, end - begin);
        if (bits ? excepts_address(entry, *bits) : excepts_name(entry, host)) return true;
        begin = end + 1;
    }
    return false;
}

std::string without_password(std::string url) {
    const auto scheme = url.find("://");
    const std::size_t begin = scheme == url.npos ? 0 : scheme + 3;
    const auto at = url.rfind('@');
    return at == url.npos || at < begin ? url : url.erase(begin, at + 1 - begin);
}

}  // namespace

std::optional<Proxy> proxy_for(const ServerAddress& server, const Variable& variable) {
    if (server.local) return std::nullopt;
    // The first of these variables in which something stands; empty where none is left.
    const auto find = [&](std::vector<const char*> names) {
        const auto found = std::find_if(names.begin(), names.end(),
                                        [&](const char* name) { return !variable(name).empty(); });
        return found == names.end() ? "" : *found;
    };
    // HTTP_PROXY is not among them: the client of a CGI program can set that one.
    const std::string name = server.base_url.starts_with("https:")
                                 ? find({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"})
                                 : find({"http_proxy", "all_proxy", "ALL_PROXY"});
    if (name.empty()) return std::nullopt;
    const std::string exceptions = find({"no_proxy", "NO_PROXY"});
    if (!exceptions.empty() && is_excepted(variable(exceptions.c_str()), server.host)) return std::nullopt;
    const std::string url = variable(name.c_str());
    return Proxy{url, "the proxy " + without_password(url) + " of " + name};
}

}  // namespace sema
