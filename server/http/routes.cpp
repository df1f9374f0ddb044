#include "server/http/routes.hpp"

#include "common/bearer_token.hpp"
#include "common/numbers.hpp"
#include "common/overloaded.hpp"
#include "common/version.hpp"
#include "common/wire.hpp"
#include "server/http/callback_list.hpp"
#include "server/http/dashboard.hpp"
#include "server/http/keyed_hash.hpp"
#include "server/http/metrics_page.hpp"
#include "server/http/openapi.hpp"
#include "server/metrics/text.hpp"
#include "server/service/history.hpp"
#include "server/service/lease_grant.hpp"
#include "server/shared_text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
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

Response unavailable(const char* reason) {
    Response response = error_response(503, reason);
    response.headers = retry_after;
    return response;
}

Response refusal_response(Refusal refusal) {
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
        case Refusal::too_many_copies:
            return unavailable("a backup is under way");
        case Refusal::too_many_questions:
            return unavailable("too many questions about the past at a time");
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
        case Refusal::no_such_slot:
            return error_response(404, "no such slot");
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

// As `verbose`, `verbose=1`, `a&verbose`.
bool has_parameter(std::string_view query, std::string_view name) {
    while (!query.empty()) {
        const std::string_view parameter = query.substr(0, query.find('&'));
        if (parameter.substr(0, parameter.find('=')) == name) return true;
        query.remove_prefix(std::min(parameter.size() + 1, query.size()));
    }
    return false;
}

// The value of the first parameter with that name: empty where it has none.
std::optional<std::string_view> parameter(std::string_view query, std::string_view name) {
    while (!query.empty()) {
        const std::string_view parameter = query.substr(0, query.find('&'));
        const auto equals = std::min(parameter.find('='), parameter.size());
        if (parameter.substr(0, equals) == name)
            return parameter.substr(std::min(equals + 1, parameter.size()));
        query.remove_prefix(std::min(parameter.size() + 1, query.size()));
    }
    return std::nullopt;
}

template <class Number>
std::optional<Number> number_in(std::string_view text) {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

// A later moment is as good as this one: some thousand years from now.
constexpr double latest_unix_time = 1e11;
// A longer list is asked for in pieces.
constexpr std::uint64_t most_leases = 10'000;

// The errors do not quote what was given, as those of bodies.
Expected<HistoryQuery> history_query(HistoryQuery::What what, std::string_view query) {
    HistoryQuery asked{.what = what};
    const bool is_list = what == HistoryQuery::What::leases;
    if (const auto text = parameter(query, "since")) {
        const auto since = number_in<double>(*text);
        if (!since || !std::isfinite(*since) || *since < 0)
            return failure("since must be a Unix time in seconds");
        asked.since = std::chrono::duration_cast<Duration>(
            std::chrono::duration<double>(std::min(*since, latest_unix_time)));
    }
    if (const auto text = is_list ? parameter(query, "limit") : std::nullopt) {
        const auto limit = number_in<std::uint64_t>(*text);
        if (!limit || *limit == 0) return failure("limit must be an integer of 1 or more");
        asked.limit = std::min(*limit, most_leases);
    }
    if (const auto text = is_list ? parameter(query, "position") : std::nullopt) {
        const auto position = number_in<Position>(*text);
        if (!position) return failure("position must be an integer of 0 or more");
        asked.position = *position;
    }
    if (const auto text = is_list ? std::nullopt : parameter(query, "what_if")) {
        if (*text != "true" && *text != "false") return failure("what_if must be true or false");
        asked.what_if = *text == "true";
    }
    return asked;
}

// Shorter texts are always answered, and are few bytes even on all connections together.
constexpr std::size_t short_text = 32 * 1024;

/// A text that counts for as long as somebody has it.
struct CountedText {
    std::shared_ptr<const std::string_view> text;
    std::shared_ptr<void> counted;
};

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

}  // namespace

/// A call on a pool: what stands behind the pool's id, and the method.
struct Routes::Call {
    std::string_view path;
    std::string_view method;
    Handler handler;
    CallKind kind;

    /// A path that ends in a slash has one segment more.
    bool matches(std::string_view actual) const {
        if (path.empty() || path.back() != '/') return actual == path;
        return actual.size() > path.size() && actual.substr(0, path.size()) == path &&
               actual.find('/', path.size()) == actual.npos;
    }
};

const Routes::Call Routes::calls[] = {
    {"/borrow", "POST", &Routes::borrow, CallKind::borrow},
    {"/return", "POST", &Routes::give_back, CallKind::give_back},
    {"/keepalive", "POST", &Routes::keep_alive, CallKind::keepalive},
    {"", "GET", &Routes::inspect, CallKind::inspect},
    {"", "PUT", &Routes::put, CallKind::enlist},
    {"", "DELETE", &Routes::remove, CallKind::remove},
    {"/resize", "POST", &Routes::resize, CallKind::resize},
    {"/revoke", "POST", &Routes::revoke, CallKind::revoke},
    {"/slots/", "PUT", &Routes::set_slot, CallKind::slot},
    {"/holders", "GET", &Routes::list_holders, CallKind::holders},
    {"/events", "GET", &Routes::watch, CallKind::events},
    {"/history", "GET", &Routes::list_past, CallKind::history},
    {"/statistics", "GET", &Routes::show_statistics, CallKind::statistics},
    {"/callbacks", "GET", &Routes::list_callbacks, CallKind::callbacks},
    {"/queue/", "DELETE", &Routes::cancel, CallKind::cancel},
    {"/cancel", "POST", &Routes::cancel_waiter, CallKind::cancel},
    {"/slots", "GET", &Routes::list_slots, CallKind::slots},
};

/// What can be read of the server as a whole.
struct Routes::Page {
    std::string_view path;
    CallKind kind;
    Result (Routes::*handler)(const Request&, Reply);
    /// Whether it is there at all.
    bool (*is_there)(const Routes&);
};

const Routes::Page Routes::pages[] = {
    {"/healthz", CallKind::healthz, &Routes::health, [](const Routes&) { return true; }},
    {"/livez", CallKind::livez, &Routes::liveness, [](const Routes&) { return true; }},
    {"/readyz", CallKind::readyz, &Routes::readiness, [](const Routes&) { return true; }},
    {"/version", CallKind::version, &Routes::show_version, [](const Routes&) { return true; }},
    {"/openapi.json", CallKind::openapi, &Routes::describe_interface,
     [](const Routes& it) { return !it.monitoring_.is_all; }},
    {"/metrics", CallKind::metrics, &Routes::list_metrics,
     [](const Routes& it) {
         return it.monitoring_.metrics && (it.monitoring_.is_all || !it.admin_token_.empty());
     }},
    {"/pools", CallKind::pools, &Routes::list_pools,
     [](const Routes& it) { return !it.monitoring_.is_all && !it.admin_token_.empty(); }},
    {"/backup", CallKind::backup, &Routes::copy_store,
     [](const Routes& it) { return !it.monitoring_.is_all && !it.admin_token_.empty(); }},
};

Response error_response(int status, std::string_view reason) {
    return {status, wire::to_json(wire::ErrorBody{std::string(reason)})};
}

std::variant<Response, Pending> Routes::handle(const Request& request, Reply reply) {
    if (request.served == Serves::calls_and_dashboard && is_of_dashboard(request.path))
        return method_of(request) == "GET" ? dashboard_response(request) : not_allowed("GET, HEAD");
    const bool is_call = request.path.starts_with("/l/") && !monitoring_.is_all;
    return is_call ? handle_call(request, std::move(reply)) : handle_page(request, std::move(reply));
}

Routes::Result Routes::handle_page(const Request& request, Reply reply) {
    for (const Page& page : pages) {
        if (page.path != request.path || !page.is_there(*this)) continue;
        Result result = method_of(request) == "GET" ? (this->*page.handler)(request, std::move(reply))
                                                    : not_allowed("GET, HEAD");
        std::visit([&](auto& any) { any.call = page.kind; }, result);
        return result;
    }
    return not_found();
}

Routes::Result Routes::handle_call(const Request& request, Reply reply) {
    std::string_view path = request.path;
    take_segment(path);
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
        Result result = pool ? (this->*call.handler)(request, *pool, std::move(reply))
                             : error_response(400, "id must be a UUID");
        std::visit([&](auto& any) { any.call = call.kind; }, result);
        return result;
    }
    return allowed.empty() ? not_found() : not_allowed(allowed);
}

