#include "cli/client.hpp"

#include "cli/connection.hpp"
#include "cli/semad_errors.hpp"
#include "common/overloaded.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// What a borrow that doesn't wait may take in all.
constexpr Duration try_limit = 5s;
// How much later than the end of the wait an answer may arrive from a server that works.
constexpr Duration answer_margin = 1s;
// A list of holders and waiters has some hundred bytes for each, and a few thousand where their links are
// long.
constexpr std::size_t longest_list = std::size_t{16} << 20;
// Of all pools: one has some hundred bytes, more with a long name, and there may be some hundred thousand.
constexpr std::size_t longest_pool_list = std::size_t{256} << 20;
constexpr Duration pool_list_limit = 60s;
// Three of the heartbeats that a semad sends while nothing changes.
constexpr Duration longest_silence = 45s;

std::string pool_path(const PoolId& pool, const char* call = "") {
    return "/l/" + pool.str() + call;
}

// The server's own reason, where the body is an error of a semad's.
std::optional<std::string> error_reason(const HttpAnswer& answer) {
    auto error = wire::parse_error_body(answer.body);
    if (!error) return std::nullopt;
    return std::move(error->error);
}

// The trouble that a semad itself reports.
Busy busy(const HttpAnswer& answer, const std::string& reason, const std::string& status) {
    if (answer.status != 503) return {"in trouble: " + reason + status, answer.retry_after, true};
    const bool stops = reason == "shutting down";
    return {(stops ? reason : "overloaded: " + reason) + status, answer.retry_after};
}

// The proxy that may have answered in the server's place.
std::string by_way_of(const HttpAnswer& answer) {
    return answer.proxy.empty() ? "" : ", through " + answer.proxy;
}

// What every call makes of an answer that isn't the one it hopes for.
template <class Result>
Result unexpected(const HttpAnswer& answer) {
    const auto reason = error_reason(answer);
    const bool is_semads = reason && is_semads_error(answer.status, *reason);
    const std::string code = "status " + std::to_string(answer.status) + (is_semads ? "" : by_way_of(answer));
    const std::string status = " (" + code + ")";
    const bool is_refusal = answer.status < 500 || answer.status == 501 || answer.status == 505;
    if (answer.status == 429) return Busy{"overloaded" + status, answer.retry_after};
    if (reason && is_refusal) return Rejected{"refused: " + *reason + status, !is_semads};
    if (reason) return busy(answer, *reason, status);
    if (answer.status >= 500) return Unreachable{code, answer.retry_after};
    return Rejected{"gave an answer that no semad gives" + status, true};
}

template <class Result, class Parse>
Result parsed(const HttpAnswer& answer, Parse parse) {
    auto value = parse(answer.body);
    if (!value)
        return Rejected{"gave an answer that no semad gives: " + value.error().message + by_way_of(answer),
                        true};
    return std::move(*value);
}

// A 404 of a proxy, of another web server, or of a semad that knows no such path, is no news of the pool.
bool says_no_such_pool(const HttpAnswer& answer) {
    return answer.status == 404 && error_reason(answer) == "no such pool";
}

// The answer hoped for, or what `unexpected` makes of another one.
template <class Result, class Parse>
Result understood(const HttpAnswer& answer, Parse parse) {
    return answer.status == 200 ? parsed<Result>(answer, parse) : unexpected<Result>(answer);
}

// The same for calls that need the pool to be there.
template <class Result, class Parse>
Result understood_of_pool(const HttpAnswer& answer, Parse parse) {
    if (says_no_such_pool(answer)) return NoSuchPool{};
    return understood<Result>(answer, parse);
}

NoSlot no_slot(const HttpAnswer& answer, const wire::BorrowRequest& request) {
    NoSlot none;
    if (auto details = wire::parse_borrow_refused(answer.body)) none.details = std::move(*details);
    none.keeps_place = request.lease.has_value() && request.wait > 0s;
    none.slots = request.slots;
    return none;
}

// Makes a call's result of an exchange; `understand` gets every complete HTTP answer. `semad_was_heard` says
// whether a semad has answered at this address before, and is set where one did now.
template <class Result, class Understand>
Result resolve(Exchange exchange, bool& semad_was_heard, Understand understand) {
    Result result =
        std::visit(Overloaded{[&](HttpAnswer& answer) -> Result { return understand(answer); },
                              [](Left&) -> Result {
                                  if constexpr (std::is_constructible_v<Result, Left>) return Left{};
                                  throw std::logic_error("only a call with a control can be left");
                              },
                              [](Unreachable& why) -> Result { return std::move(why); },
                              [](Rejected& why) -> Result { return std::move(why); }},
                   exchange);
    const auto* rejected = std::get_if<Rejected>(&result);
    const bool is_foreign = rejected != nullptr && rejected->is_foreign;
    if (is_foreign && semad_was_heard) return Unreachable{"it " + rejected->reason};
    const bool is_answer = std::holds_alternative<HttpAnswer>(exchange);
    if (is_answer && !is_foreign && !std::holds_alternative<Unreachable>(result)) semad_was_heard = true;
    return result;
}

