#include "client/client.hpp"

#include "client/calls.hpp"
#include "client/connection.hpp"

#include <algorithm>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

constexpr Duration pool_list_limit = 60s;
// A store of some gigabytes takes minutes to copy, and its bytes as long as the network needs.
constexpr Duration longest_copying = 10min;
constexpr Duration backup_limit = 24h;
// A long history is replayed many times, after those that others ask for.
constexpr Duration statistics_limit = 60s;
// Three of the heartbeats that a semad sends while nothing changes.
constexpr Duration longest_silence = 45s;

// What stands behind the path.
std::string query_of(const PastWanted& wanted) {
    std::string query;
    const auto add = [&](const char* name, const std::string& value) {
        query += (query.empty() ? '?' : '&') + std::string(name) + '=' + value;
    };
    if (wanted.since) add("since", std::to_string(*wanted.since));
    if (wanted.limit) add("limit", std::to_string(*wanted.limit));
    if (wanted.position) add("position", std::to_string(*wanted.position));
    if (!wanted.what_if) add("what_if", "false");
    return query;
}

}  // namespace

Duration granted_ttl(std::int64_t expires_in, Duration asked_for) {
    const auto seconds = std::clamp<std::int64_t>(expires_in, 0, whole_seconds(longest_duration));
    const Duration named = std::chrono::seconds(seconds);
    return std::min(named, asked_for);
}

Client::Client(ServerAddress server) : Client(std::vector{std::move(server)}) {}
Client::Client(std::vector<ServerAddress> servers) : servers_{.list = std::move(servers)} {}
Client::~Client() = default;

std::unique_ptr<Client> Client::another() const {
    auto client = std::make_unique<Client>(servers_.list);
    client->servers_ = servers_;
    return client;
}

std::string Client::names() const {
    std::string all;
    for (const ServerAddress& server : servers_.list)
        all += (all.empty() ? "" : " or ") + server.name;
    return all;
}

Connection& Client::connection_to(std::size_t server) {
    if (!connection_ || connected_to_ != server) {
        // What is open to the last one is closed first.
        connection_.reset();
        connection_ = std::make_unique<Connection>(servers_.list[server]);
        connected_to_ = server;
    }
    servers_.current = server;
    return *connection_;
}

template <class Result>
Result Client::finish(Call<Result>& call) {
    for (;;) {
        const Request request = call.request();
        if (auto result = call.take(connection_to(call.server()).exchange(request)))
            return *std::move(result);
    }
}

template <class Result, class Understand>
Result Client::call(Request request, Understand understand, Repeat repeat) {
    SimpleCall<Result, Understand> call(servers_, std::move(request), std::move(understand), repeat);
    return finish(call);
}

// ---- the calls

Answer<wire::PoolState> Client::register_pool(const PoolId& pool, const wire::RegisterRequest& request) {
    return finish(*register_call(servers_, pool, request));
}

PoolAnswer<wire::PoolState> Client::inspect(const PoolId& pool, Duration limit) {
    return finish(*inspect_call(servers_, pool, limit));
}

PoolAnswer<wire::PoolDetails> Client::holders(const PoolId& pool, Duration limit) {
    return finish(*holders_call(servers_, pool, limit));
}

PoolAnswer<wire::PoolHistory> Client::history(const PoolId& pool, const PastWanted& wanted) {
    using Result = PoolAnswer<wire::PoolHistory>;
    Request request{"GET", pool_path(pool, "/history") + query_of(wanted), ""};
    request.longest_answer = longest_list;
    request.limit = usual_call;
    return call<Result>(request, [](const HttpAnswer& answer) {
        return understood_of_pool<Result>(answer, wire::parse_pool_history);
    });
}

PoolAnswer<wire::PoolStatistics> Client::statistics(const PoolId& pool, const PastWanted& wanted) {
    using Result = PoolAnswer<wire::PoolStatistics>;
    Request request{"GET", pool_path(pool, "/statistics") + query_of(wanted), ""};
    request.longest_answer = longest_list;
    request.limit = statistics_limit;
    return call<Result>(request, [](const HttpAnswer& answer) {
        return understood_of_pool<Result>(answer, wire::parse_pool_statistics);
    });
}

