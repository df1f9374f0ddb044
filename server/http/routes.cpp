#include "server/http/routes.hpp"

#include "common/bearer_token.hpp"
#include "common/overloaded.hpp"
#include "common/version.hpp"
#include "common/wire.hpp"

#include <algorithm>
#include <utility>

namespace sema::http {
namespace {

// Long enough for a restart, or for some waiter to be done.
constexpr const char* retry_after = "Retry-After: 1\r\n";

constexpr const char* no_resource = "no resource available";

Response not_found() {
    return error_response(404, "no such path");
}

// RFC 9110, section 15.5.6: the answer lists what is allowed.
Response not_allowed(const std::string& allowed) {
    Response response = error_response(405, "method not allowed: use " + allowed);
    response.headers = "Allow: " + allowed + "\r\n";
    return response;
}

// HEAD is the GET of which the connection leaves out the body.
std::string_view method_of(const Request& request) {
    return request.method == "HEAD" ? "GET" : request.method;
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
            return error_response(409, no_resource);
        case Refusal::store_failed:
            return error_response(502, "database command failed");
        case Refusal::shutting_down:
            return unavailable("shutting down");
        case Refusal::too_many_waiters:
            return unavailable("too many waiters");
        case Refusal::too_many_pools:
            return unavailable("too many pools");
        case Refusal::too_many_lists:
            return unavailable("too many lists of pools at a time");
        case Refusal::lease_id_in_use:
            return error_response(409, "lease id in use");
        case Refusal::superseded:
            return error_response(409, "taken over by a newer request");
        case Refusal::cancelled:
            return error_response(409, "cancelled");
        case Refusal::not_renewable:
            return error_response(409, "lease is not renewable");
        case Refusal::watch_lost:
            return refusal_response(Refusal::store_failed);
        case Refusal::count_out_of_range:
            return error_response(400, "count out of range");
    }
    return error_response(500, "internal error");
}

// The time it takes depends on nothing of `secret` but its length.
bool is_same_secret(std::string_view given, std::string_view secret) {
    volatile unsigned difference = given.size() == secret.size() ? 0 : 1;
    for (std::size_t i = 0; i < given.size(); ++i)
        difference = difference | static_cast<unsigned char>(given[i] ^ secret[i % secret.size()]);
    return difference == 0;
}

// Takes the first segment, with the slash before it, off `path`.
std::optional<std::string_view> take_segment(std::string_view& path) {
    if (path.empty() || path.front() != '/') return std::nullopt;
    const auto end = std::min(path.find('/', 1), path.size());
    const auto segment = path.substr(1, end - 1);
    path.remove_prefix(end);
    return segment;
}

// Rounded up: 0 is answered only when it is the waiter's turn.
std::optional<std::int64_t> in_seconds(std::optional<Duration> time) {
    if (!time) return std::nullopt;
    return std::chrono::ceil<std::chrono::seconds>(*time).count();
}

wire::LeaseGrant::Details details(const LeaseGranted& granted, const Clock& clock) {
    const Lease& lease = granted.lease;
    wire::LeaseGrant::Details details{std::vector(lease.positions.begin(), lease.positions.end()),
                                      lease.fence,
                                      {},
                                      whole_seconds(clock.unix_time(lease.granted_at))};
    for (const Position position : lease.positions) {
        const bool has_payload = granted.settings && position < granted.settings->payloads.size();
        details.slots.push_back(has_payload ? granted.settings->payloads[position] : "null");
    }
    return details;
}

}  // namespace

/// A call on a pool: what stands behind the pool's id, and the method.
struct Routes::Call {
    std::string_view path;
    std::string_view method;
    Handler handler;

    /// A path that ends in a slash has one segment more.
    bool matches(std::string_view actual) const {
        if (path.empty() || path.back() != '/') return actual == path;
        return actual.size() > path.size() && actual.substr(0, path.size()) == path &&
               actual.find('/', path.size()) == actual.npos;
    }
};

const Routes::Call Routes::calls[] = {
    {"/borrow", "POST", &Routes::borrow},
    {"/return", "POST", &Routes::give_back},
    {"/keepalive", "POST", &Routes::keep_alive},
    {"", "GET", &Routes::inspect},
    {"", "PUT", &Routes::put},
    {"", "DELETE", &Routes::remove},
    {"/resize", "POST", &Routes::resize},
    {"/revoke", "POST", &Routes::revoke},
    {"/holders", "GET", &Routes::list_holders},
    {"/events", "GET", &Routes::watch},
    {"/queue/", "DELETE", &Routes::cancel},
};

