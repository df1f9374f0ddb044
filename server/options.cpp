#include "server/options.hpp"

#include "common/given_text.hpp"
#include "common/help_formatter.hpp"
#include "common/misuse.hpp"
#include "common/version.hpp"
#include "server/config_file.hpp"
#include "server/settings.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

namespace sema {
namespace {

// Of the help.
constexpr std::size_t semad_column_width = 26;

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

// A setting that is for something which another one names must not be left without it. Where that other one
// was overridden, by a flag for a try perhaps, what only the file says is passed over.
bool is_misplaced(const Draft& draft, const std::string& setting, const std::string& other) {
    const Source source = draft.source_of(setting);
    return source != Source::preset && source >= draft.source_of(other);
}

// What other settings say of a store on Redis.
Expected<void> complete(StoreOption& store, const Draft& draft) {
    auto* redis = std::get_if<RedisStoreOption>(&store);
    if (!redis) {
        for (const std::string setting : {"redis-wait-replicas", "redis-password-file"}) {
            if (is_misplaced(draft, setting, "store"))
                return failure(draft.origins.at(setting).name +
                               " is for a store on Redis: name it with --store redis://HOST");
        }
        return {};
    }
    redis->redis.wait_replicas = draft.redis_wait_replicas.value_or(0);
    std::string& password = redis->redis.address.password;
    if (password.empty()) redis->password_file = draft.redis_password_file;
    if (password.empty() && redis->password_file.empty()) {
        auto found = password_in("SEMAD_REDIS_PASSWORD");
        if (!found) return tl::unexpected(found.error());
        password = *std::move(found);
    }
    if (!redis->redis.address.user.empty() && password.empty() && redis->password_file.empty()) {
        const bool is_set = draft.source_of("store") != Source::preset;
        return failure((is_set ? draft.origins.at("store").name : "--store") +
                       " names a user without a password: give that in --redis-password-file or "
                       "SEMAD_REDIS_PASSWORD");
    }
    if (redis->redis.address.way == RedisAddress::Way::sentinel) {
        auto found = password_in("SEMAD_REDIS_SENTINEL_PASSWORD");
        if (!found) return tl::unexpected(found.error());
        redis->redis.sentinel_password = *std::move(found);
    }
    return {};
}

bool has_password(const StoreOption& store) {
    if (const auto* redis = std::get_if<RedisStoreOption>(&store))
        return !redis->redis.address.password.empty();
    const auto* postgresql = std::get_if<PostgresqlStoreOption>(&store);
    return postgresql && postgresql->postgresql.address.has_password;
}

// Notes whether the password that the store's address has is on the command line.
void note_password(StoreOption& store, bool is_shown) {
    std::visit(
        [&](auto& option) {
            if constexpr (requires { option.password_shown; }) option.password_shown = is_shown;
        },
        store);
}

void warn_of_exposure(Draft& draft, const std::string& file, const std::string& secret, const char* advice) {
    draft.options.warnings.push_back(file + " holds " + secret + " and others can read it (" + advice + ")");
}

Expected<void> complete_store(Draft& draft, const ConfigFile& file) {
    if (!draft.store) {
        auto preset = default_store();
        if (!preset) return tl::unexpected(preset.error());
        draft.store = std::move(*preset);
    }
    if (has_password(*draft.store)) {
        if (is_misplaced(draft, "redis-password-file", "store"))
            return failure(draft.origins.at("redis-password-file").name +
                           ": the password of the store is in " + draft.origins.at("store").name +
                           " too: write it once");
        note_password(*draft.store, draft.source_of("store") == Source::flag);
        if (draft.source_of("store") == Source::file && file.is_exposed)
            warn_of_exposure(draft, draft.options.config_file, "the password of the store",
                             "keep that in a file of its own");
    }
    if (auto completed = complete(*draft.store, draft); !completed) return completed;
    draft.options.store = std::move(*draft.store);
    return {};
}

// Where a person chooses another value: the option, the variable, or the key and its place in the file.
std::string place_to_change(const Draft& draft, const std::string& setting) {
    const auto origin = draft.origins.find(setting);
    if (origin == draft.origins.end()) return "--" + setting;
    const std::string& name = origin->second.name;
    if (origin->second.source != Source::file) return name;
    const auto key = name.rfind(": ") + 2;
    return name.substr(key) + " in " + name.substr(0, key - 2);
}

void name_settings_of_addresses(Draft& draft) {
    const auto name = [&](http::ListenAddress& address, const std::string& setting) {
        std::visit([&](auto& any) { any.setting = place_to_change(draft, setting); }, address);
    };
    Options& options = draft.options;
    for (http::ListenAddress& address : options.listen)
        name(address, "listen");
    if (options.metrics_listen) name(*options.metrics_listen, "metrics-listen");
    if (options.dashboard_listen) name(*options.dashboard_listen, "dashboard-listen");
}

Expected<void> complete_sockets(Draft& draft) {
    const auto is_socket = [](const http::ListenAddress& address) {
        return std::holds_alternative<http::UnixAddress>(address);
    };
    const Options& options = draft.options;
    bool has_socket = std::any_of(options.listen.begin(), options.listen.end(), is_socket);
    for (const auto& more : {options.metrics_listen, options.dashboard_listen})
        has_socket = has_socket || (more && is_socket(*more));
    for (const std::string setting : {"socket-mode", "socket-group"}) {
        if (!has_socket && is_misplaced(draft, setting, "listen"))
            return failure(draft.origins.at(setting).name +
                           " is for a Unix socket: name one with --listen unix:/PATH");
    }
    draft.options.socket_access = {draft.socket_mode, draft.socket_group};
    name_settings_of_addresses(draft);
    return {};
}

// What errors begin with that are about a file which the configuration file names.
std::string lead_of(const Draft& draft, const std::string& setting) {
    return draft.source_of(setting) == Source::file ? draft.origins.at(setting).name + ": " : "";
}

Expected<void> complete_tls(Draft& draft) {
    http::TlsFiles& files = draft.options.tls;
    if (files == http::TlsFiles{}) return {};
    files.leads = {lead_of(draft, "tls-cert"), lead_of(draft, "tls-key"), lead_of(draft, "tls-client-ca")};
    if (!files.certificate.empty() && !files.key.empty()) return {};
    const char* const given = !files.key.empty()           ? "tls-key"
                              : !files.certificate.empty() ? "tls-cert"
                                                           : "tls-client-ca";
    return failure(draft.origins.at(given).name + " needs " +
                   (files.certificate.empty() ? "--tls-cert" : "--tls-key") + " too");
}

Expected<void> take(Draft& draft, const ServerSetting& setting, Origin origin,
                    const std::vector<std::string>& texts) {
    if (auto read = setting.value.read(texts, draft); !read)
        return failure(origin.name + ": " + read.error().message);
    draft.origins[setting.name] = std::move(origin);
    if (setting.on_reload == OnReload::kept) draft.options.kept[setting.name] = texts;
    return {};
}

Expected<void> take_file(Draft& draft, const ConfigFile& file) {
    for (const ConfigFile::Value& value : file.values) {
        if (auto taken = take(draft, *value.setting, {Source::file, value.place}, value.texts); !taken)
            return taken;
    }
    return {};
}

// Of a list, the entries stand between commas.
std::vector<std::string> parted(const std::string& text) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find(',', begin), text.size());
        parts.emplace_back(trimmed(std::string_view(text).substr(begin, end - begin)));
        begin = end + 1;
    }
    return parts;
}

