#pragma once

#include "common/holder.hpp"

#include <functional>
#include <optional>
#include <string>

namespace sema {

/// The borrower that runs `command`, for people who look at the pool: `user@host:pid command`, and before it,
/// where a CI system runs it, the job's name, with a link to the job. Of the command only its file's name:
/// arguments may be secrets. Without a command, as for a person who borrows by hand, `user@host` alone.
/// `variable` gives an environment variable, or an empty text.
Holder identity(const std::optional<std::string>& command,
                const std::function<std::string(const char*)>& variable);

}  // namespace sema
