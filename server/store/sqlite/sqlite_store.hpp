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

/// What open_sqlite_store() would find.
struct SqliteOutlook {
    /// It would be made.
    bool is_missing = false;
    /// Another process has it open. It was not looked into.
    bool is_in_use = false;
    /// It is a copy that has to be made writable before it can be opened.
    bool is_read_only = false;
    /// Neither missing nor in use: what would become of it, in memory. All of it was checked for damage.
    std::unique_ptr<Store> store{};
    /// That of the database itself: as long as this is there, nobody else can open it to write.
    std::shared_ptr<const void> lock{};
};

/// Looks at that database without changing anything. The error is that of open_sqlite_store(), or says what
/// is damaged.
Expected<SqliteOutlook> check_sqlite_store(const std::filesystem::path& path,
                                           MissingFolder missing = MissingFolder::refuse);

/// Store::seed() of the database at `path`, which another process may have open; nothing of it is locked or
/// changed. A seed that was kept is seen from then on. The error names the file and says what to do.
Expected<std::optional<std::string>> peek_seed(const std::filesystem::path& path);

/// What about the place of that database lets answers be lost that were given, or leases be granted twice: a
/// sentence each, that says what to do. REQUIRES: it was opened.
std::vector<std::string> sqlite_store_warnings(const std::filesystem::path& path);

/// Copies the database at `path`, which no semad may have open, into the file `to`, with mode 0600. What is
/// there is replaced at once, by all of the copy. Neither the database nor its format is changed. Errors,
/// each saying what to do, as open_sqlite_store() has them; and where `to` cannot be written.
Expected<void> copy_sqlite_store(const std::filesystem::path& path, const std::filesystem::path& to);

/// Whether there is the copy of a store at `path`, which was not opened since.
bool is_sqlite_copy(const std::filesystem::path& path);

}  // namespace sema
