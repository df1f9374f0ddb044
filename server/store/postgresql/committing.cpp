#include "server/store/postgresql/postgresql_engine.hpp"
#include "server/store/shared/fields.hpp"
#include "server/store/shared/numbers.hpp"
#include "server/store/shared/shared_store.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

// What the committer does over connections of its own.
namespace sema {
namespace postgresql {
namespace {

// What a notification may have, and a little less.
constexpr std::size_t longest_notification = 7900;
// How often a transaction that PostgreSQL could not order is tried.
constexpr int most_tries = 3;

// A change with its place in the batch; and the calls of all of them, one after the other. What they answer
// goes out before the commit, so it leaves out how the pools are that have another version.
constexpr const char* change_row =
    "($1::integer, $2::uuid, $3::bigint, $4::bigint, $5, $6, $7::boolean, $8::numeric, $9::bigint, "
    "$10::bigint, $11::text[], $12::bytea[], $13::text[])";
std::string commit_calls(const std::string& rows) {
    const std::string columns =
        "pool, base, next, guard, server, cleared, fence, now, turn, names, contents, removed";
    return "SELECT u.place, c.result, c.handed FROM (VALUES " + rows + ") AS u (place, " + columns +
           ") CROSS JOIN LATERAL (SELECT result, handed FROM sema.commit(" + columns + ") LIMIT 1) AS c";
}

std::string line_of_change(const PoolId& pool, Version version, ServerId server) {
    return "changed " + pool.str() + " " + text_of_version(version) + " " + text_of(server);
}

}  // namespace

Result<void> PostgresqlEngine::open() {
    const auto limit = std::max(connect_limit, options_.answer_limit / 2);
    if (auto opened = connection_.open(options_.address, limit); !opened) return opened;
    return announcer_.open(options_.address, limit);
}

Result<std::vector<Rows>> PostgresqlEngine::ask(const std::vector<Statement>& statements) {
    return connection_.exchange(transaction(statements), from_now(options_.answer_limit));
}

// Over a connection of its own, since a NOTIFY within a commit makes all commits of the database wait for
// each other. Without waiting: a message that is lost is made good for within a second.
void PostgresqlEngine::announce(const std::vector<std::string>& messages) {
    std::string text;
    const auto send = [&] {
        if (text.empty()) return;
        // What others hear of need not be on the disk.
        announcer_.send({"SELECT set_config('synchronous_commit', 'off', true), pg_notify('sema', $1)",
                         {std::exchange(text, {})}},
                        from_now(options_.answer_limit));
    };
    for (const std::string& message : messages) {
        if (text.size() + message.size() + 1 > longest_notification) send();
        text += message + "\n";
    }
    send();
}

LoadResult PostgresqlEngine::read(const PoolId& pool, const Rows& rows, std::size_t from, std::size_t to,
                                  int column) {
    std::string guard;
    LoadResult found = from == to ? LoadResult(Absent{}) : read_pool(rows, from, to, column, guard);
    guards_.keep(pool, found, std::move(guard));
    return found;
}

Result<std::vector<LoadResult>> PostgresqlEngine::load(const std::vector<PoolId>& pools) {
    std::vector<std::string> ids;
    for (const PoolId& pool : pools)
        ids.push_back(pool.str());
    const auto answer = ask({{"SELECT * FROM sema.state($1) ORDER BY pool", {array_of(ids)}}});
    if (!answer) return tl::unexpected(answer.error());
    const Rows& rows = answer->front();
    std::vector<LoadResult> found;
    for (const std::string& id : ids) {
        // Sorted by their ids, whose texts are in the same order.
        std::size_t from = 0;
        std::size_t size = rows.size();
        while (size > 0) {
            const std::size_t half = size / 2;
            if (rows.text(from + half, 0) < id) {
                from += half + 1;
                size -= half + 1;
            } else {
                size = half;
            }
        }
        std::size_t to = from;
        while (to < rows.size() && rows.text(to, 0) == id)
            ++to;
        found.push_back(read(pools[found.size()], rows, from, to, 1));
    }
    return found;
}

// What the pool is comes after the commit: PostgreSQL cannot get rid of much while a client is halted, and
// would keep the pool locked.
Result<LoadResult> PostgresqlEngine::reload(const PoolId& pool, std::uint64_t step) {
    auto statements = transaction({{"SELECT count(*) FROM sema.reload($1, $2, $3)",
                                    {pool.str(), std::to_string(step), LeaseId::random().str()}}});
    statements.push_back({"SELECT * FROM sema.state($1)", {array_of({pool.str()})}});
    const auto answer = connection_.exchange(statements, from_now(options_.answer_limit));
    if (!answer) return tl::unexpected(answer.error());
    LoadResult found = read(pool, answer->back(), 0, answer->back().size(), 1);
    if (const auto* record = std::get_if<PoolRecord>(&found))
        announce({line_of_change(pool, record->version, self())});
    return found;
}

Result<std::vector<CommitResult>> PostgresqlEngine::commit(const std::vector<PoolChange>& batch,
                                                           TimePoint now, const shared::Turn& turn) {
    // Two transactions that change the same pools in the same order never wait for each other in a circle.
    std::vector<std::size_t> order(batch.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return batch[a].pool < batch[b].pool; });
    std::string calls;
    for (const std::size_t index : order) {
        const PoolChange& change = batch[index];
        std::vector<std::string> names;
        std::vector<std::string> contents;
        shared::FieldChanges fields;
        if (change.next != 0 && change.next != change.base) fields = shared::fields_of(change.changes);
        for (std::size_t i = 0; i + 1 < fields.set.size(); i += 2) {
            if (fields.set[i] == "f") continue;
            names.push_back(std::move(fields.set[i]));
            contents.push_back(std::move(fields.set[i + 1]));
        }
        const bool asks = change.next != change.base && change.attempt > turn.after;
        if (!calls.empty()) calls += ",\n";
        calls += written(
            {change_row,
             {std::to_string(index), change.pool.str(), text_of_version(change.base),
              text_of_version(change.next), change.base == 0 ? guards_.of(change.pool) : "", text_of(self()),
              change.changes.cleared ? "t" : "f", std::to_string(change.changes.fence.value_or(0)),
              std::to_string(now.time_since_epoch().count()), asks ? std::to_string(turn.time.count()) : "0",
              array_of(names), array_of_bytes(contents), array_of(fields.removed)}});
    }
    const std::vector<Statement> statements = {{commit_calls(calls)}};
    auto answers = ask(statements);
    for (int tries = 1; !answers && connection_.is_to_repeat() && tries < most_tries; ++tries)
        answers = ask(statements);
    if (!answers) return tl::unexpected(answers.error());

