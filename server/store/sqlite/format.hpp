#pragma once

#include "common/error.hpp"
#include "server/store/sqlite/handle.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

/// What a database of ours is known by, and what is said of one that cannot be used.
namespace sema::sqlite {

constexpr const char* no_database = "it is not an SQLite database: name another file";

constexpr std::int64_t oldest_format = 1;

struct Format {
    /// As schema.sql counts them; 0 where the database is empty.
    std::int64_t number = 0;
    /// Nobody has used it since it was copied from a store: see restore.sql.
    bool is_copy = false;
};

/// The format of the store in the database, or why it is not for us.
Expected<Format> format_of(const Database& database);

/// Marks the database file behind the descriptor, which no SQLite has open, as the copy of a store, and as
/// one that has no write-ahead log. False where it cannot be written: errno says why.
bool mark_as_copy(int descriptor);

/// The integer that a query gives.
std::int64_t ask_number(const Database& database, const char* query);

/// SQLite's words about the file at `path`, and what to do about it.
std::string describe(const Failure& error, const std::filesystem::path& path);

}  // namespace sema::sqlite
