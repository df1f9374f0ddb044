#include "cli/run/environment.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstdio>

namespace sema {
namespace {

constexpr std::string_view prefix = "SEMA_";

// All that a lease's variables end with, whether or not this one has them.
constexpr std::array<std::string_view, 6> endings = {"POSITION", "LEASE", "EXPIRES_AT",
                                                     "FENCE",    "SLOT",  "POSITIONS"};

// Whether a variable of that name describes a lease: SEMA_POSITION, or SEMA_VSIM_POSITION for the pool VSIM.
bool describes_lease(std::string_view name, std::string_view pool) {
    const auto take = [&name](std::string_view part) {
        if (name.substr(0, part.size()) != part) return false;
        name.remove_prefix(part.size());
        return true;
    };
    if (!take(prefix) || (!pool.empty() && !(take(pool) && take("_")))) return false;
    return std::find(endings.begin(), endings.end(), name) != endings.end();
}

std::string mark_of(const PoolId& pool) {
    // FNV-1a. A quarter of a UUID's bits at most can be learnt from the result.
    std::uint32_t hash = 2166136261;
    for (const char c : pool.str())
        hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
    char text[9];
    std::snprintf(text, sizeof text, "%08x", static_cast<unsigned>(hash));
    return text;
}

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

std::vector<std::pair<std::string, std::string>> pool_variables(const std::string& pool,
                                                                const wire::LeaseGrant& lease) {
    auto variables = lease_variables(lease);
    for (auto& [name, value] : variables)
        name.insert(prefix.size(), pool + "_");
    return variables;
}

std::string variable_part(const std::string& pool_name, std::size_t number) {
    constexpr std::string_view from_environment = "env:";
    std::string part = pool_name;
    if (part.rfind(from_environment, 0) == 0) part.erase(0, from_environment.size());
    const bool is_name = !part.empty() && std::all_of(part.begin(), part.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '_' || c == '-';
    });
    if (!is_name) return "POOL" + std::to_string(number);
    for (char& c : part)
        c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return part;
}

std::vector<std::string> environment_with(const std::vector<std::pair<std::string, std::string>>& variables,
                                          const std::vector<std::string>& own, const char* const* inherited) {
    const auto is_replaced = [&](std::string_view name) {
        return describes_lease(name, "") || name == dispatch_pool_variable ||
               std::any_of(own.begin(), own.end(),
                           [&](const std::string& pool) { return describes_lease(name, pool); }) ||
               std::any_of(variables.begin(), variables.end(),
                           [&](const auto& variable) { return variable.first == name; });
    };
    std::vector<std::string> environment;
    for (; inherited != nullptr && *inherited != nullptr; ++inherited) {
        const std::string_view entry(*inherited);
        if (!is_replaced(entry.substr(0, entry.find('=')))) environment.emplace_back(entry);
    }
    for (const auto& [name, value] : variables)
        environment.push_back(std::string(name).append("=").append(value));
    return environment;
}

std::string held_with(std::string held, const PoolId& pool) {
    if (is_held(held, pool)) return held;
    if (!held.empty()) held += " ";
    return held + mark_of(pool);
}

bool is_held(std::string_view held, const PoolId& pool) {
    return (" " + std::string(held) + " ").find(" " + mark_of(pool) + " ") != std::string::npos;
}

int count_held(std::string_view held) {
    int count = 0;
    bool is_inside = false;
    for (const char c : held) {
        if (c != ' ' && !is_inside) ++count;
        is_inside = c != ' ';
    }
    return count;
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
