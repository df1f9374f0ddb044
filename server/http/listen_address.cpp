#include "server/http/listen_address.hpp"

#include <charconv>
#include <cstdint>

namespace sema::http {

Expected<ListenAddress> parse_listen_address(std::string_view text) {
    const auto refuse = [&] {
        return failure("cannot listen on '" + std::string(text) +
                       "': write HOST:PORT, [IPV6]:PORT or unix:/PATH");
    };
    constexpr std::string_view unix_prefix = "unix:";
    if (text.substr(0, unix_prefix.size()) == unix_prefix) {
        text.remove_prefix(unix_prefix.size());
        if (text.empty()) return refuse();
        return UnixAddress{std::string(text)};
    }
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return refuse();
    std::string_view host = text.substr(0, colon);
    const std::string_view port = text.substr(colon + 1);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
    } else if (host.empty() || host.find_first_of(":[]") != std::string_view::npos) {
        return refuse();
    }
    std::uint16_t number = 0;
    const auto [rest, status] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (status != std::errc() || rest != port.data() + port.size()) return refuse();
    return TcpAddress{std::string(host), std::string(port)};
}

}  // namespace sema::http
