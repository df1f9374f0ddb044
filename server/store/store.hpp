#pragma once

#include "common/error.hpp"
#include "common/ids.hpp"
#include "server/pool/rows.hpp"
#include "server/time.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace sema {

/// The changes of one pool in a batch. `base` is the version they were made from; the pool has `next`
/// once they are committed. `next` is 0 where the pool is gone afterwards.
///
/// REQUIRES: a pool that comes into being has a `count`, and a `fence` not below that of Absent;
/// everything but `cleared` and `fence` is set only in a pool that is there afterwards; `next` differs from
/// `base` unless both are 0.
struct PoolChange {
    PoolId pool;
    Version base = 0;
    Version next = 0;
    Changes changes;
    /// How often in a row it was tried, this time included, where it is tried until it succeeds; 0: it is
    /// not. A shared store gives a server that comes too late its turn: others find the pool Stale until its
    /// next attempt, for a second at most.
    unsigned attempt = 0;
};

/// The pairing of the server's timeline with the operating system's clocks, kept so that a restart can
/// go on where the last run stopped. server/service/clock.hpp gives its meaning.
struct ClockAnchor {
    std::string boot_id;
    Duration boot_time{};
    Duration wall_time{};
    TimePoint timeline;

    bool operator==(const ClockAnchor&) const = default;
};

/// A lease whose id its borrower chose.
struct ChosenLease {
    LeaseId lease;
    PoolId pool;
    TimePoint expires_at;
};

struct Committed {};
struct Stale;
/// The store could not do it. Nothing was applied, or everything was and it could not be confirmed:
/// load() shows which.
using StoreFailure = Error;

/// No such pool. If there was one with this id before, no lease of it had a fence above `fence`.
struct Absent {
    std::uint64_t fence = 0;
};

using LoadResult = std::variant<PoolRecord, Absent, StoreFailure>;

/// The pool's version was not the change's base: another server changed it, or is about to. Nothing was
/// applied.
struct Stale {
    /// The pool as it is, where the store read that.
    std::optional<LoadResult> now{};
    /// It is the turn of another server. This one has left its name: StoreListener::handed() says when its
    /// turn comes, unless that message is lost.
    bool waits_for_turn = false;
};

using CommitResult = std::variant<Committed, Stale, StoreFailure>;

/// A copy of all of a store, which is made a piece at a time, with commits in between.
class StoreCopy {
  public:
    StoreCopy() = default;
    virtual ~StoreCopy() = default;
    StoreCopy(const StoreCopy&) = delete;
    StoreCopy& operator=(const StoreCopy&) = delete;

    /// Copies one more piece, which takes less than a millisecond as a rule. True: now the copy is whole, and
    /// shows the store as it is at this moment.
    virtual Expected<bool> go_on() = 0;
    /// The bytes of its file, for as long as somebody has them. REQUIRES: it is whole.
    virtual Expected<std::shared_ptr<const std::string_view>> bytes() const = 0;
};

/// What is kept there is backed up in another way, which this says.
struct NoCopies {
    std::string reason;
};

using BegunCopy = std::variant<std::unique_ptr<StoreCopy>, NoCopies, StoreFailure>;

/// Where pools outlive the process. It knows rows and versions, and none of the semaphore's rules.
///
/// Calls block for as long as the storage takes. One thread at a time may use a store; two stores opened
/// on shared data are independent of each other. tests/contract holds every implementation to this text.
class Store {
  public:
    virtual ~Store() = default;
    Store() = default;
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    /// The pool as last committed. Slots come in order of their position.
    virtual LoadResult load(const PoolId& pool) = 0;

    /// Applies each change of the batch wholly or not at all, and returns a result for each, in their order.
    /// What is `Committed` is on stable storage: it outlives a killed process and a power cut (as far as the
    /// implementation's header promises). A pool stands at most once in a batch. A store that is one server's
    /// applies all changes or none, and `anchor`, where given, replaces the stored one in the same step.
    virtual std::vector<CommitResult> commit(const std::vector<PoolChange>& batch,
                                             const std::optional<ClockAnchor>& anchor) = 0;

    /// How many pools there are.
    virtual Expected<std::size_t> pool_count() = 0;

    /// The ids of pools in ascending order, from the first one above `after` on, or from the first of all
    /// where that is nothing: as many as there are, and `most` at most.
    virtual Expected<std::vector<PoolId>> pools_after(const std::optional<PoolId>& after,
                                                      std::size_t most) = 0;

