#include "server/options.hpp"

#include "common/given_text.hpp"
#include "common/help_formatter.hpp"
#include "common/misuse.hpp"
#include "common/numbers.hpp"
#include "common/version.hpp"
#include "common/wire.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace sema {
namespace {

constexpr const char* default_listen = "127.0.0.1:7717";

std::string env(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

// systemd's StateDirectory= comes first, then the XDG base directory.
Expected<StoreOption> default_store() {
    const auto at = [](const std::string& path) { return SqliteStoreOption{path, MissingFolder::make}; };
    if (const std::string states = env("STATE_DIRECTORY"); !states.empty())
        return at(states.substr(0, states.find(':')) + "/semad.db");
    if (const std::string state = env("XDG_STATE_HOME"); !state.empty()) return at(state + "/semad/semad.db");
    if (const std::string home = env("HOME"); !home.empty()) return at(home + "/.local/state/semad/semad.db");
    return failure("there is no HOME to keep the data in: name a file with --store sqlite:PATH");
}

Expected<StoreOption> redis_store(const std::string& url) {
    RedisStoreOption option;
    auto address = parse_redis_address(url);
    if (!address) return tl::unexpected(address.error());
    option.redis.address = std::move(*address);
    option.password_shown = !option.redis.address.password.empty();
    return option;
}

Expected<StoreOption> parse_store(const std::string& text) {
    constexpr std::string_view sqlite = "sqlite:";
    if (text == "memory:") return MemoryStoreOption{};
    if (text.rfind(sqlite, 0) == 0 && text.size() > sqlite.size()) {
        return SqliteStoreOption{text.substr(sqlite.size())};
    }
    // What begins like this may have a password further on.
    if (is_redis_url(text)) return redis_store(text);
    // There may be a password in it.
    const std::string shown = text.find('@') == text.npos ? text : text.substr(0, text.find(':')) + ":...";
    return failure("'" + shown + "' is not a store: write sqlite:PATH, memory: or redis://HOST");
}

// Empty where the variable is not set. One that is set and empty was to have something put into it.
Expected<std::string> password_in(const std::string& variable) {
    auto value = environment_value(variable);
    if (value && value->empty())
        return failure("the variable " + variable + " is empty: it has to hold a password");
    return std::move(value).value_or("");
}

// What is wrong with a value names the option that it is the value of.
template <class Value>
Expected<Value> named(const char* option, Expected<Value> value) {
    return std::move(value).map_error(
        [&](const Error& error) { return Error{std::string(option) + ": " + error.message}; });
}

// What other options say of a store on Redis.
Expected<void> complete(StoreOption& store, std::optional<unsigned> wait_replicas,
                        const std::string& password_file) {
    auto* redis = std::get_if<RedisStoreOption>(&store);
    if (!redis) {
        const char* misplaced = wait_replicas            ? "--redis-wait-replicas"
                                : !password_file.empty() ? "--redis-password-file"
                                                         : nullptr;
        if (!misplaced) return {};
        return failure(std::string(misplaced) +
                       " is for a store on Redis: name it with --store redis://HOST");
    }
    redis->redis.wait_replicas = wait_replicas.value_or(0);
    redis->password_file = password_file;
    if (redis->password_shown && !password_file.empty())
        return failure("the password of the store is in --store and in --redis-password-file: write it once");
    std::string& password = redis->redis.address.password;
    if (password.empty() && password_file.empty()) {
        auto found = password_in("SEMAD_REDIS_PASSWORD");
        if (!found) return tl::unexpected(found.error());
        password = *std::move(found);
    }
    if (!redis->redis.address.user.empty() && password.empty() && password_file.empty()) {
        return failure(
            "--store names a user without a password: give that in --redis-password-file or "
            "SEMAD_REDIS_PASSWORD");
    }
    if (redis->redis.address.way == RedisAddress::Way::sentinel) {
        auto found = password_in("SEMAD_REDIS_SENTINEL_PASSWORD");
        if (!found) return tl::unexpected(found.error());
        redis->redis.sentinel_password = *std::move(found);
    }
    return {};
}

Expected<http::SocketAccess> socket_access(const std::optional<std::string>& mode,
                                           const std::optional<std::string>& group,
                                           const std::vector<http::ListenAddress>& listen) {
    const char* const given = mode ? "--socket-mode" : group ? "--socket-group" : nullptr;
    const bool has_socket = std::any_of(listen.begin(), listen.end(), [](const http::ListenAddress& address) {
        return std::holds_alternative<http::UnixAddress>(address);
    });
    if (given && !has_socket)
        return failure(std::string(given) + " is for a Unix socket: name one with --listen unix:/PATH");
    http::SocketAccess access;
    if (mode) {
        const auto parsed = http::parse_socket_mode(*mode);
        if (!parsed) return failure("--socket-mode: " + parsed.error().message);
        access.mode = *parsed;
    }
    if (group) {
        const auto found = http::find_group(*group);
        if (!found) return failure("--socket-group: " + found.error().message);
        access.group = *found;
    }
    return access;
}

std::string is_positive_duration(const std::string& text) {
    const auto duration = parse_duration(text);
    if (!duration) return duration.error().message;
    return *duration > Duration::zero() ? "" : "must be longer than 0";
}

std::string is_duration(const std::string& text) {
    const auto duration = parse_duration(text);
    return duration ? "" : duration.error().message;
}

// A check for the parser: it wants to know why a text is no such number.
std::function<std::string(const std::string&)> is_number(std::int64_t least, std::int64_t most) {
    return [least, most](const std::string& text) {
        const auto number = parse_number(text, {least, most});
        return number ? std::string() : number.error().message;
    };
}

std::function<std::string(const std::string&)> is_one_of(std::vector<std::string> words) {
    return [words = std::move(words)](const std::string& text) {
        if (std::find(words.begin(), words.end(), text) != words.end()) return std::string();
        return "'" + text + "' is not " + alternatives(words);
    };
}

std::string is_path(const std::string& path) {
    return path.empty() ? "needs a file" : "";
}

// A word that stands where none belongs may be a store with its password.
std::string without_passwords(std::string text) {
    for (auto at = text.find("://"); at != text.npos; at = text.find("://", at + 3)) {
        const std::string_view word = std::string_view(text).substr(at + 3, text.find(' ', at) - at - 3);
        const auto end = word.rfind('@');
        if (end != word.npos) text.replace(at + 3, end, "...");
    }
    return text;
}

std::string one_line(std::string text) {
    for (char& c : text) {
        if (c == '\n') c = ' ';
    }
    return text;
}

}  // namespace

Expected<std::variant<Options, MigrateOptions, Printed>> parse_options(int argc, const char* const* argv) {
    Options options;
    std::vector<std::string> listen = {default_listen};
    std::optional<std::string> socket_mode;
    std::optional<std::string> socket_group;
    std::string store;
    std::optional<unsigned> redis_wait_replicas;
    std::string redis_password_file;
    std::string log_format = "text";
    std::string max_ttl = "1d";
    std::string max_wait = "5m";
    std::string max_hold;
    std::string rejoin = "15s";

    const auto is_limit = is_number(0, 1'000'000'000);

    CLI::App app("Lends numbered slots of pools for a bounded time, over HTTP.", "semad");
    app.set_version_flag("--version", std::string("semad ") + version, "Print the version and exit");
    app.set_help_flag("-h,--help", "Print this help and exit");
    app.formatter(std::make_shared<HelpFormatter>());
    app.get_formatter()->column_width(26);

    app.add_option("--listen", listen,
                   "HOST:PORT or unix:/PATH to listen on; may be repeated (127.0.0.1:7717)")
        ->type_name("ADDRESS")
        ->allow_extra_args(false);
    app.add_option("--socket-mode", socket_mode,
                   "Who may use the Unix sockets: the mode of their files, as 0660 (what the umask leaves)")
        ->type_name("MODE");
    app.add_option("--socket-group", socket_group, "The group of the Unix sockets' files (semad's own)")
        ->type_name("GROUP");
    app.add_option("--store", store,
                   "Where pools are kept: sqlite:PATH, memory:, redis://HOST (sqlite: in your state folder)")
        ->type_name("STORE");
    app.add_option("--redis-wait-replicas", redis_wait_replicas,
                   "On how many replicas of that Redis a change is before it is answered (0)")
        ->type_name("N")
        ->check(is_number(0, 100));
    app.add_option("--redis-password-file", redis_password_file,
                   "A file whose first line is the password for that Redis (none)")
        ->type_name("FILE")
        ->check(is_path);
    app.add_option("--admin-token-file", options.admin_token_file,
                   "A file whose first line is the token with which all pools can be listed (nobody can)")
        ->type_name("FILE")
        ->check(is_path);
    app.add_option("--max-ttl", max_ttl, "The longest lease; a longer ttl is cut to it (1d)")
        ->type_name("T")
        ->check(is_positive_duration);
    app.add_option("--max-wait", max_wait, "The longest wait of one borrow; a longer one is cut to it (5m)")
        ->type_name("T")
        ->check(is_duration);
    app.add_option("--max-hold", max_hold, "The longest life of a lease that is kept alive (no limit)")
        ->type_name("T")
        ->check(is_positive_duration);
    app.add_option("--rejoin", rejoin,
                   "How long a borrower that lost its connection may come back to its place (15s)")
        ->type_name("T")
        ->check(is_duration);
    app.add_option("--max-count", options.limits.max_count, "The most slots a pool may have (1000)")
        ->type_name("N")
        ->check(is_number(0, wire::largest_count));
    app.add_option("--max-pools", options.limits.max_pools, "The most pools there may be (200000)")
        ->check(is_limit)
        ->type_name("N");
    app.add_option("--max-waiters", options.limits.max_waiters,
                   "The most borrows that may wait at a time (100000)")
        ->check(is_limit)
        ->type_name("N");
    app.add_option("--max-connections", options.max_connections,
                   "The most connections at a time (as many as file descriptors allow)")
        ->check(is_limit)
        ->type_name("N");
    app.add_option("--threads", options.threads, "Threads that serve connections (one per two processors)")
        ->type_name("N")
        ->check(is_number(0, 1024));
    app.add_option("--log-format", log_format, "How the log on stderr is written: text or json (text)")
        ->type_name("FORM")
        ->check(is_one_of({"text", "json"}));
    app.add_option("--log-level", options.log_level,
                   "What is logged at least: debug, info, warn, error or off (info)")
        ->type_name("LEVEL")
        ->check(is_one_of({"debug", "info", "warn", "error", "off"}));
    std::string from;
    std::string to;
    CLI::App& migrate = *app.add_subcommand(
        "migrate", "Copy all pools and their live leases from one store to another that is empty");
    migrate.formatter(std::make_shared<HelpFormatter>());
    migrate.fallthrough();
    migrate.add_option("FROM", from, "The store to read; no semad may use it meanwhile")->required();
    migrate.add_option("TO", to, "The store to fill; it must have no pools")->required();
    app.footer(
        "A time T is 90, 1.5, 30s, 5m, 1h30m or 1d.\n\n"
        "Example: serve this machine's network, and lend nothing for longer than four hours\n"
        "  semad --listen 0.0.0.0:7717 --max-ttl 4h");

    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        return Printed{migrate.parsed() ? migrate.help("semad") : app.help()};
    } catch (const CLI::CallForVersion&) {
        return Printed{std::string("semad ") + version + "\n"};
    } catch (const CLI::ParseError& error) {
        const std::vector<std::string> words(argv + 1, argv + argc);
        return failure(one_line(without_passwords(Misuse(app, words).describe(error))));
    }

    options.log_format = log_format == "json" ? LogFormat::json : LogFormat::text;
    options.limits.max_ttl = parse_duration(max_ttl).value();
    options.limits.max_wait = parse_duration(max_wait).value();
    options.limits.pool.rejoin = parse_duration(rejoin).value();
    if (!max_hold.empty()) options.limits.pool.max_hold = parse_duration(max_hold).value();
    for (const std::string& text : listen) {
        auto address = named("--listen", http::parse_listen_address(text));
        if (!address) return tl::unexpected(address.error());
        options.listen.push_back(std::move(*address));
    }
    auto access = socket_access(socket_mode, socket_group, options.listen);
    if (!access) return tl::unexpected(access.error());
    options.socket_access = *access;
    if (migrate.parsed()) {
        if (!store.empty()) return failure("semad migrate takes two stores, and no --store");
        auto source = named("FROM", parse_store(from));
        if (!source) return tl::unexpected(source.error());
        auto target = named("TO", parse_store(to));
        if (!target) return tl::unexpected(target.error());
        if (describe(*source) == describe(*target))
            return failure("semad migrate takes two stores, and both are " + describe(*source));
        for (StoreOption* each : {&*source, &*target}) {
            if (std::holds_alternative<MemoryStoreOption>(*each))
                return failure("memory: is gone when semad ends: migrate from and to stores that stay");
            const auto* redis = std::get_if<RedisStoreOption>(each);
            if (!redis) continue;
            // Of two, one may have its password in its URL.
            const std::string& file = redis->password_shown ? "" : redis_password_file;
            if (auto completed = complete(*each, redis_wait_replicas, file); !completed)
                return tl::unexpected(completed.error());
        }
        return MigrateOptions{std::move(*source), std::move(*target), options.limits.pool.rejoin};
    }
    auto parsed = store.empty() ? default_store() : named("--store", parse_store(store));
    if (!parsed) return tl::unexpected(parsed.error());
    options.store = std::move(*parsed);
    if (auto completed = complete(options.store, redis_wait_replicas, redis_password_file); !completed)
        return tl::unexpected(completed.error());
    return options;
}

std::string describe(const StoreOption& store) {
    if (const auto* sqlite = std::get_if<SqliteStoreOption>(&store)) return "sqlite:" + sqlite->path;
    if (const auto* redis = std::get_if<RedisStoreOption>(&store)) return describe(redis->redis.address);
    return "memory:";
}

}  // namespace sema
