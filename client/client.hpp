#pragma once

#include "client/boot_clock.hpp"
#include "client/outcome.hpp"
#include "client/server_address.hpp"
#include "client/servers.hpp"
#include "common/wire.hpp"
#include "common/wire_history.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace sema {

class Connection;
struct Request;
template <class Result>
class Call;
enum class Repeat;

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
    /// It may have been granted earlier, by a server that then failed to answer.
    bool may_be_older = false;
};

/// How long a lease surely lasts, from the moment on at which it was granted or renewed: what was asked for,
/// or less where the server's limit cut it. The server rounds the seconds that it names down, so a fraction
/// of one is only lent in vain: it may have been cut as well.
Duration granted_ttl(std::int64_t expires_in, Duration asked_for);

template <class T>
using Answer = std::variant<T, Busy, Unreachable, Rejected>;
template <class T>
using PoolAnswer = std::variant<T, NoSuchPool, Busy, Unreachable, Rejected>;
using BorrowAnswer = std::variant<Grant, NoSlot, Left, NoSuchPool, Busy, Unreachable, Rejected>;
/// The place of a borrower that is to be called; or the lease, where one of that id is held already.
using CallbackAnswer = std::variant<wire::BorrowQueued, Grant, NoSuchPool, Busy, Unreachable, Rejected>;
using KeepaliveAnswer = std::variant<wire::Renewed, NotRenewable, Busy, Unreachable, Rejected>;
using PoolsAnswer = std::variant<wire::PoolList, NotAdmin, Busy, Unreachable, Rejected>;
/// All of the file has come.
struct BackedUp {};
using BackupAnswer = std::variant<BackedUp, NotAdmin, Busy, Unreachable, Rejected>;
/// Why a watch ended. Busy and Unreachable are worth a new one; a pool that is deleted meanwhile is
/// NoSuchPool.
using WatchEnd = std::variant<Left, NoSuchPool, Busy, Unreachable, Rejected>;

/// Which part of a pool's past is asked for. Nothing: all of it, as far as the server answers with it.
struct PastWanted {
    /// Unix time.
    std::optional<std::int64_t> since{};
    std::optional<unsigned> limit{};
    std::optional<unsigned> position{};
    bool what_if = true;
};

/// How long a call may take while its user waits for it.
inline constexpr Duration usual_call = std::chrono::seconds(15);

/// The calls of the HTTP interface. Each blocks until there is an answer, and for a bounded time. No call
/// throws for what the server or the network does. Reasons never hold an id of a pool or of a lease.
///
/// An answer that no semad gives is Rejected: the address is that of something else. Once a semad was heard
/// there it is Unreachable: it comes from a proxy that stands before the server, and passes. The same holds
/// for two sides that do not agree on TLS.
///
/// There may be several servers, over one store. A call goes to the one that answered last; where that is
/// away, or something else answers in its place, to the next one, and so on, each once. What must not be done
/// twice goes to the next one only where it was surely not done. Where all are away the reason speaks of
/// each.
///
/// Servers that do not share a store are a mistake, which must not make a lease or a pool look gone: that a
/// pool or a lease is not there is not believed of a server that never had the pool, after another one had
/// it. That server is Unreachable then.
///
/// One thread at a time.
class Client {
  public:
    explicit Client(ServerAddress server);
    /// REQUIRES: there is one.
    explicit Client(std::vector<ServerAddress> servers);
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    /// One for calls at the same time, which knows what this one does of the servers.
    std::unique_ptr<Client> another() const;

    /// The one that the last call's answer or trouble is of.
    const ServerAddress& server() const { return servers_.list[servers_.current]; }
    bool has_several() const { return servers_.has_several(); }
    const std::vector<ServerAddress>& servers() const { return servers_.list; }
    /// All of them, for people.
    std::string names() const;
    /// What is wrong with the servers before the one that answered the last call; empty where that was the
    /// first to be asked.
    const std::string& passed_over() const { return servers_.passed_over; }

    /// Reads the servers' files for TLS now, for this client and those that are made of it: they are not
    /// opened any more later. REQUIRES: no call was made.
    void read_tls_files() { sema::read_tls_files(servers_.list); }

    /// A semad was heard there, if not by this client.
    void expect_semad() { servers_.semad_was_heard = true; }

