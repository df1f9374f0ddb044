#pragma once

#include "cli/admin_token.hpp"
#include "cli/arguments.hpp"
#include "cli/session.hpp"

#include <optional>
#include <string>

// What the calls of the server's administrator have in common.
namespace sema {

void add_admin_token(CLI::App& command, std::optional<std::string>& target);

/// The token that the option or its substitutes say. Nothing where there is none, or where it is wrong, which
/// is said then: that `attempt` ("list the pools") cannot be done.
std::optional<AdminToken> admin_token(Session& session, const std::optional<std::string>& option,
                                      const std::string& attempt);

/// Says why `attempt` was not done, and returns the exit status for it. `does_not` is what the server does
/// for nobody where it has no administrator ("lists its pools").
int explain(Session& session, NotAdmin why, const AdminToken& token, const std::string& attempt,
            const std::string& does_not);

}  // namespace sema
