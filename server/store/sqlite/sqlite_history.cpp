#include "server/store/sqlite/sqlite_history.hpp"

#include "server/store/history_codec.hpp"
#include "server/store/sqlite/format.hpp"
#include "server/store/sqlite/handle.hpp"
#include "server/store/sqlite/history_sql.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <string>
#include <system_error>
#include <utility>

namespace sema {
namespace {

namespace fs = std::filesystem;
using sqlite::Database;
using sqlite::Row;
using sqlite::Statement;
using sqlite::Transaction;

constexpr std::int64_t history_id = 0x53454D48;
constexpr std::int64_t format = 1;

// A chunk is read and removed as a whole.
constexpr std::size_t longest_chunk = 1000;
// So that chunks which come in the order of their last entries have their entries in about that order.
constexpr Duration widest_chunk = std::chrono::seconds(10);
// Some milliseconds.
constexpr std::int64_t removed_at_a_time = 500;

// One transaction after the other goes to the log; the disk has to follow only when that is copied into the
// database. What a power cut takes is a few transactions, and never a part of one.
constexpr const char* tuning =
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
    "PRAGMA cache_size = -8192";

std::int64_t to_sql(TimePoint time) {
    return time.time_since_epoch().count();
}

std::int64_t to_sql(HistoryPart part) {
    return static_cast<std::int64_t>(part);
}

// Entries of one part, in the order of their times, as they are stored.
struct Chunk {
    TimePoint first;
    TimePoint last;
    std::int64_t entries = 0;
    std::string content{};
};

std::vector<Chunk> chunks_of(std::vector<const HistoryEntry*> entries) {
    std::stable_sort(entries.begin(), entries.end(),
                     [](const auto* a, const auto* b) { return a->at < b->at; });
    std::vector<Chunk> chunks;
    for (const HistoryEntry* const entry : entries) {
        const bool fits = !chunks.empty() && chunks.back().entries < std::int64_t{longest_chunk} &&
                          entry->at - chunks.back().first <= widest_chunk;
        if (!fits) chunks.push_back({.first = entry->at, .last = entry->at});
        append_bytes(*entry, chunks.back().content);
        chunks.back().last = entry->at;
        ++chunks.back().entries;
    }
    return chunks;
}

struct Histories {
    explicit Histories(Database opened) : database(std::move(opened)) {}

    Database database;
    Transaction::Statements transaction = Transaction::for_writing(database);
    Statement insert{
        database, "INSERT INTO chunks (pool, part, ended_us, entries, content) VALUES (?1, ?2, ?3, ?4, ?5)"};
    Statement add{database,
                  "INSERT INTO totals (pool, part, entries) VALUES (?1, ?2, ?3)"
                  " ON CONFLICT (pool, part) DO UPDATE SET entries = entries + excluded.entries"
                  " RETURNING entries"};
    Statement take_off{database, "UPDATE totals SET entries = entries - ?3 WHERE pool = ?1 AND part = ?2"};
    Statement drop_total{database, "DELETE FROM totals WHERE pool = ?1 AND part = ?2 AND entries <= 0"};
    Statement first_of_pool{database,
                            "SELECT id, entries, ended_us FROM chunks WHERE pool = ?1 AND part = ?2"
                            " ORDER BY ended_us, id LIMIT ?3"};
    Statement first_of_all{database,
                           "SELECT id, pool, part, entries, ended_us FROM chunks ORDER BY id LIMIT ?1"};
    Statement remove{database, "DELETE FROM chunks WHERE id = ?1"};
    Statement latest{database,
                     "SELECT content FROM chunks WHERE pool = ?1 AND part = ?2 AND ended_us >= ?3"
                     " ORDER BY ended_us DESC, id DESC"};
};

class SqliteHistory final : public HistoryStore {
  public:
    /// Empty: in memory.
    explicit SqliteHistory(fs::path path) : path_(std::move(path)) {}

