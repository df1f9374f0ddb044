#pragma once

#include "cli/run/acquire.hpp"
#include "cli/run/proc_folder.hpp"
#include "cli/run/supervisor.hpp"
#include "cli/run/take_over.hpp"
#include "cli/session.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace sema {

/// The options of `semactl run`.
struct RunOptions {
    std::vector<std::string> pools;
    /// What names the lease to take over, where none is to be borrowed.
    std::string lease;
    /// That of the only lease with that id that is to be taken over.
    std::optional<std::uint64_t> fence;
    std::optional<Duration> ttl;
    std::optional<Duration> wait;
    std::optional<Duration> kill_after;
    std::optional<Duration> grace;
    std::string token;
    std::optional<unsigned> slots;
    std::optional<std::int64_t> priority;
    std::string holder;
    /// `term`, `ignore`, or a command.
    std::string on_lost = "term";
    std::string teardown;
    unsigned conflict_status = 0;
    bool no_keepalive = false;
    bool hold_tree = false;
    /// Leave the queue, or stop the command, when the process that started semactl is gone.
    bool die_with_parent = false;
    /// Run without a slot when the server cannot be reached.
    bool fall_back = false;
    bool dry_run = false;
};

/// One `semactl run`: borrows a slot of each pool, or takes over a lease, runs the command, and returns them.
class RunJob {
  public:
    /// `pools` in the order of the command line; `lease` is what the options name, of the only pool; `path`
    /// is the file that `command`'s first word names.
    RunJob(const RunOptions& options, Session& session, std::vector<PoolRef> pools,
           std::optional<LeaseId> lease, std::string path, const std::vector<std::string>& command);

    /// Says what would be done. The exit status.
    int describe() const;
    /// The exit status.
    int run();

  private:
    /// The leases, or why there are none, and of which pool.
    struct Failed {
        Acquired why;
        const PoolRef* pool;
    };
    using Borrowed = std::variant<std::unique_ptr<Keeper>, Failed>;
    using Variables = std::vector<std::pair<std::string, std::string>>;

    Duration ttl_of(const PoolRef& pool) const;
    Duration wait() const;
    Duration grace() const;
    wire::BorrowRequest request(const PoolRef& pool, Duration wait) const;
    Acquired borrow(const PoolRef& pool, Moment deadline, Keeper* earlier, Requests& requests) const;
    std::optional<Failed> interruption(Requests& requests, const PoolRef& pool) const;
    std::optional<Failed> await_pools(Moment deadline, Requests& requests) const;
    Borrowed borrow_all(Requests& requests) const;
    Borrowed borrow_once(Moment deadline, Requests& requests) const;
    int explain_failure(const Failed& failed) const;
    void keep(Keeper& keeper, HeldLease lease) const;

    int run_under_lease(Signals& signals) const;
    int run_holding(Keeper& keeper, Signals& signals) const;
    Supervisor::Limits limits(const Variables& variables) const;
    Variables variables(const Keeper& keeper) const;
    ChildSpec shell(const std::string& line, const Variables& variables) const;
    void explain_exec(const ChildSpec& child, int exec_failure) const;
    /// What the pools are called in the names of variables.
    std::vector<std::string> names_of_variables() const;
    void tear_down(Keeper& keeper, Ended& ended, Variables variables, Signals& signals) const;

    const RunOptions& options_;
    Session& session_;
    const std::vector<PoolRef> pools_;
    const std::optional<LeaseId> lease_;
    std::string names_;
    const std::string path_;
    const std::vector<std::string>& command_;
    const ProcFolder proc_;
    /// As whom it borrows.
    std::shared_ptr<const Holder> holder_;
};

}  // namespace sema
