#pragma once

#include "server/metrics/counter.hpp"
#include "server/metrics/histogram.hpp"
#include "server/metrics/text.hpp"
#include "server/pool/pool.hpp"
#include "server/sync.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace sema {

/// Something that happened to a pool, to be counted once that is committed.
struct Happening {
    enum class What : std::uint8_t { grant, end, refusal };
    What what{};
    /// Of an end.
    LeaseEnd how{};
    /// Of a grant how long its borrower had waited, of an end how long the lease was held.
    Duration time{};
};

/// In microseconds: from a hundredth of a second to eight hours.
inline constexpr std::array<std::uint64_t, 13> wait_bounds = {
    10'000,      100'000,       1'000'000,     5'000'000,     15'000'000,     60'000'000,    300'000'000,
    900'000'000, 1'800'000'000, 3'600'000'000, 7'200'000'000, 14'400'000'000, 28'800'000'000};
/// In microseconds: from a tenth of a second to a day.
inline constexpr std::array<std::uint64_t, 12> hold_bounds = {
    100'000,       1'000'000,     10'000'000,    60'000'000,     300'000'000,    900'000'000,
    1'800'000'000, 3'600'000'000, 7'200'000'000, 14'400'000'000, 28'800'000'000, 86'400'000'000};
/// In microseconds.
inline constexpr std::array<std::uint64_t, 12> commit_bounds = {
    100, 250, 500, 1'000, 2'500, 5'000, 10'000, 25'000, 50'000, 100'000, 1'000'000, 5'000'000};
/// Rows.
inline constexpr std::array<std::uint64_t, 11> batch_bounds = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

/// What is counted of the pools of one name. Any threads.
struct PoolSeries {
    /// The name as a label's value; empty for all that are counted together.
    std::string name;
    Histogram<SharedCounter, wait_bounds> waits{};
    Histogram<SharedCounter, hold_bounds> holds{};
    std::array<SharedCounter, 4> ended{};
    SharedCounter refusals{};

    void count(const std::vector<Happening>& happened);
};

/// The names by which pools are counted: since anybody who can make a pool can name one, so many at most. A
/// name that comes later takes the place of one that no pool has any more; where there is none, its pools are
/// counted with those without a name. Thread-safe.
class PoolSeriesTable {
  public:
    static constexpr std::size_t most_names = 1000;

    PoolSeriesTable();

    /// The series of pools with that name. It counts as used for as long as somebody else has it.
    std::shared_ptr<PoolSeries> of(const std::string& pool_name);
    /// By name.
    std::vector<std::shared_ptr<const PoolSeries>> all() const;

  private:
    bool make_room() REQUIRES(mutex_);

    const std::shared_ptr<PoolSeries> unnamed_;
    mutable Mutex mutex_;
    std::map<std::string, std::shared_ptr<PoolSeries>> named_ GUARDED_BY(mutex_);
};

/// What is to be counted of one pool.
struct Tally {
    std::shared_ptr<PoolSeries> series;
    /// Those by whose name the series was found.
    std::shared_ptr<const PoolSettings> settings;
    std::vector<Happening> happened;
    /// For its history.
    std::vector<HistoryEntry> past;
    /// By the first of its slots, the fence of the last expired lease that the history was given.
    std::map<Position, std::uint64_t> last_expired;
};

/// For the one thread that is at the store.
struct StoreMetrics {
    Histogram<OwnCounter, commit_bounds> commit_seconds;
    Histogram<OwnCounter, batch_bounds> batch_changes;
};

struct ServiceMetrics {
    PoolSeriesTable series;
    StoreMetrics store;
};

/// The sums over the pools of each series.
using SeriesFigures = std::unordered_map<std::shared_ptr<const PoolSeries>, PoolFigures>;

/// `now`: as of now.
void write(MetricsText& text, const ServiceMetrics& metrics, const SeriesFigures& now, bool is_store_up);

}  // namespace sema
