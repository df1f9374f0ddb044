#include "server/store/sqlite/sqlite_store.hpp"

#include "server/store/sqlite/handle.hpp"
#include "server/store/sqlite/network_file_system.hpp"
#include "server/store/sqlite/schema.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <sstream>
#include <system_error>
#include <unordered_map>
#include <utility>

namespace sema {
namespace {

namespace fs = std::filesystem;
using sqlite::Database;
using sqlite::Row;
using sqlite::Transaction;

// As schema.sql sets it.
constexpr std::int64_t application_id = 0x53454D41;
constexpr std::int64_t oldest_format = 1;
// The one that schema.sql sets: each migration leads to the next.
constexpr std::int64_t format_version = oldest_format + std::int64_t{std::size(migrations)};

// Of a pool that this handle has not committed to yet. Any but 0 would do.
constexpr Version first_version = 1;

std::int64_t to_sql(TimePoint time) {
    return time.time_since_epoch().count();
}

TimePoint time_point(std::int64_t microseconds) {
    return TimePoint(Duration(microseconds));
}

std::int64_t to_sql(std::uint64_t number) {
    return static_cast<std::int64_t>(number);
}

// A setting, as its column has it.
std::string_view to_column(const std::string& text) {
    return text;
}

std::int64_t to_column(bool flag) {
    return flag;
}

std::int64_t to_column(Duration duration) {
    return duration.count();
}

// A line each. Payloads are JSON texts, which have no line breaks.
std::string to_column(const std::vector<Payload>& payloads) {
    std::string lines;
    for (const Payload& payload : payloads)
        lines += payload + '\n';
    return lines;
}

void from_column(const Row& row, int column, std::string& text) {
    text = row.text(column);
}

void from_column(const Row& row, int column, bool& flag) {
    flag = row.integer(column) != 0;
}

void from_column(const Row& row, int column, Duration& duration) {
    duration = Duration(row.integer(column));
}

void from_column(const Row& row, int column, std::vector<Payload>& payloads) {
    std::istringstream stream(row.text(column));
    for (std::string line; std::getline(stream, line);)
        payloads.push_back(line);
}

std::string select_settings_sql() {
    std::string columns;
    for_each_setting(
        [&](const auto& setting) { columns += (columns.empty() ? "" : ", ") + std::string(setting.column); });
    return "SELECT " + columns + " FROM settings WHERE pool = ?1";
}

std::string put_settings_sql() {
    std::string columns = "pool";
    std::string values = "?1";
    int number = 1;
    for_each_setting([&](const auto& setting) {
        columns += std::string(", ") + setting.column;
        values += ", ?" + std::to_string(++number);
    });
    return "REPLACE INTO settings (" + columns + ") VALUES (" + values + ")";
}

constexpr const char* no_database = "it is not an SQLite database: name another file";

// SQLite's words about the file at `path`, and what to do about it.
std::string describe(const sqlite::Failure& error, const fs::path& path) {
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

/// Which file a path leads to.
struct FileIdentity {
    dev_t device;
    ino_t number;

    bool operator==(const FileIdentity&) const = default;
};

std::optional<FileIdentity> identity_of(const fs::path& path) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) return std::nullopt;
    return FileIdentity{status.st_dev, status.st_ino};
}

// A commit to a file that was removed is lost when the process ends. To look at each commit whether the files
// are still there would take longer than many a small commit takes the processor.
constexpr std::chrono::seconds look_interval(1);

class SqliteStore : public Store {
  public:
    /// REQUIRES: `database` holds the schema, and its lock.
    SqliteStore(Database database, fs::path path)
        : database_(std::move(database)),
          path_(std::move(path)),
          log_path_(path_.string() + "-wal"),
          file_(identity_of(path_)) {}

    LoadResult load(const PoolId& pool) override {
        try {
            std::optional<PoolRecord> record;
            select_pool_.query(
                [&](const Row& row) {
                    record = PoolRecord{.version = versions_.try_emplace(pool, first_version).first->second,
                                        .count = row.number(0),
                                        .fence = static_cast<std::uint64_t>(row.integer(1))};
                },
                pool.uuid());
            if (!record) return Absent{deleted_fence()};
            select_settings_.query([&](const Row& row) { record->settings = settings(row); }, pool.uuid());
            select_leases_.query([&](const Row& row) { record->slots.push_back(held_slot(row)); },
                                 pool.uuid());
            select_places_.query([&](const Row& row) { record->places.push_back(place(row)); }, pool.uuid());
            return *std::move(record);
        } catch (const sqlite::Failure& error) {
            return failed_to("read a pool", error);
        }
    }

