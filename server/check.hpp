#pragma once

#include "server/options.hpp"

#include <string>
#include <vector>

namespace sema {

/// What `semad check` found: a line for each thing.
struct CheckReport {
    std::vector<std::string> right;
    std::vector<std::string> doubtful;
    std::vector<std::string> wrong;
};

/// Looks at all that a start, or a reload, with these options would read. Nothing is changed, and a semad
/// that runs with them is not disturbed.
CheckReport check(const CheckOptions& options);

}  // namespace sema
