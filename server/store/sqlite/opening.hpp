#pragma once

#include "common/error.hpp"
#include "server/store/sqlite/format.hpp"
#include "server/store/sqlite/handle.hpp"
#include "server/store/sqlite/sqlite_store.hpp"

#include <filesystem>
#include <optional>

/// Opening a database of ours. Failure and std::system_error say why one cannot be opened; an Error, what
/// about it is not as it should be.
namespace sema::sqlite {

/// Takes its lock, makes it where there is none, and brings it up to date.
Expected<Database> open_database(const std::filesystem::path& path, MissingFolder missing);

/// Why none can be made at `path`, where there is no file.
std::optional<Error> objection_to_folder(const std::filesystem::path& path, MissingFolder missing);

/// Takes the lock of one that is there, and leaves it as it is. Only a copy may be write-protected.
Expected<Database> open_unchanged(const std::filesystem::path& path);

/// What would become of it, in memory. All of it is checked for damage.
Expected<Database> outlook_of(const Database& database);

}  // namespace sema::sqlite
