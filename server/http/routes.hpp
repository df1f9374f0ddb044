#pragma once

#include "server/clock.hpp"
#include "server/http/engine.hpp"
#include "server/service.hpp"

#include <optional>
#include <string>
#include <variant>

namespace sema::http {

/// An answer, short of what the connection adds to it.
struct Response {
    int status = 200;
    /// A JSON object.
    std::string body;
    /// Further header lines, each with its CRLF.
    std::string headers;
};

/// A call that the service answers later.
struct Pending {
    PoolId pool;
    /// Names the call to Service::leave(), where it may wait.
    std::optional<Ticket> ticket;
};

Response error_response(int status, std::string_view reason);

/// The calls of the HTTP interface: paths and JSON on one side, the service on the other. Thread-safe.
class Routes {
  public:
    /// Both must outlive the routes.
    Routes(Service& service, const Clock& clock, unsigned max_count)
        : service_(service), clock_(clock), max_count_(max_count) {}

    /// Either the response, or a call under way: then `reply` gets its answer, perhaps before handle()
    /// returns, and respond() makes the response of it.
    std::variant<Response, Pending> handle(const Request& request, Reply reply);
    Response respond(const PoolId& pool, const Answer& answer) const;

    /// Sees to it that calls are answered: see Service::settle(). Each thread that uses handle() calls it.
    bool settle() { return service_.settle(); }

    /// The borrower hung up. False: its answer is under way all the same.
    bool leave(const PoolId& pool, Ticket ticket) { return service_.leave(pool, ticket); }

    /// The answer did not reach the borrower: a lease in it is given back.
    void undelivered(const PoolId& pool, const Answer& answer);

  private:
    std::variant<Response, Pending> handle_pool(const Request& request, const PoolId& pool, Reply reply);
    std::variant<Response, Pending> handle_borrow(const Request& request, const PoolId& pool, Reply reply);
    std::variant<Response, Pending> handle_return(const Request& request, const PoolId& pool, Reply reply);

    Service& service_;
    const Clock& clock_;
    const unsigned max_count_;
};

}  // namespace sema::http
