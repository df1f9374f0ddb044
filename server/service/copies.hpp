#pragma once

#include "server/service/answers.hpp"
#include "server/service/pool_table.hpp"
#include "server/service/wakeups.hpp"
#include "server/store/store.hpp"
#include "server/sync.hpp"

#include <memory>

namespace sema {

/// Copies of the store, one at a time, which are made a piece at a time.
class Copies {
  public:
    /// All must outlive the copies.
    Copies(Store& store, PoolTable& table, Wakeups& wakeups)
        : store_(store), table_(table), wakeups_(wakeups) {}

    /// See Service::copy_store(). Thread-safe.
    void add(Reply reply);
    /// Goes on with the copy that is being made. For the thread that is at the store, after
    /// CommitDriver::commit().
    void go_on();

  private:
    struct Copying;

    std::shared_ptr<Copying> current();
    static void begin(Store& store, Copying& copying);
    static void finish(Copying& copying);

    Store& store_;
    PoolTable& table_;
    Wakeups& wakeups_;
    Mutex mutex_;
    /// Null where none is being made.
    std::shared_ptr<Copying> current_ GUARDED_BY(mutex_);
    /// There until the last copy is made and delivered, which may be after this is gone.
    std::weak_ptr<void> taken_ GUARDED_BY(mutex_);
};

}  // namespace sema
