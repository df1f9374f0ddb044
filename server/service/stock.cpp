#include "server/service/stock.hpp"

#include <optional>
#include <variant>

namespace sema {

Expected<Stock> take_stock(Store& store, TimePoint now, const PoolLimits& limits) {
    constexpr std::size_t pools_per_page = 100;
    Stock stock;
    std::optional<PoolId> last;
    while (true) {
        const auto ids = store.pools_after(last, pools_per_page);
        if (!ids) return tl::unexpected(ids.error());
        if (ids->empty()) return stock;
        last = ids->back();
        for (const PoolId& id : *ids) {
            const LoadResult found = store.load(id);
            if (const auto* broken = std::get_if<StoreFailure>(&found)) return tl::unexpected(*broken);
            const auto* record = std::get_if<PoolRecord>(&found);
            if (!record) continue;
            const Pool pool(*record, now, limits);
            ++stock.pools;
            stock.leases += pool.leases();
            stock.places += pool.waiting();
        }
    }
}

}  // namespace sema
