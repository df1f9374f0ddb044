#pragma once

#include "server/http/call_kind.hpp"
#include "server/http/engine.hpp"
#include "server/service/clock.hpp"
#include "server/service/service.hpp"

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace sema::http {

/// An answer, short of what the connection adds to it.
struct Response {
    int status = 200;
    std::string body{};
    /// Further header lines, each with its CRLF.
    std::string headers{};
    /// Where it is set, it is the body: a long one, which is not copied.
    std::shared_ptr<const std::string_view> long_body{};
    const char* content_type = "application/json";
    CallKind call = CallKind::other;
};

/// A call that the service answers later.
struct Pending {
    PoolId pool;
    /// Names the call to Service::leave(), where it may wait.
    std::optional<Ticket> ticket{};
    /// Its answers are views, one after the other: each an event().
    bool is_stream = false;
    CallKind call = CallKind::other;
    /// It may wait for a slot.
    bool may_wait = false;
};

class MetricsPage;

/// What routes report of the rest of the process. What is null is not reported.
struct Monitoring {
    /// Outlives the routes.
    MetricsPage* metrics = nullptr;
    /// Why no connections can be taken at the moment; empty where they can.
    std::function<std::string()> listener_trouble{};
    /// Whether the threads that serve do their work; null: the thread that is asked does.
    std::function<bool()> is_alive{};
    /// These routes are for monitoring, on a listener of their own: metrics without a token, the health of
    /// the process, and no other call.
    bool is_all = false;
};

Response error_response(int status, std::string_view reason);

/// The calls of the HTTP interface: paths and JSON on one side, the service on the other. Thread-safe.
class Routes {
  public:
    /// Both must outlive the routes. Where `admin_token` is empty there is no administrator, and no list of
    /// pools.
    Routes(Service& service, const Clock& clock, unsigned max_count, std::string admin_token = {})
        : service_(service), clock_(clock), max_count_(max_count), admin_token_(std::move(admin_token)) {}

    /// The most slots that a pool may be given.
    void set_max_count(unsigned max_count) { max_count_ = max_count; }
    /// Whether a borrower may be called like that; the error says what to do. Called by any thread.
    using CheckCallback = std::function<Expected<void>(const wire::Callback&)>;
    /// Until then nobody is called. To be called before the routes are used.
    void take_callbacks(CheckCallback check) { check_callback_ = std::move(check); }
    /// To be called before the routes are used.
    void set_monitoring(Monitoring monitoring) { monitoring_ = std::move(monitoring); }

    /// Long texts about pools that are answered may have so many bytes together until clients have read them:
    /// what is more is refused, unless it is the only one.
    static constexpr std::size_t most_unread_bytes = 256 * 1024 * 1024;

    /// The answer to a stream that the pool was deleted, as an event.
    static std::string deleted_event();

    /// Either the response, or a call under way: then `reply` gets its answer, perhaps before handle()
    /// returns, and respond() makes the response of it.
    std::variant<Response, Pending> handle(const Request& request, Reply reply);
    Response respond(const PoolId& pool, const Answer& answer) const;
    /// A view as a server-sent event (WHATWG HTML, section 9.2).
    std::string event(const PoolId& pool, const PoolView& view) const;

    /// Sees to it that calls are answered: see Service::settle(). Each thread that uses handle() calls it.
    bool settle() { return !monitoring_.is_all && service_.settle(); }

    /// The borrower or watcher hung up. False: its answer is under way all the same.
    bool leave(const PoolId& pool, Ticket ticket) { return service_.leave(pool, ticket); }
    /// See Service::is_queued().
    bool is_queued(const PoolId& pool, Ticket ticket) const { return service_.is_queued(pool, ticket); }

    /// The answer did not reach the borrower: a lease in it is given back, or kept for a while where the
    /// borrower can ask for it again.
    void undelivered(const PoolId& pool, const Answer& answer);

  private:
    using Result = std::variant<Response, Pending>;
    using Handler = Result (Routes::*)(const Request&, const PoolId&, Reply);
    struct Call;
    static const Call calls[];
    struct Page;
    static const Page pages[];

    Result handle_call(const Request& request, Reply reply);
    Result handle_page(const Request& request, Reply reply);
    std::optional<Response> refuse_stranger(const Request& request) const;
    Result health(const Request& request, Reply reply);
    Result liveness(const Request& request, Reply reply);
    Result readiness(const Request& request, Reply reply);
    Result show_version(const Request& request, Reply reply);
    Result describe_interface(const Request& request, Reply reply);
    Result list_metrics(const Request& request, Reply reply);
    Response verbose_readiness(const Response& plain, Readiness readiness) const;
    Result put(const Request& request, const PoolId& pool, Reply reply);
    Result inspect(const Request& request, const PoolId& pool, Reply reply);
    Result remove(const Request& request, const PoolId& pool, Reply reply);
    Result borrow(const Request& request, const PoolId& pool, Reply reply);
    Result keep_alive(const Request& request, const PoolId& pool, Reply reply);
    Result give_back(const Request& request, const PoolId& pool, Reply reply);
    Result resize(const Request& request, const PoolId& pool, Reply reply);
    Result revoke(const Request& request, const PoolId& pool, Reply reply);
    Result set_slot(const Request& request, const PoolId& pool, Reply reply);
    Result list_holders(const Request& request, const PoolId& pool, Reply reply);
    Result list_callbacks(const Request& request, const PoolId& pool, Reply reply);
    Result watch(const Request& request, const PoolId& pool, Reply reply);
    Result list_past(const Request& request, const PoolId& pool, Reply reply);
    Result show_statistics(const Request& request, const PoolId& pool, Reply reply);
    Result cancel(const Request& request, const PoolId& pool, Reply reply);
    Result cancel_waiter(const Request& request, const PoolId& pool, Reply reply);
    Result list_slots(const Request& request, const PoolId& pool, Reply reply);
    Result list_pools(const Request& request, Reply reply);
    Result copy_store(const Request& request, Reply reply);

    Response text_answer(std::string text) const;
    Response text_answer(std::shared_ptr<const std::string_view> text) const;
    wire::SlotState slot_state(Position position, const std::optional<OutOfService>& out) const;
    wire::PoolDetails pool_details(const PoolId& pool, const PoolView& view) const;

    Service& service_;
    const Clock& clock_;
    std::atomic<unsigned> max_count_;
    const std::string admin_token_;
    Monitoring monitoring_;
    /// Of the long texts that clients have yet to read. Those may outlive the routes.
    const std::shared_ptr<std::atomic<std::size_t>> unread_bytes_ =
        std::make_shared<std::atomic<std::size_t>>(0);
    CheckCallback check_callback_ = [](const wire::Callback&) -> Expected<void> {
        return failure("callback is not allowed on this server: use wait");
    };
};

}  // namespace sema::http
