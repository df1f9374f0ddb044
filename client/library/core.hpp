#pragma once

#include "client/calls.hpp"
#include "client/library/engine.hpp"
#include "common/wire.hpp"

#include <sema/acquire_options.hpp>
#include <sema/client.hpp>
#include <sema/errc.hpp>
#include <sema/process.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <unordered_set>
#include <utility>
#include <vector>

namespace sema {
inline namespace v1 {
class lease;
class operation;
class semaphore;

namespace detail {

class Acquiring;
class Held;
class Pending;

/// Why a call did not do what it was asked for: nothing where it did. The text goes before the code's own.
struct Failure {
    std::error_code code{};
    std::string what{};
    explicit operator bool() const { return static_cast<bool>(code); }
};

/// What stands behind a client, and is shared by its semaphores and leases: what its thread does, and what of
/// that is still to be done. All functions are for that thread, where nothing else is said.
class Core : public std::enable_shared_from_this<Core> {
  public:
    /// Throws sema::error for what is wrong with the options.
    explicit Core(client_options options);
    ~Core();

    // ---- any thread

    void begin() { engine_.begin(); }
    /// Ends all, as the client's destructor says.
    void end();
    /// Whether this is the process that the client was made in. The thread is in that one alone.
    bool is_here() const { return process_.is_here(); }
    /// Whether the client can be used: in this process, and not destroyed.
    bool is_open() const { return is_here() && engine_.is_open(); }
    /// For a child process: keeps all as it is until that ends, since it is the parent's to close.
    void leave_alone();
    bool post(std::function<void()> job) { return is_here() && engine_.post(std::move(job)); }
    bool is_own_thread() const { return engine_.is_own_thread(); }
    const client_options& options() const { return options_; }
    Duration call_limit() const { return call_limit_; }
    const std::vector<ServerAddress>& addresses() const { return addresses_; }

    // ---- its own thread

    Engine& engine() { return engine_; }
    Servers& servers() { return engine_.servers(); }
    /// Whether the client is being destroyed.
    bool is_ending() const { return is_ending_; }

    /// Begins an acquire now, or once another one has ended, if too many wait: `most_places` of its pool and
    /// priority, or as many of all of them as the process has descriptors for.
    void enter(const std::shared_ptr<Acquiring>& borrower);
    /// It has ended.
    void leave(const std::shared_ptr<Acquiring>& borrower);
    /// It is under way, with a place or without.
    void add(const std::shared_ptr<Acquiring>& borrower) { borrowers_.insert(borrower); }
    void remove(const std::shared_ptr<Acquiring>& borrower) { borrowers_.erase(borrower); }

    void add(const std::shared_ptr<Held>& lease) { leases_.insert(lease); }
    void remove(const std::shared_ptr<Held>& lease) { leases_.erase(lease); }

    /// Returns a lease, and tries again until `ends_at`. `done` hears whether it was still held once that is
    /// known, or a failure after `patience`, whichever comes first.
    using Returned = std::function<void(const Failure&, bool)>;
    void give_back(const PoolId& pool, const LeaseId& lease, std::optional<std::uint64_t> fence,
                   Moment ends_at, Duration patience, Returned done);
    /// Takes a borrower out of the queue, and returns what it may have been granted.
    void leave_queue(const PoolId& pool, const LeaseId& lease, Duration ttl, bool is_users_id);

  private:
    struct Returning;
    /// Those of one pool and priority.
    struct Lane {
        std::unordered_set<std::shared_ptr<Acquiring>> placed{};
        /// By their arrival.
        std::map<std::uint64_t, std::shared_ptr<Acquiring>> waiting{};
    };
    using LaneKey = std::pair<PoolId, int>;
    static LaneKey key_of(const Acquiring& borrower);
    bool has_room(const Lane& lane) const;
    void place(Lane& lane, const std::shared_ptr<Acquiring>& borrower);
    void place_next();

    void close();
    void try_to_return(const std::shared_ptr<Returning>& work);
    void after_try(const std::shared_ptr<Returning>& work, std::optional<Answer<wire::Returned>> answer);
    void work_begins() { ++works_; }
    void work_ends();

    const client_options options_;
    const Duration call_limit_;
    const std::vector<ServerAddress> addresses_;
    const Process process_;
    Engine engine_;
    std::map<LaneKey, Lane> lanes_;
    /// How many have a place, in all lanes, and how many wait for one.
    std::size_t placed_ = 0;
    std::size_t unplaced_ = 0;
    std::uint64_t last_arrival_ = 0;
    std::unordered_set<std::shared_ptr<Acquiring>> borrowers_;
    std::unordered_set<std::shared_ptr<Held>> leases_;
    std::unordered_set<std::shared_ptr<Returning>> returning_;
    /// How many clean-ups on the servers are under way.
    std::size_t works_ = 0;
    bool is_ending_ = false;
    /// In a child process alone.
    std::shared_ptr<Core> self_;
};

/// Any time of the interface, rounded up, and cut off at what this side counts with.
Duration duration_of(std::chrono::nanoseconds time);

/// What the interface calls an outcome, and its text.
template <class Trouble>
std::string trouble_text(const Servers& servers, const Trouble& why) {
    return servers.list[servers.current].name + " " + predicate(why);
}
inline Failure failure_of(const Servers& servers, const Busy& why) {
    return {errc::unavailable, trouble_text(servers, why)};
}
inline Failure failure_of(const Servers& servers, const Unreachable& why) {
    return {errc::unavailable, trouble_text(servers, why)};
}
inline Failure failure_of(const Servers& servers, const Rejected& why) {
    return {errc::rejected, trouble_text(servers, why)};
}
inline Failure failure_of(const Servers& servers, const NoSuchPool&) {
    return {errc::no_such_pool, servers.list[servers.current].name};
}
inline Failure failure_of(const Servers& servers, const NotRenewable&) {
    return {errc::not_renewable, servers.list[servers.current].name};
}
inline Failure closed() {
    return {errc::client_closed, "sema"};
}

/// What a semaphore is of.
struct PoolName {
    PoolId id;
};

/// The way from the interface's objects to what is behind them.
struct Access {
    static lease lease_of(std::shared_ptr<Held> held);
    static const std::shared_ptr<Held>& held_of(const lease& lease);
    static std::shared_ptr<Pending> pending_of(const operation& operation);
    static const std::shared_ptr<Core>& core_of(const client& client);
    static const std::shared_ptr<Core>& core_of(const semaphore& semaphore);
};

}  // namespace detail
}  // namespace v1
}  // namespace sema
