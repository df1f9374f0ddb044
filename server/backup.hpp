#pragma once

#include "server/options.hpp"
#include "server/store/store.hpp"

#include <string>

namespace sema {

/// Reads all pools of a store of a server's own, and says what it has: `3 pools and 2 live leases`.
Expected<std::string> stock_of(Store& store);

/// Does what `semad backup` does. Returns what to print.
Expected<std::string> run_backup(const BackupOptions& options);

}  // namespace sema
