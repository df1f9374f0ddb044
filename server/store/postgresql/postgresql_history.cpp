#include "server/store/postgresql/postgresql_history.hpp"

#include "server/store/history_codec.hpp"
#include "server/store/postgresql/postgresql_engine.hpp"
#include "server/store/postgresql/schema.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace sema {
namespace postgresql {
namespace {

constexpr std::size_t entries_per_statement = 1000;
constexpr std::size_t entries_per_page = 5000;
constexpr std::size_t most_counted = 100'000;
constexpr const char* removed_at_a_time = "1000";
// Nothing waits for what is written, and a reader can wait a little.
constexpr std::chrono::milliseconds answer_limit{5000};

std::string text_of(TimePoint time) {
    return std::to_string(time.time_since_epoch().count());
}

std::string text_of(HistoryPart part) {
    return std::to_string(static_cast<int>(part));
}

// FNV-1a: the same on each server.
std::uint64_t hash_of(std::string_view bytes) {
    std::uint64_t hash = 14'695'981'039'346'656'037U;
    for (const char byte : bytes)
        hash = (hash ^ static_cast<unsigned char>(byte)) * 1'099'511'628'211U;
    return hash;
}

class PostgresqlHistory final : public HistoryStore {
  public:
    explicit PostgresqlHistory(const PostgresqlStoreOptions& options) : options_(options) {}

    Expected<void> append(const std::vector<PoolPast>& past, const HistoryBounds& bounds) override {
        return attempt("be written", Table::made, [&]() -> Result<void> {
            Columns columns;
            for (const auto& [pool, entries] : past) {
                for (const HistoryEntry& entry : entries) {
                    if (entry.at < bounds.oldest) continue;
                    columns.add(pool, entry);
                    if (columns.size() < entries_per_statement) continue;
                    if (auto put = insert(columns); !put) return put;
                }
            }
            if (auto put = insert(columns); !put) return put;
            return shorten(past, bounds);
        });
    }

    Expected<void> read(const PoolId& pool, HistoryPart part, TimePoint since,
                        const std::function<bool(HistoryEntry&&)>& take) override {
        return attempt("be read", Table::made, [&]() -> Result<void> {
            std::string last_at = std::to_string(INT64_MAX);
            std::string last_number = "0";
            for (;;) {
                const auto answer =
                    ask({"SELECT at, number, content FROM sema.history WHERE pool = $1 AND part = $2 AND "
                         "at >= $3 AND (at, number) < ($4, $5) ORDER BY at DESC, number DESC LIMIT $6",
                         {pool.str(), text_of(part), text_of(since), last_at, last_number,
                          std::to_string(entries_per_page)}});
                if (!answer) return tl::unexpected(answer.error());
                const Rows& rows = answer->front();
                for (std::size_t row = 0; row < rows.size(); ++row) {
                    const auto bytes = bytes_of(rows.text(row, 2));
                    std::string_view rest = bytes ? *bytes : std::string_view();
                    auto entry = take_entry(rest);
                    // Of a later form, perhaps.
                    if (entry && !take(*std::move(entry))) return {};
                }
                if (rows.size() < entries_per_page) return {};
                last_at = rows.text(rows.size() - 1, 0);
                last_number = rows.text(rows.size() - 1, 1);
            }
        });
    }

    Expected<bool> prune(const HistoryBounds& bounds) override {
        return remove_before(bounds.oldest, "be made shorter", Table::made);
    }

    Expected<bool> clear() override { return remove_before(TimePoint::max(), "be removed", Table::as_it_is); }

  private:
    /// What is done where there is no table.
    enum class Table { made, as_it_is };

    /// Whether there is more.
    Expected<bool> remove_before(TimePoint oldest, const char* what, Table table) {
        bool is_more = false;
        const auto done = attempt(what, table, [&]() -> Result<void> {
            if (!has_table_) return {};
            const auto answer =
                ask({"WITH gone AS (DELETE FROM sema.history WHERE ctid = ANY (ARRAY(SELECT ctid FROM "
                     "sema.history WHERE at < $1 ORDER BY at LIMIT $2)) RETURNING 1) "
                     "SELECT count(*) FROM gone",
                     {text_of(oldest), removed_at_a_time}});
            if (!answer) return tl::unexpected(answer.error());
            is_more = answer->front().text(0, 0) == removed_at_a_time;
            return {};
        });
        if (!done) return tl::unexpected(done.error());
        return is_more;
    }

