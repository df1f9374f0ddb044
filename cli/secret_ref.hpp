#pragma once

#include "common/error.hpp"

#include <string>
#include <string_view>

namespace sema {

// Secrets are kept off command lines, where every user of the machine can read them: `env:NAME` stands for
// the value of that environment variable, and `file:PATH` for the first line of that file in which something
// stands.

/// Whether the text has one of these forms.
bool is_secret_ref(std::string_view text);

/// What it stands for, trimmed. Errors name what is missing. REQUIRES: is_secret_ref(text).
Expected<std::string> fetch_secret(const std::string& text);

}  // namespace sema