Request keepalive_request(const PoolId& pool, const LeaseId& lease, Duration ttl) {
    return {"POST", pool_path(pool, "/keepalive"), wire::to_json(wire::KeepaliveRequest{lease, ttl})};
}

KeepaliveAnswer understood_keepalive(const HttpAnswer& answer) {
    if (answer.status == 409 && error_reason(answer) == "lease is not renewable") return NotRenewable{};
    return understood<KeepaliveAnswer>(answer, wire::parse_renewed);
}

}  // namespace

Duration granted_ttl(std::int64_t expires_in, Duration asked_for) {
    const auto seconds = std::clamp<std::int64_t>(expires_in, 0, whole_seconds(longest_duration));
    const Duration named = std::chrono::seconds(seconds);
    return named + 1s <= asked_for ? named : asked_for;
}

Client::Client(ServerAddress server) : connection_(std::make_unique<Connection>(std::move(server))) {}
Client::~Client() = default;

const ServerAddress& Client::server() const {
    return connection_->server();
}

Answer<wire::PoolState> Client::register_pool(const PoolId& pool, const wire::RegisterRequest& request) {
    using Result = Answer<wire::PoolState>;
    return resolve<Result>(
        connection_->exchange({"PUT", pool_path(pool), wire::to_json(request)}), semad_was_heard_,
        [](const HttpAnswer& answer) { return understood<Result>(answer, wire::parse_pool_state); });
}

PoolAnswer<wire::PoolState> Client::inspect(const PoolId& pool, Duration limit) {
    using Result = PoolAnswer<wire::PoolState>;
    Request request{"GET", pool_path(pool), ""};
    request.connect_limit = std::min(request.connect_limit, limit);
    request.limit = limit;
    return resolve<Result>(connection_->exchange(request), semad_was_heard_, [](const HttpAnswer& answer) {
        return understood_of_pool<Result>(answer, wire::parse_pool_state);
    });
}

PoolAnswer<wire::PoolDetails> Client::holders(const PoolId& pool, Duration limit) {
    using Result = PoolAnswer<wire::PoolDetails>;
    Request request{"GET", pool_path(pool, "/holders"), ""};
    request.longest_answer = longest_list;
    request.connect_limit = std::min(request.connect_limit, limit);
    request.limit = limit;
    return resolve<Result>(connection_->exchange(request), semad_was_heard_, [](const HttpAnswer& answer) {
        return understood_of_pool<Result>(answer, wire::parse_pool_details);
    });
}

PoolAnswer<wire::PoolState> Client::resize(const PoolId& pool, std::int64_t by) {
    using Result = PoolAnswer<wire::PoolState>;
    return resolve<Result>(
        connection_->exchange({"POST", pool_path(pool, "/resize"), wire::to_json(wire::ResizeRequest{by})}),
        semad_was_heard_,
        [](const HttpAnswer& answer) { return understood_of_pool<Result>(answer, wire::parse_pool_state); });
}

PoolAnswer<wire::Revoked> Client::revoke(const PoolId& pool, unsigned position) {
    using Result = PoolAnswer<wire::Revoked>;
    return resolve<Result>(connection_->exchange({"POST", pool_path(pool, "/revoke"),
                                                  wire::to_json(wire::RevokeRequest{position})}),
                           semad_was_heard_, [](const HttpAnswer& answer) {
                               return understood_of_pool<Result>(answer, wire::parse_revoked);
                           });
}

Answer<wire::Deleted> Client::remove(const PoolId& pool) {
    using Result = Answer<wire::Deleted>;
    return resolve<Result>(
        connection_->exchange({"DELETE", pool_path(pool), ""}), semad_was_heard_,
        [](const HttpAnswer& answer) { return understood<Result>(answer, wire::parse_deleted); });
}

Answer<wire::ServerVersion> Client::version() {
    using Result = Answer<wire::ServerVersion>;
    return resolve<Result>(
        connection_->exchange({"GET", "/version", ""}), semad_was_heard_,
        [](const HttpAnswer& answer) { return understood<Result>(answer, wire::parse_version); });
}

PoolsAnswer Client::pools(const std::string& admin_token) {
    Request request{"GET", "/pools", ""};
    request.limit = pool_list_limit;
    request.longest_answer = longest_pool_list;
    request.bearer_token = admin_token;
    return resolve<PoolsAnswer>(
        connection_->exchange(request), semad_was_heard_, [](const HttpAnswer& answer) -> PoolsAnswer {
            // Only a semad's own words: something before it may want credentials too.
            const auto reason = answer.status == 200 ? std::nullopt : error_reason(answer);
            const bool is_semads = reason && is_semads_error(answer.status, *reason);
            if (answer.status == 401 && is_semads) return NotAdmin::no_token_came;
            if (answer.status == 403 && is_semads) return NotAdmin::wrong_token;
            if (answer.status == 404 && reason == "no such path") return NotAdmin::no_administrator;
            return understood<PoolsAnswer>(answer, wire::parse_pool_list);
        });
}

