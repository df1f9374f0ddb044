#include "server/store/redis/redis_store.hpp"

#include "server/store/redis/connection.hpp"
#include "server/store/redis/master.hpp"
#include "server/store/redis/rows.hpp"
#include "server/store/redis/scripts.hpp"
#include "server/store/redis/watch.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <unordered_map>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;
using redis::Commands;
using redis::Connection;
using redis::Deadline;
using redis::Outcome;
using redis::Reply;
using redis::StoredPool;
using redis::trouble;
using redis::Trouble;
using SteadyClock = std::chrono::steady_clock;

// The pools that there are: a sorted set whose members all have the same score, so that they are in the order
// of their texts. A member is a pool's id and the version at which it was made, 16 hex digits, which the
// pool's hash has in `b`. A member goes in before its pool and out after it; one whose pool is not there, or
// was made at another version, tells nothing.
constexpr std::string_view index_key = "sema:pools";
constexpr std::size_t id_size = 36;
constexpr std::size_t index_page = 500;
// Whole pools are read in each.
constexpr std::size_t chosen_page = 100;

// A commit that was sent over a connection that is gone cannot arrive after a day.
constexpr std::string_view guard_life_s = "86400";
constexpr std::size_t most_guards = 10'000;
// Redis takes a million words in one command.
constexpr std::size_t most_rows = 500'000;
// How much of the time for an answer is left for the answer itself where replicas are waited for.
constexpr std::chrono::milliseconds answer_share{200};
// Whose change was overtaken so often gets a turn.
constexpr unsigned patience = 3;

// A month: who starts a server anew where one ran for longer waits until that one is missed.
constexpr std::string_view place_life_ms = "2592000000";
// A connection that was used less long ago is not looked at before it is used.
constexpr auto fresh_time = 1s;

std::string key_of(const PoolId& pool) {
    return "sema:{" + pool.str() + "}";
}

std::string member_of(const PoolId& pool, std::string_view born) {
    return pool.str().append(born);
}

Trouble reason_of(const Reply& reply) {
    if (const auto error = reply.error()) return redis::explain(*error);
    return {"its answer was not what was expected"};
}

bool is_unknown_script(const Reply& reply) {
    return reply.error().value_or("").substr(0, 8) == "NOSCRIPT";
}

bool is_too_big(const PoolChange& change) {
    return change.changes.slots.size() + change.changes.places.size() > most_rows;
}

class RedisStore final : public SharedStore {
  public:
    explicit RedisStore(const RedisStoreOptions& options)
        : options_(options),
          name_(describe(options.address)),
          watch_(options),
          self_text_(redis::hex(static_cast<std::uint64_t>(watch_.self()))) {}

    Outcome<void> start() { return watch_.start(); }

    LoadResult load(const PoolId& pool) override {
        commands_.clear();
        commands_.add({"HGETALL", key_of(pool)});
        const auto replies = exchange();
        if (!replies) return failed_to("read a pool", replies.error());
        return read(pool, replies->front());
    }

    LoadResult reload(const PoolId& pool) override {
        // A version must not come about twice: hence not always the next one.
        const std::string step = std::to_string(1 + std::uint64_t{std::random_device()()});
        const std::string guard = LeaseId::random().str();
        const std::string key = key_of(pool);
        const auto ask = [&] {
            begin_script(reload_name_, key, 4).word(step).word(guard).word(self_text_).word(guard_life_s);
        };
        const auto replies = exchange_scripts(ask, options_.wait_replicas > 0);
        if (!replies) return failed_to("read a pool", replies.error());
        return read(pool, replies->front());
    }

    std::vector<CommitResult> commit(const std::vector<PoolChange>& batch,
                                     const std::optional<ClockAnchor>&) override {
        if (batch.empty()) return {};
        bool writes = false;
        for (const PoolChange& change : batch)
            writes = writes || !change.changes.empty() || change.next != change.base;
        const auto ask = [&] {
            const std::string now = std::to_string(watch_.now().time_since_epoch().count());
            for (const PoolChange& change : batch) {
                if (!is_too_big(change)) add(change, now);
            }
        };
        const auto replies = exchange_scripts(ask, writes && options_.wait_replicas > 0);
        if (!replies) return std::vector<CommitResult>(batch.size(), failed_to("commit", replies.error()));
        std::vector<CommitResult> results;
        results.reserve(batch.size());
        std::vector<std::string> gone;
        auto reply = replies->begin();
        for (const PoolChange& change : batch) {
            results.push_back(is_too_big(change)
                                  ? failed_to("commit", Trouble{"more rows changed than Redis takes at once"})
                                  : result_of(change, *reply++, gone));
        }
        remove_from_index(gone);
        return results;
    }

