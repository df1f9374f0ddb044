#include "server/backup.hpp"

#include "server/counted.hpp"
#include "server/service/clock.hpp"
#include "server/service/stock.hpp"
#include "server/store/sqlite/sqlite_store.hpp"

#include <variant>

namespace sema {

Expected<std::string> stock_of(Store& store) {
    const auto anchor = store.anchor();
    if (!anchor) return tl::unexpected(anchor.error());
    const auto stock = take_stock(store, SystemClock(*anchor).now(), PoolLimits{});
    if (!stock) return tl::unexpected(stock.error());
    return counted(stock->pools, "pool") + " and " + counted(stock->leases, "live lease");
}

Expected<std::string> run_backup(const BackupOptions& options) {
    const auto* file = std::get_if<SqliteStoreOption>(&options.store);
    if (!file)
        return failure("semad backup copies a store that is a file, and not " + describe(options.store) +
                       ": a Redis and a PostgreSQL have backups of their own");
    if (auto copied = copy_sqlite_store(file->path, options.file); !copied)
        return tl::unexpected(copied.error());
    // A backup that cannot be restored is none.
    const auto outlook = check_sqlite_store(options.file);
    if (!outlook) return tl::unexpected(outlook.error());
    if (!outlook->store) return failure(options.file + " was taken away meanwhile");
    return stock_of(*outlook->store).map([&](const std::string& stock) {
        return "copied " + stock + " of " + describe(options.store) + " to " + options.file + "\n";
    });
}

}  // namespace sema
