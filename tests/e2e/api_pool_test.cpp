#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <cctype>

using namespace sema::test;

namespace {

const std::string id = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";

std::string state_body(int count, int in_use, int available) {
    return R"({"id":")" + id + R"(","count":)" + std::to_string(count) + R"(,"in_use":)" +
           std::to_string(in_use) + R"(,"available":)" + std::to_string(available) + "}";
}

}  // namespace

TEST_CASE("a pool is registered, changed, inspected and deleted, each with its exact answer") {
    const RunningServer server;
    const TestPool pool(server, id);
    const HttpResponse made = pool.put(R"({"count": 4})");
    CHECK(made.status == 200);
    CHECK(made.header("content-type") == "application/json");
    CHECK(made.body == state_body(4, 0, 4));
    CHECK(pool.put(R"({"count": 4})").body == state_body(4, 0, 4));
    pool.take();
    CHECK(pool.get().status == 200);
    CHECK(pool.get().header("content-type") == "application/json");
    CHECK(pool.get().body == state_body(4, 1, 3));
    CHECK(pool.put(R"({"count": 6})").body == state_body(6, 1, 5));
    CHECK(pool.put(R"({"count": 0})").body == state_body(0, 1, 0));
    const HttpResponse deleted = pool.remove();
    CHECK(deleted.status == 200);
    CHECK(deleted.header("content-type") == "application/json");
    CHECK(deleted.body == R"({"deleted":true})");
    CHECK(pool.remove().status == 200);
    CHECK(pool.remove().body == R"({"deleted":false})");
}

TEST_CASE("a pool that nobody registered, or that was deleted, is not found") {
    const RunningServer server;
    const TestPool pool(server, id);
    const auto check_absent = [&] {
        for (const HttpResponse& response : {pool.get(), pool.borrow(R"({"ttl":1})")}) {
            CHECK(response.status == 404);
            CHECK(response.header("content-type") == "application/json");
            CHECK(response.body == error_body("no such pool"));
        }
        CHECK(pool.remove().body == R"({"deleted":false})");
    };
    check_absent();
    pool.set_count(1);
    pool.remove();
    check_absent();
}

TEST_CASE("a pool registered again under a deleted one's id starts fresh") {
    const RunningServer server;
    const TestPool pool(server, 2);
    const Slot old = pool.take();
    pool.remove();
    CHECK_FALSE(pool.returns(old));
    pool.set_count(1);
    CHECK(pool.in_use() == 0);
    CHECK_FALSE(pool.returns(old));
    CHECK(pool.take().position == 0);
}

TEST_CASE("every way to write a UUID names the same pool") {
    const RunningServer server;
    TestPool(server, id).set_count(3);
    std::string upper = id;
    for (char& c : upper)
        c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    const std::string digits = "9f1c2e7a5b3d4c8ea1f06d2b9c4e7a01";
    const std::string upper_digits = "9F1C2E7A5B3D4C8EA1F06D2B9C4E7A01";
    for (const std::string& form :
         {id, upper, digits, upper_digits, "{" + id + "}", "{" + upper + "}", "%7B" + id + "%7d",
          "{" + digits + "}", "urn:uuid:" + id, "URN:UUID:" + upper, "urn%3Auuid%3A" + id}) {
        CAPTURE(form);
        const TestPool pool(server, form);
        CHECK(pool.get().body == state_body(3, 0, 3));
        CHECK(pool.put(R"({"count":3})").body == state_body(3, 0, 3));
        const Slot slot = pool.take();
        CHECK(pool.returns(slot));
    }
    CHECK(TestPool(server, "{" + digits + "}").remove().body == R"({"deleted":true})");
}

TEST_CASE("an id that is not a UUID is refused by every call") {
    const RunningServer server;
    for (const std::string& form :
         {std::string(), std::string("vsim"), id.substr(1), id + "0", "{" + id, id + "}", "g" + id.substr(1),
          std::string("urn:uuid:"), "urn:uuid:{" + id + "}", "uuid:" + id, "%20" + id,
          std::string("9f1c-2e7a5b3d-4c8e-a1f0-6d2b9c4e7a01")}) {
        CAPTURE(form);
        const TestPool pool(server, form);
        for (const HttpResponse& response :
             {pool.put(R"({"count":1})"), pool.get(), pool.remove(), pool.borrow(R"({"ttl":1})"),
              pool.give_back(R"({"lease":")" + id + R"("})")}) {
            CHECK(response.status == 400);
            CHECK(response.header("content-type") == "application/json");
            CHECK(response.body == error_body("id must be a UUID"));
        }
    }
}

