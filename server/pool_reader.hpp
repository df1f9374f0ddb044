#pragma once

#include "common/error.hpp"
#include "server/declared_pool.hpp"

#include <toml++/toml.h>

#include <functional>
#include <string>
#include <vector>

namespace sema {

/// Called with where something is wrong, the key at fault and the reason. May be called several times.
using Refuse =
    std::function<void(const toml::source_region& place, const std::string& key, const std::string& why)>;

/// Reads the tables `[[pool]]` of a configuration file. Where `refuse` was called, what is returned counts
/// for nothing. No reason quotes an id.
std::vector<DeclaredPool> read_pools(const toml::array& pools, const std::string& path, const Refuse& refuse);

}  // namespace sema
