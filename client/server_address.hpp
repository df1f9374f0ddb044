#pragma once

#include "common/error.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sema {

inline constexpr const char* default_server = "http://127.0.0.1:7717";

/// Files that a connection with TLS needs; an empty path where there is none.
struct TlsFiles {
    /// The authorities to trust, in PEM, in place of the system's.
    std::string authorities;
    /// What semactl shows of itself, and its key, which may stand in the same file.
    std::string certificate;
    std::string key;
    /// What names the authorities, and the other two, in a message that one is missing.
    const char* authorities_option = "--cacert FILE";
    const char* pair_options = "--cert and --key";

    /// What they held, see read_tls_files(); none for a file that has yet to be opened for each connection.
    using Content = std::shared_ptr<const std::string>;
    Content authorities_read{};
    Content certificate_read{};
    Content key_read{};
};

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
    TlsFiles tls{};

    bool is_https() const { return base_url.starts_with("https:"); }
};

/// Reads the files of the servers that need them, each once: from then on no connection opens one, which may
/// take for ever, and may find another one there, or the end of a pipe. One that cannot be read stays as it
/// is.
void read_tls_files(std::vector<ServerAddress>& servers);

/// A hint where the address is unlikely to be the one that was meant; empty where it names its port.
std::string port_advice(const ServerAddress& server);

/// Reads `http://HOST[:PORT][/PATH]`, the same with https, or `unix:/PATH`. What has no scheme is an http
/// one.
Expected<ServerAddress> parse_server_address(std::string_view text);

/// Reads several of them, with commas between.
Expected<std::vector<ServerAddress>> parse_server_addresses(std::string_view text);

}  // namespace sema