    /// The leases of all pools whose borrower chose the id, each once, those whose time has passed included.
    virtual Expected<std::vector<ChosenLease>> chosen_leases() = 0;

    /// The pools in which there is a place with a callback, or a lease with a delivery; perhaps also some
    /// that had one.
    virtual Expected<std::vector<PoolWithCallbacks>> pools_with_callbacks() = 0;

    /// The anchor last committed; none in a new store, and in a shared one.
    virtual Expected<std::optional<ClockAnchor>> anchor() = 0;

    /// The secret text from which the ids of pools are made that have a name alone; none where none was kept.
    virtual Expected<std::optional<std::string>> seed() = 0;

    /// Keeps `seed` for good, on stable storage, unless one is kept already. Returns the one that is kept.
    virtual Expected<std::string> keep_seed(const std::string& seed) = 0;

    /// Begins a copy, in a file from which a store can be restored. The store must outlive it.
    virtual BegunCopy begin_copy() = 0;
};

/// What a shared store reports of the other servers. Called from a thread of the store's own; must not block.
class StoreListener {
  public:
    virtual ~StoreListener() = default;

    /// Another server committed a change of a pool that this one follows. `version` is 0 where it is gone.
    virtual void changed(const PoolId& pool, Version version) = 0;
    /// The server has not been heard of for so long that its borrowers count as gone. It may come back.
    virtual void lost(ServerId server) = 0;
    /// The store can be reached again, or for the first time. Messages may have been missed.
    virtual void reached() = 0;
    /// It is this server's turn to change the pool, which is like that: for a tenth of a second or so, no
    /// other server's change is taken. If it has nothing to change it asks for the version, so that the turn
    /// passes on. What was read at another generation() may have been rolled back since.
    virtual void handed(const PoolId& pool, const LoadResult& state, std::uint64_t generation) = 0;
};

/// A store that several servers use at once.
///
/// A commit that fails while the store stays reachable(), at the same generation(), was not applied, and will
/// not be. So fails one of a server whose now() is off by more than a second, until it has been set right.
///
/// load(), reload() and commit() are for one thread, as in any store; the others may be called from any. A
/// store that cannot be reached says so within a second, and at once while it is known to be away; it is
/// looked for in the background.
class SharedStore : public Store {
  public:
    /// This run of this server.
    virtual ServerId self() const = 0;

    /// Announces where this run serves, in words that no other run of a server can use while this one lasts.
    /// A run that announced the same before has ended, and counts as lost at once. To be called before any
    /// pool is loaded.
    virtual Expected<void> serve_at(const std::string& place) = 0;

    /// Whether another server uses the store at the moment.
    virtual Expected<bool> is_in_use() = 0;

    /// From now on, until the listener is replaced by null. What was under way is over when this returns.
    virtual void listen(StoreListener* listener) = 0;
    /// Notifies the listener of each change of the pool that another server commits, until unfollow().
    /// Messages may be lost: a caller that must know asks at least once a second.
    virtual void follow(const PoolId& pool) = 0;
    virtual void unfollow(const PoolId& pool) = 0;

    /// True while no borrower of that server can be answered. From the first such call on, the store watches
    /// over that server, and notifies the listener when it is lost.
    virtual bool is_lost(ServerId server) = 0;

    /// Whether it could be reached when last tried.
    virtual bool reachable() const = 0;
    /// Grows each time the store was found anew: what was read before may have been rolled back since.
    virtual std::uint64_t generation() const = 0;

    /// Like load(). Moreover, a commit that this handle began before and whose result is unknown is not
    /// applied any more afterwards.
    virtual LoadResult reload(const PoolId& pool) = 0;

    /// The store's own time, as one timeline for all servers, which a step of its wall clock does not touch.
    /// Never ahead of the true one, and never goes back. While the store is away it goes on.
    virtual TimePoint now() const = 0;
    /// By how much now() is behind the true time, at the most on an ordinary day: a lease ends so much later,
    /// so that none ends early.
    virtual Duration clock_error() const = 0;
    /// The store's wall-clock time of a point of that timeline, since the Unix epoch.
    virtual Duration unix_time(TimePoint point) const = 0;

    BegunCopy begin_copy() override {
        return NoCopies{
            "the pools are in a shared store: back that up (a Redis by BGSAVE or its append-only file, a "
            "PostgreSQL by pg_dump or its own backups)"};
    }
};

}  // namespace sema
