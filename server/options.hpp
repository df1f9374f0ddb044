#pragma once

#include "server/http/listen_address.hpp"
#include "server/service/service.hpp"
#include "server/store/redis/redis_store.hpp"
#include "server/store/sqlite/sqlite_store.hpp"

#include <string>
#include <variant>
#include <vector>

namespace sema {

enum class LogFormat { text, json };

struct SqliteStoreOption {
    std::string path;
    MissingFolder missing_folder = MissingFolder::refuse;
};
struct MemoryStoreOption {};
struct RedisStoreOption {
    RedisStoreOptions redis;
    /// The path; empty where `redis` has the password, or there is none.
    std::string password_file;
    /// The password is on the command line.
    bool password_shown = false;
};
using StoreOption = std::variant<SqliteStoreOption, MemoryStoreOption, RedisStoreOption>;

/// The options of `semad`.
struct Options {
    std::vector<http::ListenAddress> listen;
    http::SocketAccess socket_access;
    StoreOption store;
    /// The path; empty where there is no administrator.
    std::string admin_token_file;
    ServiceLimits limits;
    /// 0: as many as there are descriptors for.
    std::size_t max_connections = 0;
    /// 0: one per processor.
    unsigned threads = 0;
    LogFormat log_format = LogFormat::text;
    std::string log_level = "info";
};

/// The options of `semad migrate`.
struct MigrateOptions {
    StoreOption from;
    StoreOption to;
    Duration rejoin{};
};

/// Text to print on stdout, after which there is nothing left to do (--help, --version).
struct Printed {
    std::string text;
};

/// Reads the command line, and what the environment adds to it. The error is one line that says what is wrong
/// with it.
Expected<std::variant<Options, MigrateOptions, Printed>> parse_options(int argc, const char* const* argv);

/// As written after --store, but for a user and a password.
std::string describe(const StoreOption& store);

}  // namespace sema
