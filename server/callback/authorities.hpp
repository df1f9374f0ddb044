#pragma once

#include "common/error.hpp"

#include <string>

namespace sema::callback {

/// Whether the file has certificates, in PEM; an empty path names none, and is right. The error begins with
/// `lead`.
Expected<void> check_authorities(const std::string& path, const std::string& lead);

}  // namespace sema::callback
