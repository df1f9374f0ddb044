#pragma once

#include "common/ids.hpp"
#include "common/pool_settings.hpp"

#include <optional>
#include <string>

namespace sema {

/// A pool as the configuration file has it. What stands there holds whole: a setting that it does not name
/// has its default.
struct DeclaredPool {
    /// Where it stands, and its key `count`, as errors name them: `semad.toml:12: pool`.
    std::string place;
    std::string count_place;
    /// Nothing where the pool has none of its own.
    std::optional<PoolId> id{};
    /// The file that has the id, where others can read that.
    std::string exposed_id_file{};
    /// Where the file that has the id is a credential which this process cannot read: what a start has to say
    /// of that, with the place. The pool has no id then.
    std::string unread_id{};
    unsigned count = 0;
    /// With a name. The payloads are none, or as many as the count or more.
    PoolSettings settings{};

    const std::string& name() const { return settings.name; }
};

}  // namespace sema
