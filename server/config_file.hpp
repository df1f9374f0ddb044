#pragma once

#include "common/error.hpp"
#include "server/declared_pool.hpp"
#include "server/settings.hpp"

#include <string>
#include <vector>

namespace sema {

/// The file of --config: TOML, with a table for each first word of a key.
///
///     listen = ["0.0.0.0:7717", "unix:/run/semad/semad.sock"]
///
///     [limits]
///     max-ttl = "1d"
///
///     [[pool]]
///     name = "vsim"
///     count = 4
struct ConfigFile {
    struct Value {
        const ServerSetting* setting;
        /// As errors name it: `semad.toml:12: limits.max-ttl`.
        std::string place;
        /// Trimmed, as for ValueReader::read().
        std::vector<std::string> texts;
    };

    std::vector<Value> values;
    std::vector<DeclaredPool> pools;
    /// Among the pools is one whose id stands in this file.
    bool has_ids = false;
    /// People other than its owner may read it.
    bool is_exposed = false;
};

/// Reads the whole file. A key that means nothing is an error, since it is most likely a mistyped one. The
/// error is one line that names the file, the line and the key.
Expected<ConfigFile> read_config_file(const std::string& path);

}  // namespace sema