    Expected<std::size_t> pool_count() override {
        commands_.clear();
        commands_.add({"ZCARD", index_key});
        const auto replies = exchange();
        if (!replies) return tl::unexpected(failed_to("be asked", replies.error()));
        const auto count = replies->front().integer();
        if (!count) return tl::unexpected(failed_to("be asked", reason_of(replies->front())));
        return static_cast<std::size_t>(*count);
    }

    Expected<std::vector<PoolId>> pools_after(const std::optional<PoolId>& after, std::size_t most) override {
        std::vector<PoolId> ids;
        // After whatever of it a member may go on with.
        std::string from = after ? "(" + after->str() + "g" : "-";
        while (ids.size() < most) {
            const auto page = members_from(from, std::min(index_page, most - ids.size() + 1));
            if (!page) return tl::unexpected(failed_to("list the pools", page.error()));
            if (page->empty()) break;
            from = "(" + page->back();
            const auto there = those_there(*page);
            if (!there) return tl::unexpected(failed_to("list the pools", there.error()));
            for (const PoolId& id : *there) {
                if (ids.size() < most && (ids.empty() || !(ids.back() == id))) ids.push_back(id);
            }
        }
        return ids;
    }

    Expected<std::vector<ChosenLease>> chosen_leases() override {
        std::vector<ChosenLease> leases;
        std::optional<PoolId> last;
        for (;;) {
            const auto ids = pools_after(last, chosen_page);
            if (!ids) return tl::unexpected(ids.error());
            if (ids->empty()) return leases;
            last = ids->back();
            commands_.clear();
            for (const PoolId& id : *ids)
                commands_.add({"HGETALL", key_of(id)});
            const auto replies = exchange();
            if (!replies) return tl::unexpected(failed_to("list the leases", replies.error()));
            for (std::size_t i = 0; i < ids->size(); ++i) {
                auto pool = read((*ids)[i], (*replies)[i]);
                if (auto* failure = std::get_if<StoreFailure>(&pool)) return tl::unexpected(*failure);
                if (const auto* record = std::get_if<PoolRecord>(&pool))
                    add_chosen((*ids)[i], *record, leases);
            }
        }
    }

    Expected<std::optional<ClockAnchor>> anchor() override { return std::nullopt; }

    ServerId self() const override { return watch_.self(); }
    Expected<void> serve_at(const std::string& place) override {
        commands_.clear();
        commands_.add({"SET", "sema:place:" + place, self_text_, "PX", place_life_ms, "GET"});
        auto replies = exchange();
        if (!replies) return tl::unexpected(failed_to("tell the other servers", replies.error()));
        const auto before = replies->front().text();
        if (!before || *before == self_text_) return {};
        watch_.count_as_lost(*before);
        commands_.clear();
        commands_.add({"DEL", "sema:server:" + std::string(*before)});
        commands_.add({"PUBLISH", "sema:servers", *before});
        replies = exchange();
        if (!replies) return tl::unexpected(failed_to("tell the other servers", replies.error()));
        return {};
    }
    Expected<bool> is_in_use() override {
        std::string cursor = "0";
        const std::string own = "sema:server:" + self_text_;
        do {
            commands_.clear();
            commands_.add({"SCAN", cursor, "MATCH", "sema:server:*", "COUNT", "1000"});
            const auto replies = exchange();
            if (!replies) return tl::unexpected(failed_to("look for other servers", replies.error()));
            const Reply& reply = replies->front();
            if (reply.size() != 2 || !reply[0].text())
                return tl::unexpected(failed_to("look for other servers", reason_of(reply)));
            for (std::size_t i = 0; i < reply[1].size(); ++i) {
                if (reply[1][i].text() != own) return true;
            }
            cursor = *reply[0].text();
        } while (cursor != "0");
        return false;
    }
    void listen(StoreListener* listener) override { watch_.listen(listener); }
    void follow(const PoolId& pool) override { watch_.follow(pool); }
    void unfollow(const PoolId& pool) override { watch_.unfollow(pool); }
    bool is_lost(ServerId server) override { return watch_.is_lost(server); }
    bool reachable() const override { return watch_.reachable(); }
    std::uint64_t generation() const override { return watch_.generation(); }
    TimePoint now() const override { return watch_.now(); }
    Duration clock_error() const override { return std::chrono::milliseconds(5); }
    Duration unix_time(TimePoint point) const override { return watch_.unix_time(point); }

