#pragma once

#include "cli/console.hpp"
#include "cli/run/held_lease.hpp"
#include "client/client.hpp"
#include "client/upkeep.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sema {

/// Keeps the leases of one command alive, without ever blocking: a caller that waits for something else does
/// so with wait(). No lease waits for another's keepalive, which a long ttl may give more time than a short
/// one has. Says what the leases demand of the command.
class Keeper {
  public:
    struct Kept {
        HeldLease lease;
        Upkeep upkeep;
        /// What each keepalive asks for.
        Duration ttl{};
        /// Renews it. Made when it is needed: most commands are over before.
        std::unique_ptr<Client> client{};
        /// Whether a keepalive is under way.
        bool is_asking = false;
        /// What was said last of why it could not be renewed; empty once it was.
        std::string trouble{};
    };

    /// The client, which knows the servers, and the console must outlive the keeper.
    Keeper(const Client& client, Console& console) : client_(client), console_(console) {}
    Keeper(const Keeper&) = delete;
    Keeper& operator=(const Keeper&) = delete;

    void add(Kept kept) { leases_.push_back(std::move(kept)); }

    /// Takes in the answers that are there, and sends the keepalives that are due.
    void proceed(Moment now);

    /// What the lease that ends first demands by `now`.
    Upkeep::Step due(Moment now) const;

    /// Whether what is begun now finds all its slots held: no lease is gone, and none is about to end.
    bool holds(Moment now) const;

    /// Why a lease ends, as the end of a message.
    std::string why_ending() const;

    /// A lease that is not held any more, before its time.
    struct Lost {
        /// What messages call the pool.
        std::string pool;
        Duration ttl{};
    };
    /// The lease of which the server says that. Returned once.
    std::optional<Lost> take_lost();

    /// No more keepalives: the leases end when they end.
    void stop();

    /// The next moment after `now` at which proceed() or due() has something new, keepalives' answers aside.
    Moment next_deadline(Moment now) const;
    /// Whether a keepalive is under way.
    bool is_asking() const;

    /// Waits until one of the descriptors is readable, proceed() can go on with a keepalive under way, or
    /// `limit` is over.
    void wait(const std::vector<int>& wakes, Duration limit);

    /// Returns every lease, or leaves them all to their ttl.
    void give_back(Returning::Deadline deadline);
    void disown();

    const std::vector<Kept>& leases() const { return leases_; }

  private:
    void ask(Kept& kept, Moment now);
    void take_in(Kept& kept, const KeepaliveAnswer& answer, Moment now);

    const Client& client_;
    Console& console_;
    std::vector<Kept> leases_;
    bool is_stopped_ = false;
    std::optional<Lost> lost_;
};

}  // namespace sema
