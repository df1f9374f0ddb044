#include "server/http/routes.hpp"

#include "server/store/memory/memory_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/manual_clock.hpp"

#include <sys/mman.h>

#include <map>
#include <regex>
#include <string>
#include <vector>

using namespace sema;
using namespace sema::http;

namespace {

const std::string id = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";

/// Routes to a service that does nothing by itself.
struct Bench {
    explicit Bench(std::string token = "") : admin_token(std::move(token)) {}

    std::variant<Response, Pending> handle(const std::string& method, const std::string& path,
                                           const std::string& body = "",
                                           const std::string& authorization = "") {
        return routes.handle({method, path, body, authorization}, [](const Answer&) {});
    }
    /// The status that a request gets at once; 0 where the service was asked.
    int status(const std::string& method, const std::string& path, const std::string& body = "") {
        const auto result = handle(method, path, body);
        const auto* response = std::get_if<Response>(&result);
        return response ? response->status : 0;
    }

    const std::string admin_token;
    std::unique_ptr<Store> store = make_memory_store();
    test::ManualClock clock;
    Service service{*store, clock, {}};
    Routes routes{service, clock, 1000, admin_token};
};

/// So many bytes that nobody looks at, and that take no memory.
class Untouched {
  public:
    explicit Untouched(std::size_t size)
        : size_(size),
          place_(mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
        REQUIRE(place_ != MAP_FAILED);
    }
    ~Untouched() { munmap(place_, size_); }
    Untouched(const Untouched&) = delete;
    Untouched& operator=(const Untouched&) = delete;

    HistoryListed answer() const {
        return {std::make_shared<const std::string_view>(static_cast<const char*>(place_), size_)};
    }

  private:
    const std::size_t size_;
    void* const place_;
};

const std::string lease = "3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34";

const char* body_for(const std::string& path) {
    if (path.find("/keepalive") != std::string::npos)
        return R"({"lease":"3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34","ttl":1})";
    if (path.find("/resize") != std::string::npos) return R"({"by":1})";
    if (path.find("/revoke") != std::string::npos) return R"({"position":0})";
    if (path.find("/borrow") != std::string::npos) return R"({"ttl":1})";
    if (path.find("/return") != std::string::npos)
        return R"({"lease":"3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34"})";
    return R"({"count":1})";
}

}  // namespace

TEST_CASE("each path takes its own methods, and says so to others") {
    constexpr int asked = 0;
    const std::vector<std::string> methods = {"GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"};
    const std::map<std::string, std::vector<int>> expected = {
        {"/l/" + id, {asked, asked, asked, asked, 405, 405, 405}},
        {"/l/" + id + "/borrow", {405, 405, 405, 405, asked, 405, 405}},
        {"/l/" + id + "/return", {405, 405, 405, 405, asked, 405, 405}},
        {"/l/" + id + "/keepalive", {405, 405, 405, 405, asked, 405, 405}},
        {"/l/" + id + "/resize", {405, 405, 405, 405, asked, 405, 405}},
        {"/l/" + id + "/revoke", {405, 405, 405, 405, asked, 405, 405}},
        {"/l/" + id + "/holders", {asked, asked, 405, 405, 405, 405, 405}},
        {"/l/" + id + "/events", {asked, asked, 405, 405, 405, 405, 405}},
        {"/l/" + id + "/queue/" + lease, {405, 405, 405, asked, 405, 405, 405}},
        {"/l/" + id + "/queue/x", {405, 405, 405, 400, 405, 405, 405}},
        {"/healthz", {200, 200, 405, 405, 405, 405, 405}},
        {"/readyz", {200, 200, 405, 405, 405, 405, 405}},
        {"/version", {200, 200, 405, 405, 405, 405, 405}},
        {"/l/x", {400, 400, 400, 400, 405, 405, 405}},
        {"/l/x/borrow", {405, 405, 405, 405, 400, 405, 405}},
        {"/l/x/return", {405, 405, 405, 405, 400, 405, 405}},
        {"/l/x/keepalive", {405, 405, 405, 405, 400, 405, 405}},
        {"/l/x/holders", {400, 400, 405, 405, 405, 405, 405}},
        {"/l/x/events", {400, 400, 405, 405, 405, 405, 405}},
        {"/l/x/queue/" + lease, {405, 405, 405, 400, 405, 405, 405}},
        {"/l/" + id + "/queue", {404, 404, 404, 404, 404, 404, 404}},
        {"/l/" + id + "/queue/", {404, 404, 404, 404, 404, 404, 404}},
        {"/l/" + id + "/queue/" + lease + "/", {404, 404, 404, 404, 404, 404, 404}},
        {"/l/" + id + "/events/x", {404, 404, 404, 404, 404, 404, 404}},
        {"/", {404, 404, 404, 404, 404, 404, 404}},
        {"", {404, 404, 404, 404, 404, 404, 404}},
        {"*", {404, 404, 404, 404, 404, 404, 404}},
        {"/l", {404, 404, 404, 404, 404, 404, 404}},
        {"/l/" + id + "/", {404, 404, 404, 404, 404, 404, 404}},
        {"/l/" + id + "/lend", {404, 404, 404, 404, 404, 404, 404}},
        {"/l/" + id + "/borrow/", {404, 404, 404, 404, 404, 404, 404}},
        {"/l/" + id + "/borrow/return", {404, 404, 404, 404, 404, 404, 404}},
        {"/pool/" + id, {404, 404, 404, 404, 404, 404, 404}},
        {"l/" + id, {404, 404, 404, 404, 404, 404, 404}},
        {"/version/", {404, 404, 404, 404, 404, 404, 404}},
        {"/pools", {404, 404, 404, 404, 404, 404, 404}},
        {"/healthzz", {404, 404, 404, 404, 404, 404, 404}},
    };
    Bench bench;
    for (const auto& [path, statuses] : expected) {
        for (std::size_t i = 0; i < methods.size(); ++i) {
            CAPTURE(path, methods[i]);
            CHECK(bench.status(methods[i], path, body_for(path)) == statuses[i]);
        }
    }
}

