#pragma once

#include "server/store/sqlite/handle.hpp"
#include "server/store/store.hpp"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace sema::sqlite {

/// The store that an open database is. REQUIRES: it has the newest schema, and this handle has its lock.
std::unique_ptr<Store> store_over(Database database, std::filesystem::path path);

constexpr const char* select_seed_sql = "SELECT seed FROM pool_seed";

/// What that query gives.
std::optional<std::string> seed_in(Statement& select);

}  // namespace sema::sqlite