    std::vector<CommitResult> commit(const std::vector<PoolChange>& batch,
                                     const std::optional<ClockAnchor>& anchor) override {
        return {batch.size(), commit_all(batch, anchor)};
    }

    Expected<std::size_t> pool_count() override {
        try {
            std::size_t count = 0;
            count_pools_.query([&](const Row& row) { count = static_cast<std::size_t>(row.integer(0)); });
            return count;
        } catch (const sqlite::Failure& error) {
            return tl::unexpected(failed_to("count the pools", error));
        }
    }

    Expected<std::vector<PoolId>> pools_after(const std::optional<PoolId>& after, std::size_t most) override {
        try {
            std::vector<PoolId> ids;
            const auto take = [&](const Row& row) { ids.emplace_back(row.uuid(0)); };
            const auto limit = static_cast<std::int64_t>(most);
            // To SQLite, every id is above every text.
            if (after) {
                list_pools_.query(take, after->uuid(), limit);
            } else {
                list_pools_.query(take, std::string_view(""), limit);
            }
            return ids;
        } catch (const sqlite::Failure& error) {
            return tl::unexpected(failed_to("list the pools", error));
        }
    }

    Expected<std::vector<ChosenLease>> chosen_leases() override {
        try {
            std::vector<ChosenLease> leases;
            // A lease of several slots has a row for each.
            sqlite::Statement(database_,
                              "SELECT DISTINCT lease, pool, expires_at_us FROM leases WHERE chosen = 1")
                .query([&](const Row& row) {
                    leases.push_back({LeaseId(row.uuid(0)), PoolId(row.uuid(1)), time_point(row.integer(2))});
                });
            return leases;
        } catch (const sqlite::Failure& error) {
            return tl::unexpected(failed_to("list the leases", error));
        }
    }

    Expected<std::optional<ClockAnchor>> anchor() override {
        try {
            std::optional<ClockAnchor> anchor;
            select_anchor_.query([&](const Row& row) {
                anchor = ClockAnchor{.boot_id = row.text(0),
                                     .boot_time = Duration(row.integer(1)),
                                     .wall_time = Duration(row.integer(2)),
                                     .timeline = time_point(row.integer(3))};
            });
            return anchor;
        } catch (const sqlite::Failure& error) {
            return tl::unexpected(failed_to("read the clock anchor", error));
        }
    }

  private:
    // One transaction, whose last step is the fsync of the log.
    //
    // When the disk is full, or a write fails, the log ends without this transaction's commit mark, and
    // it never happened. When the final fsync fails the mark is in the log but may not be on the disk.
    // To go on is safe, though a kernel may take pages for written whose write-back failed: SQLite takes
    // the transaction back and the next one overwrites the log from the same place on, so that all that
    // the failed fsync covered is written anew before anything is called committed. A checkpoint whose
    // fsync failed is likewise done again from its first page. Only if the process is killed before that
    // next commit may the mark be found, and this batch with it, at the next open: whole, and upon the
    // same base, since nothing else was committed in between.
    CommitResult commit_all(const std::vector<PoolChange>& batch, const std::optional<ClockAnchor>& anchor) {
        if (batch.empty() && !anchor) return Committed{};
        if (!files_are_in_place()) {
            return StoreFailure{"the store " + path_.string() +
                                " was removed or replaced: put its files back, or start semad anew"};
        }
        try {
            Transaction transaction(database_, transaction_);
            for (const PoolChange& change : batch) {
                if (!apply_to_pool(change)) return Stale{};
                apply_to_leases(change);
                apply_to_places(change);
            }
            if (anchor) put(*anchor);
            transaction.commit();
            for (const PoolChange& change : batch)
                keep_version(change);
            if (!log_) log_ = identity_of(log_path_);
            return Committed{};
        } catch (const sqlite::Failure& error) {
            return failed_to("commit", error);
        }
    }

