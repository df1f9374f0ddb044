#include "server/open_store.hpp"

#include "server/secret_file.hpp"
#include "server/store/memory/memory_store.hpp"
#include "server/store/postgresql/postgresql_history.hpp"
#include "server/store/postgresql/postgresql_store.hpp"
#include "server/store/redis/redis_history.hpp"
#include "server/store/redis/redis_store.hpp"
#include "server/store/sqlite/sqlite_history.hpp"
#include "server/store/sqlite/sqlite_store.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace sema {
namespace {

// `elsewhere`: where the password should be.
std::vector<std::string> password_warnings(bool is_shown, const std::string& elsewhere) {
    if (!is_shown) return {};
    return {"the password of the store is on the command line, where ps shows it to everybody: use " +
            elsewhere};
}

std::vector<std::string> joined(std::vector<std::string> warnings, std::vector<std::string> more) {
    std::move(more.begin(), more.end(), std::back_inserter(warnings));
    return warnings;
}

OpenStore opened(std::unique_ptr<SharedStore> store, std::unique_ptr<HistoryStore> history,
                 std::vector<std::string> warnings) {
    SharedStore* const shared = store.get();
    return {.store = std::move(store),
            .shared = shared,
            .history = std::move(history),
            .warnings = std::move(warnings)};
}

/// How to reach a Redis.
struct Access {
    RedisStoreOptions redis;
    std::vector<std::string> warnings;
};

Expected<Access> access_to(const RedisStoreOption& option) {
    RedisStoreOptions redis = option.redis;
    auto warnings = password_warnings(option.password_shown, "--redis-password-file or SEMAD_REDIS_PASSWORD");
    if (const std::string& file = option.password_file; !file.empty()) {
        auto secret = read_secret(file);
        if (!secret)
            return failure("cannot take the password of the store from " + file + ": " +
                           secret.error().message);
        if (secret->exposed)
            warnings.push_back(file +
                               " holds the password of the store and others can read it (chmod 600 it)");
        redis.address.password = std::move(secret->text);
    }
    return Access{std::move(redis), std::move(warnings)};
}

std::vector<std::string> warnings_of(const Access& access) {
    return joined(access.warnings, redis_store_warnings(access.redis));
}

std::vector<std::string> warnings_of(const PostgresqlStoreOption& option) {
    return joined(password_warnings(option.password_shown, "a passfile, PGPASSFILE or PGPASSWORD"),
                  postgresql_store_warnings(option.postgresql));
}

std::vector<std::string> warnings_of(const SqliteStoreOption& file, bool is_copy) {
    std::vector<std::string> warnings = sqlite_store_warnings(file.path);
    if (is_copy) {
        warnings.emplace_back(
            "the store was restored from a backup: it does not know the leases that were granted since then, "
            "so a slot may be lent that is still in use (until the longest ttl has passed since the former "
            "semad ended)");
    }
    return warnings;
}

Expected<OpenStore> open_redis(const RedisStoreOption& option) {
    const auto access = access_to(option);
    if (!access) return tl::unexpected(access.error());
    auto store = open_redis_store(access->redis);
    if (!store) return tl::unexpected(store.error());
    return opened(*std::move(store), make_redis_history(access->redis), warnings_of(*access));
}

Expected<OpenStore> open_postgresql(const PostgresqlStoreOption& option) {
    auto store = open_postgresql_store(option.postgresql);
    if (!store) return tl::unexpected(store.error());
    return opened(*std::move(store), make_postgresql_history(option.postgresql), warnings_of(option));
}

Expected<OpenStore> read_sqlite(const SqliteStoreOption& file) {
    const bool is_copy = is_sqlite_copy(file.path);
    auto outlook = check_sqlite_store(file.path);
    if (!outlook) return tl::unexpected(outlook.error());
    if (outlook->is_missing) return failure("there is no " + file.path);
    if (outlook->is_in_use)
        return failure("cannot use " + file.path +
                       " as a store: another process has it open: stop that one or name another file");
    return OpenStore{.store = std::move(outlook->store),
                     .warnings = warnings_of(file, is_copy),
                     .lock = std::move(outlook->lock)};
}

}  // namespace

Expected<OpenStore> open_store(const StoreOption& option) {
    if (const auto* redis = std::get_if<RedisStoreOption>(&option)) return open_redis(*redis);
    if (const auto* postgresql = std::get_if<PostgresqlStoreOption>(&option))
        return open_postgresql(*postgresql);
    if (std::holds_alternative<MemoryStoreOption>(option))
        return OpenStore{.store = make_memory_store(), .history = make_memory_history()};
    const auto& file = std::get<SqliteStoreOption>(option);
    const bool is_copy = is_sqlite_copy(file.path);
    auto store = open_sqlite_store(file.path, file.missing_folder);
    if (!store) return tl::unexpected(store.error());
    return OpenStore{.store = *std::move(store),
                     .history = make_sqlite_history(file.path),
                     .warnings = warnings_of(file, is_copy)};
}

Expected<OpenStore> read_store(const StoreOption& option) {
    if (const auto* file = std::get_if<SqliteStoreOption>(&option)) return read_sqlite(*file);
    if (warnings_of_new_store(option)) return failure("there is no store in " + describe(option));
    return open_store(option);
}

std::optional<std::vector<std::string>> warnings_of_new_store(const StoreOption& option) {
    if (const auto* postgresql = std::get_if<PostgresqlStoreOption>(&option)) {
        if (is_new_postgresql_store(postgresql->postgresql)) return warnings_of(*postgresql);
    }
    if (const auto* redis = std::get_if<RedisStoreOption>(&option)) {
        const auto access = access_to(*redis);
        if (access && is_new_redis_store(access->redis)) return warnings_of(*access);
    }
    return std::nullopt;
}

std::unique_ptr<Clock> make_clock(const OpenStore& opened, const std::optional<ClockAnchor>& anchor) {
    if (opened.shared) return std::make_unique<StoreClock>(*opened.shared);
    return std::make_unique<SystemClock>(anchor);
}

}  // namespace sema
