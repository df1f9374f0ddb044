#include "server/http/listen_address.hpp"

#include <grp.h>

#include <charconv>
#include <cstdint>

namespace sema::http {
namespace {

// The whole text as a number; nothing where it is none, or too large.
template <class Number>
std::optional<Number> whole_number(std::string_view text, int base = 10) {
    Number number = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, status] = std::from_chars(text.data(), end, number, base);
    if (status != std::errc() || rest != end) return std::nullopt;
    return number;
}

}  // namespace

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
    if (!whole_number<std::uint16_t>(port)) return refuse();
    return TcpAddress{std::string(host), std::string(port)};
}

Expected<mode_t> parse_socket_mode(std::string_view text) {
    const auto mode = whole_number<mode_t>(text, 8);
    if (!mode || *mode > 0777)
        return failure("'" + std::string(text) + "' is not the mode of a file: write it as 0660");
    return *mode;
}

Expected<gid_t> find_group(const std::string& text) {
    if (const group* const found = getgrnam(text.c_str())) return found->gr_gid;
    if (const auto number = whole_number<gid_t>(text)) return *number;
    return failure("there is no group '" + text + "'");
}

}  // namespace sema::http