Expected<void> take_environment(Draft& draft) {
    for (const ServerSetting& setting : server_settings()) {
        const auto text = environment_value(setting.variable());
        if (!text) continue;
        const auto texts =
            setting.value.kind == ValueKind::texts ? parted(*text) : std::vector<std::string>{*text};
        if (auto taken = take(draft, setting, {Source::environment, setting.variable()}, texts); !taken)
            return taken;
    }
    return {};
}

// The options of the settings, as they are typed.
class Flags {
  public:
    explicit Flags(CLI::App& app) {
        for (const ServerSetting& setting : server_settings())
            add(app, setting, typed_.emplace_back());
    }

    Expected<void> take(Draft& draft) const {
        auto typed = typed_.begin();
        for (const ServerSetting& setting : server_settings()) {
            const auto& [option, one, many] = *typed++;
            if (option->count() == 0) continue;
            const auto& texts = setting.value.kind == ValueKind::texts ? many : std::vector<std::string>{one};
            if (auto taken = sema::take(draft, setting, {Source::flag, "--" + setting.name}, texts); !taken)
                return taken;
        }
        return {};
    }

  private:
    struct Typed {
        CLI::Option* option = nullptr;
        std::string one;
        std::vector<std::string> many;
    };

    static void add(CLI::App& app, const ServerSetting& setting, Typed& typed) {
        const std::string flag = "--" + setting.name;
        if (setting.value.kind == ValueKind::yes_or_no) {
            typed.option = app.add_flag(flag, typed.one, setting.help);
            return;
        }
        typed.option = setting.value.kind == ValueKind::texts
                           ? app.add_option(flag, typed.many, setting.help)->allow_extra_args(false)
                           : app.add_option(flag, typed.one, setting.help);
        typed.option->type_name(setting.placeholder);
    }

