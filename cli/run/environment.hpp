#pragma once

#include "common/wire.hpp"

#include <string>
#include <utility>
#include <vector>

namespace sema {

/// What a holder is told of its lease, as names and values of environment variables.
std::vector<std::pair<std::string, std::string>> lease_variables(const wire::LeaseGrant& lease);

/// `inherited` (entries of the form NAME=VALUE) with the lease's variables in it. What an outer `semactl
/// run` exported under the same names is gone.
std::vector<std::string> environment_with(const wire::LeaseGrant& lease, const char* const* inherited);

}  // namespace sema
