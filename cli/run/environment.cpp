#include "cli/run/environment.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace sema {
namespace {

// All that a lease's variables can be called, whether or not this one has them.
constexpr std::array<std::string_view, 6> variable_names = {"SEMA_POSITION", "SEMA_LEASE", "SEMA_EXPIRES_AT",
                                                            "SEMA_FENCE",    "SEMA_SLOT",  "SEMA_POSITIONS"};

std::string with_spaces(const std::vector<unsigned>& positions) {
    std::string text;
    for (const unsigned position : positions)
        text += (text.empty() ? "" : " ") + std::to_string(position);
    return text;
}

std::string without_nul(std::string text) {
    text.erase(std::remove(text.begin(), text.end(), '\0'), text.end());
    return text;
}

bool is_plain(char c) {
    constexpr std::string_view others = "_-./:@%+,=";
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || others.find(c) != others.npos;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> lease_variables(const wire::LeaseGrant& lease) {
    std::vector<std::pair<std::string, std::string>> variables = {
        {"SEMA_POSITION", std::to_string(lease.position)},
        {"SEMA_LEASE", lease.lease.str()},
        {"SEMA_EXPIRES_AT", std::to_string(lease.expires_at_unix)}};
    if (const auto& details = lease.details) {
        variables.emplace_back("SEMA_FENCE", std::to_string(details->fence));
        // Of several slots, the one of SEMA_POSITION.
        const std::string payload = details->slots.empty() ? "" : wire::payload_text(details->slots.front());
        variables.emplace_back("SEMA_SLOT", without_nul(payload));
        variables.emplace_back("SEMA_POSITIONS", with_spaces(details->positions));
    }
    return variables;
}

std::vector<std::string> environment_with(const wire::LeaseGrant& lease, const char* const* inherited) {
    std::vector<std::string> environment;
    for (; inherited != nullptr && *inherited != nullptr; ++inherited) {
        const std::string_view entry(*inherited);
        const std::string_view name = entry.substr(0, entry.find('='));
        if (std::find(variable_names.begin(), variable_names.end(), name) == variable_names.end())
            environment.emplace_back(entry);
    }
    for (const auto& [name, value] : lease_variables(lease))
        environment.push_back(std::string(name).append("=").append(value));
    return environment;
}

std::string shell_word(std::string_view text) {
    if (!text.empty() && std::all_of(text.begin(), text.end(), is_plain)) return std::string(text);
    // Between single quotes a shell reads nothing but the next one.
    std::string word = "'";
    for (const char c : text) {
        if (c == '\'')
            word += "'\\''";
        else
            word += c;
    }
    return word + "'";
}

}  // namespace sema