TEST_CASE("the list of pools is the administrator's") {
    Bench bench("s3cret");
    const auto status = [&](const std::string& method, const std::string& authorization) {
        const auto result = bench.handle(method, "/pools", "", authorization);
        const auto* response = std::get_if<Response>(&result);
        return response ? response->status : 0;
    };
    CHECK(status("GET", "Bearer s3cret") == 0);
    CHECK(status("HEAD", "bearer s3cret") == 0);
    for (const char* malformed :
         {"", "s3cret", "Bearer", "Basic s3cret", "Bearer s3cret s3cret", "Bearer s3,t"})
        CHECK(status("GET", malformed) == 401);
    for (const char* wrong :
         {"Bearer S3cret", "Bearer s3cre", "Bearer s3crett", "Bearer s3crets3cret", "Bearer x"})
        CHECK(status("GET", wrong) == 403);
    for (const char* method : {"PUT", "POST", "DELETE", "PATCH", "OPTIONS"}) {
        CHECK(status(method, "Bearer s3cret") == 405);
        CHECK(status(method, "") == 405);
    }
    const auto asked = std::get<Response>(bench.handle("GET", "/pools"));
    CHECK(asked.headers == "WWW-Authenticate: Bearer\r\n");
    CHECK(std::get<Response>(bench.handle("PUT", "/pools")).headers == "Allow: GET, HEAD\r\n");
    CHECK(bench.status("GET", "/pools/") == 404);
}

TEST_CASE("a 405 lists what the path takes") {
    Bench bench;
    const auto allowed = [&](const std::string& path) {
        const auto result = bench.handle("PATCH", path);
        return std::get<Response>(result).headers;
    };
    CHECK(allowed("/l/" + id) == "Allow: GET, HEAD, PUT, DELETE\r\n");
    for (const std::string call : {"borrow", "return", "keepalive", "resize", "revoke"})
        CHECK(allowed("/l/" + id + "/" + call) == "Allow: POST\r\n");
    for (const std::string call : {"holders", "events"})
        CHECK(allowed("/l/" + id + "/" + call) == "Allow: GET, HEAD\r\n");
    CHECK(allowed("/l/" + id + "/queue/" + lease) == "Allow: DELETE\r\n");
    CHECK(allowed("/healthz") == "Allow: GET, HEAD\r\n");
}