Response error_response(int status, std::string_view reason) {
    return {status, wire::to_json(wire::ErrorBody{std::string(reason)})};
}

std::variant<Response, Pending> Routes::handle(const Request& request, Reply reply) {
    std::string_view path = request.path;
    if (path == "/version" || path == "/healthz" || path == "/readyz") {
        if (method_of(request) != "GET") return not_allowed("GET, HEAD");
        if (path == "/version") return Response{200, wire::to_json(wire::ServerVersion{version})};
        if (path == "/readyz") return readiness();
        return Response{200, R"({"status":"ok"})"};
    }
    if (path == "/pools" && !admin_token_.empty()) {
        if (method_of(request) != "GET") return not_allowed("GET, HEAD");
        return list_pools(request, std::move(reply));
    }
    if (take_segment(path) != "l") return not_found();
    const auto id = take_segment(path);
    if (!id) return not_found();

    std::string allowed;
    for (const Call& call : calls) {
        if (!call.matches(path)) continue;
        if (call.method != method_of(request)) {
            allowed += (allowed.empty() ? "" : ", ") + std::string(call.method);
            if (call.method == "GET") allowed += ", HEAD";
            continue;
        }
        const auto pool = PoolId::parse(*id);
        if (!pool) return error_response(400, "id must be a UUID");
        return (this->*call.handler)(request, *pool, std::move(reply));
    }
    return allowed.empty() ? not_found() : not_allowed(allowed);
}

Response Routes::readiness() {
    switch (service_.readiness()) {
        case Readiness::ready:
            return {200, R"({"status":"ready"})"};
        case Readiness::shutting_down:
            return refusal_response(Refusal::shutting_down);
        case Readiness::store_away:
            break;
    }
    Response response = error_response(503, "the store cannot be reached: semad's log says why");
    response.headers = retry_after;
    return response;
}

