#pragma once

#include "server/http/engine.hpp"
#include "server/service/clock.hpp"
#include "server/service/service.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace sema::http {

/// An answer, short of what the connection adds to it.
struct Response {
    int status = 200;
    /// A JSON object.
    std::string body{};
    /// Further header lines, each with its CRLF.
    std::string headers{};
    /// Where it is set, it is the body: a long one, which is not copied.
    std::shared_ptr<const std::string> long_body{};
};

/// A call that the service answers later.
struct Pending {
    PoolId pool;
    /// Names the call to Service::leave(), where it may wait.
    std::optional<Ticket> ticket{};
    /// Its answers are views, one after the other: each an event().
    bool is_stream = false;
};

Response error_response(int status, std::string_view reason);

/// The calls of the HTTP interface: paths and JSON on one side, the service on the other. Thread-safe.
class Routes {
  public:
    /// Both must outlive the routes. Where `admin_token` is empty there is no administrator, and no list of
    /// pools.
    Routes(Service& service, const Clock& clock, unsigned max_count, std::string admin_token = {})
        : service_(service), clock_(clock), max_count_(max_count), admin_token_(std::move(admin_token)) {}

    /// The answer to a stream that the pool was deleted, as an event.
    static std::string deleted_event();

    /// Either the response, or a call under way: then `reply` gets its answer, perhaps before handle()
    /// returns, and respond() makes the response of it.
    std::variant<Response, Pending> handle(const Request& request, Reply reply);
    Response respond(const PoolId& pool, const Answer& answer) const;
    /// A view as a server-sent event (WHATWG HTML, section 9.2).
    std::string event(const PoolId& pool, const PoolView& view) const;

    /// Sees to it that calls are answered: see Service::settle(). Each thread that uses handle() calls it.
    bool settle() { return service_.settle(); }

    /// The borrower or watcher hung up. False: its answer is under way all the same.
    bool leave(const PoolId& pool, Ticket ticket) { return service_.leave(pool, ticket); }

    /// The answer did not reach the borrower: a lease in it is given back, or kept for a while where the
    /// borrower can ask for it again.
    void undelivered(const PoolId& pool, const Answer& answer);

  private:
    using Result = std::variant<Response, Pending>;
    using Handler = Result (Routes::*)(const Request&, const PoolId&, Reply);
    struct Call;
    static const Call calls[];

    Response readiness();
    Result put(const Request& request, const PoolId& pool, Reply reply);
    Result inspect(const Request& request, const PoolId& pool, Reply reply);
    Result remove(const Request& request, const PoolId& pool, Reply reply);
    Result borrow(const Request& request, const PoolId& pool, Reply reply);
    Result keep_alive(const Request& request, const PoolId& pool, Reply reply);
    Result give_back(const Request& request, const PoolId& pool, Reply reply);
    Result resize(const Request& request, const PoolId& pool, Reply reply);
    Result revoke(const Request& request, const PoolId& pool, Reply reply);
    Result list_holders(const Request& request, const PoolId& pool, Reply reply);
    Result watch(const Request& request, const PoolId& pool, Reply reply);
    Result cancel(const Request& request, const PoolId& pool, Reply reply);
    Result list_pools(const Request& request, Reply reply);

    wire::LeaseGrant lease_grant(const Lease& lease, Duration remaining) const;
    wire::PoolDetails pool_details(const PoolId& pool, const PoolView& view) const;

    Service& service_;
    const Clock& clock_;
    const unsigned max_count_;
    const std::string admin_token_;
};

}  // namespace sema::http
