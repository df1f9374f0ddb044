#include "server/store/sqlite/opening.hpp"

#include "server/store/sqlite/copy.hpp"
#include "server/store/sqlite/schema.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

namespace sema::sqlite {
namespace {

namespace fs = std::filesystem;

// 64 MiB hold a million leases, and are only taken up as needed.
constexpr const char* tuning = "PRAGMA cache_size = -65536";

// The log is copied into the database, and begun anew, once it has 1000 pages (SQLite's own value) or what
// the commit that comes to them adds. While a commit makes the file longer, its fdatasync has to store the
// new length too, and takes twice as long: so the file has that length from the start.
constexpr std::int64_t log_pages = 1000 + 100;

std::string missing_folder(const fs::path& folder) {
    return "there is no folder " + folder.string() + ": make it, or name another file";
}

std::system_error last_system_error(const std::string& attempt) {
    return {errno, std::generic_category(), attempt};
}

// Makes a new name in `folder` outlive a power cut. Best effort: some file systems cannot, and need not.
void sync_folder(const fs::path& folder) {
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;
    ::fsync(descriptor);
    ::close(descriptor);
}

// Makes the folder and those above it where they are missing, for their owner only.
void make_folder(const fs::path& folder) {
    std::error_code unknown;
    if (fs::is_directory(folder, unknown) || !folder.has_relative_path()) return;
    make_folder(folder.parent_path());
    if (::mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST)
        throw last_system_error("cannot make the folder " + folder.string());
    sync_folder(folder.parent_path());
}

// Makes an empty file that its owner alone may read from its first moment on. The files that SQLite puts
// beside it get the same mode. Another server may have been quicker: then the lock decides.
void make_private_file(const fs::path& path) {
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (descriptor >= 0) {
        ::close(descriptor);
    } else if (errno != EEXIST) {
        throw last_system_error("cannot make the file");
    }
}

// Why the file at `path`, which exists, cannot be a store, as far as can be seen without touching it.
//
// Only SQLite may open the file: to close a descriptor of it drops the locks that this process holds on
// it (POSIX takes them from the process), those of another store open on the same file included.
std::optional<Error> objection_to(const fs::path& path, fs::file_type type) {
    if (type == fs::file_type::directory) return Error{"it is a folder: name a file in it"};
    if (type != fs::file_type::regular) return Error{"it is not a regular file: name another file"};
    // SQLite takes a single byte for an empty file.
    if (fs::file_size(path) == 1) return Error{no_database};
    const auto format = format_of(Database::peek(path));
    if (!format) return format.error();
    // SQLite would take the log's content for changes of the copy.
    const fs::path log = path.string() + "-wal";
    std::error_code none;
    if (format->is_copy && fs::file_size(log, none) > 0 && !none)
        return Error{"it is a copy, and " + log.string() +
                     " is of the store that was there before: remove it"};
    return std::nullopt;
}

// REQUIRES: it is not empty.
void bring_up_to_date(Database& database, const Format& format) {
    for (auto next = static_cast<std::size_t>(format.number - oldest_format); next < std::size(migrations);
         ++next)
        database.execute(migrations[next]);
    if (format.is_copy) database.execute(restore_sql);
}

// Takes the lock, makes the schema where there is none, and brings an earlier one up to date. The database is
// asked once more what it holds: what is still in its write-ahead log could not be seen before.
std::optional<Error> take_over(Database& database, const fs::path& path) {
    // The first transaction takes the lock, and the exclusive mode keeps it to the end. It has to be set
    // first: then the log's index lives in memory, and no -shm file is made.
    database.execute("PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL");
    auto statements = Transaction::exclusive(database);
    Transaction transaction(database, statements);
    const auto format = format_of(database);
    if (!format) {
        database.keep_log_on_close();
        return format.error();
    }
    if (format->number == 0) {
        // For an empty file that was there already. Ours are private from the first moment on.
        fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
        database.execute(schema_sql);
    } else {
        bring_up_to_date(database, *format);
    }
    transaction.commit();
    return std::nullopt;
}

}  // namespace

Expected<Database> open_database(const fs::path& path, MissingFolder missing) {
    std::error_code error;
    const fs::file_type type = fs::status(path, error).type();
    if (type == fs::file_type::none) throw std::system_error(error, "cannot look at it");
    if (type == fs::file_type::not_found) {
        const fs::path folder = path.parent_path();
        if (missing == MissingFolder::make) make_folder(folder);
        if (!fs::is_directory(folder, error)) return failure(missing_folder(folder));
        make_private_file(path);
    } else if (auto objection = objection_to(path, type)) {
        return tl::unexpected(*std::move(objection));
    }
    Database database = Database::open(path);
    if (database.read_only()) return failure("it is write-protected: make it writable for this user");
    if (auto objection = take_over(database, path)) return tl::unexpected(*std::move(objection));
    database.execute("PRAGMA journal_mode = WAL");
    database.execute(tuning);
    database.lengthen_log(log_pages);
    return database;
}

std::optional<Error> objection_to_folder(const fs::path& path, MissingFolder missing) {
    fs::path folder = path.parent_path();
    std::error_code unknown;
    while (missing == MissingFolder::make && !fs::exists(folder, unknown) && folder.has_relative_path())
        folder = folder.parent_path();
    if (!fs::is_directory(folder, unknown)) return Error{missing_folder(folder)};
    if (::access(folder.c_str(), W_OK | X_OK) != 0)
        return Error{"cannot write to the folder " + folder.string() + ": " +
                     std::generic_category().message(errno) +
                     ": name a file in a folder where this user may write"};
    return std::nullopt;
}

Expected<Database> open_unchanged(const fs::path& path) {
    std::error_code error;
    const fs::file_type type = fs::status(path, error).type();
    if (type == fs::file_type::none) throw std::system_error(error, "cannot look at it");
    if (type == fs::file_type::not_found) return failure("there is no such file");
    if (auto objection = objection_to(path, type)) return tl::unexpected(*std::move(objection));
    const bool has_log = fs::exists(path.string() + "-wal", error);
    Database database = Database::open(path);
    // The lock of one that has a log is one for writing. A copy has none.
    if (database.read_only() && !is_sqlite_copy(path))
        return failure(
            "it is write-protected, and to lock it takes the right to write: make it writable for this user, "
            "or run this as its owner; what is in it is left as it is");
    if (has_log) database.keep_log_on_close();
    database.execute("PRAGMA locking_mode = EXCLUSIVE");
    const auto format = format_of(database);
    if (!format) return tl::unexpected(format.error());
    return database;
}

Expected<Database> outlook_of(const Database& database) {
    std::string damage;
    Statement(database, "PRAGMA integrity_check(1)").query([&](const Row& row) { damage = row.text(0); });
    if (damage != "ok")
        return failure("it is damaged (" + damage + "): restore it from a backup or name another file");
    const auto format = format_of(database);
    if (!format) return tl::unexpected(format.error());
    Database copy = copy_to_memory(database);
    format->number == 0 ? copy.execute(schema_sql) : bring_up_to_date(copy, *format);
    return copy;
}

}  // namespace sema::sqlite
