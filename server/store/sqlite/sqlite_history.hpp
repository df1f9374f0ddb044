#pragma once

#include "server/store/history_store.hpp"

#include <filesystem>
#include <memory>

namespace sema {

/// The histories of the pools in the SQLite database at `store`: in a file beside it, `semad.db-history` for
/// `semad.db`, with mode 0600. That is opened by the first call, and locked from then on. It is a file of its
/// own so that what is written to it never waits for a commit of the store, nor a commit for it, and so that
/// whatever is wrong with it is wrong with it alone. What was appended outlives a killed process; a power cut
/// may take the last of it. clear() removes the file.
std::unique_ptr<HistoryStore> make_sqlite_history(const std::filesystem::path& store);

/// That file.
std::filesystem::path history_path(const std::filesystem::path& store);

/// Histories that are gone when the process ends.
std::unique_ptr<HistoryStore> make_memory_history();

}  // namespace sema