TEST_CASE("a count is an integer from 0 to the maximum") {
    const RunningServer server;
    const TestPool pool(server, id);
    CHECK(pool.put(R"({"count":0})").body == state_body(0, 0, 0));
    CHECK(pool.put(R"({"count":1000})").body == state_body(1000, 0, 1000));
    for (const char* body : {R"({"count":1001})", R"({"count":-1})", R"({"count":4294967296})",
                             R"({"count":18446744073709551616})", R"({"count":-99999999999999999999})"}) {
        CAPTURE(body);
        const HttpResponse response = pool.put(body);
        CHECK(response.status == 400);
        CHECK(response.body == error_body("count out of range"));
    }
    CHECK(pool.count() == 1000);
}

TEST_CASE("the count is bounded by --max-count") {
    const RunningServer server({"--max-count", "5"});
    const TestPool pool(server, id);
    CHECK(pool.put(R"({"count":6})").body == error_body("count out of range"));
    CHECK(pool.put(R"({"count":5})").body == state_body(5, 0, 5));
}

TEST_CASE("a registration without a proper count is refused and changes nothing") {
    const RunningServer server;
    const TestPool pool(server, 2);
    const std::string type_error = "count must be an integer";
    const struct {
        const char* body;
        std::string reason;
    } cases[] = {
        {R"({"count":1.5})", type_error},
        {R"({"count":1.0})", type_error},
        {R"({"count":"1"})", type_error},
        {R"({"count":true})", type_error},
        {R"({"count":null})", type_error},
        {R"({"count":[1]})", type_error},
        {R"({})", "count is required"},
        {R"({"Count":1})", "count is required"},
        {R"([1])", "body must be a JSON object"},
        {R"(1)", "body must be a JSON object"},
        {R"({"count":1)", "body is not valid JSON"},
        {R"({"count":1}})", "body is not valid JSON"},
        {R"({'count':1})", "body is not valid JSON"},
        {"", "body is not valid JSON"},
        {"\xff", "body is not valid JSON"},
    };
    for (const auto& [body, reason] : cases) {
        CAPTURE(body);
        const HttpResponse response = pool.put(body);
        CHECK(response.status == 400);
        CHECK(response.header("content-type") == "application/json");
        CHECK(response.body == error_body(reason));
    }
    CHECK(pool.count() == 2);
}

TEST_CASE("unknown fields are ignored") {
    const RunningServer server;
    const TestPool pool(server, id);
    const std::string lease = R"({"lease":")" + id + R"(",)";
    CHECK(pool.put(R"({"comment":{"count":7},"count":2})").body == state_body(2, 0, 2));
    const HttpResponse granted = pool.borrow(R"({"ttl":60,"colour":"red"})");
    CHECK(granted.status == 200);
    CHECK(keys_of(granted.body) == "lease position expires_at_unix expires_in ");
    CHECK(pool.borrow(R"({"ttl":60,"holder":{"name":"ann","colour":"red"}})").status == 200);
    CHECK(pool.give_back(lease + R"("why":null})").body == R"({"returned":false})");
    CHECK(pool.keepalive(lease + R"("ttl":5,"why":[]})").body == R"({"renewed":false})");
    CHECK(pool.revoke(R"({"position":1,"why":"?"})").body == R"({"revoked":true})");
    CHECK(pool.resize(R"({"by":1,"why":{}})").body == state_body(3, 1, 2));
}

TEST_CASE("pools do not know of each other") {
    const RunningServer server;
    const TestPool one(server, 1);
    const TestPool other(server, 1);
    one.take();
    CHECK(other.available() == 1);
    CHECK(other.take().position == 0);
}

TEST_CASE("a pool above --max-pools is refused until one is deleted") {
    const RunningServer server({"--max-pools", "2"});
    const TestPool first(server, 1);
    const TestPool second(server, 1);
    const TestPool third(server, id);
    const HttpResponse refused = third.put(R"({"count":1})");
    CHECK(refused.status == 503);
    CHECK(refused.has("retry-after"));
    CHECK(refused.body == error_body("too many pools"));
    CHECK(first.put(R"({"count":3})").status == 200);
    second.remove();
    CHECK(third.put(R"({"count":1})").status == 200);
}
