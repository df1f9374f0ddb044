#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace sema::test {

/// The server's program of "redis" or "valkey" on this machine, or nothing. The packages' tools for checking
/// a file are the same program under another name, so they will do.
std::optional<std::filesystem::path> find_engine(const std::string& engine);

/// The folder of the newest PostgreSQL's server programs on this machine, or nothing.
std::optional<std::filesystem::path> find_postgresql();

/// Both that are here, for tests that go over them.
std::vector<std::string> engines();

}  // namespace sema::test
