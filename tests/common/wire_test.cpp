#include "common/wire.hpp"

#include "tests/support/catch.hpp"

#include <limits>

using namespace std::chrono_literals;
using namespace sema::wire;

namespace {

template <class T>
std::string reason(const sema::Expected<T>& result) {
    return result ? "accepted" : result.error().message;
}

std::string register_reason(const char* body) {
    return reason(parse_register_request(body, 1000));
}

}  // namespace

TEST_CASE("a count is an integer from 0 to the maximum") {
    CHECK(parse_register_request(R"({"count": 0})", 1000)->count == 0);
    CHECK(parse_register_request(R"({"count": 1000})", 1000)->count == 1000);
    CHECK(parse_register_request(R"({"count": 7, "what": ["is", "this"]})", 1000)->count == 7);
    CHECK(register_reason(R"({"count": 1001})") == "count out of range");
    CHECK(register_reason(R"({"count": -1})") == "count out of range");
    CHECK(register_reason(R"({"count": 18446744073709551615})") == "count out of range");
    CHECK(register_reason(R"({"count": 99999999999999999999999})") == "count out of range");
    CHECK(register_reason(R"({"count": 1.5})") == "count must be an integer");
    CHECK(register_reason(R"({"count": "4"})") == "count must be an integer");
    CHECK(register_reason(R"({"count": true})") == "count must be an integer");
    CHECK(register_reason(R"({"count": null})") == "count must be an integer");
    CHECK(register_reason(R"({})") == "count is required");
    CHECK(parse_register_request(R"({"count": -0})", 1000)->count == 0);
}

TEST_CASE("a field counts at the top of the object alone, and the last of a name counts") {
    CHECK(parse_register_request(R"({"a": {"count": 9}, "count": 1, "b": [{"count": 9}]})", 1000)->count ==
          1);
    CHECK(register_reason(R"({"a": {"count": 9}, "b": [{"count": 9}]})") == "count is required");
    CHECK(register_reason(R"([{"count": 9}])") == "body must be a JSON object");
    CHECK(register_reason(R"({"count": {"count": 9}})") == "count must be an integer");
    CHECK(register_reason(R"({"count": [9]})") == "count must be an integer");
    CHECK(parse_register_request(R"({"count": "x", "count": 2})", 1000)->count == 2);
}

TEST_CASE("a body that is no JSON object is refused without quoting it") {
    CHECK(register_reason("") == "body is not valid JSON");
    CHECK(register_reason("{") == "body is not valid JSON");
    CHECK(register_reason("{\"count\": 1} x") == "body is not valid JSON");
    CHECK(register_reason("{\"count\": 1e999}") == "body has a number that is out of range");
    CHECK(reason(parse_register_request(std::string_view("{\"count\": 1}\0}", 14), 1000)) ==
          "body is not valid JSON");
    CHECK(register_reason("{\"a\": \"\xff\"}") == "body is not valid JSON");
    CHECK(register_reason("[1]") == "body must be a JSON object");
    CHECK(register_reason("null") == "body must be a JSON object");
    CHECK(register_reason(std::string(60'000, '[').c_str()) == "body is not valid JSON");
}

TEST_CASE("a borrow needs a positive ttl and takes a wait") {
    const auto both = parse_borrow_request(R"({"ttl": 30, "wait": 2.5})", 1000);
    REQUIRE(both);
    CHECK(both->ttl == 30s);
    CHECK(both->wait == 2500ms);
    CHECK(parse_borrow_request(R"({"ttl": 0.001})", 1000)->ttl == 1ms);
    CHECK(parse_borrow_request(R"({"ttl": 1})", 1000)->wait == 0s);
    CHECK(parse_borrow_request(R"({"ttl": 1e300})", 1000)->ttl == sema::longest_duration);
    const auto refused = [](const char* body) { return reason(parse_borrow_request(body, 1000)); };
    CHECK(refused(R"({})") == "ttl is required");
    CHECK(refused(R"({"ttl": 0})") == "ttl must be greater than 0");
    CHECK(refused(R"({"ttl": -1})") == "ttl must be greater than 0");
    CHECK(refused(R"({"ttl": "30"})") == "ttl must be a number of seconds");
    CHECK(refused(R"({"ttl": null})") == "ttl must be a number of seconds");
    CHECK(refused(R"({"ttl": 1, "wait": -0.1})") == "wait must not be negative");
    CHECK(refused(R"({"ttl": 1, "wait": "5"})") == "wait must be a number of seconds");
    CHECK(refused(R"({"ttl": 1, "wait": null})") == "wait must be a number of seconds");
}

TEST_CASE("a return names a lease") {
    CHECK(parse_return_request(R"({"lease": "3A7D0B149E2C4F6A8B1D0C5E2F9A7B34"})")->lease.str() ==
          "3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34");
    CHECK(reason(parse_return_request(R"({})")) == "lease is required");
    CHECK(reason(parse_return_request(R"({"lease": 1})")) == "lease must be a UUID");
    CHECK(reason(parse_return_request(R"({"lease": "nope"})")) == "lease must be a UUID");
}

TEST_CASE("bodies are written as the reference prints them, and read back") {
    const auto pool = *sema::PoolId::parse("9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01");
    const auto lease = *sema::LeaseId::parse("3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34");

    const std::string state = to_json(PoolState{pool, 4, 2, 2});
    CHECK(state == R"({"id":"9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01","count":4,"in_use":2,"available":2})");
    CHECK(parse_pool_state(state)->id == pool);
    CHECK(parse_pool_state(state)->in_use == 2);

    const std::string grant = to_json(LeaseGrant{lease, 3, 1781337630, 30});
    CHECK(
        grant ==
        R"({"lease":"3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34","position":3,"expires_at_unix":1781337630,"expires_in":30})");
    CHECK(parse_lease_grant(grant)->lease == lease);
    CHECK(parse_lease_grant(grant)->expires_at_unix == 1781337630);

    CHECK(to_json(Returned{true}) == R"({"returned":true})");
    CHECK(to_json(Deleted{false}) == R"({"deleted":false})");
    CHECK(to_json(ErrorBody{"no resource available"}) == R"({"error":"no resource available"})");
    CHECK(parse_returned(R"({"returned":true})")->returned);
    CHECK_FALSE(parse_deleted(R"({"deleted":false})")->deleted);
    CHECK(parse_error_body(R"({"error":"no"})")->error == "no");

    CHECK(parse_register_request(to_json(RegisterRequest{12}), 1000)->count == 12);
    const auto borrow = parse_borrow_request(to_json(BorrowRequest{1500ms, 300s}), 1000);
    CHECK(borrow->ttl == 1500ms);
    CHECK(borrow->wait == 300s);
    CHECK(parse_return_request(to_json(ReturnRequest{lease}))->lease == lease);
}

TEST_CASE("an answer that is not ours is refused, not misread") {
    CHECK_FALSE(parse_pool_state("<html>"));
    CHECK_FALSE(parse_lease_grant(R"({"lease":"3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34"})"));
    CHECK_FALSE(parse_returned(R"({"returned":"yes"})"));
    CHECK_FALSE(parse_deleted(R"({})"));
}
