#pragma once

#include "server/options.hpp"

#include <optional>
#include <string>

namespace sema {

/// The seed of pools' ids that the store has, if any. A semad that runs on it is not disturbed.
Expected<std::optional<std::string>> stored_seed(const StoreOption& option);

/// What `semad pools` prints.
struct ShownPools {
    /// The declared pools, with their ids.
    std::string table;
    /// For stderr: where the ids come from, or why there is no pool; may be empty.
    std::string note;
};
Expected<ShownPools> show_pools(const Options& options);

}  // namespace sema
