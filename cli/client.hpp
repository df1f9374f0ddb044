#pragma once

#include "cli/boot_clock.hpp"
#include "cli/outcome.hpp"
#include "cli/server_address.hpp"
#include "common/wire.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace sema {

class Connection;

/// The server has no pool of that id. Said only when the server said so: any other trouble is Unreachable or
/// Rejected.
struct NoSuchPool {};

/// No slot became free within the wait.
struct NoSlot {
    /// Where an extended request was answered so.
    std::optional<wire::BorrowRefused> details{};
    /// The borrower's place stays in the queue for a while, and `details` count it.
    bool keeps_place = false;
    /// How many were asked for.
    unsigned slots = 1;
};

/// The pool forbids that its leases are renewed.
struct NotRenewable {};

/// Why a server does not take a caller for its administrator.
enum class NotAdmin {
    wrong_token,
    no_token_came,
    no_administrator,  ///< the server has none
};

/// A lease, and what is known of the moment at which the server granted it.
struct Grant {
    wire::LeaseGrant lease;
    /// How long the lease lasts from its grant on, see granted_ttl().
    Duration ttl{};
    /// When the request went out: the lease was not granted before. Nothing shows how long before its answer
    /// was read it was: the borrower may have queued until then, or the answer may have lain for any time in
    /// the network, in a proxy, or in a machine that slept.
    Moment asked;
};

/// How long a lease lasts, from the moment on at which it was granted or renewed: what was asked for, or less
/// where the server's limit cut it. The server rounds the seconds that it names down, so they are only
/// believed over the time asked for where they are at least one less.
Duration granted_ttl(std::int64_t expires_in, Duration asked_for);

template <class T>
using Answer = std::variant<T, Busy, Unreachable, Rejected>;
template <class T>
using PoolAnswer = std::variant<T, NoSuchPool, Busy, Unreachable, Rejected>;
using BorrowAnswer = std::variant<Grant, NoSlot, Left, NoSuchPool, Busy, Unreachable, Rejected>;
using KeepaliveAnswer = std::variant<wire::Renewed, NotRenewable, Busy, Unreachable, Rejected>;
using PoolsAnswer = std::variant<wire::PoolList, NotAdmin, Busy, Unreachable, Rejected>;
/// Why a watch ended. Busy and Unreachable are worth a new one; a pool that is deleted meanwhile is
/// NoSuchPool.
using WatchEnd = std::variant<Left, NoSuchPool, Busy, Unreachable, Rejected>;

/// How long a call may take while its user waits for it.
inline constexpr Duration usual_call = std::chrono::seconds(15);

/// The calls of the HTTP interface. Each blocks until there is an answer, and for a bounded time. No call
/// throws for what the server or the network does. Reasons never hold an id of a pool or of a lease.
///
/// An answer that no semad gives is Rejected: the address is that of something else. Once a semad was heard
/// there it is Unreachable: it comes from a proxy that stands before the server, and passes.
///
/// One thread at a time.
class Client {
  public:
    explicit Client(ServerAddress server);
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    const ServerAddress& server() const;

    /// A semad was heard there, if not by this client.
    void expect_semad() { semad_was_heard_ = true; }

    /// PUT: the pool exists afterwards and has this many slots. What the request does not name stays.
    Answer<wire::PoolState> register_pool(const PoolId& pool, const wire::RegisterRequest& request);
    /// `limit` bounds the whole call.
    PoolAnswer<wire::PoolState> inspect(const PoolId& pool, Duration limit = usual_call);
    /// The holders and the queue. `limit` bounds the whole call.
    PoolAnswer<wire::PoolDetails> holders(const PoolId& pool, Duration limit = usual_call);
    PoolAnswer<wire::PoolState> resize(const PoolId& pool, std::int64_t by);
    /// Ends the lease that holds this position.
    PoolAnswer<wire::Revoked> revoke(const PoolId& pool, unsigned position);
    Answer<wire::Deleted> remove(const PoolId& pool);
    Answer<wire::ServerVersion> version();
    /// All pools, for the administrator. REQUIRES: is_bearer_token(admin_token).
    PoolsAnswer pools(const std::string& admin_token);

    /// Asks for slots and queues for them up to the request's `wait`, or up to the server's own limit: NoSlot
    /// may come before `wait` is over. A server that doesn't answer at all is given up on soon after `wait`.
    ///
    /// Leaving the queue strands no slot: the sending side of the connection is closed, which takes the
    /// borrower out of the queue, and what the server may have granted in the same moment is still
    /// received (for up to a second) and handed out as the Grant that it is. One that named its lease keeps
    /// its place for a while all the same, unless it is cancelled.
    BorrowAnswer borrow(const PoolId& pool, const wire::BorrowRequest& request, WaitControl& control);

    /// Takes the borrower that named this lease out of the queue. `limit` bounds the whole call.
    Answer<wire::Cancelled> cancel(const PoolId& pool, const LeaseId& lease, Duration limit);

    /// The lease ends `ttl` from now, be that earlier or later than before. `limit` bounds the whole call.
    KeepaliveAnswer keepalive(const PoolId& pool, const LeaseId& lease, Duration ttl,
                              Duration limit = usual_call);

    /// The same without waiting for the answer, which keepalive_answer() gives once it is there; wait() waits
    /// for that, or for a descriptor of `wakes` to become readable, up to `limit`. Until then, or until
    /// drop_keepalive(), no other call is made.
    void begin_keepalive(const PoolId& pool, const LeaseId& lease, Duration ttl, Duration limit);
    std::optional<KeepaliveAnswer> keepalive_answer();
    void drop_keepalive();
    void wait(const std::vector<int>& wakes, Duration limit);

    /// `limit` bounds the whole call.
    Answer<wire::Returned> give_back(const PoolId& pool, const LeaseId& lease, Duration limit);

    /// Hands the pool's state to `on_state`, now and at each change, until `on_state` returns false or the
    /// control ends the call. Changes in quick succession may come as one. A server that is silent for longer
    /// than its heartbeats explain is Unreachable.
    WatchEnd watch(const PoolId& pool, const std::function<bool(const wire::PoolDetails&)>& on_state,
                   WaitControl& control);

  private:
    std::unique_ptr<Connection> connection_;
    bool semad_was_heard_ = false;
};

}  // namespace sema
