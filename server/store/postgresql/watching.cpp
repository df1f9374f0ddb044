#include "server/store/postgresql/postgresql_engine.hpp"
#include "server/store/postgresql/schema.hpp"
#include "server/store/shared/fields.hpp"
#include "server/store/shared/numbers.hpp"
#include "server/store/shared/waiting.hpp"

// What the watch does over a connection of its own.
namespace sema::postgresql {
namespace {

constexpr int oldest_version = 130000;
constexpr std::string_view format = "1";

// The first word, which is taken off.
std::string_view take_word(std::string_view& text, char end) {
    const auto at = std::min(text.find(end), text.size());
    const std::string_view word = text.substr(0, at);
    text.remove_prefix(std::min(at + 1, text.size()));
    return word;
}

}  // namespace

std::string text_of(ServerId server) {
    return shared::hex(static_cast<std::uint64_t>(server));
}

std::optional<ServerId> parse_server(std::string_view text) {
    const auto number = shared::parse_number<std::uint64_t>(text, 16);
    if (!number) return std::nullopt;
    return ServerId{*number};
}

std::string text_of_version(Version version) {
    return std::to_string(static_cast<std::int64_t>(version));
}

std::optional<Version> parse_version(std::string_view text) {
    const auto number = shared::parse_number<std::int64_t>(text);
    if (!number) return std::nullopt;
    return static_cast<Version>(*number);
}

LoadResult read_pool(const Rows& rows, std::size_t from, std::size_t to, int column, std::string& guard) {
    const auto version = parse_version(rows.text(from, column));
    if (!version) return shared::damaged();
    guard = rows.text(from, column + 2);
    shared::PoolFields fields;
    if (!fields.take("f", rows.text(from, column + 1))) return shared::damaged();
    for (std::size_t row = from; row < to; ++row) {
        if (rows.is_null(row, column + 3)) continue;
        const auto value = bytes_of(rows.text(row, column + 4));
        if (!value || !fields.take(rows.text(row, column + 3), *value)) return shared::damaged();
    }
    auto found = std::move(fields).result(*version);
    if (!found) return shared::damaged();
    return *std::move(found);
}

Result<void> PostgresqlEngine::connect() {
    subscribed_ = false;
    if (auto opened = main_.open(options_.address, connect_limit); !opened)
        return trouble("cannot connect: " + opened.error().why, opened.error().kind);
    auto done = prepare();
    if (!done) main_.close();
    return done;
}

Result<void> PostgresqlEngine::prepare() {
    if (main_.server_version() < oldest_version)
        return trouble(
            "it is PostgreSQL " + std::to_string(main_.server_version() / 10000) + ": use 13 or later",
            Trouble::Kind::lasting);
    for (const bool again : {false, true}) {
        const auto there = main_.exchange({{has_schema_sql}}, from_now(options_.answer_limit));
        if (!there) return tl::unexpected(there.error());
        if (there->front().text(0, 0) == "t") break;
        const auto made = main_.exchange(transaction({{schema_sql}}), from_now(options_.answer_limit));
        if (made) continue;
        // Where another server makes it at the same time, one of the two is refused.
        const bool is_refused = made.error().kind == Trouble::Kind::refused;
        if (again || !is_refused)
            return trouble("cannot make its schema: " + made.error().why,
                           is_refused ? Trouble::Kind::away : made.error().kind);
    }
    const auto rows = main_.exchange(
        transaction(
            {{"SELECT number FROM sema.format"},
             {"DELETE FROM sema.pool WHERE version = 0 AND fence = 0 AND guard_ends < clock_timestamp()"},
             {"DELETE FROM sema.place WHERE since < clock_timestamp() - interval '1 month'"},
             {"DELETE FROM sema.server WHERE ends < sema.wall() - 3600000000"}}),
        from_now(options_.answer_limit));
    if (!rows) return tl::unexpected(rows.error());
    const auto found = rows->front().size() == 1 ? rows->front().text(0, 0) : "?";
    if (found == format) return {};
    return trouble("what it holds is of format " + std::string(found) + " and this semad knows format " +
                       std::string(format) + ": use the semad that wrote it, or name another database",
                   Trouble::Kind::lasting);
}

Result<shared::Pulse> PostgresqlEngine::beat(const shared::Beat& beat) {
    std::vector<std::string> neighbours;
    for (const ServerId server : beat.neighbours)
        neighbours.push_back(text_of(server));
    std::optional<std::string> expected;
    if (beat.expected) expected = std::to_string(beat.expected->count());
    // The next beat makes good for one that is lost.
    const auto rows =
        main_.exchange(transaction({{"SELECT * FROM sema.beat($1, $2, $3, $4, $5)",
                                     {text_of(self()), std::to_string(shared::heartbeat_life.count() * 1000),
                                      expected, std::to_string(beat.epoch), array_of(neighbours)}}},
                                   Commit::lazy),
                       from_now(options_.answer_limit));
    if (!rows) {
        main_.close();
        return tl::unexpected(Trouble{rows.error().why, Trouble::Kind::away});
    }
    const Rows& answer = rows->front();
    const auto wall = shared::parse_number<std::int64_t>(answer.text(0, 0));
    const auto ahead = shared::parse_number<std::int64_t>(answer.text(0, 1));
    const auto epoch = shared::parse_number<std::uint64_t>(answer.text(0, 2));
    if (!wall || !ahead || !epoch) {
        main_.close();
        return trouble("its clock gives no time");
    }
    shared::Pulse pulse;
    pulse.clock.wall = Duration(*wall);
    pulse.clock.offset = Duration(*ahead);
    pulse.clock.epoch = *epoch;
    if (const auto seen = shared::parse_number<std::int64_t>(answer.text(0, 3)))
        pulse.clock.seen = Duration(*seen);
    // An array of truths: {t,f}
    for (const char c : answer.text(0, 4)) {
        if (c == 't' || c == 'f') pulse.alive.push_back(c == 't');
    }
    return pulse;
}

Result<void> PostgresqlEngine::correct_clock(std::uint64_t epoch, Duration timeline, std::uint64_t next) {
    const auto rows = main_.exchange(
        transaction({{"UPDATE sema.clock c SET ahead = $2 - t.now, epoch = $3, seen = t.now "
                      "FROM (SELECT sema.wall() AS now) t WHERE c.epoch = $1",
                      {std::to_string(epoch), std::to_string(timeline.count()), std::to_string(next)}}}),
        from_now(options_.answer_limit));
    if (rows) return {};
    main_.close();
    return tl::unexpected(rows.error());
}

Result<void> PostgresqlEngine::subscribe(const std::vector<PoolId>& pools) {
    followed_ = {pools.begin(), pools.end()};
    const auto rows = main_.exchange({{"LISTEN sema"}}, from_now(options_.answer_limit));
    subscribed_ = rows.has_value();
    if (rows) return {};
    main_.close();
    return trouble("cannot listen: " + rows.error().why);
}

// All servers listen to one channel, `sema`. A notification has a message a line:
//
//     changed POOL VERSION SERVER
//     handed POOL SERVER
//     ended SERVER
//
// False where the connection is gone.
bool PostgresqlEngine::pass_on(std::string_view notification, shared::Announcements& to) {
    while (!notification.empty()) {
        std::string_view line = take_word(notification, '\n');
        const std::string_view what = take_word(line, ' ');
        if (what == "ended") {
            if (const auto server = parse_server(line)) to.ended(*server);
            continue;
        }
        const auto pool = PoolId::parse(take_word(line, ' '));
        if (!pool) continue;
        if (what == "changed" && followed_.contains(*pool)) {
            const auto version = parse_version(take_word(line, ' '));
            const auto server = parse_server(line);
            if (version && server) to.changed(*pool, *version, *server);
        } else if (what == "handed" && parse_server(line) == self()) {
            const auto rows = main_.exchange({{"SELECT * FROM sema.state($1)", {array_of({pool->str()})}}},
                                             from_now(options_.answer_limit));
            if (!rows) return false;
            std::string guard;
            if (rows->front().size() > 0)
                to.handed(*pool, read_pool(rows->front(), 0, rows->front().size(), 1, guard));
        }
    }
    return true;
}

bool PostgresqlEngine::wait(Duration until, shared::Announcements& to) {
    const auto take = [&]() -> std::optional<bool> {
        if (!subscribed_) return false;
        const auto arrived = main_.notifications();
        bool goes_on = arrived.has_value();
        for (std::size_t i = 0; goes_on && i < arrived->size(); ++i)
            goes_on = pass_on((*arrived)[i], to);
        subscribed_ = goes_on;
        return goes_on ? std::optional(!arrived->empty()) : std::nullopt;
    };
    const shared::Source source{[this] { return main_.descriptor(); }, take};
    return wait_for_announcements(*this, until, source, woken_, abandoned_);
}

}  // namespace sema::postgresql