  private:
    static void add_chosen(const PoolId& id, const PoolRecord& pool, std::vector<ChosenLease>& leases) {
        std::set<LeaseId> seen;
        for (const HeldSlot& slot : pool.slots) {
            if (slot.chosen && seen.insert(slot.lease).second)
                leases.push_back({slot.lease, id, slot.expires_at});
        }
    }

    // --- The connection ---

    // Opens it, unless it is known to lead to the store as it was last found.
    Outcome<void> connect() {
        if (!watch_.reachable()) return trouble("it is away (" + watch_.reason() + ") and looked for");
        const bool rests = SteadyClock::now() - used_at_ > fresh_time;
        if (connection_.is_open() && rests && connection_.was_closed()) {
            connection_.close();
            watch_.connection_ended();
        }
        const std::uint64_t generation = watch_.generation();
        if (connection_.is_open() && generation == generation_) return {};
        connection_.close();
        const auto names = redis::log_in(connection_, watch_.endpoint(), options_,
                                         {redis::commit_script, redis::reload_script});
        if (!names) {
            watch_.went_away(names.error().why);
            return tl::unexpected(names.error());
        }
        commit_name_ = (*names)[0];
        reload_name_ = (*names)[1];
        generation_ = generation;
        return {};
    }

    // Sends what is in commands_ and, so that a Redis that has become a replica is not believed, asks for its
    // role. Returns all answers but that one. After a failure the store counts as away.
    Outcome<std::vector<Reply>> exchange() {
        if (auto connected = connect(); !connected) return tl::unexpected(connected.error());
        return exchange_connected();
    }

    Outcome<std::vector<Reply>> exchange_connected() {
        commands_.add({"ROLE"});
        const auto sent = SteadyClock::now();
        auto replies = connection_.exchange(commands_, sent + options_.answer_limit);
        if (!replies) return lose(replies.error().message);
        used_at_ = SteadyClock::now();
        way_ = used_at_ - sent;
        for (const Reply& reply : *replies) {
            const auto error = reply.error();
            if (error && redis::is_about_server(*error)) return lose(redis::explain(*error).why);
        }
        if (const auto right = redis::check_role(replies->back(), 0); !right) return lose(right.error().why);
        replies->pop_back();
        return *std::move(replies);
    }

    tl::unexpected<Trouble> lose(const std::string& why) {
        connection_.close();
        watch_.went_away(why);
        return trouble(why);
    }

    // Runs scripts: `ask` puts them into commands_, each with its answer last. Where Redis has forgotten the
    // scripts, none of them ran: then they are loaded once more.
    template <class Ask>
    Outcome<std::vector<Reply>> exchange_scripts(const Ask& ask, bool waits) {
        for (const bool again : {false, true}) {
            if (auto connected = connect(); !connected) return tl::unexpected(connected.error());
            commands_.clear();
            scripts_at_.clear();
            ask();
            if (waits) commands_.add({"WAIT", wait_replicas_, wait_ms_});
            auto replies = exchange_connected();
            if (!replies) return replies;
            std::vector<Reply> answers;
            answers.reserve(scripts_at_.size());
            for (const std::size_t index : scripts_at_)
                answers.push_back(std::move((*replies)[index]));
            if (!again && !answers.empty() &&
                std::all_of(answers.begin(), answers.end(), is_unknown_script)) {
                connection_.close();
                continue;
            }
            if (waits) {
                const auto replicas = replies->back().integer().value_or(0);
                if (replicas < static_cast<std::int64_t>(options_.wait_replicas))
                    return lose(unconfirmed(replicas));
            }
            return answers;
        }
        return trouble("it does not keep the scripts that it is given");
    }