PoolAnswer<wire::PoolState> Client::resize(const PoolId& pool, std::int64_t by) {
    return finish(*resize_call(servers_, pool, by));
}

// Without a fence, it might end the next holder's lease the second time.
PoolAnswer<wire::Revoked> Client::revoke(const PoolId& pool, const wire::RevokeRequest& request) {
    using Result = PoolAnswer<wire::Revoked>;
    return call<Result>(
        {"POST", pool_path(pool, "/revoke"), wire::to_json(request)},
        [](const HttpAnswer& answer) { return understood_of_pool<Result>(answer, wire::parse_revoked); },
        Repeat::unsafe);
}

PoolAnswer<wire::SlotState> Client::set_slot(const PoolId& pool, unsigned position,
                                             const wire::SlotRequest& request) {
    using Result = PoolAnswer<wire::SlotState>;
    const std::string path = pool_path(pool, "/slots/") + std::to_string(position);
    return call<Result>({"PUT", path, wire::to_json(request)}, [](const HttpAnswer& answer) {
        return understood_of_pool<Result>(answer, wire::parse_slot_state);
    });
}

// The answer to a second one would be that there was no such pool.
Answer<wire::Deleted> Client::remove(const PoolId& pool) {
    using Result = Answer<wire::Deleted>;
    return call<Result>(
        {"DELETE", pool_path(pool), ""},
        [](const HttpAnswer& answer) { return understood<Result>(answer, wire::parse_deleted); },
        Repeat::unsafe);
}

Answer<wire::ServerVersion> Client::version() {
    using Result = Answer<wire::ServerVersion>;
    return call<Result>({"GET", "/version", ""}, [](const HttpAnswer& answer) {
        return understood<Result>(answer, wire::parse_version);
    });
}

BackupAnswer Client::backup(const std::string& admin_token,
                            const std::function<bool(std::string_view)>& sink) {
    Request request{"GET", "/backup", ""};
    request.limit = backup_limit;
    // The server makes the copy first.
    request.longest_silence = longest_copying;
    request.sink = sink;
    request.bearer_token = admin_token;
    const auto understand = [](const HttpAnswer& answer) -> BackupAnswer {
        if (const auto why = not_admin(answer)) return *why;
        if (answer.status == 200) return BackedUp{};
        // Why the store could not be copied.
        if (const auto why = error_reason(answer); why && answer.status == 502)
            return busy(answer, *why, " (status 502)");
        return unexpected<BackupAnswer>(answer);
    };
    // Part of a copy may have come.
    return call<BackupAnswer>(std::move(request), understand, Repeat::unsafe);
}

PoolsAnswer Client::pools(const std::string& admin_token) {
    Request request{"GET", "/pools", ""};
    request.limit = pool_list_limit;
    request.longest_answer = longest_list;
    request.bearer_token = admin_token;
    return call<PoolsAnswer>(request, [](const HttpAnswer& answer) -> PoolsAnswer {
        if (const auto why = not_admin(answer)) return *why;
        return understood<PoolsAnswer>(answer, wire::parse_pool_list);
    });
}

BorrowAnswer Client::borrow(const PoolId& pool, const wire::BorrowRequest& request, WaitControl& control) {
    return finish(*borrow_call(servers_, pool, request, &control, Leaving::by_hanging_up));
}

CallbackAnswer Client::request_callback(const PoolId& pool, const wire::BorrowRequest& wanted,
                                        Duration limit) {
    using Result = CallbackAnswer;
    Request request{"POST", pool_path(pool, "/borrow"), wire::to_json(wanted)};
    request.connect_limit = std::min(request.connect_limit, limit);
    request.limit = limit;
    request.longest_answer = longest_lease;
    const Moment asked = BootClock::now();
    return call<Result>(std::move(request), [&](const HttpAnswer& answer) -> Result {
        if (says_no_such_pool(answer)) return NoSuchPool{};
        if (answer.status == 202) return parsed<Result>(answer, wire::parse_borrow_queued);
        auto held = understood<Answer<wire::LeaseGrant>>(answer, wire::parse_lease_grant);
        return std::visit(
            Overloaded{[&](wire::LeaseGrant& lease) -> Result {
                           return Grant{lease, granted_ttl(lease.expires_in, wanted.ttl), asked, true};
                       },
                       [](auto& trouble) -> Result { return std::move(trouble); }},
            held);
    });
}

