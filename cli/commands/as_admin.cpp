#include "cli/commands/as_admin.hpp"

#include "cli/exit_status.hpp"

namespace sema {
namespace {

std::string denial(NotAdmin why, const AdminToken& token, const std::string& server,
                   const std::string& does_not) {
    switch (why) {
        case NotAdmin::wrong_token:
            return server + " does not take the admin token of " + token.source +
                   " (it has to be the one in the file that semad was given with --admin-token-file)";
        case NotAdmin::no_token_came:
            return server + " says that no admin token came, though the one of " + token.source +
                   " was sent (does a proxy drop or replace the Authorization header?)";
        case NotAdmin::no_administrator:
            break;
    }
    return server + " " + does_not + " for nobody (start semad with --admin-token-file FILE)";
}

}  // namespace

void add_admin_token(CLI::App& command, std::optional<std::string>& target) {
    add_optional_text(command, "--admin-token", target, "TOKEN",
                      "The server's admin token: env:NAME or file:PATH ($SEMACTL_ADMIN_TOKEN)");
}

std::optional<AdminToken> admin_token(Session& session, const std::optional<std::string>& option,
                                      const std::string& attempt) {
    if (option == "") {
        session.console.error("--admin-token needs env:NAME or file:PATH");
        return std::nullopt;
    }
    auto token = resolve_admin_token(option.value_or(""), session.config);
    if (token) return *std::move(token);
    session.console.error("cannot " + attempt + ": " + token.error().message);
    return std::nullopt;
}

int explain(Session& session, NotAdmin why, const AdminToken& token, const std::string& attempt,
            const std::string& does_not) {
    session.console.error("cannot " + attempt + ": " +
                          denial(why, token, session.client.server().name, does_not));
    return exit_status::failed;
}

}  // namespace sema
