#pragma once

#include "server/store/history_store.hpp"
#include "server/store/postgresql/postgresql_store.hpp"

#include <memory>

namespace sema {

/// The histories of the pools in that database, those that other servers write included: in a table beside
/// the pools, over a connection of its own. The first call connects, and makes the table where there is none.
std::unique_ptr<HistoryStore> make_postgresql_history(const PostgresqlStoreOptions& options);

}  // namespace sema