    Expected<void> append(const std::vector<PoolPast>& past, const HistoryBounds& bounds) override {
        return attempt("be written", [&](Histories& histories) {
            Transaction transaction(histories.database, histories.transaction);
            for (const auto& [pool, part, entries] : sorted(past, bounds.oldest))
                append(histories, pool, part, chunks_of(entries), bounds);
            transaction.commit();
        });
    }

    Expected<void> read(const PoolId& pool, HistoryPart part, TimePoint since,
                        const std::function<bool(HistoryEntry&&)>& take) override {
        return attempt("be read", [&](Histories& histories) {
            std::vector<HistoryEntry> entries;
            histories.latest.query(
                [&](const Row& row) {
                    const std::string content = row.text(0);
                    std::string_view rest = content;
                    entries.clear();
                    while (!rest.empty()) {
                        auto entry = take_entry(rest);
                        if (!entry) Row::refuse(0);
                        entries.push_back(*std::move(entry));
                    }
                    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
                        if (entry->at >= since && !take(std::move(*entry))) return false;
                    }
                    return true;
                },
                pool.uuid(), to_sql(part), to_sql(since));
        });
    }

    Expected<bool> prune(const HistoryBounds& bounds) override {
        std::error_code none;
        if (!histories_ && !fs::exists(path_, none)) return false;
        bool is_more = false;
        auto done = attempt("be made shorter", [&](Histories& histories) {
            Transaction transaction(histories.database, histories.transaction);
            is_more = remove_oldest(histories, bounds.oldest);
            transaction.commit();
        });
        if (!done) return tl::unexpected(done.error());
        return is_more;
    }

    // Without a file the disk has none of it any more, and a disk that is full has room.
    Expected<bool> clear() override {
        std::error_code none;
        if (path_.empty() || !fs::exists(path_, none)) {
            histories_.reset();
            return false;
        }
        // Whatever else stands there is not ours to remove.
        if (auto opened = attempt("be removed", [](Histories&) {}); !opened)
            return tl::unexpected(opened.error());
        histories_.reset();
        // It may be a link to another disk.
        std::error_code failed;
        const fs::path file = fs::canonical(path_, failed);
        // First: a log of before would be taken for that of the next file.
        if (!failed) fs::remove(file.string() + "-wal", failed);
        if (!failed) fs::remove(file, failed);
        if (failed) return failed_to("be removed", failed.message());
        return false;
    }

  private:
    struct Part {
        PoolId pool;
        HistoryPart part;
        std::vector<const HistoryEntry*> entries;
    };

    // A pool may be there several times.
    static std::vector<Part> sorted(const std::vector<PoolPast>& past, TimePoint oldest) {
        std::map<std::pair<PoolId, HistoryPart>, std::vector<const HistoryEntry*>> parts;
        for (const auto& [pool, entries] : past) {
            for (const HistoryEntry& entry : entries) {
                if (entry.at >= oldest) parts[{pool, part_of(entry)}].push_back(&entry);
            }
        }
        std::vector<Part> all;
        for (auto& [key, entries] : parts)
            all.push_back({key.first, key.second, std::move(entries)});
        return all;
    }

    static void append(Histories& histories, const PoolId& pool, HistoryPart part,
                       const std::vector<Chunk>& chunks, const HistoryBounds& bounds) {
        std::int64_t added = 0;
        for (const Chunk& chunk : chunks) {
            histories.insert.run(pool.uuid(), to_sql(part), to_sql(chunk.last), chunk.entries,
                                 sqlite::Blob{chunk.content});
            added += chunk.entries;
        }
        std::int64_t total = 0;
        histories.add.query([&](const Row& row) { total = row.integer(0); }, pool.uuid(), to_sql(part),
                            added);
        shorten(histories, pool, part, total, bounds);
    }