TEST_CASE("a body that is not as it should be is refused with the reason, and no UUID in it") {
    Bench bench;
    const auto refusal = [&](const std::string& method, const std::string& call, const std::string& body) {
        const auto result = bench.handle(method, "/l/" + id + call, body);
        REQUIRE(std::holds_alternative<Response>(result));
        CHECK(std::get<Response>(result).status == 400);
        return std::get<Response>(result).body;
    };
    const auto error = [](const std::string& reason) { return R"({"error":")" + reason + R"("})"; };
    CHECK(refusal("POST", "/keepalive", R"({"ttl":1})") == error("lease is required"));
    CHECK(refusal("POST", "/keepalive", R"({"lease":"x","ttl":1})") == error("lease must be a UUID"));
    CHECK(refusal("POST", "/keepalive", R"({"lease":")" + lease + R"("})") == error("ttl is required"));
    CHECK(refusal("POST", "/keepalive", R"({"ttl":0,"lease":")" + lease + R"("})") ==
          error("ttl must be greater than 0"));
    CHECK(refusal("POST", "/resize", "{}") == error("by is required"));
    CHECK(refusal("POST", "/resize", R"({"by":1.5})") == error("by must be an integer"));
    CHECK(refusal("POST", "/revoke", "{}") == error("position is required"));
    CHECK(refusal("POST", "/revoke", R"({"position":-1})") == error("position out of range"));
    CHECK(refusal("DELETE", "/queue/x", "") == error("lease must be a UUID"));
    CHECK(refusal("POST", "/borrow", R"({"ttl":1,"lease":"x"})") == error("lease must be a UUID"));
    CHECK(refusal("POST", "/borrow", R"({"ttl":1,"slots":0})") == error("slots out of range"));
    CHECK(refusal("POST", "/borrow", R"({"ttl":1,"slots":1001})") == error("slots out of range"));
    CHECK(refusal("POST", "/borrow", R"({"ttl":1,"slots":"2"})") == error("slots must be an integer"));
    CHECK(refusal("POST", "/borrow", R"({"ttl":1,"priority":101})") == error("priority out of range"));
    CHECK(refusal("POST", "/borrow", R"({"ttl":1,"holder":"me"})") == error("holder must be an object"));
    CHECK(refusal("POST", "/borrow", R"({"ttl":1,"holder":{"name":1}})") ==
          error("holder.name must be a string"));
    CHECK(refusal("POST", "/borrow", R"({"ttl":1,"holder":{"name":")" + std::string(257, 'x') + R"("}})") ==
          error("holder.name must have at most 256 characters"));
    CHECK(refusal("POST", "/borrow", R"({"ttl":1,"callback":{"url":"http://x/"}})") ==
          error("callback is not allowed on this server: use wait"));
    CHECK(refusal("PUT", "", R"({"count":2,"slots":["a"]})") ==
          error("slots must have one entry for each of the pool's slots"));
    CHECK(refusal("PUT", "", R"({"count":1,"cooldown":-1})") == error("cooldown must not be negative"));
    CHECK(refusal("PUT", "", R"({"count":1,"renewable":1})") == error("renewable must be true or false"));
}

TEST_CASE("only a borrow may have to wait") {
    Bench bench;
    const auto may_wait = [&](const std::string& method, const std::string& path) {
        const auto result = bench.handle(method, path, body_for(path));
        REQUIRE(std::holds_alternative<Pending>(result));
        CHECK(std::get<Pending>(result).pool.str() == id);
        return std::get<Pending>(result).ticket.has_value();
    };
    CHECK(may_wait("POST", "/l/" + id + "/borrow"));
    CHECK_FALSE(may_wait("POST", "/l/" + id + "/return"));
    CHECK_FALSE(may_wait("PUT", "/l/" + id));
    CHECK_FALSE(may_wait("GET", "/l/" + id));
    CHECK_FALSE(may_wait("DELETE", "/l/" + id));
    for (const std::string call : {"/keepalive", "/resize", "/revoke"})
        CHECK_FALSE(may_wait("POST", "/l/" + id + call));
    CHECK_FALSE(may_wait("GET", "/l/" + id + "/holders"));
    CHECK_FALSE(may_wait("DELETE", "/l/" + id + "/queue/" + lease));
}

TEST_CASE("only the events of a pool are a stream") {
    Bench bench;
    const auto stream = [&](const std::string& method, const std::string& call) {
        const auto result = bench.handle(method, "/l/" + id + call, body_for(call));
        const Pending pending = std::get<Pending>(result);
        // A stream is left by its ticket.
        CHECK((!pending.is_stream || pending.ticket));
        return pending.is_stream;
    };
    CHECK(stream("GET", "/events"));
    CHECK(stream("HEAD", "/events"));
    CHECK_FALSE(stream("GET", "/holders"));
    CHECK_FALSE(stream("GET", ""));
    CHECK_FALSE(stream("POST", "/borrow"));
}

namespace {

/// At 1000 hours on the manual clock's timeline, which is the time of day too.
constexpr TimePoint now{std::chrono::hours(1000)};

Lease some_lease() {
    using namespace std::chrono_literals;
    return {*LeaseId::parse(lease), {1, 4}, now - 10s, now + 49s + 999ms, 60s, 12, true, nullptr};
}

}  // namespace

TEST_CASE("a lease is told in the form that was asked for") {
    using namespace std::chrono_literals;
    Bench bench;
    const auto pool = *PoolId::parse(id);
    const std::string base =
        R"({"lease":")" + lease + R"(","position":1,"expires_at_unix":3600049,"expires_in":49)";
    LeaseGranted granted{some_lease(), 49s + 999ms};
    CHECK(bench.routes.respond(pool, granted).body == base + "}");
    granted.is_extended = true;
    CHECK(bench.routes.respond(pool, granted).body ==
          base + R"(,"positions":[1,4],"fence":12,"slots":[null,null],"granted_at_unix":3599990})");
    granted.settings = std::make_shared<const PoolSettings>(
        PoolSettings{.payloads = {R"("a")", R"({"n":1})", R"("c")", R"("d")"}});
    CHECK(bench.routes.respond(pool, granted).body ==
          base + R"(,"positions":[1,4],"fence":12,"slots":[{"n":1},null],"granted_at_unix":3599990})");
}

TEST_CASE("the answers of the other calls have their keys, and no more") {
    using namespace std::chrono_literals;
    Bench bench;
    const auto pool = *PoolId::parse(id);
    const auto body = [&](const Answer& answer, int status = 200) {
        const Response response = bench.routes.respond(pool, answer);
        CHECK(response.status == status);
        return response.body;
    };
    CHECK(body(LeaseRenewed{}) == R"({"renewed":false})");
    CHECK(body(LeaseRenewed{some_lease(), 49s}) ==
          R"({"renewed":true,"lease":")" + lease +
              R"(","position":1,"expires_at_unix":3600049,"expires_in":49})");
    CHECK(body(LeaseRevoked{true}) == R"({"revoked":true})");
    CHECK(body(LeaseRevoked{false}) == R"({"revoked":false})");
    CHECK(body(BorrowCancelled{true}) == R"({"cancelled":true})");
    CHECK(body(BorrowCancelled{false}) == R"({"cancelled":false})");
    CHECK(body(NotGranted{3, 7, 2, 4, 1ms}, 409) ==
          R"({"error":"no resource available","rank":3,"queue":7,"in_use":2,"count":4,"eta":1})");
    CHECK(body(NotGranted{1, 0, 2, 4, std::nullopt}, 409) ==
          R"({"error":"no resource available","rank":1,"queue":0,"in_use":2,"count":4,"eta":null})");
}