Routes::Result Routes::health(const Request&, Reply) {
    return Response{200, R"({"status":"ok"})"};
}

Routes::Result Routes::liveness(const Request&, Reply) {
    if (!monitoring_.is_alive || monitoring_.is_alive()) return Response{200, R"({"status":"ok"})"};
    return error_response(503, "a thread that serves connections hangs");
}

Routes::Result Routes::show_version(const Request&, Reply) {
    return Response{200, wire::to_json(wire::ServerVersion{version})};
}

Routes::Result Routes::describe_interface(const Request&, Reply) {
    static const auto text = std::make_shared<const std::string_view>(openapi_json);
    return Response{.long_body = text};
}

Routes::Result Routes::list_metrics(const Request& request, Reply reply) {
    if (!monitoring_.is_all) {
        if (auto refused = refuse_stranger(request)) return *std::move(refused);
    }
    monitoring_.metrics->ask(std::move(reply));
    return Pending{};
}

Routes::Result Routes::readiness(const Request& request, Reply) {
    const Readiness readiness = service_.readiness();
    Response response{200, R"({"status":"ready"})"};
    if (readiness == Readiness::shutting_down) response = refusal_response(Refusal::shutting_down);
    if (readiness == Readiness::store_away)
        response = unavailable("the store cannot be reached: semad's log says why");
    return has_parameter(request.query, "verbose") ? verbose_readiness(response, readiness) : response;
}

