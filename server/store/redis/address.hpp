#pragma once

#include "common/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sema {

struct HostPort {
    /// A name, or an address without brackets.
    std::string host;
    std::uint16_t port = 0;

    bool operator==(const HostPort&) const = default;
};

/// Brackets around an IPv6 address.
std::string describe(const HostPort& place);

/// Where a Redis is, and as which user to log in.
struct RedisAddress {
    enum class Way {
        tcp,
        tls,
        unix_socket,
        /// `hosts` are Sentinels, which know which Redis is `master`.
        sentinel,
    };

    Way way = Way::tcp;
    /// One, but for Sentinels; none for a Unix socket.
    std::vector<HostPort> hosts;
    /// Of the Unix socket.
    std::string path;
    /// What the Sentinels call it.
    std::string master;
    /// Empty: the server's default user.
    std::string user;
    /// Empty: none.
    std::string password;
    unsigned database = 0;
    /// The CAs to trust for TLS; empty: those that the system trusts.
    std::string ca_file;
};

/// Reads one of
///
///     redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]
///     rediss://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE][?ca=FILE]
///     redis+unix://[USER[:PASSWORD]@]/PATH[?db=DATABASE]
///     redis+sentinel://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]...]/MASTER[/DATABASE]
///
/// User, password, path and master are percent-decoded, and any of user and password may be empty. The
/// error is one line that says what to write instead; it never quotes what may be the password.
Expected<RedisAddress> parse_redis_address(std::string_view url);

/// Whether it is meant for parse_redis_address(), mistakes in it aside.
bool is_redis_url(std::string_view text);

/// As it is parsed, but for user, password and CA file: for logs.
std::string describe(const RedisAddress& address);

}  // namespace sema