    // Looks at the names once a second. Where they lead to other files, each call looks, until they are back.
    bool files_are_in_place() {
        const auto now = std::chrono::steady_clock::now();
        if (now < next_look_) return true;
        if (identity_of(path_) != file_ || (log_ && identity_of(log_path_) != log_)) return false;
        next_look_ = now + look_interval;
        return true;
    }

    static std::shared_ptr<const Holder> holder(const Row& row, int column) {
        Holder holder{row.optional_text(column), row.optional_text(column + 1)};
        return holder == Holder{} ? nullptr : std::make_shared<const Holder>(std::move(holder));
    }

    static HeldSlot held_slot(const Row& row) {
        return {.lease = LeaseId(row.uuid(1)),
                .position = row.number(0),
                .granted_at = time_point(row.integer(2)),
                .expires_at = time_point(row.integer(3)),
                .ttl = Duration(row.integer(4)),
                .fence = static_cast<std::uint64_t>(row.integer(5)),
                .chosen = row.integer(6) != 0,
                .holder = holder(row, 7)};
    }

    static KeptPlace place(const Row& row) {
        return {.lease = LeaseId(row.uuid(0)),
                .priority = static_cast<int>(row.integer(1)),
                .arrival = static_cast<std::uint64_t>(row.integer(2)),
                .slots = row.number(3),
                .queued_at = time_point(row.integer(4)),
                .holder = holder(row, 5)};
    }

    static std::shared_ptr<const PoolSettings> settings(const Row& row) {
        PoolSettings settings;
        int column = 0;
        for_each_setting([&](const auto& setting) { from_column(row, column++, settings.*setting.value); });
        return std::make_shared<const PoolSettings>(std::move(settings));
    }

    std::uint64_t deleted_fence() {
        std::uint64_t fence = 0;
        select_deleted_fence_.query(
            [&](const Row& row) { fence = static_cast<std::uint64_t>(row.integer(0)); });
        return fence;
    }

    // False when the pool is not at the base.
    bool apply_to_pool(const PoolChange& change) {
        const auto& id = change.pool.uuid();
        const auto& [cleared, count, fence, settings, slots, places] = change.changes;
        if (change.next == 0 && fence) raise_deleted_fence_.run(to_sql(*fence));
        if (change.base == 0 && change.next == 0) {
            bool absent = true;
            select_pool_.query([&](const Row&) { absent = false; }, id);
            return absent;
        }
        if (change.base == 0) {
            if (insert_pool_.run(id, std::int64_t{count.value_or(0)}, to_sql(fence.value_or(0))) != 1)
                return false;
        } else {
            const auto known = versions_.find(change.pool);
            if (known == versions_.end() || known->second != change.base) return false;
            if (cleared) clear_settings_.run(id);
            if (change.next == 0) {
                keep_deleted_fence_.run(id);
                return delete_pool_.run(id) == 1;
            }
            if (count && update_count_.run(id, std::int64_t{*count}) != 1) return false;
            if (fence && update_fence_.run(id, to_sql(*fence)) != 1) return false;
        }
        if (settings) {
            // A structured binding is not captured.
            const PoolSettings& values = *settings;
            std::apply(
                [&](const auto&... setting) { put_settings_.run(id, to_column(values.*setting.value)...); },
                pool_settings);
        }
        return true;
    }

    void keep_version(const PoolChange& change) {
        if (change.next == 0) {
            versions_.erase(change.pool);
        } else {
            versions_[change.pool] = change.next;
        }
    }

    void apply_to_leases(const PoolChange& change) {
        const auto& pool = change.pool.uuid();
        if (change.changes.cleared) clear_leases_.run(pool);
        for (const auto& [position, slot] : change.changes.slots) {
            const std::int64_t number = position;
            if (slot) {
                const Holder holder = slot->holder ? *slot->holder : Holder{};
                put_lease_.run(pool, number, slot->lease.uuid(), to_sql(slot->granted_at),
                               to_sql(slot->expires_at), std::int64_t{slot->ttl.count()}, to_sql(slot->fence),
                               std::int64_t{slot->chosen}, holder.name, holder.url);
            } else {
                drop_lease_.run(pool, number);
            }
        }
    }

