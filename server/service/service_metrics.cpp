#include "server/service/service_metrics.hpp"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

namespace sema {
namespace {

using Kind = MetricsText::Kind;
using AllSeries = std::vector<std::shared_ptr<const PoolSeries>>;

constexpr std::uint64_t per_second = 1'000'000;
constexpr std::array<const char*, 4> end_names = {"returned", "expired", "revoked", "deleted"};

std::uint64_t count_of(Duration time) {
    return static_cast<std::uint64_t>(std::max(time, Duration::zero()).count());
}

HistogramCounts counts_of(const auto& histogram) {
    HistogramCounts counts;
    histogram.add_to(counts);
    return counts;
}

void write_figures(MetricsText& text, const AllSeries& all, const SeriesFigures& now) {
    const auto gauge = [&](const char* name, const char* help, const auto& write_one) {
        text.begin(name, Kind::gauge, help);
        for (const auto& series : all) {
            const auto figures = now.find(series);
            if (figures != now.end()) write_one(series->name, figures->second);
        }
    };
    gauge("sema_pool_slots", "Slots that the pool has (its count).",
          [&](const std::string& name, const PoolFigures& it) {
              text.add({{"pool", name}}, it.slots);
          });
    gauge("sema_pool_slots_in_use", "Slots that are lent.",
          [&](const std::string& name, const PoolFigures& it) {
              text.add({{"pool", name}}, it.in_use);
          });
    gauge("sema_pool_slots_resting", "Slots that rest after their last lease, for the pool's cooldown.",
          [&](const std::string& name, const PoolFigures& it) {
              text.add({{"pool", name}}, it.resting);
          });
    gauge("sema_pool_slots_out", "Slots that are out of service.",
          [&](const std::string& name, const PoolFigures& it) {
              text.add({{"pool", name}}, it.out);
          });
    gauge("sema_pool_slots_available",
          "Slots that could be lent: neither lent nor at rest nor out of service.",
          [&](const std::string& name, const PoolFigures& it) {
              text.add({{"pool", name}}, it.available);
          });
    gauge("sema_pool_waiters", "Borrowers in the queue, those included who are away and may come back.",
          [&](const std::string& name, const PoolFigures& it) {
              text.add({{"pool", name}}, it.waiters);
          });
    gauge("sema_pool_oldest_wait_seconds",
          "How long the one who has waited longest waits by now; 0 with no queue.",
          [&](const std::string& name, const PoolFigures& it) {
              text.add_seconds({{"pool", name}}, count_of(it.oldest_wait));
          });
}

void write_counters(MetricsText& text, const AllSeries& all) {
    text.begin("sema_pool_grants_total", Kind::counter, "Leases granted.");
    for (const auto& series : all) {
        std::uint64_t grants = 0;
        for (const std::uint64_t count : counts_of(series->waits).counts)
            grants += count;
        text.add({{"pool", series->name}}, grants);
    }
    text.begin("sema_pool_leases_ended_total", Kind::counter, "Leases that ended, by reason.");
    for (const auto& series : all) {
        for (std::size_t i = 0; i < end_names.size(); ++i)
            text.add({{"pool", series->name}, {"reason", end_names[i]}}, series->ended[i].value());
    }
    text.begin("sema_pool_refusals_total", Kind::counter,
               "Borrows that got nothing, since no slot came free within their wait.");
    for (const auto& series : all)
        text.add({{"pool", series->name}}, series->refusals.value());
    text.begin("sema_pool_wait_seconds", Kind::histogram,
               "How long borrowers that were granted a lease had waited for it.");
    for (const auto& series : all)
        text.add({{"pool", series->name}}, counts_of(series->waits), wait_bounds, per_second);
    text.begin("sema_pool_hold_seconds", Kind::histogram, "How long leases that ended were held.");
    for (const auto& series : all)
        text.add({{"pool", series->name}}, counts_of(series->holds), hold_bounds, per_second);
}

}  // namespace

void PoolSeries::count(const std::vector<Happening>& happened) {
    for (const Happening& happening : happened) {
        switch (happening.what) {
            case Happening::What::grant:
                waits.add(count_of(happening.time));
                break;
            case Happening::What::end:
                ended[static_cast<std::size_t>(happening.how)].add();
                holds.add(count_of(happening.time));
                break;
            case Happening::What::refusal:
                refusals.add();
                break;
        }
    }
}

PoolSeriesTable::PoolSeriesTable() : unnamed_(std::make_shared<PoolSeries>()) {}

std::shared_ptr<PoolSeries> PoolSeriesTable::of(const std::string& pool_name) {
    if (pool_name.empty()) return unnamed_;
    const std::string name = label_value(pool_name);
    const MutexLock lock(mutex_);
    if (const auto found = named_.find(name); found != named_.end()) return found->second;
    if (named_.size() >= most_names && !make_room()) return unnamed_;
    auto& series = named_[name];
    series = std::make_shared<PoolSeries>();
    series->name = name;
    return series;
}

bool PoolSeriesTable::make_room() {
    const auto unused = std::find_if(named_.begin(), named_.end(),
                                     [](const auto& series) { return series.second.use_count() == 1; });
    if (unused == named_.end()) return false;
    named_.erase(unused);
    return true;
}

std::vector<std::shared_ptr<const PoolSeries>> PoolSeriesTable::all() const {
    std::vector<std::shared_ptr<const PoolSeries>> all = {unnamed_};
    const MutexLock lock(mutex_);
    for (const auto& [name, series] : named_)
        all.push_back(series);
    return all;
}

void write(MetricsText& text, const ServiceMetrics& metrics, const SeriesFigures& now, bool is_store_up) {
    const auto all = metrics.series.all();
    write_figures(text, all, now);
    write_counters(text, all);
    text.begin("sema_store_commit_seconds", Kind::histogram, "How long commits to the store took.");
    text.add({}, counts_of(metrics.store.commit_seconds), commit_bounds, per_second);
    text.begin("sema_store_batch_changes", Kind::histogram,
               "Changes of rows that were committed to the store together.");
    text.add({}, counts_of(metrics.store.batch_changes), batch_bounds, 1);
    text.begin("sema_store_up", Kind::gauge,
               "Whether the store worked when it was used last (1) or failed (0).");
    text.add({}, is_store_up ? 1U : 0U);
}

}  // namespace sema
