#include "server/http/routes.hpp"

#include "server/store/memory.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/manual_clock.hpp"

#include <map>
#include <string>
#include <vector>

using namespace sema;
using namespace sema::http;

namespace {

const std::string id = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";

/// Routes to a service that does nothing by itself.
struct Bench {
    std::variant<Response, Pending> handle(const std::string& method, const std::string& path,
                                           const std::string& body = "") {
        return routes.handle({method, path, body}, [](const Answer&) {});
    }
    /// The status that a request gets at once; 0 where the service was asked.
    int status(const std::string& method, const std::string& path, const std::string& body = "") {
        const auto result = handle(method, path, body);
        const auto* response = std::get_if<Response>(&result);
        return response ? response->status : 0;
    }

    std::unique_ptr<Store> store = make_memory_store();
    test::ManualClock clock;
    Service service{*store, clock, {}};
    Routes routes{service, clock, 1000};
};

const char* body_for(const std::string& path) {
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
        {"/healthz", {200, 200, 405, 405, 405, 405, 405}},
        {"/version", {200, 200, 405, 405, 405, 405, 405}},
        {"/l/x", {400, 400, 400, 400, 405, 405, 405}},
        {"/l/x/borrow", {405, 405, 405, 405, 400, 405, 405}},
        {"/l/x/return", {405, 405, 405, 405, 400, 405, 405}},
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
    };
    for (const auto& [refusal, status, body, passes] : cases) {
        const Response response = bench.routes.respond(pool, refusal);
        CHECK(response.status == status);
        CHECK(response.body == body);
        CHECK(response.headers == (passes ? "Retry-After: 1\r\n" : ""));
    }
}