    std::string unconfirmed(std::int64_t replicas) const {
        return std::to_string(replicas) + " of " + wait_replicas_ + " replicas had it within " + wait_ms_ +
               " ms";
    }

    Commands& begin_script(const std::string& name, const std::string& key, std::size_t words) {
        scripts_at_.push_back(commands_.count());
        return commands_.begin(4 + words).word("EVALSHA").word(name).word("1").word(key);
    }

    // --- Reading ---

    LoadResult read(const PoolId& pool, const Reply& reply) { return read_stored(pool, reply).pool; }

    StoredPool read_stored(const PoolId& pool, const Reply& reply) {
        if (!reply.is_array()) return {failed_to("read a pool", reason_of(reply)), {}, {}};
        StoredPool stored = redis::read_pool(reply);
        if (const auto* failure = std::get_if<StoreFailure>(&stored.pool)) {
            stored.pool = failed_to("read a pool", Trouble{failure->message});
        } else {
            keep_guard(pool, stored);
        }
        return stored;
    }

    // What a pool that is made from nothing has to find. Those that are not known here are known again after
    // one Stale.
    void keep_guard(const PoolId& pool, const StoredPool& stored) {
        if (std::holds_alternative<PoolRecord>(stored.pool) || stored.guard.empty()) {
            if (!guards_.empty()) guards_.erase(pool);
            return;
        }
        if (guards_.size() >= most_guards) guards_.clear();
        guards_[pool] = stored.guard;
    }

    Outcome<std::vector<std::string>> members_from(const std::string& from, std::size_t most) {
        commands_.clear();
        commands_.add({"ZRANGEBYLEX", index_key, from, "+", "LIMIT", "0", std::to_string(most)});
        const auto replies = exchange();
        if (!replies) return tl::unexpected(replies.error());
        const Reply& reply = replies->front();
        if (!reply.is_array()) return tl::unexpected(reason_of(reply));
        std::vector<std::string> members;
        for (std::size_t i = 0; i < reply.size(); ++i)
            members.emplace_back(reply[i].text().value_or(""));
        return members;
    }

    // The pools of those members that tell the truth, in their order.
    Outcome<std::vector<PoolId>> those_there(const std::vector<std::string>& members) {
        commands_.clear();
        for (const std::string& member : members)
            commands_.add({"HGET", "sema:{" + member.substr(0, id_size) + "}", "b"});
        const auto replies = exchange();
        if (!replies) return tl::unexpected(replies.error());
        std::vector<PoolId> ids;
        for (std::size_t i = 0; i < members.size(); ++i) {
            const Reply& reply = (*replies)[i];
            if (!reply.is_nil() && !reply.text()) return tl::unexpected(reason_of(reply));
            const auto id = PoolId::parse(std::string_view(members[i]).substr(0, id_size));
            if (id && reply.text() && members[i].substr(id->str().size()) == *reply.text())
                ids.push_back(*id);
        }
        return ids;
    }

    // --- Writing ---

    void add(const PoolChange& change, const std::string& now) {
        const bool is_made = change.base == 0 && change.next != 0;
        const std::string key = key_of(change.pool);
        std::string guard;
        if (change.base == 0 && !guards_.empty()) {
            const auto found = guards_.find(change.pool);
            if (found != guards_.end()) guard = found->second;
        }
        const Changes& changes = change.changes;
        const bool gone = change.next == 0;
        std::size_t set = 0;
        std::size_t removed = 0;
        if (!gone && change.next != change.base) count_fields(change, set, removed);
        const std::string born = is_made ? redis::hex(change.next) : "";
        if (is_made) commands_.add({"ZADD", index_key, "0", member_of(change.pool, born)});
        begin_script(commit_name_, key, 9 + 2 * set + removed)
            .word(std::to_string(change.base))
            .word(std::to_string(change.next))
            .word(guard)
            .word(self_text_)
            .word(changes.cleared ? "1" : "0")
            .word(std::to_string(changes.fence.value_or(0)))
            .word(now)
            .word(change.overtaken < patience ? "0" : turn())
            .word(std::to_string(2 * set));
        if (gone || change.next == change.base) return;
        commands_.word("v").word(std::to_string(change.next));
        if (is_made) commands_.word("b").word(born);
        if (changes.count) commands_.word("c").word(std::to_string(*changes.count));
        if (changes.fence) commands_.word("f").word(std::to_string(*changes.fence));
        if (changes.settings) {
            redis::write_row(*changes.settings, row_);
            commands_.word("t").word(row_);
        }
        for (const auto& [position, slot] : changes.slots) {
            if (!slot) continue;
            redis::write_row(*slot, row_);
            commands_.word(redis::slot_field(position)).word(row_);
        }
        for (const auto& [lease, place] : changes.places) {
            if (!place) continue;
            redis::write_row(*place, row_);
            commands_.word(redis::place_field(lease)).word(row_);
        }
        for (const auto& [position, slot] : changes.slots) {
            if (!slot) commands_.word(redis::slot_field(position));
        }
        for (const auto& [lease, place] : changes.places) {
            if (!place) commands_.word(redis::place_field(lease));
        }
    }