    void apply_to_places(const PoolChange& change) {
        const auto& pool = change.pool.uuid();
        if (change.changes.cleared) clear_places_.run(pool);
        for (const auto& [lease, place] : change.changes.places) {
            if (place) {
                const Holder holder = place->holder ? *place->holder : Holder{};
                put_place_.run(pool, lease.uuid(), std::int64_t{place->priority}, to_sql(place->arrival),
                               std::int64_t{place->slots}, to_sql(place->queued_at), holder.name, holder.url);
            } else {
                drop_place_.run(pool, lease.uuid());
            }
        }
    }

    void put(const ClockAnchor& anchor) {
        put_anchor_.run(std::string_view(anchor.boot_id), std::int64_t{anchor.boot_time.count()},
                        std::int64_t{anchor.wall_time.count()}, to_sql(anchor.timeline));
    }

    StoreFailure failed_to(const char* attempt, const sqlite::Failure& error) const {
        return {std::string("the store ") + path_.string() + " could not " + attempt + ": " +
                describe(error, path_)};
    }

    Database database_;
    fs::path path_;
    fs::path log_path_;
    std::optional<FileIdentity> file_;
    /// Known once something was written to it.
    std::optional<FileIdentity> log_;
    std::chrono::steady_clock::time_point next_look_;
    /// Of the pools loaded or committed so far. No other process has the file open, so versions need not be
    /// in it: a commit that changes one lease then writes one page of it, and not two.
    std::unordered_map<PoolId, Version> versions_;

    Transaction::Statements transaction_ = Transaction::for_writing(database_);

    sqlite::Statement select_pool_{database_, "SELECT count, fence FROM pools WHERE id = ?1"};
    sqlite::Statement insert_pool_{
        database_, "INSERT INTO pools (id, count, fence) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING"};
    sqlite::Statement update_count_{database_, "UPDATE pools SET count = ?2 WHERE id = ?1"};
    sqlite::Statement update_fence_{database_, "UPDATE pools SET fence = ?2 WHERE id = ?1"};
    sqlite::Statement delete_pool_{database_, "DELETE FROM pools WHERE id = ?1"};

    sqlite::Statement select_deleted_fence_{database_, "SELECT fence FROM deleted_fence"};
    sqlite::Statement raise_deleted_fence_{
        database_,
        "INSERT INTO deleted_fence (id, fence) VALUES (1, ?1)"
        " ON CONFLICT (id) DO UPDATE SET fence = max(fence, excluded.fence)"};
    sqlite::Statement keep_deleted_fence_{
        database_,
        "INSERT INTO deleted_fence (id, fence) SELECT 1, fence FROM pools WHERE id = ?1"
        " ON CONFLICT (id) DO UPDATE SET fence = max(fence, excluded.fence)"};

    sqlite::Statement select_settings_{database_, select_settings_sql().c_str()};
    sqlite::Statement put_settings_{database_, put_settings_sql().c_str()};
    sqlite::Statement clear_settings_{database_, "DELETE FROM settings WHERE pool = ?1"};

    sqlite::Statement select_leases_{
        database_,
        "SELECT position, lease, granted_at_us, expires_at_us, ttl_us, fence, chosen, holder_name, holder_url"
        " FROM leases WHERE pool = ?1 ORDER BY position"};
    sqlite::Statement put_lease_{
        database_,
        "REPLACE INTO leases (pool, position, lease, granted_at_us, expires_at_us, ttl_us, fence, chosen,"
        " holder_name, holder_url) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"};
    sqlite::Statement drop_lease_{database_, "DELETE FROM leases WHERE pool = ?1 AND position = ?2"};
    sqlite::Statement clear_leases_{database_, "DELETE FROM leases WHERE pool = ?1"};

    sqlite::Statement select_places_{
        database_,
        "SELECT lease, priority, arrival, slots, queued_at_us, holder_name, holder_url FROM places"
        " WHERE pool = ?1"};
    sqlite::Statement put_place_{
        database_,
        "REPLACE INTO places (pool, lease, priority, arrival, slots, queued_at_us, holder_name, holder_url)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"};
    sqlite::Statement drop_place_{database_, "DELETE FROM places WHERE pool = ?1 AND lease = ?2"};
    sqlite::Statement clear_places_{database_, "DELETE FROM places WHERE pool = ?1"};

