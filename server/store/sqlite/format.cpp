#include "server/store/sqlite/format.hpp"

#include "server/store/sqlite/network_file_system.hpp"
#include "server/store/sqlite/schema.hpp"

#include <sqlite3.h>
#include <unistd.h>

#include <array>
#include <iterator>
#include <system_error>

namespace sema::sqlite {
namespace {

namespace fs = std::filesystem;

// The application_id of a store, as schema.sql sets it, and of a copy.
constexpr std::int64_t store_id = 0x53454D41;
constexpr std::int64_t copy_id = 0x53454D43;
// The one that schema.sql sets: each migration leads to the next.
constexpr std::int64_t format_version = oldest_format + std::int64_t{std::size(migrations)};

bool write_at(int descriptor, const unsigned char* bytes, std::size_t size, off_t place) {
    return ::pwrite(descriptor, bytes, size, place) == static_cast<ssize_t>(size);
}

}  // namespace

std::int64_t ask_number(const Database& database, const char* query) {
    std::int64_t number = 0;
    sqlite::Statement(database, query).query([&](const Row& row) { number = row.integer(0); });
    return number;
}

Expected<Format> format_of(const Database& database) {
    const std::int64_t mark = ask_number(database, "PRAGMA application_id");
    const std::int64_t format = ask_number(database, "PRAGMA user_version");
    if (mark == store_id || mark == copy_id) {
        if (format < oldest_format || format > format_version) {
            return failure("its format is " + std::to_string(format) + " and this semad knows format " +
                           std::to_string(format_version) +
                           ": use the semad that wrote it or name another file");
        }
        const char* tables =
            "SELECT count(*) FROM sqlite_schema WHERE name IN ('pools', 'leases', 'clock_anchor')";
        if (ask_number(database, tables) != 3)
            return failure("it is damaged: restore it from a backup or name another file");
        return Format{format, mark == copy_id};
    }
    const std::int64_t tables = ask_number(database, "SELECT count(*) FROM sqlite_schema");
    if (mark == 0 && format == 0 && tables == 0) return Format{};
    return failure("it is another program's database: name another file");
}

// The places are those of the database header (section 1.3 of SQLite's description of its file format).
bool mark_as_copy(int descriptor) {
    // The write and the read version: 2 says that there is a write-ahead log.
    constexpr std::array<unsigned char, 2> no_log = {1, 1};
    constexpr std::array<unsigned char, 4> id = {(copy_id >> 24) & 0xff, (copy_id >> 16) & 0xff,
                                                 (copy_id >> 8) & 0xff, copy_id & 0xff};
    return write_at(descriptor, no_log.data(), no_log.size(), 18) &&
           write_at(descriptor, id.data(), id.size(), 68);
}

std::string describe(const Failure& error, const fs::path& path) {
    const std::string what = error.what();
    if (error.lock_error() != 0) {
        return "no lock on it can be had (" + std::generic_category().message(error.lock_error()) +
               "): a network file system, as NFS or CIFS, may give none, or another machine has it: keep the "
               "store on a disk of this machine";
    }
    switch (error.code()) {
        case SQLITE_FULL:
            return what + ": free space on its disk";
        case SQLITE_IOERR:
            return what + ": check the disk, its quota and the system's log";
        case SQLITE_CORRUPT:
            return what + ": it is damaged, restore it from a backup or name another file";
        case SQLITE_CANTOPEN:
        case SQLITE_READONLY:
        case SQLITE_PERM:
            return what + ": make the file and its folder writable for this user";
        case SQLITE_BUSY:
            if (const std::string network = network_file_system(path); !network.empty()) {
                return "it is locked, and on a network file system (" + network +
                       "): a process here or on another machine has it open, or the file server has kept the "
                       "lock of one that is gone: stop that one, or keep the store on a disk of this machine";
            }
            return "another process has it open: stop that one or name another file";
        case SQLITE_NOTADB:
            return no_database;
        default:
            return what;
    }
}

}  // namespace sema::sqlite