TEST_CASE("a view names holders and queue, and no lease's id") {
    using namespace std::chrono_literals;
    Bench bench;
    const auto pool = *PoolId::parse(id);
    PoolView view{.revision = 5,
                  .at = now,
                  .settings = nullptr,
                  .count = 6,
                  .in_use = 2,
                  .available = 4,
                  .leases = {some_lease()},
                  .queue = {},
                  .eta = 1500ms};
    const std::string holder = R"({"position":1,"positions":[1,4],"holder":null,"granted_at_unix":3599990,)"
                               R"("expires_at_unix":3600049,"expires_in":49,"fence":12})";
    const auto text = [&](const std::string& name, const std::string& more, const std::string& rest) {
        return R"({"id":")" + id + R"(","name":)" + name + R"(,"count":6,"in_use":2,"available":4,)" + more +
               rest + "}";
    };
    const std::string plain = R"("renewable":true,"cooldown":0,"pick":"lowest",)";
    const auto shown = [&] {
        // How a waiter is named does not matter here.
        static const std::regex waiter(R"("waiter":"[0-9a-f]{16}")");
        const std::string body = bench.routes.respond(pool, std::make_shared<const PoolView>(view)).body;
        return std::regex_replace(body, waiter, R"("waiter":"*")");
    };
    CHECK(shown() == text("null", plain, R"("holders":[)" + holder + R"(],"queue":[],"out":[],"eta":2)"));
    CHECK(bench.routes.event(pool, view) == "event: state\ndata: " + shown() + "\n\n");

    view.leases.clear();
    view.eta.reset();
    view.settings = std::make_shared<const PoolSettings>(
        PoolSettings{.name = "seats\nof \"us\"", .cooldown = 500ms, .renewable = false, .pick = Pick::idle});
    view.out[3] = {now - 9s, "fan"};
    Waiter waiter;
    waiter.claim.slots = 2;
    waiter.claim.priority = -5;
    waiter.claim.holder = std::make_shared<const Holder>(Holder{"me", {}});
    waiter.queued_at = now - 3s;
    view.queue.push_back(waiter);
    view.etas.emplace_back();
    CHECK(
        shown() ==
        text(
            R"("seats\nof \"us\"")", R"("renewable":false,"cooldown":0.5,"pick":"idle",)",
            R"("holders":[],"queue":[{"rank":1,"slots":2,"priority":-5,"holder":{"name":"me"},)"
            R"("waiting_for":3,"waiter":"*"}],"out":[{"position":3,"reason":"fan","since_unix":3599991}],"eta":null)"));
}