    /// The parser keeps pointers into it.
    std::deque<Typed> typed_;
};

// `is_check`: it is no more than a warning that the id of a pool could not be read here.
Expected<void> complete_pools(Draft& draft, ConfigFile file, bool is_check) {
    for (const DeclaredPool& pool : file.pools) {
        if (pool.unread_id.empty()) continue;
        if (!is_check) return failure(pool.unread_id);
        draft.options.warnings.push_back(pool.unread_id + " (it was not checked)");
    }
    for (const DeclaredPool& pool : file.pools) {
        if (pool.count > draft.options.limits.max_count)
            return failure(pool.count_place + ": " + std::to_string(pool.count) +
                           " is more than --max-count allows (" +
                           std::to_string(draft.options.limits.max_count) + ")");
    }
    // A configuration file that others cannot read is one that a service with a user of its own cannot read.
    if (file.has_ids && file.is_exposed)
        warn_of_exposure(draft, draft.options.config_file, "pools' UUIDs", "keep them in files: id-file");
    for (const DeclaredPool& pool : file.pools) {
        if (!pool.exposed_id_file.empty())
            warn_of_exposure(draft, pool.exposed_id_file, "a pool's UUID",
                             "chmod 600 it; LoadCredential= hands it to a service");
    }
    draft.options.pools = std::move(file.pools);
    return {};
}

using Names = std::vector<std::string>;

/// Lists those of semad's own options that a command heeds.
class CommandHelp : public HelpFormatter {
  public:
    /// `heeded`: empty for all.
    CommandHelp(const CLI::App& semad, Names heeded) : semad_(semad), heeded_(std::move(heeded)) {
        column_width(semad_column_width);
    }

    std::string make_group(std::string group, bool is_positional,
                           std::vector<const CLI::Option*> options) const override {
        const auto is_heeded = [this](const CLI::Option* option) {
            const Names& names = option->get_lnames();
            if (heeded_.empty()) return names != Names{"help"} && names != Names{"version"};
            return std::find_first_of(names.begin(), names.end(), heeded_.begin(), heeded_.end()) !=
                   names.end();
        };
        if (!is_positional) {
            const auto more = semad_.get_options(is_heeded);
            options.insert(options.end(), more.begin(), more.end());
        }
        return HelpFormatter::make_group(std::move(group), is_positional, std::move(options));
    }

  private:
    const CLI::App& semad_;
    const Names heeded_;
};

CLI::App& add_command(CLI::App& app, const char* name, const char* what, Names heeded) {
    CLI::App& command = *app.add_subcommand(name, what);
    command.formatter(std::make_shared<CommandHelp>(app, std::move(heeded)));
    // The options stand behind it, too.
    command.fallthrough();
    return command;
}