Routes::Result Routes::put(const Request& request, const PoolId& pool, Reply reply) {
    const auto body = wire::parse_register_request(request.body, max_count_);
    if (!body) return error_response(400, body.error().message);
    service_.put(pool, *body, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::inspect(const Request&, const PoolId& pool, Reply reply) {
    service_.inspect(pool, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::remove(const Request&, const PoolId& pool, Reply reply) {
    service_.remove(pool, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::borrow(const Request& request, const PoolId& pool, Reply reply) {
    const auto body = wire::parse_borrow_request(request.body, max_count_);
    if (!body) return error_response(400, body.error().message);
    const Ticket ticket = service_.next_ticket();
    service_.borrow(pool, ticket, *body, std::move(reply));
    return Pending{pool, ticket};
}

Routes::Result Routes::keep_alive(const Request& request, const PoolId& pool, Reply reply) {
    const auto body = wire::parse_keepalive_request(request.body);
    if (!body) return error_response(400, body.error().message);
    service_.keep_alive(pool, body->lease, body->ttl, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::give_back(const Request& request, const PoolId& pool, Reply reply) {
    const auto body = wire::parse_return_request(request.body);
    if (!body) return error_response(400, body.error().message);
    service_.give_back(pool, body->lease, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::resize(const Request& request, const PoolId& pool, Reply reply) {
    const auto body = wire::parse_resize_request(request.body);
    if (!body) return error_response(400, body.error().message);
    service_.resize(pool, body->by, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::revoke(const Request& request, const PoolId& pool, Reply reply) {
    const auto body = wire::parse_revoke_request(request.body);
    if (!body) return error_response(400, body.error().message);
    service_.revoke(pool, body->position, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::list_holders(const Request&, const PoolId& pool, Reply reply) {
    service_.list_holders(pool, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::watch(const Request&, const PoolId& pool, Reply reply) {
    const Ticket ticket = service_.next_ticket();
    service_.watch(pool, ticket, std::move(reply));
    return Pending{pool, ticket, true};
}

Routes::Result Routes::cancel(const Request& request, const PoolId& pool, Reply reply) {
    const auto lease = LeaseId::parse(request.path.substr(request.path.rfind('/') + 1));
    if (!lease) return error_response(400, "lease must be a UUID");
    service_.cancel(pool, *lease, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::list_pools(const Request& request, Reply reply) {
    const auto token = bearer_token(request.authorization);
    if (!token) {
        // RFC 9110, section 15.5.2: the answer says what is asked for.
        Response response = error_response(401, "admin token required: send Authorization: Bearer TOKEN");
        response.headers = "WWW-Authenticate: Bearer\r\n";
        return response;
    }
    if (!is_same_secret(*token, admin_token_)) return error_response(403, "wrong admin token");
    service_.list_pools(std::move(reply));
    return Pending{};
}

wire::LeaseGrant Routes::lease_grant(const Lease& lease, Duration remaining) const {
    return {lease.id, lease.position(), whole_seconds(clock_.unix_time(lease.expires_at)),
            whole_seconds(remaining)};
}

wire::PoolDetails Routes::pool_details(const PoolId& pool, const PoolView& view) const {
    wire::PoolDetails shown{.id = pool,
                            .settings = view.settings ? *view.settings : PoolSettings(),
                            .count = view.count,
                            .in_use = view.in_use,
                            .available = view.available,
                            .eta = in_seconds(view.eta)};
    shown.holders.reserve(view.leases.size());
    for (const Lease& lease : view.leases) {
        shown.holders.push_back({
            .position = lease.position(),
            .positions = std::vector(lease.positions.begin(), lease.positions.end()),
            .holder = lease.holder,
            .granted_at_unix = whole_seconds(clock_.unix_time(lease.granted_at)),
            .expires_at_unix = whole_seconds(clock_.unix_time(lease.expires_at)),
            // Its time may have passed while the view was made.
            .expires_in = std::max<std::int64_t>(whole_seconds(lease.expires_at - view.at), 0),
            .fence = lease.fence,
        });
    }
    shown.queue.reserve(view.queue.size());
    for (const Waiter& waiter : view.queue) {
        shown.queue.push_back({.rank = shown.queue.size() + 1,
                               .slots = waiter.claim.slots,
                               .priority = waiter.claim.priority,
                               .holder = waiter.claim.holder,
                               .waiting_for = whole_seconds(view.at - waiter.queued_at),
                               .away = waiter.away});
    }
    return shown;
}

Response Routes::respond(const PoolId& pool, const Answer& answer) const {
    return std::visit(
        Overloaded{
            [&](const LeaseGranted& granted) {
                wire::LeaseGrant grant = lease_grant(granted.lease, granted.remaining);
                if (granted.is_extended) grant.details = details(granted, clock_);
                return Response{200, wire::to_json(grant)};
            },
            [&](const PoolCounts& counts) {
                return Response{
                    200, wire::to_json(wire::PoolState{pool, counts.count, counts.in_use, counts.available})};
            },
            [](const LeaseReturned& answered) {
                return Response{200, wire::to_json(wire::Returned{answered.returned})};
            },
            [](const PoolDeleted& answered) {
                return Response{200, wire::to_json(wire::Deleted{answered.deleted})};
            },
            [&](const LeaseRenewed& renewed) {
                wire::Renewed body;
                if (renewed.lease) body.lease = lease_grant(*renewed.lease, renewed.remaining);
                return Response{200, wire::to_json(body)};
            },
            [](const LeaseRevoked& answered) {
                return Response{200, wire::to_json(wire::Revoked{answered.revoked})};
            },
            [](const BorrowCancelled& answered) {
                return Response{200, wire::to_json(wire::Cancelled{answered.cancelled})};
            },
            [](const NotGranted& why) {
                return Response{
                    409, wire::to_json(wire::BorrowRefused{no_resource, why.rank, why.queue, why.in_use,
                                                           why.count, in_seconds(why.eta)})};
            },
            [&](const std::shared_ptr<const PoolView>& view) {
                return Response{200, wire::to_json(pool_details(pool, *view))};
            },
            [](const PoolsListed& listed) { return Response{.long_body = listed.json}; },
            [](Refusal refusal) { return refusal_response(refusal); }},
        answer);
}

std::string Routes::event(const PoolId& pool, const PoolView& view) const {
    // JSON text has no line breaks.
    return "event: state\ndata: " + wire::to_json(pool_details(pool, view)) + "\n\n";
}

std::string Routes::deleted_event() {
    return "event: deleted\ndata: " + wire::to_json(wire::Deleted{true}) + "\n\n";
}

void Routes::undelivered(const PoolId& pool, const Answer& answer) {
    const auto* granted = std::get_if<LeaseGranted>(&answer);
    if (granted) service_.undelivered(pool, granted->lease);
}

}  // namespace sema::http