    // Where nothing is said of a change, others change the pool faster than PostgreSQL can look at it.
    std::vector<CommitResult> results(batch.size(), Stale{});
    std::vector<std::string> messages;
    const Rows& rows = answers->front();
    for (std::size_t row = 0; row < rows.size(); ++row) {
        const auto index = shared::parse_number<std::size_t>(rows.text(row, 0));
        if (!index || *index >= batch.size()) continue;
        const PoolChange& change = batch[*index];
        CommitResult& result = results[*index];
        const std::string_view outcome = rows.text(row, 1);
        if (outcome == "1") {
            result = Committed{};
            if (change.base == 0 && change.next != 0) guards_.forget(change.pool);
            if (change.next != change.base)
                messages.push_back(line_of_change(change.pool, change.next, self()));
            if (!rows.is_null(row, 2))
                messages.push_back("handed " + change.pool.str() + " " + std::string(rows.text(row, 2)));
        } else if (outcome == "2") {
            result = Stale{.waits_for_turn = true};
        } else if (outcome == "3") {
            result = StoreFailure{"this server has to set its clock first"};
        }
    }
    announce(messages);
    if (auto added = add_states(batch, results); !added) return tl::unexpected(added.error());
    return results;
}

// What the pools are whose changes came too late: behind the commit, as with reload().
Result<void> PostgresqlEngine::add_states(const std::vector<PoolChange>& batch,
                                          std::vector<CommitResult>& results) {
    std::vector<PoolId> pools;
    std::vector<Stale*> stale;
    for (std::size_t i = 0; i < results.size(); ++i) {
        auto* const one = std::get_if<Stale>(&results[i]);
        if (!one || one->waits_for_turn) continue;
        pools.push_back(batch[i].pool);
        stale.push_back(one);
    }
    if (pools.empty()) return {};
    auto found = load(pools);
    if (!found) {
        // Not what was asked for was refused, but what became of it.
        connection_.close();
        return trouble(found.error().why);
    }
    for (std::size_t i = 0; i < stale.size(); ++i)
        stale[i]->now = std::move((*found)[i]);
    return {};
}

Result<std::size_t> PostgresqlEngine::pool_count() {
    const auto answer = ask({{"SELECT count(*) FROM sema.pool WHERE version <> 0"}});
    if (!answer) return tl::unexpected(answer.error());
    return shared::parse_number<std::size_t>(answer->front().text(0, 0)).value_or(0);
}

Result<std::vector<PoolId>> PostgresqlEngine::pools_after(const std::optional<PoolId>& after,
                                                          std::size_t most) {
    std::optional<std::string> from;
    if (after) from = after->str();
    const auto answer =
        ask({{"SELECT pool FROM sema.pool WHERE version <> 0 AND ($1::uuid IS NULL OR pool > $1) "
              "ORDER BY pool LIMIT $2",
              {from, std::to_string(most)}}});
    if (!answer) return tl::unexpected(answer.error());
    std::vector<PoolId> ids;
    for (std::size_t row = 0; row < answer->front().size(); ++row) {
        if (const auto id = PoolId::parse(answer->front().text(row, 0))) ids.push_back(*id);
    }
    return ids;
}

Result<std::vector<PoolWithCallbacks>> PostgresqlEngine::pools_with_callbacks() {
    const auto answer = ask({{"SELECT pool, convert_from(value, 'UTF8') FROM sema.field WHERE name = 'k'"}});
    if (!answer) return tl::unexpected(answer.error());
    std::vector<PoolWithCallbacks> pools;
    for (std::size_t row = 0; row < answer->front().size(); ++row) {
        const auto pool = PoolId::parse(answer->front().text(row, 0));
        const auto keeper = shared::parse_number<std::uint64_t>(answer->front().text(row, 1));
        if (pool && keeper) pools.push_back({*pool, ServerId{*keeper}});
    }
    return pools;
}

Result<std::optional<ServerId>> PostgresqlEngine::take_place(const std::string& place) {
    const auto answer =
        ask({{"WITH before AS (SELECT server FROM sema.place WHERE place = $1), "
              "after AS (INSERT INTO sema.place VALUES ($1, $2, clock_timestamp()) ON CONFLICT (place) "
              "DO UPDATE SET server = excluded.server, since = excluded.since) "
              "SELECT server FROM before",
              {place, text_of(self())}}});
    if (!answer) return tl::unexpected(answer.error());
    if (answer->front().size() == 0) return std::nullopt;
    return parse_server(answer->front().text(0, 0));
}

Result<void> PostgresqlEngine::bury(ServerId server) {
    const auto answer = ask({{"DELETE FROM sema.server WHERE server = $1", {text_of(server)}},
                             {"SELECT pg_notify('sema', $1)", {"ended " + text_of(server)}}});
    if (!answer) return tl::unexpected(answer.error());
    return {};
}

Result<std::optional<std::string>> PostgresqlEngine::seed() {
    const auto answer = ask({{"SELECT seed FROM sema.seed"}});
    if (!answer) return tl::unexpected(answer.error());
    if (answer->front().size() == 0) return std::nullopt;
    return std::string(answer->front().text(0, 0));
}

Result<std::string> PostgresqlEngine::keep_seed(const std::string& seed) {
    const auto answer = ask({{"INSERT INTO sema.seed (seed) VALUES ($1) ON CONFLICT DO NOTHING", {seed}},
                             {"SELECT seed FROM sema.seed"}});
    if (!answer) return tl::unexpected(answer.error());
    if (answer->front().size() == 0) return trouble("it keeps no seed", Trouble::Kind::refused);
    return std::string(answer->front().text(0, 0));
}

Result<bool> PostgresqlEngine::has_others() {
    const auto answer =
        ask(transaction({{"SELECT EXISTS (SELECT FROM sema.server WHERE server <> $1 AND ends > sema.wall())",
                          {text_of(self())}}}));
    if (!answer) return tl::unexpected(answer.error());
    return answer->front().text(0, 0) == "t";
}

}  // namespace postgresql

Expected<std::unique_ptr<SharedStore>> open_postgresql_store(const PostgresqlStoreOptions& options) {
    return open_shared_store(std::make_unique<postgresql::PostgresqlEngine>(options));
}

bool is_new_postgresql_store(const PostgresqlStoreOptions& options) {
    postgresql::Connection connection;
    if (!connection.open(options.address, postgresql::connect_limit)) return false;
    const auto there =
        connection.exchange({{postgresql::has_schema_sql}}, postgresql::from_now(options.answer_limit));
    return there && there->front().text(0, 0) == "f";
}

}  // namespace sema
