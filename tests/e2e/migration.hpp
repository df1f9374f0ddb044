#pragma once

#include "tests/support/program.hpp"

#include <string>

namespace sema::test {

/// `semad migrate`.
Finished migrate(const std::string& from, const std::string& to);

/// Checks that a pool and its live leases move from a file to the store at `url`, which is empty, and back,
/// while no server uses either. It stays in `url` too.
void check_migration(const std::string& url);

}  // namespace sema::test
