#include "server/store/redis/redis_history.hpp"

#include "server/store/history_codec.hpp"
#include "server/store/redis/redis_engine.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>

namespace sema {
namespace redis {
namespace {

// Redis does nothing else meanwhile: some milliseconds.
constexpr std::size_t entries_per_exchange = 1000;
constexpr std::size_t entries_per_page = 1000;

// By HistoryPart.
constexpr std::array<std::string_view, 3> key_starts = {"sema:history:", "sema:refusals:", "sema:counts:"};

std::string key_of(const PoolId& pool, HistoryPart part) {
    return std::string(key_starts[static_cast<std::size_t>(part)]) + pool.str();
}

bool is_key(std::string_view key) {
    return std::any_of(key_starts.begin(), key_starts.end(),
                       [&](std::string_view start) { return key.starts_with(start); });
}

std::string text_of(TimePoint time) {
    return std::to_string(time.time_since_epoch().count());
}

class RedisHistory final : public HistoryStore {
  public:
    explicit RedisHistory(const RedisStoreOptions& options) : options_(options) {}

    Expected<void> append(const std::vector<PoolPast>& past, const HistoryBounds& bounds) override {
        return attempt("be written", [&]() -> Result<void> {
            std::set<std::pair<PoolId, HistoryPart>> grown;
            Commands commands;
            for (const auto& [pool, entries] : past) {
                for (const HistoryEntry& entry : entries) {
                    if (entry.at < bounds.oldest) continue;
                    std::string bytes;
                    append_bytes(entry, bytes);
                    commands.add({"ZADD", key_of(pool, part_of(entry)), text_of(entry.at), bytes});
                    grown.emplace(pool, part_of(entry));
                    if (commands.count() < entries_per_exchange) continue;
                    if (auto sent = exchange(commands); !sent) return tl::unexpected(sent.error());
                }
            }
            for (const auto& [pool, part] : grown) {
                const std::string key = key_of(pool, part);
                commands.add({"ZREMRANGEBYRANK", key, "0", "-" + std::to_string(bounds.most + 1)})
                    .add({"ZREMRANGEBYSCORE", key, "-inf", "(" + text_of(bounds.oldest)})
                    .add({"EXPIRE", key, std::to_string(seconds_of(bounds.age))});
                if (commands.count() < entries_per_exchange) continue;
                if (auto sent = exchange(commands); !sent) return tl::unexpected(sent.error());
            }
            return exchange(commands).map([](const auto&) {});
        });
    }

    Expected<void> read(const PoolId& pool, HistoryPart part, TimePoint since,
                        const std::function<bool(HistoryEntry&&)>& take) override {
        return attempt("be read", [&]() -> Result<void> {
            const std::string key = key_of(pool, part);
            // A page begins with those that came last in the one before, since several may have one time.
            std::string from = "+inf";
            std::size_t skipped = 0;
            for (;;) {
                Commands commands;
                commands.add({"ZREVRANGEBYSCORE", key, from, text_of(since), "LIMIT", std::to_string(skipped),
                              std::to_string(entries_per_page)});
                const auto replies = exchange(commands);
                if (!replies) return tl::unexpected(replies.error());
                const Reply& page = replies->front();
                std::string last;
                std::size_t same = 0;
                for (std::size_t i = 0; i < page.size(); ++i) {
                    std::string_view rest = page[i].text().value_or("");
                    auto entry = take_entry(rest);
                    // Of a later form, perhaps.
                    if (!entry) continue;
                    const std::string at = text_of(entry->at);
                    same = at == last ? same + 1 : 1;
                    last = at;
                    if (!take(*std::move(entry))) return {};
                }
                if (page.size() < entries_per_page) return {};
                skipped = last == from ? skipped + page.size() : same;
                from = last;
            }
        });
    }

    /// Each set goes by itself.
    Expected<bool> prune(const HistoryBounds&) override { return false; }

    Expected<bool> clear() override {
        bool is_more = false;
        const auto done = attempt("be removed", [&]() -> Result<void> {
            Commands commands;
            commands.add({"SCAN", std::exchange(cursor_, "0"), "MATCH", "sema:*:*", "COUNT", "1000"});
            const auto replies = exchange(commands);
            if (!replies) return tl::unexpected(replies.error());
            const Reply& answer = replies->front();
            if (answer.size() != 2) return trouble("it answered SCAN with something else");
            for (std::size_t i = 0; i < answer[1].size(); ++i) {
                const std::string key(answer[1][i].text().value_or(""));
                if (is_key(key)) commands.add({"DEL", key});
            }
            if (auto removed = exchange(commands); !removed) return tl::unexpected(removed.error());
            cursor_ = answer[0].text().value_or("0");
            is_more = cursor_ != "0";
            return {};
        });
        if (!done) return tl::unexpected(done.error());
        return is_more;
    }

  private:
    static std::int64_t seconds_of(Duration age) {
        constexpr std::int64_t ten_years = 315'360'000;
        return std::clamp<std::int64_t>(std::chrono::ceil<std::chrono::seconds>(age).count(), 1, ten_years);
    }

    Result<std::vector<Reply>> exchange(Commands& commands) {
        if (commands.count() == 0) return std::vector<Reply>();
        auto replies = connection_.exchange(commands, from_now(options_.answer_limit));
        commands.clear();
        if (!replies) return trouble(replies.error().message);
        for (const Reply& reply : *replies) {
            if (const auto error = reply.error()) return tl::unexpected(explain(*error));
        }
        return *std::move(replies);
    }

    Result<void> connect() {
        if (connection_.is_open() && !connection_.was_closed()) return {};
        const auto master = finder_.find();
        if (!master) return tl::unexpected(master.error());
        return log_in(connection_, *master, options_, {}).map([](const auto&) {});
    }

    template <class Act>
    Expected<void> attempt(const char* what, const Act& act) {
        auto done = connect();
        if (done) done = act();
        if (done) return {};
        // A replica that was the master is found out by its refusal.
        connection_.close();
        return failure("the history in " + describe(options_.address) + " could not " + what + ": " +
                       done.error().why);
    }

    const RedisStoreOptions options_;
    MasterFinder finder_{options_};
    Connection connection_;
    /// How far clear() has come.
    std::string cursor_ = "0";
};

}  // namespace
}  // namespace redis

std::unique_ptr<HistoryStore> make_redis_history(const RedisStoreOptions& options) {
    return std::make_unique<redis::RedisHistory>(options);
}

}  // namespace sema
