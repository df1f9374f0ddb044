#pragma once

#include "common/error.hpp"

#include <string>
#include <string_view>

namespace sema {

inline constexpr const char* default_server = "http://127.0.0.1:7717";

/// Where a server is reached.
struct ServerAddress {
    /// What goes before `/l/...`: a URL without a slash at its end.
    std::string base_url;
    /// The path of the socket to speak through instead of TCP; empty where there is none.
    std::string unix_socket;
    /// The address for messages. Holds no password, even where the URL does.
    std::string name;
    /// Of the URL: a name in lower case, or an address, without brackets.
    std::string host;
    /// The port is written in the URL: else it is the scheme's, which is hardly ever a semad's.
    bool names_port = true;
    /// The server is on this machine, so that no proxy may stand between.
    bool local = false;
};

/// A hint where the address is unlikely to be the one that was meant; empty where it names its port.
std::string port_advice(const ServerAddress& server);

/// Reads `http://HOST[:PORT][/PATH]`, the same with https, or `unix:/PATH`. What has no scheme is an http
/// one.
Expected<ServerAddress> parse_server_address(std::string_view text);

}  // namespace sema
