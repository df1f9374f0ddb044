#include "cli/admin_token.hpp"

#include "cli/secret_ref.hpp"
#include "common/bearer_token.hpp"
#include "common/given_text.hpp"

#include <utility>

namespace sema {
namespace {

Expected<AdminToken> checked(std::string token, std::string source) {
    if (!is_bearer_token(token)) return failure("what " + source + " holds is not an admin token");
    return AdminToken{std::move(token), std::move(source)};
}

// `place` is where the text was found.
Expected<AdminToken> fetched(const std::string& text, const std::string& place) {
    const auto token = fetch_secret(text);
    if (!token) return failure(place + ": " + token.error().message);
    return checked(*token, text);
}

}  // namespace

Expected<AdminToken> resolve_admin_token(const std::string& option, const Config& config) {
    const std::string flag = "--admin-token";
    if (!option.empty()) {
        if (is_secret_ref(option)) return fetched(option, flag);
        return failure(flag +
                       " takes env:NAME or file:PATH: a token on a command line can be read by every user "
                       "of the machine");
    }
    const std::string variable = "SEMACTL_ADMIN_TOKEN";
    if (const auto value = environment_value(variable)) {
        if (value->empty()) return failure("the variable " + variable + " is empty");
        return is_secret_ref(*value) ? fetched(*value, variable)
                                     : checked(*value, "the variable " + variable);
    }
    if (config.admin_token) {
        const std::string place = "admin_token of " + config.path.string();
        return is_secret_ref(*config.admin_token) ? fetched(*config.admin_token, place)
                                                  : checked(*config.admin_token, place);
    }
    return failure("there is no admin token: give " + flag + " env:NAME or file:PATH, set " + variable +
                   ", or write admin_token = \"file:PATH\" into " +
                   (config.path.empty() ? "the configuration file" : config.path.string()));
}

}  // namespace sema
