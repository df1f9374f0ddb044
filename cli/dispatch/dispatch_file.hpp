#pragma once

#include "common/durations.hpp"
#include "common/error.hpp"

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace sema {

/// A command and its arguments; empty where there is none. `{id}` stands for the task's id, and `{call}` for
/// the key of the command that failed.
using CommandWords = std::vector<std::string>;

/// One `[[backend]]`.
struct BackendSettings {
    std::string name;
    CommandWords poll;
    /// One of the two.
    CommandWords run{};
    CommandWords start{};
    CommandWords stop{};
    CommandWords timeout_command{};
    CommandWords keepalive{};
    CommandWords error{};
};

/// Where the pool is that a file names.
struct DispatchPool {
    /// Absolute.
    std::filesystem::path file;
    /// As on a command line; empty where `slots` alone says that there is to be a pool.
    std::string pool;
    std::optional<unsigned> slots;
    /// The pool's UUID stands in the file, and others than its owner can read it.
    bool is_exposed = false;
};

/// The file of `semactl dispatch`:
///
///     pool = "vsim"                 # or slots alone
///     slots = 4
///     interval = "10s"
///     timeout = "8h"
///     limit = "30s"
///     ttl = "60s"
///
///     [[backend]]
///     name = "nightly"
///     poll = ["./next-nightly"]
///     run = ["./sim", "{id}"]
struct DispatchFile {
    DispatchPool pool;
    /// As many tasks at a time; none where the pool alone bounds them.
    std::optional<unsigned> slots;
    Duration interval = std::chrono::seconds(10);
    Duration timeout = std::chrono::hours(8);
    /// What a command takes at most, but for `run`.
    Duration limit = std::chrono::seconds(30);
    /// How long a slot stays lent of a `run` whose machine has died.
    Duration ttl = std::chrono::seconds(60);
    std::vector<BackendSettings> backends{};
};

/// The whole file. What it says must be right, and a key that means nothing is an error. Errors name the
/// file, the line and the key.
Expected<DispatchFile> load_dispatch_file(const std::filesystem::path& path);

/// What the file says of the pool; the rest may be as it will, if only it is TOML.
Expected<DispatchPool> load_dispatch_pool(const std::filesystem::path& path);

}  // namespace sema
