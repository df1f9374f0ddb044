#pragma once

#include "common/error.hpp"

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace sema::http {

struct TcpAddress {
    std::string host;
    std::string port;
    /// Where it is chosen, for errors: an option, a variable, or a key of the configuration file.
    std::string setting = "--listen";
};
struct UnixAddress {
    std::string path;
    /// As of a TcpAddress.
    std::string setting = "--listen";
};
/// Where to listen, as written after `--listen`.
using ListenAddress = std::variant<TcpAddress, UnixAddress>;

/// Which users may connect to a Unix socket: those who may write to its file.
struct SocketAccess {
    /// As chmod(2) takes it. Nothing: what the umask leaves.
    std::optional<mode_t> mode;
    /// Nothing: the group that the process's files have.
    std::optional<gid_t> group;
};

/// Reads `HOST:PORT`, `[IPv6]:PORT` or `unix:/path`. Port 0 stands for any free one.
Expected<ListenAddress> parse_listen_address(std::string_view text);

/// Reads a file's mode in octal digits: `660`, `0660`.
Expected<mode_t> parse_socket_mode(std::string_view text);

/// The group of that name, or of that number.
Expected<gid_t> find_group(const std::string& text);

}  // namespace sema::http
