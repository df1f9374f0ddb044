#pragma once

#include "server/store/store.hpp"

#include <condition_variable>
#include <memory>
#include <mutex>

namespace sema::test {

/// What a test does to a store that is in use elsewhere. Any thread.
///
/// A commit passes the gate first, then meets the fault that is set at that moment.
class StoreFaults {
  public:
    /// The next `n` commits fail, and nothing of them is applied.
    void fail_commits(unsigned n);
    /// The next `n` commits are applied, and yet report a StoreFailure, as when a connection breaks
    /// between a request and its answer.
    void leave_commits_unconfirmed(unsigned n);
    /// Every commit fails until heal().
    void fail_all_commits();
    /// Every load, and every question for the anchor or for pools and their number, fails until heal().
    void fail_loads();
    /// From now on all calls succeed again.
    void heal();

    /// Commits begun so far, those that failed or are still held at the gate included.
    unsigned commits() const;

    /// Holds every commit that begins while this object lives. Declare it after what commits, so that a
    /// failed assertion opens the gate before the committing thread is waited for.
    class [[nodiscard]] Gate {
      public:
        explicit Gate(StoreFaults& faults);
        Gate(const Gate&) = delete;
        Gate& operator=(const Gate&) = delete;
        ~Gate() { open(); }

        /// Returns once a commit is held here. Throws when none comes within 10 s.
        void await_commit();
        /// Lets the held commit go on, and holds none from now on.
        void open();

      private:
        StoreFaults& faults_;
    };

  private:
    friend class FaultyStore;
    enum class Fate { succeeds, fails, unconfirmed };

    Fate begin_commit();
    bool loads_fail() const;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    // All guarded by mutex_.
    unsigned failing_commits_ = 0;
    unsigned unconfirmed_commits_ = 0;
    bool all_commits_fail_ = false;
    bool loads_fail_ = false;
    bool gate_closed_ = false;
    unsigned held_at_gate_ = 0;
    unsigned commits_ = 0;
};

/// A store that hands everything on to `inner`, except for what `faults` says.
std::unique_ptr<Store> make_faulty_store(std::unique_ptr<Store> inner, std::shared_ptr<StoreFaults> faults);

}  // namespace sema::test