TEST_CASE("nothing is listed with less than no time left") {
    using namespace std::chrono_literals;
    Bench bench;
    const PoolView view{.revision = 5,
                        .at = now + 1h,
                        .settings = nullptr,
                        .count = 6,
                        .in_use = 2,
                        .available = 4,
                        .leases = {some_lease()},
                        .queue = {},
                        .eta = {}};
    CHECK_THAT(bench.routes.event(*PoolId::parse(id), view), test::has_text(R"("expires_in":0)"));
}

TEST_CASE("that a pool is gone is an event too") {
    CHECK(Routes::deleted_event() == "event: deleted\ndata: {\"deleted\":true}\n\n");
}

TEST_CASE("long answers that nobody reads are bounded together, and short ones are not") {
    Bench bench;
    const auto pool = *PoolId::parse(id);
    const Untouched half(Routes::most_unread_bytes / 2);
    auto first = bench.routes.respond(pool, half.answer());
    const auto second = bench.routes.respond(pool, half.answer());
    CHECK(first.status == 200);
    CHECK(second.status == 200);
    CHECK(second.long_body->size() == Routes::most_unread_bytes / 2);
    // A pool with so many waiters that the list of them is long.
    PoolView crowd;
    for (unsigned i = 0; i < 100; ++i) {
        crowd.queue.push_back({});
        crowd.queue.back().claim.holder =
            std::make_shared<const Holder>(Holder{std::string(250, 'n'), std::string(2000, 'u')});
        crowd.etas.emplace_back();
    }
    const Answer long_list = std::make_shared<const PoolView>(crowd);
    for (const Answer& answer : {Answer(half.answer()), long_list}) {
        const Response refused = bench.routes.respond(pool, answer);
        CHECK(refused.status == 503);
        CHECK(refused.body == R"({"error":"too many long answers at a time"})");
        CHECK(refused.headers == "Retry-After: 1\r\n");
    }
    CHECK(bench.routes.respond(pool, HistoryListed{std::make_shared<const std::string_view>("{}")}).status ==
          200);
    // Its client has read it.
    first = {};
    CHECK(bench.routes.respond(pool, long_list).status == 200);
    CHECK(bench.routes.respond(pool, half.answer()).status == 200);
}

TEST_CASE("a long answer that is the only one may have any length") {
    Bench bench;
    const auto pool = *PoolId::parse(id);
    const Untouched huge(2 * Routes::most_unread_bytes);
    const Untouched small(100'000);
    auto first = bench.routes.respond(pool, huge.answer());
    CHECK(first.status == 200);
    CHECK(bench.routes.respond(pool, small.answer()).status == 503);
    first = {};
    CHECK(bench.routes.respond(pool, small.answer()).status == 200);
}

TEST_CASE("the service's refusals have each their status, and those that pass say when to come back") {
    Bench bench;
    const auto pool = *PoolId::parse(id);
    const struct {
        Refusal refusal;
        int status;
        const char* body;
        bool passes;
    } cases[] = {
        {Refusal::no_such_pool, 404, R"({"error":"no such pool"})", false},
        {Refusal::no_resource, 409, R"({"error":"no resource available"})", false},
        {Refusal::store_failed, 502, R"({"error":"database command failed"})", false},
        {Refusal::shutting_down, 503, R"({"error":"shutting down"})", true},
        {Refusal::too_many_waiters, 503, R"({"error":"too many waiters"})", true},
        {Refusal::too_many_pools, 503, R"({"error":"too many pools"})", true},
        {Refusal::lease_id_in_use, 409, R"({"error":"lease id in use"})", false},
        {Refusal::superseded, 409, R"({"error":"taken over by a newer request"})", false},
        {Refusal::cancelled, 409, R"({"error":"cancelled"})", false},
        {Refusal::not_renewable, 409, R"({"error":"lease is not renewable"})", false},
        {Refusal::count_out_of_range, 400, R"({"error":"count out of range"})", false},
        {Refusal::watch_lost, 502, R"({"error":"database command failed"})", false},
    };
    for (const auto& [refusal, status, body, passes] : cases) {
        const Response response = bench.routes.respond(pool, refusal);
        CHECK(response.status == status);
        CHECK(response.body == body);
        CHECK(response.headers == (passes ? "Retry-After: 1\r\n" : ""));
    }
}
