#include "server/callback/allow_list.hpp"

#include "common/numbers.hpp"

#include <algorithm>
#include <string_view>

namespace sema::callback {
namespace {

bool is_label(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
}

bool is_number(std::string_view label) {
    const bool is_hex = label.starts_with("0x");
    if (is_hex) label.remove_prefix(2);
    return label.find_first_not_of(is_hex ? "0123456789abcdef" : "0123456789") == label.npos;
}

/// No name is of numbers alone: as 127.1 or 0x7f.0.0.1, a URL's host is an IPv4 address then.
bool is_name(std::string_view text) {
    bool has_word = false;
    while (true) {
        const auto dot = text.find('.');
        const auto label = text.substr(0, dot);
        if (!is_label(label)) return false;
        has_word = has_word || !is_number(label);
        if (dot == text.npos) return has_word;
        text.remove_prefix(dot + 1);
    }
}

bool matches_port(const Pattern& pattern, std::uint16_t port) {
    return !pattern.port || *pattern.port == port;
}

bool matches_name(const std::string& pattern, const std::string& host) {
    if (pattern == "*") return true;
    if (!pattern.starts_with("*.")) return pattern == host;
    return host.size() > pattern.size() - 1 && host.ends_with(pattern.substr(1));
}

}  // namespace

bool Pattern::operator==(const Pattern& other) const {
    const bool same_network =
        network.has_value() == other.network.has_value() &&
        (!network || (network->base == other.network->base && network->length == other.network->length));
    return host == other.host && same_network && port == other.port;
}

Expected<Pattern> parse_pattern(const std::string& text) {
    const auto wrong = [&] {
        return failure("'" + text +
                       "' names no receivers: write a host such as ci.example.com, *.ci.example.com or *, an "
                       "address, a network such as 10.0.0.0/8, each perhaps with :PORT");
    };
    Pattern pattern;
    std::string host = text;
    // An IPv6 address has colons of its own, unless it is in brackets.
    const auto bracket = host.rfind(']');
    const auto colon = host.rfind(':');
    const bool is_bare_v6 = bracket == host.npos && host.find(':') != colon;
    if (colon != host.npos && !is_bare_v6 && (bracket == host.npos || colon > bracket)) {
        const auto port = parse_number(host.substr(colon + 1), {1, 65535});
        if (!port) return wrong();
        pattern.port = static_cast<std::uint16_t>(*port);
        host.resize(colon);
    }
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    pattern.network = parse_network(host);
    if (pattern.network) return pattern;
    if (host.size() > 1 && host.back() == '.' && host != "*.") host.pop_back();
    std::transform(host.begin(), host.end(), host.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    const std::string name = host.starts_with("*.") ? host.substr(2) : host;
    if (host != "*" && !is_name(name)) return wrong();
    pattern.host = host;
    return pattern;
}

bool AllowList::names_host(const std::string& host, std::uint16_t port) const {
    const auto address = parse_address(host);
    return std::any_of(patterns_.begin(), patterns_.end(), [&](const Pattern& pattern) {
        if (!matches_port(pattern, port)) return false;
        return pattern.network ? address && pattern.network->contains(*address)
                               : matches_name(pattern.host, host) && (!address || pattern.host == "*");
    });
}

Expected<void> AllowList::check(const Receiver& receiver) const {
    if (patterns_.empty()) return failure("callback is not allowed on this server: use wait");
    if (!names_host(receiver.host, receiver.port))
        return failure(
            "callback.url names a host that this server may not call: whoever runs it can allow it with "
            "--callback-allow");
    const auto address = parse_address(receiver.host);
    if (address && !allows(receiver.host, receiver.port, *address))
        return failure(
            "callback.url names a private address, which this server may not call: whoever runs it can allow "
            "it with --callback-allow");
    return {};
}

bool AllowList::allows(const std::string& host, std::uint16_t port, const Address& address) const {
    if (!names_host(host, port)) return false;
    if (is_public(address)) return true;
    return std::any_of(patterns_.begin(), patterns_.end(), [&](const Pattern& pattern) {
        if (!matches_port(pattern, port)) return false;
        if (pattern.network) return pattern.network->contains(address);
        return pattern.host == "localhost" && host == "localhost" && is_loopback(address);
    });
}

}  // namespace sema::callback