    // How long it takes at the most until the next attempt is there, in microseconds.
    std::string turn() const {
        const Duration time = 2 * std::chrono::duration_cast<Duration>(way_) + 10ms;
        return std::to_string(std::clamp<Duration>(time, 100ms, 1s).count());
    }

    static void count_fields(const PoolChange& change, std::size_t& set, std::size_t& removed) {
        const Changes& changes = change.changes;
        set = 1;
        if (change.base == 0) ++set;
        if (changes.count) ++set;
        if (changes.fence) ++set;
        if (changes.settings) ++set;
        for (const auto& [position, slot] : changes.slots)
            ++(slot ? set : removed);
        for (const auto& [lease, place] : changes.places)
            ++(place ? set : removed);
    }

    // Adds to `gone` the members of the index that the change leaves without a pool.
    CommitResult result_of(const PoolChange& change, const Reply& reply, std::vector<std::string>& gone) {
        if (reply.integer() == 1) {
            if (change.base == 0 && change.next != 0 && !guards_.empty()) guards_.erase(change.pool);
            return Committed{};
        }
        if (const auto born = reply.text()) {
            gone.push_back(member_of(change.pool, *born));
            return Committed{};
        }
        if (!reply.is_array()) return failed_to("commit", reason_of(reply));
        StoredPool now = read_stored(change.pool, reply);
        if (change.base == 0 && change.next != 0) {
            const std::string born = redis::hex(change.next);
            if (now.born != born) gone.push_back(member_of(change.pool, born));
        }
        return Stale{std::move(now.pool)};
    }

    // What fails here stays behind, and is not minded.
    void remove_from_index(const std::vector<std::string>& members) {
        if (members.empty()) return;
        commands_.clear();
        commands_.begin(2 + members.size()).word("ZREM").word(index_key);
        for (const std::string& member : members)
            commands_.word(member);
        (void)exchange();
    }

    StoreFailure failed_to(const char* attempt, const Trouble& reason) const {
        return {"the store " + name_ + " could not " + attempt + ": " + reason.why};
    }

    const RedisStoreOptions options_;
    const std::string wait_replicas_ = std::to_string(options_.wait_replicas);
    const std::string wait_ms_ = std::to_string((options_.answer_limit - answer_share).count());
    const std::string name_;
    redis::Watch watch_;
    const std::string self_text_;

    boost::asio::io_context io_{1};
    Connection connection_{io_};
    std::uint64_t generation_ = 0;
    SteadyClock::time_point used_at_;
    /// What the last exchange took.
    SteadyClock::duration way_{};
    std::string commit_name_;
    std::string reload_name_;
    /// Of pools that are not there.
    std::unordered_map<PoolId, std::string> guards_;

    // Kept for their memory.
    Commands commands_;
    std::string row_;
    std::vector<std::size_t> scripts_at_;
};

}  // namespace

Expected<std::unique_ptr<SharedStore>> open_redis_store(const RedisStoreOptions& options) {
    auto store = std::make_unique<RedisStore>(options);
    if (const auto started = store->start(); !started) {
        return failure("cannot use " + describe(options.address) + " as a store: " + started.error().why);
    }
    return store;
}

}  // namespace sema
