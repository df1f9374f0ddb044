#include "server/store/sqlite/database_store.hpp"

#include "server/store/sqlite/columns.hpp"
#include "server/store/sqlite/copy.hpp"
#include "server/store/sqlite/format.hpp"

#include <sys/stat.h>

#include <chrono>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

namespace sema::sqlite {
namespace {

namespace fs = std::filesystem;

// Of a pool that this handle has not committed to yet. Any but 0 would do.
constexpr Version first_version = 1;

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
                                        .fence = static_cast<std::uint64_t>(row.natural(1))};
                },
                pool.uuid());
            if (!record) return Absent{deleted_fence()};
            select_settings_.query([&](const Row& row) { record->settings = settings(row); }, pool.uuid());
            select_leases_.query([&](const Row& row) { record->slots.push_back(held_slot(row)); },
                                 pool.uuid());
            select_places_.query([&](const Row& row) { record->places.push_back(place(row)); }, pool.uuid());
            select_out_.query(
                [&](const Row& row) {
                    record->out[row.number(0)] = {time_point(row.integer(1)), row.text(2)};
                },
                pool.uuid());
            return *std::move(record);
        } catch (const Failure& error) {
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
        } catch (const Failure& error) {
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
        } catch (const Failure& error) {
            return tl::unexpected(failed_to("list the pools", error));
        }
    }

    Expected<std::vector<ChosenLease>> chosen_leases() override {
        try {
            std::vector<ChosenLease> leases;
            // A lease of several slots has a row for each.
            Statement(database_, "SELECT DISTINCT lease, pool, expires_at_us FROM leases WHERE chosen = 1")
                .query([&](const Row& row) {
                    leases.push_back({LeaseId(row.uuid(0)), PoolId(row.uuid(1)), time_point(row.integer(2))});
                });
            return leases;
        } catch (const Failure& error) {
            return tl::unexpected(failed_to("list the leases", error));
        }
    }

    Expected<std::vector<PoolWithCallbacks>> pools_with_callbacks() override {
        try {
            std::vector<PoolWithCallbacks> pools;
            Statement(database_,
                      "SELECT pool FROM places WHERE callback IS NOT NULL"
                      " UNION SELECT pool FROM leases WHERE callback IS NOT NULL")
                .query([&](const Row& row) {
                    pools.push_back({PoolId(row.uuid(0)), ServerId{}});
                });
            return pools;
        } catch (const Failure& error) {
            return tl::unexpected(failed_to("list the callbacks", error));
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
        } catch (const Failure& error) {
            return tl::unexpected(failed_to("read the clock anchor", error));
        }
    }

    Expected<std::optional<std::string>> seed() override {
        try {
            return seed_in(select_seed_);
        } catch (const Failure& error) {
            return tl::unexpected(failed_to("read the seed of pools' ids", error));
        }
    }

    Expected<std::string> keep_seed(const std::string& seed) override {
        try {
            if (auto kept = seed_in(select_seed_)) return *std::move(kept);
            {
                Transaction transaction(database_, transaction_);
                put_seed_.run(seed);
                transaction.commit();
            }
            // For peek_seed().
            database_.execute("PRAGMA wal_checkpoint(FULL)");
            return seed;
        } catch (const Failure& error) {
            return tl::unexpected(failed_to("keep the seed of pools' ids", error));
        }
    }

    BegunCopy begin_copy() override {
        try {
            return sqlite::begin_copy(database_, path_);
        } catch (const Failure& error) {
            return failed_to("be copied", error);
        } catch (const std::system_error& error) {
            return StoreFailure{"the store " + path_.string() + " could not be copied: " + error.what()};
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
                apply_to_out(change);
            }
            if (anchor) put(*anchor);
            transaction.commit();
            for (const PoolChange& change : batch)
                keep_version(change);
            if (!log_) log_ = identity_of(log_path_);
            return Committed{};
        } catch (const Failure& error) {
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

    static std::shared_ptr<const Delivery> delivery(const Row& row, int column) {
        auto callback = row.optional_text(column);
        if (!callback) return nullptr;
        return std::make_shared<const Delivery>(
            Delivery{.callback = std::make_shared<const CallbackText>(*std::move(callback)),
                     .attempts = row.number(column + 1),
                     .next_attempt = time_point(row.integer(column + 2)),
                     .last_error = row.optional_text(column + 3).value_or("")});
    }

    static HeldSlot held_slot(const Row& row) {
        return {.lease = LeaseId(row.uuid(1)),
                .position = row.number(0),
                .granted_at = time_point(row.integer(2)),
                .expires_at = time_point(row.integer(3)),
                .ttl = Duration(row.integer(4)),
                .fence = static_cast<std::uint64_t>(row.integer(5)),
                .chosen = row.integer(6) != 0,
                .holder = holder(row, 7),
                .waited = Duration(row.integer(13)),
                .priority = static_cast<int>(row.integer(14)),
                .delivery = delivery(row, 9)};
    }

    static KeptPlace place(const Row& row) {
        auto callback = row.optional_text(7);
        return {.lease = LeaseId(row.uuid(0)),
                .priority = static_cast<int>(row.integer(1)),
                .arrival = static_cast<std::uint64_t>(row.integer(2)),
                .slots = row.number(3),
                .queued_at = time_point(row.integer(4)),
                .holder = holder(row, 5),
                .callback = callback ? std::make_shared<const CallbackText>(*std::move(callback)) : nullptr,
                .ttl = Duration(row.integer(8)),
                .deadline = time_point(row.integer(9))};
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
            [&](const Row& row) { fence = static_cast<std::uint64_t>(row.natural(0)); });
        return fence;
    }

    // False when the pool is not at the base.
    bool apply_to_pool(const PoolChange& change) {
        const auto& id = change.pool.uuid();
        const auto& [cleared, count, fence, settings, slots, places, out, keeper] = change.changes;
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

    static std::optional<std::string> text_or_null(const std::shared_ptr<const std::string>& text) {
        return text ? std::optional(*text) : std::nullopt;
    }

    void apply_to_leases(const PoolChange& change) {
        const auto& pool = change.pool.uuid();
        if (change.changes.cleared) clear_leases_.run(pool);
        for (const auto& [position, slot] : change.changes.slots) {
            const std::int64_t number = position;
            if (slot) {
                const Holder holder = slot->holder ? *slot->holder : Holder{};
                const Delivery delivery = slot->delivery ? *slot->delivery : Delivery{};
                put_lease_.run(
                    pool, number, slot->lease.uuid(), to_sql(slot->granted_at), to_sql(slot->expires_at),
                    std::int64_t{slot->ttl.count()}, to_sql(slot->fence), std::int64_t{slot->chosen},
                    holder.name, holder.url, text_or_null(delivery.callback), std::int64_t{delivery.attempts},
                    to_sql(delivery.next_attempt),
                    delivery.last_error.empty() ? std::nullopt : std::optional(delivery.last_error),
                    std::int64_t{slot->waited.count()}, std::int64_t{slot->priority});
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
                               std::int64_t{place->slots}, to_sql(place->queued_at), holder.name, holder.url,
                               text_or_null(place->callback), std::int64_t{place->ttl.count()},
                               to_sql(place->deadline));
            } else {
                drop_place_.run(pool, lease.uuid());
            }
        }
    }

    void apply_to_out(const PoolChange& change) {
        const auto& pool = change.pool.uuid();
        if (change.changes.cleared) clear_out_.run(pool);
        for (const auto& [position, out] : change.changes.out) {
            const std::int64_t number = position;
            out ? put_out_.run(pool, number, to_sql(out->since), out->reason) : drop_out_.run(pool, number);
        }
    }

    void put(const ClockAnchor& anchor) {
        put_anchor_.run(std::string_view(anchor.boot_id), std::int64_t{anchor.boot_time.count()},
                        std::int64_t{anchor.wall_time.count()}, to_sql(anchor.timeline));
    }

    StoreFailure failed_to(const char* attempt, const Failure& error) const {
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

    Statement select_pool_{database_, "SELECT count, fence FROM pools WHERE id = ?1"};
    Statement insert_pool_{
        database_, "INSERT INTO pools (id, count, fence) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING"};
    Statement update_count_{database_, "UPDATE pools SET count = ?2 WHERE id = ?1"};
    Statement update_fence_{database_, "UPDATE pools SET fence = ?2 WHERE id = ?1"};
    Statement delete_pool_{database_, "DELETE FROM pools WHERE id = ?1"};

    Statement select_deleted_fence_{database_, "SELECT fence FROM deleted_fence"};
    Statement raise_deleted_fence_{database_,
                                   "INSERT INTO deleted_fence (id, fence) VALUES (1, ?1)"
                                   " ON CONFLICT (id) DO UPDATE SET fence = max(fence, excluded.fence)"};
    Statement keep_deleted_fence_{
        database_,
        "INSERT INTO deleted_fence (id, fence) SELECT 1, fence FROM pools WHERE id = ?1"
        " ON CONFLICT (id) DO UPDATE SET fence = max(fence, excluded.fence)"};

    Statement select_settings_{database_, select_settings_sql().c_str()};
    Statement put_settings_{database_, put_settings_sql().c_str()};
    Statement clear_settings_{database_, "DELETE FROM settings WHERE pool = ?1"};

    Statement select_leases_{database_,
                             "SELECT position, lease, granted_at_us, expires_at_us, ttl_us, fence, "
                             "chosen, holder_name, holder_url,"
                             " callback, attempts, next_attempt_us, last_error, waited_us, priority"
                             " FROM leases WHERE pool = ?1 ORDER BY position"};
    Statement put_lease_{
        database_,
        "REPLACE INTO leases (pool, position, lease, granted_at_us, expires_at_us, ttl_us, fence, chosen,"
        " holder_name, holder_url, callback, attempts, next_attempt_us, last_error,"
        " waited_us, priority)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"};
    Statement drop_lease_{database_, "DELETE FROM leases WHERE pool = ?1 AND position = ?2"};
    Statement clear_leases_{database_, "DELETE FROM leases WHERE pool = ?1"};

    Statement select_places_{
        database_,
        "SELECT lease, priority, arrival, slots, queued_at_us, holder_name, holder_url, callback, ttl_us,"
        " deadline_us FROM places"
        " WHERE pool = ?1"};
    Statement put_place_{
        database_,
        "REPLACE INTO places (pool, lease, priority, arrival, slots, queued_at_us, holder_name, holder_url,"
        " callback, ttl_us, deadline_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"};
    Statement drop_place_{database_, "DELETE FROM places WHERE pool = ?1 AND lease = ?2"};
    Statement clear_places_{database_, "DELETE FROM places WHERE pool = ?1"};

    Statement select_out_{database_, "SELECT position, since_us, reason FROM out_of_service WHERE pool = ?1"};
    Statement put_out_{
        database_, "REPLACE INTO out_of_service (pool, position, since_us, reason) VALUES (?1, ?2, ?3, ?4)"};
    Statement drop_out_{database_, "DELETE FROM out_of_service WHERE pool = ?1 AND position = ?2"};
    Statement clear_out_{database_, "DELETE FROM out_of_service WHERE pool = ?1"};

    Statement count_pools_{database_, "SELECT count(*) FROM pools"};
    Statement list_pools_{database_, "SELECT id FROM pools WHERE id > ?1 ORDER BY id LIMIT ?2"};
    Statement put_anchor_{database_,
                          "REPLACE INTO clock_anchor (id, boot_id, boot_time_us, wall_time_us, timeline_us)"
                          " VALUES (1, ?1, ?2, ?3, ?4)"};
    Statement select_anchor_{database_,
                             "SELECT boot_id, boot_time_us, wall_time_us, timeline_us FROM clock_anchor"};
    Statement select_seed_{database_, select_seed_sql};
    Statement put_seed_{database_, "INSERT INTO pool_seed (id, seed) VALUES (1, ?1)"};
};

}  // namespace

std::unique_ptr<Store> store_over(Database database, fs::path path) {
    return std::make_unique<SqliteStore>(std::move(database), std::move(path));
}

std::optional<std::string> seed_in(Statement& select) {
    std::optional<std::string> seed;
    select.query([&](const Row& row) { seed = row.text(0); });
    return seed;
}

}  // namespace sema::sqlite
