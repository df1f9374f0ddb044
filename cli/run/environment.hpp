#pragma once

#include "common/wire.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sema {

/// What a holder is told of its lease, as names and values of environment variables. The payload among them
/// is any text, but for NUL characters, which no variable can hold: they are left out.
std::vector<std::pair<std::string, std::string>> lease_variables(const wire::LeaseGrant& lease);

/// `inherited` (entries of the form NAME=VALUE) with the lease's variables in it. What an outer `semactl
/// run` exported under the same names is gone.
std::vector<std::string> environment_with(const wire::LeaseGrant& lease, const char* const* inherited);

/// The text as one word of a Bourne shell, whatever is in it.
std::string shell_word(std::string_view text);

}  // namespace sema
