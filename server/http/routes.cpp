#include "server/http/routes.hpp"

#include "common/version.hpp"
#include "common/wire.hpp"

#include <utility>

namespace sema::http {
namespace {

template <class... Visitors>
struct Overloaded : Visitors... {
    using Visitors::operator()...;
};
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

// Long enough for a restart, or for some waiter to be done.
constexpr const char* retry_after = "Retry-After: 1\r\n";

Response not_found() {
    return error_response(404, "no such path");
}

// RFC 9110, section 15.5.6: the answer lists what is allowed.
Response not_allowed(const char* allowed) {
    Response response = error_response(405, std::string("method not allowed: use ") + allowed);
    response.headers = std::string("Allow: ") + allowed + "\r\n";
    return response;
}

bool is_read(const Request& request) {
    return request.method == "GET" || request.method == "HEAD";
}

Response refusal_response(Refusal refusal) {
    const auto unavailable = [](const char* reason) {
        Response response = error_response(503, reason);
        response.headers = retry_after;
        return response;
    };
    switch (refusal) {
        case Refusal::no_such_pool:
            return error_response(404, "no such pool");
        case Refusal::no_resource:
            return error_response(409, "no resource available");
        case Refusal::store_failed:
            return error_response(502, "database command failed");
        case Refusal::shutting_down:
            return unavailable("shutting down");
        case Refusal::too_many_waiters:
            return unavailable("too many waiters");
        case Refusal::too_many_pools:
            return unavailable("too many pools");
    }
    return error_response(500, "internal error");
}

// Takes the first segment, with the slash before it, off `path`.
std::optional<std::string_view> take_segment(std::string_view& path) {
    if (path.empty() || path.front() != '/') return std::nullopt;
    const auto end = std::min(path.find('/', 1), path.size());
    const auto segment = path.substr(1, end - 1);
    path.remove_prefix(end);
    return segment;
}

}  // namespace

Response error_response(int status, std::string_view reason) {
    return {status, wire::to_json(wire::ErrorBody{std::string(reason)}), {}};
}

std::variant<Response, Pending> Routes::handle(const Request& request, Reply reply) {
    std::string_view path = request.path;
    if (path == "/version" || path == "/healthz") {
        if (!is_read(request)) return not_allowed("GET, HEAD");
        if (path == "/version") return Response{200, wire::to_json(wire::Version{version}), {}};
        return Response{200, R"({"status":"ok"})", {}};
    }
    if (take_segment(path) != "l") return not_found();
    const auto id = take_segment(path);
    if (!id) return not_found();

    const bool is_borrow = path == "/borrow";
    const bool is_return = path == "/return";
    if (!path.empty() && !is_borrow && !is_return) return not_found();
    if (is_borrow || is_return) {
        if (request.method != "POST") return not_allowed("POST");
    } else if (!is_read(request) && request.method != "PUT" && request.method != "DELETE") {
        return not_allowed("GET, HEAD, PUT, DELETE");
    }

    const auto pool = PoolId::parse(*id);
    if (!pool) return error_response(400, "id must be a UUID");
    if (is_borrow) return handle_borrow(request, *pool, std::move(reply));
    if (is_return) return handle_return(request, *pool, std::move(reply));
    return handle_pool(request, *pool, std::move(reply));
}

std::variant<Response, Pending> Routes::handle_pool(const Request& request, const PoolId& pool, Reply reply) {
    if (request.method == "PUT") {
        const auto body = wire::parse_register_request(request.body, max_count_);
        if (!body) return error_response(400, body.error().message);
        service_.put(pool, body->count, std::move(reply));
    } else if (request.method == "DELETE") {
        service_.remove(pool, std::move(reply));
    } else {
        service_.inspect(pool, std::move(reply));
    }
    return Pending{pool, std::nullopt};
}

std::variant<Response, Pending> Routes::handle_borrow(const Request& request, const PoolId& pool,
                                                      Reply reply) {
    const auto body = wire::parse_borrow_request(request.body, max_count_);
    if (!body) return error_response(400, body.error().message);
    const Ticket ticket = service_.next_ticket();
    service_.borrow(pool, ticket, body->ttl, body->wait, std::move(reply));
    return Pending{pool, ticket};
}

std::variant<Response, Pending> Routes::handle_return(const Request& request, const PoolId& pool,
                                                      Reply reply) {
    const auto body = wire::parse_return_request(request.body);
    if (!body) return error_response(400, body.error().message);
    service_.give_back(pool, body->lease, std::move(reply));
    return Pending{pool, std::nullopt};
}

Response Routes::respond(const PoolId& pool, const Answer& answer) const {
    return std::visit(
        Overloaded{[&](const Lease& lease) {
                       const auto expires_at = clock_.unix_time(lease.expires_at);
                       return Response{
                           200,
                           wire::to_json(wire::LeaseGrant{lease.id, lease.position, whole_seconds(expires_at),
                                                          whole_seconds(lease.ttl)}),
                           {}};
                   },
                   [&](const PoolCounts& counts) {
                       return Response{200,
                                       wire::to_json(wire::PoolState{pool, counts.count, counts.in_use,
                                                                     counts.available}),
                                       {}};
                   },
                   [](const LeaseReturned& answered) {
                       return Response{200, wire::to_json(wire::Returned{answered.returned}), {}};
                   },
                   [](const PoolDeleted& answered) {
                       return Response{200, wire::to_json(wire::Deleted{answered.deleted}), {}};
                   },
                   [](Refusal refusal) { return refusal_response(refusal); }},
        answer);
}

void Routes::undelivered(const PoolId& pool, const Answer& answer) {
    if (const auto* lease = std::get_if<Lease>(&answer)) {
        service_.give_back(pool, lease->id, [](const Answer&) {});
    }
}

}  // namespace sema::http