    /// PUT: the pool exists afterwards and has this many slots. What the request does not name stays.
    Answer<wire::PoolState> register_pool(const PoolId& pool, const wire::RegisterRequest& request);
    /// `limit` bounds the whole call.
    PoolAnswer<wire::PoolState> inspect(const PoolId& pool, Duration limit = usual_call);
    /// The holders and the queue. `limit` bounds the whole call.
    PoolAnswer<wire::PoolDetails> holders(const PoolId& pool, Duration limit = usual_call);
    /// The leases that ended.
    PoolAnswer<wire::PoolHistory> history(const PoolId& pool, const PastWanted& wanted);
    /// How it was used. `limit` and `position` are not for it.
    PoolAnswer<wire::PoolStatistics> statistics(const PoolId& pool, const PastWanted& wanted);
    PoolAnswer<wire::PoolState> resize(const PoolId& pool, std::int64_t by);
    /// Ends the lease that holds the position.
    PoolAnswer<wire::Revoked> revoke(const PoolId& pool, const wire::RevokeRequest& request);
    /// Takes a slot out of service, or puts it back.
    PoolAnswer<wire::SlotState> set_slot(const PoolId& pool, unsigned position,
                                         const wire::SlotRequest& request);
    Answer<wire::Deleted> remove(const PoolId& pool);
    Answer<wire::ServerVersion> version();
    /// All pools, for the administrator. REQUIRES: is_bearer_token(admin_token).
    PoolsAnswer pools(const std::string& admin_token);
    /// A copy of the server's store, as a file whose bytes `sink` gets as they come; where it returns false,
    /// the call is over. REQUIRES: is_bearer_token(admin_token).
    BackupAnswer backup(const std::string& admin_token, const std::function<bool(std::string_view)>& sink);

    /// Asks for slots and queues for them up to the request's `wait`, or up to the server's own limit: NoSlot
    /// may come before `wait` is over. A server that doesn't answer at all is given up on soon after `wait`.
    ///
    /// Leaving the queue strands no slot: the sending side of the connection is closed, which takes the
    /// borrower out of the queue, and what the server may have granted in the same moment is still
    /// received (for up to a second) and handed out as the Grant that it is. One that named its lease keeps
    /// its place for a while all the same, unless it is cancelled.
    BorrowAnswer borrow(const PoolId& pool, const wire::BorrowRequest& request, WaitControl& control);

    /// Asks for slots, and that somebody is called once they are there. `limit` bounds the whole call.
    /// REQUIRES: the request has a callback, and names its lease.
    CallbackAnswer request_callback(const PoolId& pool, const wire::BorrowRequest& request, Duration limit);

    /// The borrowers that are to be called for slots of the pool.
    PoolAnswer<wire::CallbackList> callbacks(const PoolId& pool);

    /// Takes the borrower that named this lease out of the queue. `limit` bounds the whole call.
    Answer<wire::Cancelled> cancel(const PoolId& pool, const LeaseId& lease, Duration limit);

    /// The lease ends `ttl` from now, be that earlier or later than before. `limit` bounds the whole call.
    /// With a fence, only the lease that has that one is meant: another may have got the same id since. An
    /// older semad takes no notice of it.
    KeepaliveAnswer keepalive(const PoolId& pool, const LeaseId& lease, Duration ttl,
                              Duration limit = usual_call, std::optional<std::uint64_t> fence = std::nullopt);

    /// The same without waiting for the answer, which keepalive_answer() gives once it is there; wait() waits
    /// for that, or for a descriptor of `wakes` to become readable, up to `limit`. Until then, or until
    /// drop_keepalive(), no other call is made.
    void begin_keepalive(const PoolId& pool, const LeaseId& lease, Duration ttl, Duration limit,
                         std::optional<std::uint64_t> fence = std::nullopt);
    std::optional<KeepaliveAnswer> keepalive_answer();
    void drop_keepalive();
    void wait(const std::vector<int>& wakes, Duration limit);

    /// `limit` bounds the whole call. The fence as in keepalive().
    Answer<wire::Returned> give_back(const PoolId& pool, const LeaseId& lease, Duration limit,
                                     std::optional<std::uint64_t> fence = std::nullopt);

    /// Hands the pool's state to `on_state`, now and at each change, until `on_state` returns false or the
    /// control ends the call. Changes in quick succession may come as one. A server that is silent for longer
    /// than its heartbeats explain is Unreachable.
    WatchEnd watch(const PoolId& pool, const std::function<bool(const wire::PoolDetails&)>& on_state,
                   WaitControl& control);

  private:
    Connection& connection_to(std::size_t server);
    template <class Result>
    Result finish(Call<Result>& call);
    template <class Result, class Understand>
    Result call(Request request, Understand understand, Repeat repeat = {});
    void send_keepalive();

    Servers servers_;
    std::unique_ptr<Connection> connection_;
    std::size_t connected_to_ = 0;
    /// One that is under way.
    std::unique_ptr<Call<KeepaliveAnswer>> keepalive_;
};

}  // namespace sema
