#pragma once

#include "server/callback/allow_list.hpp"
#include "server/declared_pool.hpp"
#include "server/http/listen_address.hpp"
#include "server/http/tls_context.hpp"
#include "server/service/service.hpp"
#include "server/store/postgresql/postgresql_store.hpp"
#include "server/store/redis/redis_store.hpp"
#include "server/store/sqlite/sqlite_store.hpp"

#include <map>
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
struct PostgresqlStoreOption {
    PostgresqlStoreOptions postgresql;
    /// As in RedisStoreOption.
    bool password_shown = false;
};
using StoreOption =
    std::variant<SqliteStoreOption, MemoryStoreOption, RedisStoreOption, PostgresqlStoreOption>;

/// The options of `semad`.
struct Options {
    /// The path; empty where there is none.
    std::string config_file;
    std::vector<http::ListenAddress> listen = {http::TcpAddress{"127.0.0.1", "7717"}};
    http::SocketAccess socket_access;
    /// Without a certificate, HTTP alone is spoken.
    http::TlsFiles tls;
    StoreOption store;
    /// The path; empty where there is no administrator.
    std::string admin_token_file;
    /// What errors about that file begin with.
    std::string admin_token_lead;
    ServiceLimits limits;
    /// For how long the histories of pools are kept; 0: there are none.
    Duration history = std::chrono::hours(24) * 30;
    /// 0: as many as there are descriptors for.
    std::size_t max_connections = 0;
    /// 0: one per processor.
    unsigned threads = 0;
    LogFormat log_format = LogFormat::text;
    std::string log_level = "info";
    bool access_log = false;
    std::optional<http::ListenAddress> metrics_listen;
    /// Nobody is called where it is empty.
    std::vector<callback::Pattern> callback_allow{};
    /// A file; empty for the system's authorities.
    std::string callback_authorities;
    /// What errors about that file begin with.
    std::string callback_authorities_lead;
    /// On all addresses of `listen`.
    bool dashboard = false;
    std::optional<http::ListenAddress> dashboard_listen;
    /// Each count is within the limits.
    std::vector<DeclaredPool> pools{};
    /// The values of all settings that a reload does not take, as they were given, by the settings' names.
    std::map<std::string, std::vector<std::string>> kept{};
    /// To be logged: secrets that others can read.
    std::vector<std::string> warnings{};
};

/// The options of `semad migrate`.
struct MigrateOptions {
    StoreOption from;
    StoreOption to;
    Duration rejoin{};
};

/// `semad check`: those of a semad that is to be started with the same ones.
struct CheckOptions {
    Options options;
    /// A semad runs with them, and is to read them anew.
    bool for_reload = false;
};

/// `semad pools`: likewise.
struct PoolsOptions {
    Options options;
};

/// The options of `semad backup`.
struct BackupOptions {
    StoreOption store;
    /// The path of the file to write.
    std::string file;
};

/// Text to print on stdout, after which there is nothing left to do (--help, --version).
struct Printed {
    std::string text;
};

/// What semad is to do.
using Parsed = std::variant<Options, CheckOptions, PoolsOptions, MigrateOptions, BackupOptions, Printed>;

/// Reads the command line, the environment, and the configuration file that either of them names. All that
/// they say has to be right; where several of them give a setting, the first of these three counts. The error
/// is one line that says what is wrong, and where.
Expected<Parsed> parse_options(int argc, const char* const* argv);

/// As written after --store, but for a user and a password.
std::string describe(const StoreOption& store);

}  // namespace sema
