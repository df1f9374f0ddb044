#pragma once

#include "cli/config.hpp"

#include <string>

namespace sema {

/// The secret that makes its bearer the server's administrator.
struct AdminToken {
    std::string token;
    /// Where it was found, as messages call it.
    std::string source;
};

/// The token that `--admin-token` says, which must be `env:NAME` or `file:PATH`; else the one of
/// $SEMACTL_ADMIN_TOKEN, else the configuration file's, both of which may also be the token itself. Error
/// texts hold no part of a token. `option` is empty where it was not given.
Expected<AdminToken> resolve_admin_token(const std::string& option, const Config& config);

}  // namespace sema