/// The plain answer with what was looked at.
Response Routes::verbose_readiness(const Response& plain, Readiness readiness) const {
    using Json = nlohmann::ordered_json;
    const auto check = [](bool is_ok, const std::string& reason) {
        Json json = {{"status", is_ok ? "ok" : "failed"}};
        if (!reason.empty()) json["reason"] = reason;
        return json;
    };
    const bool is_store_away = readiness == Readiness::store_away;
    // A store of this server's own has to be tried to know whether it works again, so that is no failure.
    const std::string trouble = service_.store_trouble();
    const bool is_draining = readiness == Readiness::shutting_down;
    const std::string no_listener = monitoring_.listener_trouble ? monitoring_.listener_trouble() : "";
    Response response = plain;
    Json body = Json::parse(plain.body);
    body["checks"] = {
        {"store", check(!is_store_away, is_store_away && trouble.empty() ? "it cannot be reached" : trouble)},
        {"listeners", check(no_listener.empty(), no_listener)},
        {"draining", check(!is_draining, is_draining ? "shutting down" : "")}};
    if (response.status == 200 && !no_listener.empty()) {
        response.status = 503;
        response.headers = retry_after;
        body.erase("status");
        body = Json{{"error", no_listener}, {"checks", body["checks"]}};
    }
    response.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
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
    if (body->callback) {
        if (const auto allowed = check_callback_(*body->callback); !allowed)
            return error_response(400, allowed.error().message);
        service_.borrow(pool, no_ticket, *body, std::move(reply));
        return Pending{pool};
    }
    const Ticket ticket = service_.next_ticket();
    service_.borrow(pool, ticket, *body, std::move(reply));
    return Pending{.pool = pool, .ticket = ticket, .may_wait = body->wait > Duration::zero()};
}

