#pragma once

#include "server/options.hpp"

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sema {

/// Where a value was given. One that stands further down here beats those above it.
enum class Source { preset, file, environment, flag };

struct Origin {
    Source source = Source::preset;
    /// As errors name it: `--max-ttl`, `SEMAD_MAX_TTL`, `semad.toml:12: limits.max-ttl`.
    std::string name;
};

/// Options while they are put together. The other members make sense only with further settings.
struct Draft {
    Options options;
    std::optional<StoreOption> store;
    std::optional<unsigned> redis_wait_replicas;
    std::string redis_password_file;
    std::optional<mode_t> socket_mode;
    std::optional<gid_t> socket_group;
    /// Of each setting that was given, by its name: where the value that counts stands.
    std::map<std::string, Origin> origins;

    Source source_of(const std::string& setting) const;
};

/// How a value is written in the file. In the environment and on the command line all are texts.
enum class ValueKind { text, texts, file, number, duration, yes_or_no };

struct ValueReader {
    ValueKind kind;
    /// Takes the value: one text, or for ValueKind::texts any number of them. The error says what is wrong
    /// with it, and names no setting.
    std::function<Expected<void>(const std::vector<std::string>& texts, Draft& into)> read;
};

/// What a reload does with a setting that was changed in the file.
enum class OnReload { taken, kept };

/// One thing that can be set.
struct ServerSetting {
    /// It is the option `--NAME`, and the variable `SEMAD_NAME` in capitals.
    std::string name;
    /// Its key in the file: `limits.max-ttl` stands in the table `[limits]`.
    std::string key;
    /// What the help calls its value.
    std::string placeholder;
    /// One line, with the default in parentheses.
    std::string help;
    ValueReader value;
    OnReload on_reload = OnReload::kept;

    std::string variable() const;
};

/// All settings there are, in the help's order. A new one is a line of that table; its man pages
/// (semad.8, semad.toml.5) and completions are held to it by a test.
std::span<const ServerSetting> server_settings();

/// The store that `text` names, as after --store.
Expected<StoreOption> parse_store(const std::string& text);

}  // namespace sema
