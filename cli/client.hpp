#pragma once

#include "cli/boot_clock.hpp"
#include "cli/server_address.hpp"
#include "common/wire.hpp"

#include <memory>
#include <optional>
#include <string>
#include <variant>

namespace sema {

/// The server has no pool of that id. Said only when the server said so: any other trouble is one of the
/// two below.
struct NoSuchPool {};

/// No slot became free within the wait.
struct NoSlot {};

/// The server can't be reached or can't answer at the moment. Trying again later is safe and may help.
struct Unavailable {
    /// Goes on from "SERVER is not available: ".
    std::string reason;
    /// How long the server asked to be left alone, where it did.
    std::optional<Duration> retry_after;
};

/// What came back is an answer that trying again would not change: the request was refused, or the answer
/// is none that a semad gives.
struct Rejected {
    /// Goes on from "SERVER ".
    std::string reason;
};

/// The borrower left the queue before there was a slot.
struct Left {};

/// A lease, and what is known of the moment at which the server granted it.
struct Grant {
    wire::LeaseGrant lease;
    /// When the request went out: the lease was not granted before.
    Moment asked;
    /// The lease was granted after this, or before it by no more than the time that an answer is usually
    /// on its way: the last moment at which nothing of the answer had come, or an earlier one where the
    /// network held it back. Between this moment and the one at which the grant is handed out, semactl or
    /// the whole machine may have stood still for any time.
    Moment unanswered;
};

template <class T>
using Answer = std::variant<T, Unavailable, Rejected>;
template <class T>
using PoolAnswer = std::variant<T, NoSuchPool, Unavailable, Rejected>;
using BorrowAnswer = std::variant<Grant, NoSlot, Left, NoSuchPool, Unavailable, Rejected>;

/// What Client::borrow() asks while it waits.
class Waiter {
  public:
    virtual ~Waiter() = default;
    /// A descriptor that becomes readable when there is something to look at.
    virtual int wake_fd() const = 0;
    /// Called when `wake_fd` is readable, and at least about once a second anyway. False makes the borrower
    /// leave the queue.
    virtual bool keep_waiting() = 0;
};

/// The calls of the HTTP interface. Each blocks until there is an answer, and for a bounded time. No call
/// throws for what the server or the network does. Reasons never hold an id of a pool or of a lease.
/// One thread at a time.
class Client {
  public:
    explicit Client(ServerAddress server);
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    const ServerAddress& server() const;

    /// PUT: the pool exists afterwards and has this many slots.
    Answer<wire::PoolState> register_pool(const PoolId& pool, unsigned count);
    PoolAnswer<wire::PoolState> inspect(const PoolId& pool);
    Answer<wire::Deleted> remove(const PoolId& pool);
    Answer<wire::Version> version();

    /// Asks for a slot and queues for one up to `wait`, or up to the server's own limit: NoSlot may come
    /// before `wait` is over. A server that doesn't answer at all is given up on soon after `wait`.
    ///
    /// Leaving the queue strands no slot: the sending side of the connection is closed, which takes the
    /// borrower out of the queue, and what the server may have granted in the same moment is still
    /// received (for up to a second) and handed out as the Grant that it is.
    BorrowAnswer borrow(const PoolId& pool, Duration ttl, Duration wait, Waiter& waiter);

    /// `limit` bounds the whole call.
    Answer<wire::Returned> give_back(const PoolId& pool, const LeaseId& lease, Duration limit);

  private:
    class Connection;
    std::unique_ptr<Connection> connection_;
};

}  // namespace sema
