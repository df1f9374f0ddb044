#include "server/show_pools.hpp"

#include "server/declared_pools.hpp"
#include "server/open_store.hpp"

#include <filesystem>
#include <iomanip>
#include <sstream>
#include <system_error>
#include <utility>

namespace sema {

Expected<std::optional<std::string>> stored_seed(const StoreOption& option) {
    if (std::holds_alternative<MemoryStoreOption>(option))
        return failure(
            "memory: forgets the ids of pools that have none of their own: give them an id or an id-file");
    if (const auto* sqlite = std::get_if<SqliteStoreOption>(&option)) {
        std::error_code unknown;
        if (!std::filesystem::exists(sqlite->path, unknown) && !unknown) return std::nullopt;
        return peek_seed(sqlite->path);
    }
    if (warnings_of_new_store(option)) return std::nullopt;
    const auto opened = open_store(option);
    if (!opened) return tl::unexpected(opened.error());
    return opened->store->seed();
}

Expected<ShownPools> show_pools(const Options& options) {
    ShownPools shown;
    if (options.pools.empty()) {
        shown.note = (options.config_file.empty() ? "there is no configuration: name it with --config"
                                                  : options.config_file + " declares no pools") +
                     std::string(" (semactl pools lists all that a running semad has)");
    }
    std::optional<std::string> seed;
    if (need_seed(options.pools)) {
        auto stored = stored_seed(options.store);
        if (!stored) return tl::unexpected(stored.error());
        if (!*stored)
            return failure("the pools have no ids yet: " + describe(options.store) +
                           " gets them when semad is first started with this configuration");
        seed = std::move(*stored);
        shown.note = "the ids are those of the store " + describe(options.store);
    }
    const auto pools = with_ids(options.pools, seed);
    if (!pools) return tl::unexpected(pools.error());
    std::ostringstream table;
    constexpr int id_width = 36;
    table << std::left << std::setw(id_width) << "POOL"
          << "  COUNT  NAME\n";
    for (const DeclaredPool& pool : *pools)
        table << pool.id->str() << "  " << std::right << std::setw(5) << pool.count << "  " << pool.name()
              << "\n";
    shown.table = table.str();
    return shown;
}

}  // namespace sema