Routes::Result Routes::keep_alive(const Request& request, const PoolId& pool, Reply reply) {
    const auto body = wire::parse_keepalive_request(request.body);
    if (!body) return error_response(400, body.error().message);
    service_.keep_alive(pool, body->lease, body->ttl, std::move(reply), body->fence);
    return Pending{pool};
}

Routes::Result Routes::give_back(const Request& request, const PoolId& pool, Reply reply) {
    const auto body = wire::parse_return_request(request.body);
    if (!body) return error_response(400, body.error().message);
    service_.give_back(pool, body->lease, std::move(reply), body->fence);
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
    service_.revoke(pool, *body, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::set_slot(const Request& request, const PoolId& pool, Reply reply) {
    const std::string text(request.path.substr(request.path.rfind('/') + 1));
    const auto position = parse_number(text, {0, wire::largest_count});
    // One position has one path: not 00, nor -0.
    if (!position || text != std::to_string(*position))
        return error_response(400, "position must be an integer from 0 to count - 1");
    const auto body = wire::parse_slot_request(request.body);
    if (!body) return error_response(400, body.error().message);
    service_.set_slot(pool, static_cast<Position>(*position), *body, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::list_holders(const Request&, const PoolId& pool, Reply reply) {
    service_.list_holders(pool, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::list_callbacks(const Request&, const PoolId& pool, Reply reply) {
    service_.list_callbacks(pool, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::watch(const Request&, const PoolId& pool, Reply reply) {
    const Ticket ticket = service_.next_ticket();
    service_.watch(pool, ticket, std::move(reply));
    return Pending{.pool = pool, .ticket = ticket, .is_stream = true};
}

Routes::Result Routes::list_past(const Request& request, const PoolId& pool, Reply reply) {
    auto query = history_query(HistoryQuery::What::leases, request.query);
    if (!query) return error_response(400, query.error().message);
    query->what = HistoryQuery::What::leases;
    service_.look_back(pool, *query, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::show_statistics(const Request& request, const PoolId& pool, Reply reply) {
    const auto query = history_query(HistoryQuery::What::statistics, request.query);
    if (!query) return error_response(400, query.error().message);
    service_.look_back(pool, *query, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::cancel(const Request& request, const PoolId& pool, Reply reply) {
    const auto lease = LeaseId::parse(request.path.substr(request.path.rfind('/') + 1));
    if (!lease) return error_response(400, "lease must be a UUID");
    service_.cancel(pool, *lease, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::cancel_waiter(const Request& request, const PoolId& pool, Reply reply) {
    const auto body = wire::parse_cancel_request(request.body);
    if (!body) return error_response(400, body.error().message);
    const auto is_it = [pool, name = body->waiter](const LeaseId& lease) {
        return waiter_name(pool, lease) == name;
    };
    service_.cancel_waiter(pool, is_it, std::move(reply));
    return Pending{pool};
}

Routes::Result Routes::list_slots(const Request&, const PoolId& pool, Reply reply) {
    service_.list_slots(pool, std::move(reply));
    return Pending{pool};
}

/// The answer to a request that is not the administrator's; nothing for one that is.
std::optional<Response> Routes::refuse_stranger(const Request& request) const {
    const auto token = bearer_token(request.authorization);
    if (!token) {
        // RFC 9110, section 15.5.2: the answer says what is asked for.
        Response response = error_response(401, "admin token required: send Authorization: Bearer TOKEN");
        response.headers = "WWW-Authenticate: Bearer\r\n";
        return response;
    }
    if (!is_same_secret(*token, admin_token_)) return error_response(403, "wrong admin token");
    return std::nullopt;
}

Routes::Result Routes::list_pools(const Request& request, Reply reply) {
    if (auto refused = refuse_stranger(request)) return *std::move(refused);
    service_.list_pools(std::move(reply));
    return Pending{};
}

Routes::Result Routes::copy_store(const Request& request, Reply reply) {
    if (auto refused = refuse_stranger(request)) return *std::move(refused);
    service_.copy_store(std::move(reply));
    return Pending{};
}

wire::SlotState Routes::slot_state(Position position, const std::optional<OutOfService>& out) const {
    wire::SlotState state{.position = position};
    if (out) state.out = {out->reason, whole_seconds(clock_.unix_time(out->since))};
    return state;
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
                               .away = waiter.away,
                               .callback = waiter.claim.callback != nullptr,
                               .waiter = waiter_name(pool, waiter.claim.lease),
                               .eta = in_seconds(view.etas[shown.queue.size()])});
    }
    for (const auto& [position, out] : view.out)
        shown.out.push_back(slot_state(position, out));
    for (const auto& [position, until] : view.resting)
        shown.resting.push_back(
            {position, std::chrono::ceil<std::chrono::seconds>(clock_.unix_time(until)).count()});
    return shown;
}

Response Routes::text_answer(std::string text) const {
    if (text.size() <= short_text) return {200, std::move(text)};
    return text_answer(shared_text(std::move(text)));
}

/// A client that reads slowly has a long text for many minutes.
Response Routes::text_answer(std::shared_ptr<const std::string_view> text) const {
    const std::size_t size = text->size();
    if (size <= short_text) return {.long_body = std::move(text)};
    const std::size_t before = unread_bytes_->fetch_add(size);
    std::shared_ptr<void> counted(nullptr, [bytes = unread_bytes_, size](void*) { *bytes -= size; });
    if (before > 0 && before + size > most_unread_bytes)
        return unavailable("too many long answers at a time");
    const auto kept = std::make_shared<const CountedText>(CountedText{std::move(text), std::move(counted)});
    return {.long_body = {kept, kept->text.get()}};
}

Response Routes::respond(const PoolId& pool, const Answer& answer) const {
    return std::visit(
        Overloaded{
            [&](const LeaseGranted& granted) {
                return Response{200, wire::to_json(lease_grant(granted, clock_))};
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
                if (renewed.lease) body.lease = lease_grant(*renewed.lease, renewed.remaining, clock_);
                return Response{200, wire::to_json(body)};
            },
            [](const LeaseRevoked& answered) {
                return Response{200, wire::to_json(wire::Revoked{answered.revoked})};
            },
            [&](const SlotSet& slot) {
                return Response{200, wire::to_json(slot_state(slot.position, slot.out))};
            },
            [](const BorrowCancelled& answered) {
                return Response{200, wire::to_json(wire::Cancelled{answered.cancelled})};
            },
            [&](const SlotsListed& listed) {
                wire::SlotList list{pool, {}};
                if (listed.settings) list.slots = listed.settings->payloads;
                list.slots.resize(listed.count, "null");
                return text_answer(wire::to_json(list));
            },
            [](const NotGranted& why) {
                return Response{
                    409, wire::to_json(wire::BorrowRefused{no_resource, why.rank, why.queue, why.in_use,
                                                           why.count, in_seconds(why.eta)})};
            },
            [&](const std::shared_ptr<const PoolView>& view) {
                return text_answer(wire::to_json(pool_details(pool, *view)));
            },
            [&](const HistoryListed& history) { return text_answer(history.json); },
            [](const CallbackQueued& queued) {
                return Response{202, wire::to_json(wire::BorrowQueued{queued.lease, queued.rank, queued.queue,
                                                                      in_seconds(queued.eta)})};
            },
            [&](const CallbacksListed& listed) {
                return text_answer(wire::to_json(callback_list(*listed.view)));
            },
            // The caller's own business.
            [](const DeliveryState&) { return error_response(500, "internal error"); },
            [](const PoolsListed& listed) { return Response{.long_body = listed.json}; },
            [](const StoreCopied& copied) {
                return Response{.long_body = copied.file, .content_type = "application/vnd.sqlite3"};
            },
            [](const StoreNotCopied& why) { return error_response(why.is_final ? 409 : 502, why.reason); },
            [](const MetricsListed& listed) {
                return Response{.long_body = listed.text, .content_type = MetricsText::content_type};
            },
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
