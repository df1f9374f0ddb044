#include "cli/run/environment.hpp"

#include <algorithm>
#include <string_view>

namespace sema {

std::vector<std::pair<std::string, std::string>> lease_variables(const wire::LeaseGrant& lease) {
    return {{"SEMA_POSITION", std::to_string(lease.position)},
            {"SEMA_LEASE", lease.lease.str()},
            {"SEMA_EXPIRES_AT", std::to_string(lease.expires_at_unix)}};
}

std::vector<std::string> environment_with(const wire::LeaseGrant& lease, const char* const* inherited) {
    const auto variables = lease_variables(lease);
    std::vector<std::string> environment;
    for (; inherited != nullptr && *inherited != nullptr; ++inherited) {
        const std::string_view entry(*inherited);
        const std::string_view name = entry.substr(0, entry.find('='));
        const bool ours = std::any_of(variables.begin(), variables.end(),
                                      [&](const auto& variable) { return variable.first == name; });
        if (!ours) environment.emplace_back(entry);
    }
    for (const auto& [name, value] : variables)
        environment.push_back(std::string(name).append("=").append(value));
    return environment;
}

}  // namespace sema
