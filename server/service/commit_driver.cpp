#include "server/service/commit_driver.hpp"

namespace sema {
namespace {

std::size_t rows_of(const Changes& changes) {
    const bool has_pool_row = changes.cleared || changes.count || changes.fence;
    return changes.slots.size() + changes.places.size() + changes.out.size() + (has_pool_row ? 1 : 0) +
           (changes.settings ? 1 : 0);
}

}  // namespace

void CommitDriver::count_commit(const std::vector<PoolChange>& changes,
                                std::chrono::steady_clock::duration time) {
    if (!metrics_) return;
    std::size_t rows = 0;
    for (const PoolChange& change : changes)
        rows += rows_of(change.changes);
    // A commit that changes nothing asks whether all is as it was.
    if (rows > 0) metrics_->batch_changes.add(rows);
    metrics_->commit_seconds.add(
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(time).count()));
}

}  // namespace sema
