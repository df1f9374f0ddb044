#pragma once

#include "common/holder.hpp"

#include <functional>
#include <string>

namespace sema {

/// Who runs `command`, for people who look at the pool: `user@host:pid command`, and before it, where a CI
/// system runs it, the job's name, with a link to the job. Of the command only its file's name: arguments may
/// be secrets. `variable` gives an environment variable, or an empty text.
Holder identity(const std::string& command, const std::function<std::string(const char*)>& variable);

}  // namespace sema