BorrowAnswer Client::borrow(const PoolId& pool, const wire::BorrowRequest& asked_for, WaitControl& control) {
    const Duration wait = asked_for.wait;
    Request request{"POST", pool_path(pool, "/borrow"), wire::to_json(asked_for)};
    // A host that swallows packets does not make a wait of 2 s one of 5.
    if (wait > 0s) request.connect_limit = std::clamp<Duration>(wait, 1s, Request::usual_connect_limit);
    request.limit = std::max(wait + answer_margin, wait > 0s ? Duration::zero() : try_limit);
    // On a connection that was used before, curl would send the request again once the server hangs up,
    // and so queue anew when we mean to leave.
    request.reuse = Reuse::never;
    request.control = &control;

    // Its answer lists the slots' payloads.
    if (asked_for.extended) request.longest_answer = longest_list;

    const Moment asked = BootClock::now();
    auto result = resolve<BorrowAnswer>(
        connection_->exchange(request), semad_was_heard_, [&](const HttpAnswer& answer) -> BorrowAnswer {
            if (answer.status == 200) {
                auto lease = wire::parse_lease_grant(answer.body);
                if (!lease)
                    return Rejected{"gave an answer that no semad gives: " + lease.error().message, true};
                const Duration ttl = granted_ttl(lease->expires_in, asked_for.ttl);
                return Grant{*lease, ttl, asked};
            }
            if (says_no_such_pool(answer)) return NoSuchPool{};
            if (answer.status == 409 && error_reason(answer) == "no resource available")
                return no_slot(answer, asked_for);
            return unexpected<BorrowAnswer>(answer);
        });
    const auto* grant = std::get_if<Grant>(&result);
    if (grant == nullptr || grant->lease.details || asked_for.slots == 1) return result;
    give_back(pool, grant->lease.lease, usual_call);
    return Rejected{"cannot lend several slots at once: it has no extensions"};
}

Answer<wire::Cancelled> Client::cancel(const PoolId& pool, const LeaseId& lease, Duration limit) {
    using Result = Answer<wire::Cancelled>;
    Request request{"DELETE", pool_path(pool, "/queue/") + lease.str(), ""};
    request.connect_limit = limit;
    request.limit = limit;
    return resolve<Result>(connection_->exchange(request), semad_was_heard_, [](const HttpAnswer& answer) {
        return understood<Result>(answer, wire::parse_cancelled);
    });
}

KeepaliveAnswer Client::keepalive(const PoolId& pool, const LeaseId& lease, Duration ttl, Duration limit) {
    Request request = keepalive_request(pool, lease, ttl);
    request.connect_limit = std::min(request.connect_limit, limit);
    request.limit = limit;
    return resolve<KeepaliveAnswer>(connection_->exchange(request), semad_was_heard_, understood_keepalive);
}

void Client::begin_keepalive(const PoolId& pool, const LeaseId& lease, Duration ttl, Duration limit) {
    Request request = keepalive_request(pool, lease, ttl);
    request.connect_limit = std::min(request.connect_limit, limit);
    request.limit = std::min(request.limit, limit);
    connection_->begin(request);
}

std::optional<KeepaliveAnswer> Client::keepalive_answer() {
    auto exchange = connection_->proceed();
    if (!exchange) return std::nullopt;
    return resolve<KeepaliveAnswer>(std::move(*exchange), semad_was_heard_, understood_keepalive);
}

void Client::drop_keepalive() {
    connection_->drop();
}

void Client::wait(const std::vector<int>& wakes, Duration limit) {
    connection_->wait(wakes, limit);
}

Answer<wire::Returned> Client::give_back(const PoolId& pool, const LeaseId& lease, Duration limit) {
    using Result = Answer<wire::Returned>;
    Request request{"POST", pool_path(pool, "/return"), wire::to_json(wire::ReturnRequest{lease})};
    request.connect_limit = limit;
    request.limit = limit;
    return resolve<Result>(connection_->exchange(request), semad_was_heard_, [](const HttpAnswer& answer) {
        return understood<Result>(answer, wire::parse_returned);
    });
}

WatchEnd Client::watch(const PoolId& pool, const std::function<bool(const wire::PoolDetails&)>& on_state,
                       WaitControl& control) {
    Request request{"GET", pool_path(pool, "/events"), ""};
    request.longest_answer = longest_list;
    request.control = &control;
    std::optional<WatchEnd> end;
    const auto on_event = [&](const ServerEvent& event) {
        if (event.name == "deleted") end = NoSuchPool{};
        if (event.name != "state") return !end;
        const auto view = wire::parse_pool_details(event.data);
        if (!view) {
            const std::string what = "sent an event that no semad sends: " + view.error().message;
            semad_was_heard_ ? end = Unreachable{"it " + what} : end = Rejected{what, true};
        }
        semad_was_heard_ = semad_was_heard_ || view;
        return view && on_state(*view);
    };
    Exchange exchange = connection_->stream(request, longest_silence, on_event);
    if (end) return std::move(*end);
    return resolve<WatchEnd>(std::move(exchange), semad_was_heard_, [](const HttpAnswer& answer) -> WatchEnd {
        if (says_no_such_pool(answer)) return NoSuchPool{};
        return unexpected<WatchEnd>(answer);
    });
}

}  // namespace sema
