#pragma once

#include "common/ids.hpp"
#include "server/service/answers.hpp"
#include "server/service/commit_driver.hpp"
#include "server/service/pool_table.hpp"
#include "server/service/trouble_report.hpp"
#include "server/service/wakeups.hpp"
#include "server/store/store.hpp"
#include "server/sync.hpp"

#include <atomic>
#include <deque>
#include <memory>

namespace sema {

/// Lists of all pools, which are made a few pools at a time.
class PoolLists {
  public:
    /// All must outlive the lists.
    PoolLists(Store& store, PoolTable& table, CommitDriver& driver, Wakeups& wakeups, TroubleReport& trouble);

    /// See Service::list_pools(). Thread-safe.
    void add(Reply reply);
    /// Finishes a page of the first list that was asked for, and begins the next one. For the thread that is
    /// at the store, after CommitDriver::commit().
    void go_on();

  private:
    struct Listing;

    void begin_page(const std::shared_ptr<Listing>& listing);
    void list_used(const std::shared_ptr<Listing>& listing, const PoolId& pool);
    void list_unused(Listing& listing, const PoolId& pool);
    void finish(Listing& listing);

    Store& store_;
    PoolTable& table_;
    CommitDriver& driver_;
    Wakeups& wakeups_;
    TroubleReport& trouble_;
    Mutex mutex_;
    /// The first is the one that is being made.
    std::deque<std::shared_ptr<Listing>> listings_ GUARDED_BY(mutex_);
    /// How many there are, those included whose text is still on its way. It may outlive the lists.
    const std::shared_ptr<std::atomic<unsigned>> count_ = std::make_shared<std::atomic<unsigned>>(0);
};

}  // namespace sema