    /// What one INSERT takes.
    struct Columns {
        std::vector<std::string> pools;
        std::vector<std::string> parts;
        std::vector<std::string> times;
        std::vector<std::string> numbers;
        std::vector<std::string> contents;

        std::size_t size() const { return pools.size(); }
        void add(const PoolId& pool, const HistoryEntry& entry) {
            std::string content;
            append_bytes(entry, content);
            pools.push_back(pool.str());
            parts.push_back(text_of(part_of(entry)));
            times.push_back(text_of(entry.at));
            numbers.push_back(std::to_string(entry.is_lease() ? entry.fence : hash_of(content)));
            contents.push_back(std::move(content));
        }
    };

    Result<void> insert(Columns& columns) {
        if (columns.size() == 0) return {};
        const auto done =
            ask({"INSERT INTO sema.history (pool, part, at, number, content) SELECT * FROM "
                 "unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::numeric[], $5::bytea[]) "
                 "ON CONFLICT DO NOTHING",
                 {array_of(columns.pools), array_of(columns.parts), array_of(columns.times),
                  array_of(columns.numbers), array_of_bytes(columns.contents)}});
        columns = {};
        return done.map([](const auto&) {});
    }

    /// To find where a pool's kept entries end takes a walk over them, so it is not done for every entry.
    Result<void> shorten(const std::vector<PoolPast>& past, const HistoryBounds& bounds) {
        for (const auto& [pool, entries] : past) {
            // Pools come and go, and few of them ever get that far.
            if (added_.size() >= most_counted) added_.clear();
            auto& added = added_[pool];
            added += entries.size();
            if (added < entries_per_statement) continue;
            added_.erase(pool);
            for (const HistoryPart part : {HistoryPart::leases, HistoryPart::refusals, HistoryPart::counts}) {
                const auto done =
                    ask({"DELETE FROM sema.history WHERE pool = $1 AND part = $2 AND at < (SELECT at FROM "
                         "sema.history WHERE pool = $1 AND part = $2 ORDER BY at DESC OFFSET $3 LIMIT 1)",
                         {pool.str(), text_of(part), std::to_string(bounds.most)}});
                if (!done) return tl::unexpected(done.error());
            }
        }
        return {};
    }

    // Entries that a power cut takes are not missed.
    Result<std::vector<Rows>> ask(const Statement& statement) {
        return connection_.exchange(transaction({statement}, Commit::lazy), from_now(answer_limit));
    }

    Result<void> connect(Table table) {
        if (!connection_.is_open() || connection_.was_closed()) {
            has_table_ = false;
            if (auto opened = connection_.open(options_.address, connect_limit); !opened) return opened;
        }
        for (const bool again : {false, true}) {
            if (has_table_) break;
            const auto there = ask({"SELECT to_regclass('sema.history') IS NOT NULL"});
            if (!there) return tl::unexpected(there.error());
            has_table_ = there->front().text(0, 0) == "t";
            if (has_table_ || table == Table::as_it_is) break;
            const auto made = ask({history_sql});
            // Where another server makes it at the same time, one of the two is refused.
            if (!made && (again || made.error().kind != Trouble::Kind::refused))
                return tl::unexpected(made.error());
            has_table_ = made.has_value();
        }
        return {};
    }

    template <class Act>
    Expected<void> attempt(const char* what, Table table, const Act& act) {
        auto done = connect(table);
        if (done) done = act();
        if (done) return {};
        if (done.error().kind != Trouble::Kind::refused) connection_.close();
        return failure("the history in " + describe(options_.address) + " could not " + what + ": " +
                       done.error().why);
    }

    const PostgresqlStoreOptions options_;
    Connection connection_;
    /// On this connection it was there.
    bool has_table_ = false;
    /// Since they were last shortened.
    std::unordered_map<PoolId, std::size_t> added_;
};

}  // namespace
}  // namespace postgresql

std::unique_ptr<HistoryStore> make_postgresql_history(const PostgresqlStoreOptions& options) {
    return std::make_unique<postgresql::PostgresqlHistory>(options);
}

}  // namespace sema