PoolAnswer<wire::CallbackList> Client::callbacks(const PoolId& pool) {
    using Result = PoolAnswer<wire::CallbackList>;
    Request request{"GET", pool_path(pool, "/callbacks"), ""};
    request.longest_answer = longest_list;
    return call<Result>(request, [](const HttpAnswer& answer) {
        return understood_of_pool<Result>(answer, wire::parse_callback_list);
    });
}

Answer<wire::Cancelled> Client::cancel(const PoolId& pool, const LeaseId& lease, Duration limit) {
    return finish(*cancel_call(servers_, pool, lease, limit));
}

KeepaliveAnswer Client::keepalive(const PoolId& pool, const LeaseId& lease, Duration ttl, Duration limit,
                                  std::optional<std::uint64_t> fence) {
    return finish(*keepalive_call(servers_, pool, lease, ttl, limit, fence));
}

void Client::begin_keepalive(const PoolId& pool, const LeaseId& lease, Duration ttl, Duration limit,
                             std::optional<std::uint64_t> fence) {
    keepalive_ = keepalive_call(servers_, pool, lease, ttl, limit, fence);
    send_keepalive();
}

void Client::send_keepalive() {
    const Request request = keepalive_->request();
    connection_to(keepalive_->server()).begin(request);
}

std::optional<KeepaliveAnswer> Client::keepalive_answer() {
    if (!keepalive_) return std::nullopt;
    auto exchange = connection_->proceed();
    if (!exchange) return std::nullopt;
    auto answer = keepalive_->take(*std::move(exchange));
    answer ? keepalive_.reset() : send_keepalive();
    return answer;
}

void Client::drop_keepalive() {
    if (connection_) connection_->drop();
    keepalive_.reset();
}

void Client::wait(const std::vector<int>& wakes, Duration limit) {
    connection_to(servers_.current).wait(wakes, limit);
}

Answer<wire::Returned> Client::give_back(const PoolId& pool, const LeaseId& lease, Duration limit,
                                         std::optional<std::uint64_t> fence) {
    return finish(*give_back_call(servers_, pool, lease, limit, fence));
}

WatchEnd Client::watch(const PoolId& pool, const std::function<bool(const wire::PoolDetails&)>& on_state,
                       WaitControl& control) {
    Request request{"GET", pool_path(pool, "/events"), ""};
    request.longest_answer = longest_list;
    request.control = &control;
    Round round(servers_.list, servers_.current, longest_duration);
    const auto attempt = [&]() -> WatchEnd {
        std::optional<WatchEnd> end;
        const auto on_event = [&](const ServerEvent& event) {
            if (event.name == "deleted") end = NoSuchPool{};
            if (event.name != "state") return !end;
            const auto view = wire::parse_pool_details(event.data);
            if (!view) {
                const std::string what = "sent an event that no semad sends: " + view.error().message;
                servers_.semad_was_heard ? end = Unreachable{"it " + what} : end = Rejected{what, true};
            }
            servers_.semad_was_heard = servers_.semad_was_heard || view;
            if (view) servers_.home = servers_.current;
            return view && on_state(*view);
        };
        request.connect_limit = round.connect_limit(Request::usual_connect_limit);
        request.limit = Request::usual_limit / static_cast<Duration::rep>(servers_.list.size());
        Exchange exchange = connection_to(round.server()).stream(request, longest_silence, on_event);
        if (end) return std::move(*end);
        return resolved<WatchEnd>(servers_, std::move(exchange), [](const HttpAnswer& answer) -> WatchEnd {
            if (says_no_such_pool(answer)) return NoSuchPool{};
            return unexpected<WatchEnd>(answer);
        });
    };
    for (;;) {
        WatchEnd end = attempt();
        if (!goes_on(servers_, end, round, Repeat::safe)) return end;
    }
}

}  // namespace sema
