#pragma once

#include "client/server_address.hpp"

#include <functional>
#include <optional>
#include <string>

namespace sema {

/// What stands between semactl and a server.
struct Proxy {
    /// As the variable has it.
    std::string url;
    /// For messages: "the proxy http://proxy:3128 of http_proxy". Holds no password.
    std::string name;
};

/// The proxy that the environment names for this server, by the rules of curl(1): http_proxy, https_proxy,
/// HTTPS_PROXY, all_proxy, ALL_PROXY, and no_proxy or NO_PROXY for what is reached without. Nothing for a
/// server on this machine, which none could reach for us. `variable` gives an environment variable, or an
/// empty text.
std::optional<Proxy> proxy_for(const ServerAddress& server,
                               const std::function<std::string(const char*)>& variable);

}  // namespace sema
