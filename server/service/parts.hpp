#pragma once

#include "server/service/copies.hpp"
#include "server/service/pool_lists.hpp"
#include "server/service/pool_table.hpp"
#include "server/service/service.hpp"
#include "server/service/service_metrics.hpp"
#include "server/service/trouble_report.hpp"
#include "server/service/wakeups.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace sema {

/// What a service is made of.
struct Service::Parts {
    /// `make_driver` gets the parts that are there by then: all above `driver`.
    template <class MakeDriver>
    Parts(Store& store, const Clock& with, const ServiceLimits& limits,
          std::function<void(const std::string&)> on_store_trouble, const MakeDriver& make_driver)
        : clock(with),
          trouble(clock, std::move(on_store_trouble)),
          table(clock, limits, store.chosen_leases().value_or(std::vector<ChosenLease>()),
                store.pool_count().value_or(0), wakeups),
          driver(make_driver(*this)),
          lists(store, table, *driver, wakeups, trouble),
          copies(store, table, wakeups) {
        table.attach(*driver);
    }

    const Clock& clock;
    Wakeups wakeups;
    TroubleReport trouble;
    PoolTable table;
    const std::unique_ptr<CommitDriver> driver;
    PoolLists lists;
    Copies copies;
    /// Null where none are kept.
    std::unique_ptr<ServiceMetrics> metrics;
    /// A thread is in flush().
    std::atomic<bool> is_flushing{false};
    std::thread committer;
    std::thread timer;
};

}  // namespace sema
