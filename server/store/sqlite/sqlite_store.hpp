#pragma once

#include "server/store/store.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace sema {

/// What becomes of a path whose folder is not there.
enum class MissingFolder {
    /// The user gave the path, and is likely to have mistyped it.
    refuse,
    /// It is made, and those above it, with mode 0700.
    make
};

/// Opens (and where there is none, makes) the SQLite database at `path`, with mode 0600, since it holds the
/// pools' secrets.
///
/// A commit is one transaction in WAL mode with `synchronous=FULL`: what is `Committed` outlives a killed
/// process and, on a disk that honours fsync, a power cut. The file is locked for as long as the store is
/// open. Errors, each saying what to do: another process has the file open; its file system gives no locks;
/// the file is no database, or not one of ours (`application_id`), or of a newer format (`user_version`); the
/// folder is not there, or cannot be written. The file is left as it was in all these cases.
///
/// A commit that failed (the disk is full, or reports an error) leaves the store usable: it did not
/// happen, as load() will show, and later ones succeed once the cause is gone. One case is open: where it
/// was the final fsync that failed, and the process is killed before a later commit succeeds, the failed
/// batch may be there, whole, when the file is next opened.
Expected<std::unique_ptr<Store>> open_sqlite_store(const std::filesystem::path& path,
                                                   MissingFolder missing = MissingFolder::refuse);

/// What about the place of that database lets answers be lost that were given, or leases be granted twice: a
/// sentence each, that says what to do. REQUIRES: it was opened.
std::vector<std::string> sqlite_store_warnings(const std::filesystem::path& path);

}  // namespace sema
