#pragma once

#include "server/store/sqlite/handle.hpp"
#include "server/store/store.hpp"

#include <filesystem>
#include <memory>

/// Copies of a database of ours, marked as such. Failure and std::system_error say why one cannot be made.
namespace sema::sqlite {

/// Begins a copy of `source` in a file in the folder of `beside`. The file has no name, so that nothing of it
/// outlives the process. `source` may be changed between the pieces, through this handle, and must outlive
/// the copy.
std::unique_ptr<StoreCopy> begin_copy(const Database& source, const std::filesystem::path& beside);

/// Copies `source` into the file `to`, which is its owner's alone: all of it is on the disk before it takes
/// the place of what is there.
void copy_to_file(const Database& source, const std::filesystem::path& to);

/// A database in memory with all that is in `source`.
Database copy_to_memory(const Database& source);

}  // namespace sema::sqlite