    // The first chunks of a pool, where they are too many or too old.
    static void shorten(Histories& histories, const PoolId& pool, HistoryPart part, std::int64_t total,
                        const HistoryBounds& bounds) {
        const auto most = static_cast<std::int64_t>(bounds.most);
        if (total <= most) return;
        std::vector<std::int64_t> ids;
        std::int64_t removed = 0;
        histories.first_of_pool.query(
            [&](const Row& row) {
                const std::int64_t entries = row.integer(1);
                const bool is_old = row.integer(2) < to_sql(bounds.oldest);
                if (!is_old && total - removed - entries < most) return false;
                ids.push_back(row.integer(0));
                removed += entries;
                return true;
            },
            pool.uuid(), to_sql(part), removed_at_a_time);
        for (const std::int64_t id : ids)
            histories.remove.run(id);
        histories.take_off.run(pool.uuid(), to_sql(part), removed);
    }

    static bool remove_oldest(Histories& histories, TimePoint oldest) {
        std::vector<std::int64_t> ids;
        std::map<std::pair<PoolId, std::int64_t>, std::int64_t> removed;
        histories.first_of_all.query(
            [&](const Row& row) {
                if (row.integer(4) >= to_sql(oldest)) return false;
                ids.push_back(row.integer(0));
                removed[{PoolId(row.uuid(1)), row.integer(2)}] += row.integer(3);
                return true;
            },
            removed_at_a_time);
        for (const std::int64_t id : ids)
            histories.remove.run(id);
        for (const auto& [key, entries] : removed) {
            histories.take_off.run(key.first.uuid(), key.second, entries);
            histories.drop_total.run(key.first.uuid(), key.second);
        }
        return static_cast<std::int64_t>(ids.size()) == removed_at_a_time;
    }

    template <class Act>
    Expected<void> attempt(const char* what, const Act& act) {
        try {
            if (!histories_) open();
            act(*histories_);
            return {};
        } catch (const sqlite::Failure& error) {
            // A disk that was full is as good as before once there is room. What else is wrong, replacing the
            // file may put right.
            if (!path_.empty() && error.code() != SQLITE_FULL) histories_.reset();
            const bool is_damaged = error.code() == SQLITE_CORRUPT || error.code() == SQLITE_NOTADB;
            return failed_to(what, is_damaged ? std::string(error.what()) +
                                                    ": remove the file, and only the history is lost"
                                              : sqlite::describe(error, path_));
        } catch (const std::system_error& error) {
            return failed_to(what, error.what());
        }
    }

    tl::unexpected<Error> failed_to(const char* what, const std::string& why) const {
        const std::string place = path_.empty() ? "in memory" : path_.string();
        return failure("the history (" + place + ") could not " + what + ": " + why);
    }

    void open() {
        if (path_.empty()) {
            Database database = Database::in_memory();
            database.execute(history_sql);
            histories_ = std::make_unique<Histories>(std::move(database));
            return;
        }
        const int descriptor = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
        if (descriptor < 0) throw std::system_error(errno, std::generic_category(), "cannot open it");
        ::close(descriptor);
        Database database = Database::open(path_);
        database.execute(tuning);
        make_or_check(database);
        histories_ = std::make_unique<Histories>(std::move(database));
    }

    static void make_or_check(Database& database) {
        auto exclusive = Transaction::exclusive(database);
        Transaction transaction(database, exclusive);
        const auto mark = sqlite::ask_number(database, "PRAGMA application_id");
        const auto number = sqlite::ask_number(database, "PRAGMA user_version");
        const auto tables = sqlite::ask_number(database, "SELECT count(*) FROM sqlite_schema");
        if (mark == 0 && number == 0 && tables == 0) {
            database.execute(history_sql);
        } else if (mark != history_id || number != format) {
            throw sqlite::Failure(SQLITE_NOTADB, "it is no history, or one of another format");
        }
        transaction.commit();
    }

    const fs::path path_;
    std::unique_ptr<Histories> histories_;
};

}  // namespace

fs::path history_path(const fs::path& store) {
    return store.string() + "-history";
}

std::unique_ptr<HistoryStore> make_sqlite_history(const fs::path& store) {
    return std::make_unique<SqliteHistory>(history_path(fs::absolute(store)));
}

std::unique_ptr<HistoryStore> make_memory_history() {
    return std::make_unique<SqliteHistory>(fs::path());
}

}  // namespace sema