Expected<MigrateOptions> migrate_options(const Draft& draft, const std::string& from, const std::string& to) {
    if (draft.source_of("store") == Source::flag)
        return failure("semad migrate takes two stores, and no --store");
    auto source = named("FROM", parse_store(from));
    if (!source) return tl::unexpected(source.error());
    auto target = named("TO", parse_store(to));
    if (!target) return tl::unexpected(target.error());
    if (describe(*source) == describe(*target))
        return failure("semad migrate takes two stores, and both are " + describe(*source));
    for (StoreOption* each : {&*source, &*target}) {
        if (std::holds_alternative<MemoryStoreOption>(*each))
            return failure("memory: is gone when semad ends: migrate from and to stores that stay");
        note_password(*each, has_password(*each));
        if (!std::holds_alternative<RedisStoreOption>(*each)) continue;
        if (auto completed = complete(*each, draft); !completed) return tl::unexpected(completed.error());
    }
    return MigrateOptions{std::move(*source), std::move(*target), draft.options.limits.pool.rejoin};
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

Expected<Parsed> parse_options(int argc, const char* const* argv) {
    CLI::App app("Lends numbered slots of pools for a bounded time, over HTTP.", "semad");
    app.set_version_flag("--version", std::string("semad ") + version, "Print the version and exit");
    app.set_help_flag("-h,--help", "Print this help and exit");
    app.formatter(std::make_shared<HelpFormatter>());
    app.get_formatter()->column_width(semad_column_width);

    std::optional<std::string> config;
    app.add_option("--config", config, "A file with the settings that no option gives (none)")
        ->type_name("FILE");
    const Flags flags(app);
    std::string from;
    std::string to;
    CLI::App& check = add_command(app, "check", "Say what would be wrong with the same options", {});
    bool for_reload = false;
    check.add_flag("--reload", for_reload, "Leave out the store, which a reload does not open");
    CLI::App& pools = add_command(app, "pools", "Print the pools that the configuration declares",
                                  {"config", "store", "redis-password-file"});
    CLI::App& migrate = add_command(app, "migrate", "Copy all pools and live leases to an empty store",
                                    {"redis-wait-replicas", "redis-password-file", "rejoin"});
    migrate.add_option("FROM", from, "The store to read; no semad may use it meanwhile")->required();
    migrate.add_option("TO", to, "The store to fill; it must have no pools")->required();
    BackupOptions backup_options;
    CLI::App& backup =
        add_command(app, "backup", "Copy a store that no semad uses into a file", {"config", "store"});
    backup.add_option("FILE", backup_options.file, "The file to write")->required();
    app.footer(
        "A time T is 90, 1.5, 30s, 5m, 1h30m or 1d. What no option says is taken from the environment, "
        "as SEMAD_MAX_TTL for --max-ttl, and then from the file of --config: see semad.toml(5).\n\n"
        "Example: serve this machine's network, with leases of four hours at the most\n"
        "  semad --listen 0.0.0.0:7717 --max-ttl 4h");

    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        const auto chosen = app.get_subcommands();
        return Printed{chosen.empty() ? app.help() : chosen.front()->help("semad")};
    } catch (const CLI::CallForVersion&) {
        return Printed{std::string("semad ") + version + "\n"};
    } catch (const CLI::ParseError& error) {
        const std::vector<std::string> words(argv + 1, argv + argc);
        return failure(one_line(without_passwords(Misuse(app, words).describe(error))));
    }

    Draft draft;
    const std::string file_name = config ? "--config" : "SEMAD_CONFIG";
    // A migration reads no configuration file, not even the one that the environment names.
    if (!config && !migrate.parsed()) config = environment_value("SEMAD_CONFIG");
    ConfigFile file;
    if (config) {
        if (migrate.parsed()) return failure("semad migrate takes no --config");
        if (config->empty()) return failure(file_name + ": needs a file");
        auto read = read_config_file(*config);
        if (!read) return tl::unexpected(read.error());
        file = std::move(*read);
        draft.options.config_file = *config;
    }
    if (auto taken = take_file(draft, file); !taken) return tl::unexpected(taken.error());
    if (auto taken = take_environment(draft); !taken) return tl::unexpected(taken.error());
    if (auto taken = flags.take(draft); !taken) return tl::unexpected(taken.error());
    if (migrate.parsed()) {
        auto migration = migrate_options(draft, from, to);
        if (!migration) return tl::unexpected(migration.error());
        return std::move(*migration);
    }
    if (auto completed = complete_sockets(draft); !completed) return tl::unexpected(completed.error());
    if (auto completed = complete_tls(draft); !completed) return tl::unexpected(completed.error());
    draft.options.admin_token_lead = lead_of(draft, "admin-token-file");
    draft.options.callback_authorities_lead = lead_of(draft, "callback-ca");
    if (auto completed = complete_store(draft, file); !completed) return tl::unexpected(completed.error());
    if (auto completed = complete_pools(draft, std::move(file), check.parsed()); !completed)
        return tl::unexpected(completed.error());
    if (check.parsed()) return CheckOptions{std::move(draft.options), for_reload};
    if (pools.parsed()) return PoolsOptions{std::move(draft.options)};
    if (backup.parsed()) {
        backup_options.store = std::move(draft.options.store);
        return backup_options;
    }
    return std::move(draft.options);
}

std::string describe(const StoreOption& store) {
    if (const auto* sqlite = std::get_if<SqliteStoreOption>(&store)) return "sqlite:" + sqlite->path;
    if (const auto* redis = std::get_if<RedisStoreOption>(&store)) return describe(redis->redis.address);
    if (const auto* postgresql = std::get_if<PostgresqlStoreOption>(&store))
        return describe(postgresql->postgresql.address);
    return "memory:";
}

}  // namespace sema
