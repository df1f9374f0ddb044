#pragma once

#include "cli/client.hpp"
#include "cli/console.hpp"
#include "cli/pool_ref.hpp"

namespace sema {

/// A lease that is ours to give back, which its destructor does at the latest.
/// The client and the console must outlive it.
class HeldLease {
  public:
    HeldLease(Client& client, Console& console, PoolRef pool, Grant grant);
    ~HeldLease();
    HeldLease(HeldLease&& other) noexcept;
    HeldLease& operator=(HeldLease&&) = delete;

    const Grant& grant() const { return grant_; }
    const PoolRef& pool() const { return pool_; }

    /// CI systems ask twice, 7.5 s apart, before they kill a job; stopping the command may have taken 5.
    static constexpr Duration longest_return = std::chrono::milliseconds(1500);

    /// Returns the lease; tries again, for as long as that, where the server can't be reached. What goes
    /// wrong is told, and is no failure: the slot then frees itself at the end of its ttl.
    void give_back(Duration all_tries = longest_return);

    /// From here on somebody else takes care of the lease.
    void disown() { held_ = false; }

  private:
    Client* client_;
    Console* console_;
    PoolRef pool_;
    Grant grant_;
    bool held_ = true;
};

}  // namespace sema
