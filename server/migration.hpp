#pragma once

#include "server/options.hpp"

#include <string>

namespace sema {

/// `semad migrate`. Returns the line to print.
Expected<std::string> run_migration(const MigrateOptions& options);

}  // namespace sema
