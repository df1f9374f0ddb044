#pragma once

#include "common/durations.hpp"
#include "common/error.hpp"

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace sema {

/// What the configuration file says of one alias.
struct PoolDefaults {
    /// The pool's UUID, or `env:NAME` or `file:PATH`.
    std::string id;
    std::optional<Duration> ttl{};
    std::optional<Duration> wait{};
};

/// The configuration file:
///
///     server = "https://127.0.0.1:7717"     # or ["https://one:7717", "https://other:7717"]
///     cacert = "ca.pem"                     # beside this file
///     admin_token = "file:/etc/semad/admin-token"
///
///     [pools]
///     vsim = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01"
///     gpu = { id = "file:/etc/gpu-pool", ttl = "10m", wait = 300 }
struct Config {
    /// Where it is, whether or not there is a file.
    std::filesystem::path path;
    /// Several with commas between.
    std::optional<std::string> server;
    /// Files for https, as absolute as the configuration file's path.
    std::optional<std::string> cacert;
    std::optional<std::string> cert;
    std::optional<std::string> key;
    /// The file and the line on which each of those settings stands.
    std::map<std::string, std::string, std::less<>> places;
    /// The token itself, or `env:NAME` or `file:PATH`.
    std::optional<std::string> admin_token;
    std::map<std::string, PoolDefaults> pools;
    /// The file holds secrets, and people other than its owner may read it.
    bool exposed = false;
    /// Why the file, which is there, could not be read; empty where it was, or there is none. Then nothing is
    /// known of what it says.
    std::string unreadable;
    /// That was said already: errors do not repeat the reason.
    bool is_unreadable_said = false;
};

/// `$XDG_CONFIG_HOME/semactl/config.toml`, or the same under `~/.config`. Empty where neither variable
/// says anything.
std::filesystem::path default_config_path();

/// The file at `path`, or an empty configuration where there is none, or where it cannot be read. What it
/// says must be right: a key that means nothing is an error, since it is most likely a mistyped one. Texts
/// are trimmed.
Expected<Config> load_config(const std::filesystem::path& path);

/// Writes the line `alias = "id"` into the file at `path`, which keeps everything else that it holds,
/// comments included. A new file, and its folder, are the owner's alone. The file is replaced in one step,
/// and a process that saves an alias at the same time waits. An alias that the file has already is a failure.
/// REQUIRES: is_alias_name(alias).
Expected<void> save_alias(const std::filesystem::path& path, const std::string& alias, const std::string& id);

/// Takes the lines of the alias out of the file at `path`, in the same way. An alias that the file does not
/// have is a failure.
Expected<void> forget_alias(const std::filesystem::path& path, const std::string& alias);

}  // namespace sema
