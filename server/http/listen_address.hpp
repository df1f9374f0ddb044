#pragma once

#include "common/error.hpp"

#include <string>
#include <string_view>
#include <variant>

namespace sema::http {

struct TcpAddress {
    std::string host;
    std::string port;
};
struct UnixAddress {
    std::string path;
};
/// Where to listen, as written after `--listen`.
using ListenAddress = std::variant<TcpAddress, UnixAddress>;

/// Reads `HOST:PORT`, `[IPv6]:PORT` or `unix:/path`. Port 0 stands for any free one.
Expected<ListenAddress> parse_listen_address(std::string_view text);

}  // namespace sema::http