    sqlite::Statement count_pools_{database_, "SELECT count(*) FROM pools"};
    sqlite::Statement list_pools_{database_, "SELECT id FROM pools WHERE id > ?1 ORDER BY id LIMIT ?2"};
    sqlite::Statement put_anchor_{
        database_,
        "REPLACE INTO clock_anchor (id, boot_id, boot_time_us, wall_time_us, timeline_us)"
        " VALUES (1, ?1, ?2, ?3, ?4)"};
    sqlite::Statement select_anchor_{
        database_, "SELECT boot_id, boot_time_us, wall_time_us, timeline_us FROM clock_anchor"};
};

// 64 MiB hold a million leases, and are only taken up as needed.
constexpr const char* tuning = "PRAGMA cache_size = -65536";

// The log is copied into the database, and begun anew, once it has 1000 pages (SQLite's own value) or what
// the commit that comes to them adds. While a commit makes the file longer, its fdatasync has to store the
// new length too, and takes twice as long: so the file has that length from the start.
constexpr std::int64_t log_pages = 1000 + 100;

std::int64_t ask_number(const Database& database, const char* query) {
    std::int64_t number = 0;
    sqlite::Statement(database, query).query([&](const Row& row) { number = row.integer(0); });
    return number;
}

// The format of the store in the database, 0 where it is empty, or why it is not for us.
Expected<std::int64_t> format_of(const Database& database) {
    const std::int64_t mark = ask_number(database, "PRAGMA application_id");
    const std::int64_t format = ask_number(database, "PRAGMA user_version");
    if (mark == application_id) {
        if (format < oldest_format || format > format_version) {
            return failure("its format is " + std::to_string(format) + " and this semad knows format " +
                           std::to_string(format_version) +
                           ": use the semad that wrote it or name another file");
        }
        const char* tables =
            "SELECT count(*) FROM sqlite_schema WHERE name IN ('pools', 'leases', 'clock_anchor')";
        if (ask_number(database, tables) != 3)
            return failure("it is damaged: restore it from a backup or name another file");
        return format;
    }
    const std::int64_t tables = ask_number(database, "SELECT count(*) FROM sqlite_schema");
    if (mark == 0 && format == 0 && tables == 0) return 0;
    return failure("it is another program's database: name another file");
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
    return std::nullopt;
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
    if (*format == 0) {
        // For an empty file that was there already. Ours are private from the first moment on.
        fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
        database.execute(schema_sql);
    } else {
        for (std::int64_t next = *format; next < format_version; ++next)
            database.execute(migrations[next - oldest_format]);
    }
    transaction.commit();
    return std::nullopt;
}

Expected<Database> open_database(const fs::path& path, MissingFolder missing) {
    std::error_code error;
    const fs::file_type type = fs::status(path, error).type();
    if (type == fs::file_type::none) throw std::system_error(error, "cannot look at it");
    if (type == fs::file_type::not_found) {
        const fs::path folder = path.parent_path();
        if (missing == MissingFolder::make) make_folder(folder);
        if (!fs::is_directory(folder, error))
            return failure("there is no folder " + folder.string() + ": make it, or name another file");
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

}  // namespace

Expected<std::unique_ptr<Store>> open_sqlite_store(const fs::path& path, MissingFolder missing) {
    const auto refuse = [&](const std::string& reason) {
        return failure("cannot use " + path.string() + " as a store: " + reason);
    };
    if (path.empty()) return failure("a store needs the path of a file");
    try {
        const fs::path absolute = fs::absolute(path);
        auto database = open_database(absolute, missing);
        if (!database) return refuse(database.error().message);
        return std::make_unique<SqliteStore>(*std::move(database), absolute);
    } catch (const sqlite::Failure& error) {
        return refuse(describe(error, path));
    } catch (const std::system_error& error) {
        return refuse(std::string(error.what()) + ": name a file in a folder where this user may write");
    }
}

std::vector<std::string> sqlite_store_warnings(const fs::path& path) {
    const std::string network = network_file_system(path);
    if (network.empty()) return {};
    return {
        "the store is on a network file system (" + network +
        "): whether its locks keep a second semad out, and whether it keeps what was answered, is up to the "
        "file server: a slot may be lent twice (keep the store on a disk of this machine)"};
}

}  // namespace sema
