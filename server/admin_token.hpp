#pragma once

#include "common/error.hpp"

#include <string>

namespace sema {

/// The secret that makes its sender the administrator.
struct AdminToken {
    /// Empty where there is no administrator.
    std::string token;
    /// More users than need to can read the file that it came from: everybody, or its group where the
    /// file is this process's own.
    bool exposed = false;
};

/// The token in the file at `path`, as read_secret() reads it; none where the path is empty. The error is one
/// line that begins with `lead` and does not quote the file.
Expected<AdminToken> read_admin_token(const std::string& path, const std::string& lead = "");

/// What to say of a token that is exposed, from the file at `path`.
std::string exposure_of_token(const std::string& path);

}  // namespace sema
