#include "server/store/redis/redis_engine.hpp"
#include "server/store/redis/scripts.hpp"
#include "server/store/shared/fields.hpp"
#include "server/store/shared/shared_store.hpp"

#include <algorithm>
#include <utility>

// What the committer does over a connection of its own.
namespace sema {
namespace redis {
namespace {

using namespace std::chrono_literals;

// The pools that there are: a sorted set whose members all have the same score, so that they are in the order
// of their texts. A member is a pool's id and the version at which it was made, 16 hex digits, which the
// pool's hash has in `b`. A member goes in before its pool and out after it; one whose pool is not there, or
// was made at another version, says nothing.
constexpr std::string_view index_key = "sema:pools";
constexpr std::string_view seed_key = "sema:seed";
// A hash: of each pool that has a keeper, that. The script that commits keeps it up to date.
constexpr std::string_view callbacks_key = "sema:callbacks";
constexpr std::size_t id_size = 36;
constexpr std::size_t index_page = 500;

// A commit that was sent over a connection that is gone cannot arrive after a day.
constexpr std::string_view guard_life_s = "86400";
// Redis takes a million words in one command.
constexpr std::size_t most_rows = 500'000;
// How much of the time for an answer is left for the answer itself where replicas are waited for.
constexpr std::chrono::milliseconds answer_share{200};
// A month: a server that is started anew where one ran for longer waits until that one is missed.
constexpr std::string_view place_life_ms = "2592000000";

std::string member_of(const PoolId& pool, std::string_view born) {
    return pool.str().append(born);
}

std::string refusal_in(const Reply& reply) {
    const auto error = reply.error();
    return error ? explain(*error).why : "its answer was not what was expected";
}

tl::unexpected<Trouble> refused(const Reply& reply) {
    return trouble(refusal_in(reply), Trouble::Kind::refused);
}

bool is_unknown_script(const Reply& reply) {
    return reply.error().value_or("").substr(0, 8) == "NOSCRIPT";
}

// In milliseconds.
std::string wait_limit(const RedisStoreOptions& options) {
    return std::to_string((options.answer_limit - std::max(answer_share, options.answer_limit / 4)).count());
}

bool is_too_big(const PoolChange& change) {
    const Changes& changes = change.changes;
    return changes.slots.size() + changes.places.size() + changes.out.size() > most_rows;
}

bool is_made(const PoolChange& change) {
    return change.base == 0 && change.next != 0;
}

}  // namespace

Result<void> RedisEngine::open() {
    Endpoint endpoint;
    {
        const MutexLock lock(mutex_);
        endpoint = endpoint_;
    }
    auto names = log_in(connection_, endpoint, options_, {commit_script, reload_script});
    if (!names) return tl::unexpected(names.error());
    script_names_ = *std::move(names);
    return {};
}

// Sends what is in commands_ and, so that a Redis that has become a replica is not believed, asks for its
// role. Returns all answers but that one.
Result<std::vector<Reply>> RedisEngine::exchange() {
    commands_.add({"ROLE"});
    auto replies = connection_.exchange(commands_, from_now(options_.answer_limit));
    commands_.clear();
    if (!replies) return trouble(replies.error().message);
    auto right = check_role(replies->back(), 0);
    for (const Reply& reply : *replies) {
        const auto error = reply.error();
        if (error && is_about_server(*error)) right = tl::unexpected(Trouble{explain(*error).why});
    }
    if (!right) {
        connection_.close();
        return tl::unexpected(right.error());
    }
    replies->pop_back();
    return *std::move(replies);
}

Result<Reply> RedisEngine::ask_one(std::initializer_list<std::string_view> words) {
    commands_.add(words);
    auto replies = exchange();
    if (!replies) return tl::unexpected(replies.error());
    if (replies->front().error()) return refused(replies->front());
    return std::move(replies->front());
}

// Has Redis wait until the replicas have all that the connection wrote. REQUIRES: some are wanted.
void RedisEngine::add_wait() {
    commands_.add({"WAIT", std::to_string(options_.wait_replicas), wait_limit(options_)});
}

// `reply` is the one to that.
Result<void> RedisEngine::check_replicas(const Reply& reply) {
    const auto replicas = reply.integer().value_or(0);
    if (replicas >= options_.wait_replicas) return {};
    connection_.close();
    return trouble(std::to_string(replicas) + " of " + std::to_string(options_.wait_replicas) +
                   " replicas had it within " + wait_limit(options_) + " ms");
}

// Runs scripts: `add` puts them into commands_, by way of begin_script(). Returns their answers. Where Redis
// has forgotten the scripts, none of them ran: then they are loaded once more.
template <class Add>
Result<std::vector<Reply>> RedisEngine::run_scripts(const Add& add, bool waits) {
    waits = waits && options_.wait_replicas > 0;
    for (const bool again : {false, true}) {
        scripts_at_.clear();
        add();
        if (waits) add_wait();
        auto replies = exchange();
        if (!replies) return replies;
        std::vector<Reply> answers;
        for (const std::size_t index : scripts_at_)
            answers.push_back(std::move((*replies)[index]));
        if (!again && !answers.empty() && std::all_of(answers.begin(), answers.end(), is_unknown_script)) {
            if (auto opened = open(); !opened) return tl::unexpected(opened.error());
            continue;
        }
        if (waits) {
            if (auto enough = check_replicas(replies->back()); !enough) return tl::unexpected(enough.error());
        }
        return answers;
    }
    return trouble("it does not keep the scripts that it is given");
}

Commands& RedisEngine::begin_script(std::size_t script, const PoolId& pool, std::size_t words) {
    scripts_at_.push_back(commands_.count());
    return commands_.begin(4 + words)
        .word("EVALSHA")
        .word(script_names_[script])
        .word("1")
        .word(key_of(pool));
}

// --- Reading ---

// The answer to HGETALL. `born` is the index's mark of the pool.
LoadResult RedisEngine::read(const PoolId& pool, const Reply& reply, std::string* born) {
    if (!reply.is_array() || reply.size() % 2 != 0) return StoreFailure{refusal_in(reply)};
    shared::PoolFields fields;
    std::optional<Version> version = 0;
    std::string mark;
    std::string guard;
    for (std::size_t i = 0; i < reply.size(); i += 2) {
        const std::string_view name = reply[i].text().value_or("");
        const std::string_view value = reply[i + 1].text().value_or("");
        if (name == "v") {
            version = parse_number<Version>(value);
        } else if (name == "b") {
            mark = value;
        } else if (name == "g") {
            guard = value;
        } else if (name != "r" && !fields.take(name, value)) {
            return shared::damaged();
        }
        if (!version) return shared::damaged();
    }
    auto found = std::move(fields).result(*version);
    if (!found || mark.empty() != (*version == 0)) return shared::damaged();
    guards_.keep(pool, *found, std::move(guard));
    if (born) *born = mark;
    return *std::move(found);
}

Result<std::vector<LoadResult>> RedisEngine::load(const std::vector<PoolId>& pools) {
    for (const PoolId& pool : pools)
        commands_.add({"HGETALL", key_of(pool)});
    const auto replies = exchange();
    if (!replies) return tl::unexpected(replies.error());
    std::vector<LoadResult> found;
    for (std::size_t i = 0; i < pools.size(); ++i)
        found.push_back(read(pools[i], (*replies)[i]));
    return found;
}

Result<LoadResult> RedisEngine::reload(const PoolId& pool, std::uint64_t step) {
    const std::string guard = LeaseId::random().str();
    const auto add = [&] {
        begin_script(1, pool, 4)
            .word(std::to_string(step))
            .word(guard)
            .word(text_of(self()))
            .word(guard_life_s);
    };
    const auto replies = run_scripts(add, true);
    if (!replies) return tl::unexpected(replies.error());
    return read(pool, replies->front());
}

Result<std::size_t> RedisEngine::pool_count() {
    const auto reply = ask_one({"ZCARD", index_key});
    if (!reply) return tl::unexpected(reply.error());
    return static_cast<std::size_t>(reply->integer().value_or(0));
}

Result<std::vector<PoolId>> RedisEngine::pools_after(const std::optional<PoolId>& after, std::size_t most) {
    std::vector<PoolId> ids;
    // After all members of that pool, with whatever follows its id.
    std::string from = after ? "(" + after->str() + "g" : "-";
    while (ids.size() < most) {
        const std::string limit = std::to_string(std::min(index_page, most - ids.size() + 1));
        const auto page = ask_one({"ZRANGEBYLEX", index_key, from, "+", "LIMIT", "0", limit});
        if (!page) return tl::unexpected(page.error());
        if (page->size() == 0) break;
        for (std::size_t i = 0; i < page->size(); ++i)
            commands_.add({"HGET", "sema:{" + std::string((*page)[i].text()->substr(0, id_size)) + "}", "b"});
        const auto born = exchange();
        if (!born) return tl::unexpected(born.error());
        for (std::size_t i = 0; i < page->size(); ++i) {
            const std::string_view member = *(*page)[i].text();
            if ((*born)[i].error()) return refused((*born)[i]);
            from = "(" + std::string(member);
            const auto id = PoolId::parse(member.substr(0, id_size));
            const bool is_there = id && (*born)[i].text() == member.substr(id_size);
            if (is_there && ids.size() < most && (ids.empty() || !(ids.back() == *id))) ids.push_back(*id);
        }
    }
    return ids;
}

Result<std::vector<PoolWithCallbacks>> RedisEngine::pools_with_callbacks() {
    const auto reply = ask_one({"HGETALL", callbacks_key});
    if (!reply) return tl::unexpected(reply.error());
    std::vector<PoolWithCallbacks> pools;
    for (std::size_t i = 0; i + 1 < reply->size(); i += 2) {
        const auto pool = PoolId::parse((*reply)[i].text().value_or(""));
        const auto keeper = parse_number<std::uint64_t>((*reply)[i + 1].text().value_or(""));
        if (pool && keeper) pools.push_back({*pool, ServerId{*keeper}});
    }
    return pools;
}

Result<std::optional<ServerId>> RedisEngine::take_place(const std::string& place) {
    const auto before = ask_one({"SET", "sema:place:" + place, text_of(self()), "PX", place_life_ms, "GET"});
    if (!before) return tl::unexpected(before.error());
    return parse_server(before->text().value_or(""));
}

Result<void> RedisEngine::bury(ServerId server) {
    commands_.add({"DEL", key_of(server)}).add({"PUBLISH", servers_channel, text_of(server)});
    return exchange().map([](const auto&) {});
}

Result<std::optional<std::string>> RedisEngine::seed() {
    const auto reply = ask_one({"GET", seed_key});
    if (!reply) return tl::unexpected(reply.error());
    const auto text = reply->text();
    return text ? std::optional<std::string>(*text) : std::nullopt;
}

Result<std::string> RedisEngine::keep_seed(const std::string& seed) {
    commands_.add({"SET", seed_key, seed, "NX"}).add({"GET", seed_key});
    const bool waits = options_.wait_replicas > 0;
    if (waits) add_wait();
    const auto replies = exchange();
    if (!replies) return tl::unexpected(replies.error());
    const auto kept = (*replies)[1].text();
    if (!kept) return refused((*replies)[(*replies)[0].error() ? 0 : 1]);
    if (waits) {
        if (auto enough = check_replicas(replies->back()); !enough) return tl::unexpected(enough.error());
    }
    return std::string(*kept);
}

Result<bool> RedisEngine::has_others() {
    std::string cursor = "0";
    do {
        const auto reply = ask_one({"SCAN", cursor, "MATCH", "sema:server:*", "COUNT", "1000"});
        if (!reply) return tl::unexpected(reply.error());
        if (reply->size() != 2) return refused(*reply);
        for (std::size_t i = 0; i < (*reply)[1].size(); ++i) {
            if ((*reply)[1][i].text() != key_of(self())) return true;
        }
        cursor = (*reply)[0].text().value_or("0");
    } while (cursor != "0");
    return false;
}

// --- Writing ---

Result<std::vector<CommitResult>> RedisEngine::commit(const std::vector<PoolChange>& batch, TimePoint now,
                                                      const shared::Turn& turn) {
    const bool writes = std::any_of(batch.begin(), batch.end(), [](const PoolChange& change) {
        return !change.changes.empty() || change.next != change.base;
    });
    const std::string time = std::to_string(now.time_since_epoch().count());
    const auto add_all = [&] {
        for (const PoolChange& change : batch) {
            if (is_too_big(change)) continue;
            const bool asks = change.next != change.base && change.attempt > turn.after;
            add(change, time, asks ? std::to_string(turn.time.count()) : "0");
        }
    };
    const auto replies = run_scripts(add_all, writes);
    if (!replies) return tl::unexpected(replies.error());
    std::vector<CommitResult> results;
    std::vector<std::string> gone;
    auto reply = replies->begin();
    for (const PoolChange& change : batch) {
        if (is_too_big(change)) {
            results.emplace_back(StoreFailure{"more rows changed than Redis takes at once"});
        } else {
            results.push_back(result_of(change, *reply++, gone));
        }
    }
    if (gone.empty()) return results;
    commands_.begin(2 + gone.size()).word("ZREM").word(index_key);
    for (const std::string& member : gone)
        commands_.word(member);
    // Best effort: where it fails, they stay behind.
    (void)exchange();
    return results;
}

void RedisEngine::add(const PoolChange& change, const std::string& now, const std::string& turn) {
    shared::FieldChanges fields;
    if (change.next != 0 && change.next != change.base) {
        fields = shared::fields_of(change.changes);
        fields.set.insert(fields.set.end(), {"v", std::to_string(change.next)});
        if (is_made(change)) fields.set.insert(fields.set.end(), {"b", hex(change.next)});
    }
    if (is_made(change)) commands_.add({"ZADD", index_key, "0", member_of(change.pool, hex(change.next))});
    begin_script(0, change.pool, 9 + fields.set.size() + fields.removed.size())
        .word(std::to_string(change.base))
        .word(std::to_string(change.next))
        .word(change.base == 0 ? guards_.of(change.pool) : "")
        .word(text_of(self()))
        .word(change.changes.cleared ? "1" : "0")
        .word(std::to_string(change.changes.fence.value_or(0)))
        .word(now)
        .word(turn)
        .word(std::to_string(fields.set.size()));
    for (const auto* part : {&fields.set, &fields.removed}) {
        for (const std::string& text : *part)
            commands_.word(text);
    }
}

// Adds to `gone` the members of the index that the change leaves without a pool.
CommitResult RedisEngine::result_of(const PoolChange& change, const Reply& reply,
                                    std::vector<std::string>& gone) {
    if (reply.integer() == 1) {
        if (is_made(change)) guards_.forget(change.pool);
        return Committed{};
    }
    if (reply.integer() == 2) return Stale{.waits_for_turn = true};
    if (const auto born = reply.text()) {
        gone.push_back(member_of(change.pool, *born));
        return Committed{};
    }
    if (!reply.is_array()) return StoreFailure{refusal_in(reply)};
    std::string born;
    LoadResult now = read(change.pool, reply, &born);
    if (is_made(change) && born != hex(change.next)) gone.push_back(member_of(change.pool, hex(change.next)));
    return Stale{std::move(now)};
}

}  // namespace redis

Expected<std::unique_ptr<SharedStore>> open_redis_store(const RedisStoreOptions& options) {
    return open_shared_store(std::make_unique<redis::RedisEngine>(options));
}

}  // namespace sema
