#include "common/wire.hpp"

#include "tests/support/catch.hpp"

#include <memory>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace sema::wire;

namespace {

template <class T>
std::string reason(const sema::Expected<T>& result) {
    return result ? "accepted" : result.error().message;
}

std::string register_reason(const std::string& body) {
    return reason(parse_register_request(body, 1000));
}

std::string borrow_reason(const std::string& body) {
    return reason(parse_borrow_request(body, 1000));
}

/// The body of a register request with one more field.
std::string pool_with(const std::string& field, int count = 1) {
    return R"({"count":)" + std::to_string(count) + "," + field + "}";
}

/// The body of a borrow with one more field.
std::string borrow_with(const std::string& field) {
    return R"({"ttl":1,)" + field + "}";
}

/// `part`, so many times.
std::string times(std::size_t count, const std::string& part) {
    std::string text;
    while (count-- > 0)
        text += part;
    return text;
}

std::string quoted(const std::string& text) {
    return '"' + text + '"';
}

/// An object in an object in an object..., so many in all.
std::string nested_objects(std::size_t depth) {
    return times(depth - 1, R"({"in":)") + "{}" + times(depth - 1, "}");
}

const std::string pool_text = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";
const std::string lease_text = "3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34";
const auto some_pool = *sema::PoolId::parse(pool_text);
const auto some_lease = *sema::LeaseId::parse(lease_text);

std::shared_ptr<const Holder> holder(std::optional<std::string> name, std::optional<std::string> url) {
    return std::make_shared<const Holder>(Holder{std::move(name), std::move(url)});
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
    // Other servers' errors.
    for (const char* foreign :
         {R"({"status":404,"error":"Not Found","path":"/l/x"})", R"({"error":{}})", R"("error")",
          R"({"message":"no"})", R"({"error":"no","rank":1})", "<html>", "", "[]", "{}"})
        CHECK_FALSE(parse_error_body(foreign));

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

TEST_CASE("a registration names what is to change, and nothing else") {
    const auto plain = parse_register_request(R"({"count": 2})", 1000);
    REQUIRE(plain);
    CHECK_FALSE(is_any(plain->settings));

    const auto full = parse_register_request(
        R"({"count": 2, "slots": ["/dev/ttyUSB0", {"host": "a"}], "cooldown": 1.5, "name": "boards", "renewable": false, "pick": "idle"})",
        1000);
    REQUIRE(full);
    CHECK(*full->settings.payloads == std::vector<Payload>{R"("/dev/ttyUSB0")", R"({"host":"a"})"});
    CHECK(*full->settings.cooldown == 1500ms);
    CHECK(*full->settings.name == "boards");
    CHECK(*full->settings.renewable == false);
    CHECK(*full->settings.pick == sema::Pick::idle);
}

TEST_CASE("a pool's payloads are one string or object for each slot") {
    CHECK(parse_register_request(R"({"count": 0, "slots": []})", 1000)->settings.payloads->empty());
    CHECK(register_reason(pool_with(R"("slots":["a"])")) == "accepted");
    CHECK(register_reason(pool_with(R"("slots":[{}])")) == "accepted");
    CHECK(register_reason(pool_with(R"("slots":[""])")) == "accepted");
    const std::string number = "slots must have one entry for each of the pool's slots";
    CHECK(register_reason(pool_with(R"("slots":[])")) == number);
    CHECK(register_reason(pool_with(R"("slots":["a","b"])")) == number);
    CHECK(register_reason(pool_with(R"("slots":["a"])", 2)) == number);
    CHECK(register_reason(pool_with(R"("slots":"a")")) == "slots must be an array");
    CHECK(register_reason(pool_with(R"("slots":{"0":"a"})")) == "slots must be an array");
    CHECK(register_reason(pool_with(R"("slots":null)")) == "slots must be an array");
    for (const char* entry : {"1", "null", "true", "[]", R"(["a"])", "1.5"}) {
        CAPTURE(entry);
        CHECK(register_reason(pool_with(R"("slots":[)" + std::string(entry) + "]")) ==
              "slots must hold strings or objects only");
    }
    CHECK(register_reason(R"({"slots": ["a"]})") == "count is required");
}

TEST_CASE("a payload may be 31 objects deep, and no deeper") {
    const auto body = [](std::size_t depth) {
        return pool_with(R"("slots":[)" + nested_objects(depth) + "]");
    };
    CHECK(register_reason(body(31)) == "accepted");
    CHECK(register_reason(body(32)) == "body is nested too deeply");
    CHECK(register_reason(body(5000)) == "body is nested too deeply");
    CHECK(reason(parse_payload(nested_objects(31))) == "accepted");
    CHECK(reason(parse_payload(nested_objects(32))) == "body is nested too deeply");
    // What nobody asked for is not kept, and may have any depth.
    CHECK(register_reason(pool_with(R"("what":)" + nested_objects(5000))) == "accepted");
    CHECK(borrow_reason(borrow_with(R"("holder":{"in":)" + nested_objects(31) + "}")) == "accepted");
    CHECK(borrow_reason(borrow_with(R"("holder":{"in":)" + nested_objects(32) + "}")) ==
          "body is nested too deeply");
}

TEST_CASE("a cooldown is 0 seconds to 30 days") {
    CHECK(*parse_register_request(pool_with(R"("cooldown":0)"), 1000)->settings.cooldown == 0s);
    CHECK(*parse_register_request(pool_with(R"("cooldown":0.001)"), 1000)->settings.cooldown == 1ms);
    CHECK(*parse_register_request(pool_with(R"("cooldown":2592000)"), 1000)->settings.cooldown ==
          std::chrono::hours(24 * 30));
    const std::string too_long = "cooldown must be at most 30 days";
    CHECK(register_reason(pool_with(R"("cooldown":2592000.001)")) == too_long);
    CHECK(register_reason(pool_with(R"("cooldown":1e300)")) == too_long);
    CHECK(register_reason(pool_with(R"("cooldown":-0.001)")) == "cooldown must not be negative");
    CHECK(register_reason(pool_with(R"("cooldown":-1e300)")) == "cooldown must not be negative");
    for (const char* value : {R"("5")", "null", "true", "[5]", "{}"}) {
        CAPTURE(value);
        CHECK(register_reason(pool_with(R"("cooldown":)" + std::string(value))) ==
              "cooldown must be a number of seconds");
    }
}

TEST_CASE("a pool's name has at most 256 characters, whatever their size") {
    const std::string reason = "name must have at most 256 characters";
    for (const std::string character : {"a", "\u00fc", "\u20ac", "\U0001f512"}) {
        CAPTURE(character);
        CHECK(*parse_register_request(pool_with(R"("name":)" + quoted(times(256, character))), 1000)
                   ->settings.name == times(256, character));
        CHECK(register_reason(pool_with(R"("name":)" + quoted(times(257, character)))) == reason);
    }
    // A surrogate pair is one character.
    CHECK(register_reason(pool_with(R"("name":)" + quoted(times(256, R"(\ud83d\udd12)")))) == "accepted");
    CHECK(register_reason(pool_with(R"("name":)" + quoted(times(257, R"(\ud83d\udd12)")))) == reason);
    CHECK(register_reason(pool_with(R"("name":"\ud83d")")) == "body is not valid JSON");
    CHECK(parse_register_request(pool_with(R"("name":"")"), 1000)->settings.name == "");
    CHECK(register_reason(pool_with(R"("name":null)")) == "name must be a string");
    CHECK(register_reason(pool_with(R"("name":7)")) == "name must be a string");
    CHECK(register_reason(pool_with(R"("name":["a"])")) == "name must be a string");
}

TEST_CASE("renewable is true or false") {
    CHECK(*parse_register_request(pool_with(R"("renewable":true)"), 1000)->settings.renewable == true);
    for (const char* value : {"1", "0", "null", R"("false")", "[]"}) {
        CAPTURE(value);
        CHECK(register_reason(pool_with(R"("renewable":)" + std::string(value))) ==
              "renewable must be true or false");
    }
}

TEST_CASE("the slot that is picked is the lowest or the idlest one") {
    CHECK(*parse_register_request(pool_with(R"("pick":"lowest")"), 1000)->settings.pick ==
          sema::Pick::lowest);
    for (const char* value : {"1", "null", "true", R"("Idle")", R"("")", R"(["idle"])"}) {
        CAPTURE(value);
        CHECK(register_reason(pool_with(R"("pick":)" + std::string(value))) == "pick must be lowest or idle");
    }
}

TEST_CASE("a borrow of the base fields is not extended, and one with any other field is") {
    const auto is_extended = [](const std::string& body) {
        return parse_borrow_request(body, 1000).value().extended;
    };
    CHECK_FALSE(is_extended(R"({"ttl":1})"));
    CHECK_FALSE(is_extended(R"({"ttl":1,"wait":0})"));
    CHECK_FALSE(is_extended(borrow_with(R"("colour":"red")")));
    CHECK_FALSE(is_extended(borrow_with(R"("in":{"slots":2,"priority":1})")));
    CHECK(is_extended(borrow_with(R"("slots":1)")));
    CHECK(is_extended(borrow_with(R"("priority":0)")));
    CHECK(is_extended(borrow_with(R"("holder":{})")));
    CHECK(is_extended(borrow_with(R"("lease":)" + quoted(lease_text))));
    const auto plain = parse_borrow_request(R"({"ttl":1})", 1000);
    CHECK(plain->slots == 1);
    CHECK(plain->priority == 0);
    CHECK_FALSE(plain->lease);
    CHECK_FALSE(plain->holder);
}

TEST_CASE("a borrow asks for 1 slot to the largest count") {
    CHECK(parse_borrow_request(borrow_with(R"("slots":1)"), 1000)->slots == 1);
    CHECK(parse_borrow_request(borrow_with(R"("slots":1000)"), 1000)->slots == 1000);
    for (const char* value :
         {"0", "-1", "1001", "4294967297", "18446744073709551615", "99999999999999999999", "1e300"}) {
        CAPTURE(value);
        CHECK(borrow_reason(borrow_with(R"("slots":)" + std::string(value))) == "slots out of range");
    }
    for (const char* value : {"1.5", "1.0", R"("1")", "true", "null", "[1]", R"(["a"])", "{}"}) {
        CAPTURE(value);
        CHECK(borrow_reason(borrow_with(R"("slots":)" + std::string(value))) == "slots must be an integer");
    }
    CHECK(reason(parse_borrow_request(borrow_with(R"("slots":1)"), 0)) == "slots out of range");
}

TEST_CASE("a priority is -100 to 100") {
    CHECK(parse_borrow_request(borrow_with(R"("priority":-100)"), 1000)->priority == -100);
    CHECK(parse_borrow_request(borrow_with(R"("priority":100)"), 1000)->priority == 100);
    for (const char* value : {"-101", "101", "18446744073709551615", "-9223372036854775809", "-1e300"}) {
        CAPTURE(value);
        CHECK(borrow_reason(borrow_with(R"("priority":)" + std::string(value))) == "priority out of range");
    }
    for (const char* value : {"0.5", R"("high")", "false", "null", "[]"}) {
        CAPTURE(value);
        CHECK(borrow_reason(borrow_with(R"("priority":)" + std::string(value))) ==
              "priority must be an integer");
    }
}

TEST_CASE("a borrower names itself with at most 256 characters, and its page with 2048") {
    const auto holder_of = [](const std::string& value) {
        return *parse_borrow_request(borrow_with(R"("holder":)" + value), 1000).value().holder;
    };
    const auto refused = [](const std::string& value) {
        return borrow_reason(borrow_with(R"("holder":)" + value));
    };
    CHECK_FALSE(parse_borrow_request(borrow_with(R"("holder":{})"), 1000)->holder);
    CHECK(holder_of(R"({"name":"","url":""})") == Holder{"", ""});
    CHECK(holder_of(R"({"name":"ci","phone":"7"})") == Holder{"ci", std::nullopt});
    CHECK(holder_of(R"({"name":"a","name":"b"})") == Holder{"b", std::nullopt});
    for (const std::string character : {"a", "\u00fc", "\U0001f512"}) {
        CAPTURE(character);
        CHECK(holder_of(R"({"name":)" + quoted(times(256, character)) + "}").name == times(256, character));
        CHECK(refused(R"({"name":)" + quoted(times(257, character)) + "}") ==
              "holder.name must have at most 256 characters");
        CHECK(holder_of(R"({"url":)" + quoted(times(2048, character)) + "}").url == times(2048, character));
        CHECK(refused(R"({"url":)" + quoted(times(2049, character)) + "}") ==
              "holder.url must have at most 2048 characters");
    }
    for (const char* value : {R"("ci")", "null", "7", "[]", R"([{"name":"ci"}])"}) {
        CAPTURE(value);
        CHECK(refused(value) == "holder must be an object");
    }
    CHECK(refused(R"({"name":null})") == "holder.name must be a string");
    CHECK(refused(R"({"name":7})") == "holder.name must be a string");
    CHECK(refused(R"({"url":{}})") == "holder.url must be a string");
}

TEST_CASE("a borrow may choose the UUID of its lease") {
    const auto chosen = [](const std::string& text) {
        return parse_borrow_request(borrow_with(R"("lease":)" + quoted(text)), 1000).value().lease;
    };
    CHECK(chosen(lease_text) == some_lease);
    CHECK(chosen("{3A7D0B149E2C4F6A8B1D0C5E2F9A7B34}") == some_lease);
    for (const char* value : {R"("mine")", R"("")", "null", "7", "{}"}) {
        CAPTURE(value);
        CHECK(borrow_reason(borrow_with(R"("lease":)" + std::string(value))) == "lease must be a UUID");
    }
}

TEST_CASE("a callback has a URL, and perhaps headers, a body and a secret") {
    const auto callback = [](const std::string& fields) {
        return *parse_borrow_request(borrow_with(R"("callback":{)" + fields + "}"), 1000).value().callback;
    };
    CHECK(callback(R"("url":"http://ci/go")") == Callback{"http://ci/go"});
    const Callback all = callback(
        R"("url":"http://ci/","headers":{"X-B":"2","Accept":""},"body":{"ref":[1,null]},"secret":"whsec_x")");
    CHECK(all == Callback{"http://ci/", {{"Accept", ""}, {"X-B", "2"}}, R"({"ref":[1,null]})", "whsec_x"});
    CHECK(parse_callback(to_json(all)).value() == all);
    CHECK(callback(R"("url":"http://ci/","body":null)").body == "null");
    BorrowRequest request{.ttl = 60s, .extended = true, .callback = std::make_shared<const Callback>(all)};
    CHECK(*parse_borrow_request(to_json(request), 1000).value().callback == all);
}

TEST_CASE("what is wrong with a callback is said without quoting it") {
    const auto reason = [](const std::string& value) {
        return borrow_reason(borrow_with(R"("callback":)" + value));
    };
    for (const char* value : {"null", "[]", R"("http://ci/")", "7"})
        CHECK(reason(value) == "callback must be an object with a url");
    CHECK(reason("{}") == "callback.url is required");
    CHECK(reason(R"({"url":7})") == "callback.url must be a string");
    CHECK(reason(R"({"url":")" + std::string(2049, 'x') + R"("})") ==
          "callback.url must have at most 2048 characters");
    const auto header = [&](const std::string& headers) {
        return reason(R"({"url":"http://ci/","headers":)" + headers + "}");
    };
    CHECK(header("[]") == "callback.headers must be an object of strings");
    CHECK(header(R"({"A":1})") == "callback.headers must be an object of strings");
    CHECK(header(R"({"A\r\nB":"c"})") ==
          "callback.headers has a name that is none: use letters, digits and hyphens");
    CHECK(header(R"({"A":"b\r\nC: d"})") ==
          "callback.headers has a value with a line break or another control character: remove it");
    CHECK(header(R"({"CONTENT-length":"1"})") ==
          "callback.headers must not have content-length: the server sets it");
    CHECK(header(R"({"Webhook-Id":"1"})") == "callback.headers must not have webhook-id: the server sets it");
    std::string many;
    for (int i = 0; i < 33; ++i)
        many += (i > 0 ? "," : "") + ("\"A" + std::to_string(i) + "\":\"\"");
    CHECK(header("{" + many + "}") == "callback.headers must have at most 32 entries");
    CHECK(reason(R"({"url":"http://ci/","secret":""})") ==
          "callback.secret must be whsec_ and base64 of 24 to 64 bytes");
    CHECK(reason(R"({"url":"http://ci/","body":")" + std::string(16384, 'x') + R"("})") ==
          "callback must take at most 16384 bytes: leave out what the receiver can look up");
}

TEST_CASE("the answers about callbacks are what was read of them") {
    const BorrowQueued queued{some_lease, 3, 7, 42};
    CHECK(to_json(queued) == R"({"lease":")" + some_lease.str() + R"(","rank":3,"queue":7,"eta":42})");
    const auto read = parse_borrow_queued(to_json(queued)).value();
    CHECK(read.lease == some_lease);
    CHECK(read.rank == 3);
    CHECK(read.queue == 7);
    CHECK(read.eta == 42);
    CHECK_FALSE(parse_borrow_queued(to_json(BorrowQueued{some_lease, 1, 1})).value().eta);
    CHECK_FALSE(parse_borrow_queued(R"({"lease":")" + some_lease.str() + "\"}"));

    CallbackList list;
    list.callbacks.push_back({.holder = std::make_shared<const Holder>(Holder{"somebody", {}}),
                              .url = "https://ci/...",
                              .attempts = 2,
                              .last_error = "it answered 500",
                              .next_attempt_in = 4,
                              .waiting_for = 5,
                              .expires_in = 6});
    list.callbacks.push_back({.rank = 1, .url = "https://ci/...", .waiting_for = 5, .expires_in = 6});
    CHECK(
        to_json(list) ==
        R"({"callbacks":[{"state":"delivering","rank":null,"holder":{"name":"somebody"},"url":"https://ci/...",)"
        R"("attempts":2,"last_error":"it answered 500","next_attempt_in":4,"waiting_for":5,"expires_in":6},)"
        R"({"state":"waiting","rank":1,"holder":null,"url":"https://ci/...","attempts":0,"last_error":null,)"
        R"("next_attempt_in":null,"waiting_for":5,"expires_in":6}]})");
    CHECK(to_json(parse_callback_list(to_json(list)).value()) == to_json(list));
    CHECK(to_json(CallbackList{}) == R"({"callbacks":[]})");
    CHECK_FALSE(parse_callback_list(R"({"callbacks":null})"));
    CHECK_FALSE(parse_callback_list(R"({"callbacks":[{}]})"));
}

TEST_CASE("a field's last value counts, however deep the ones before it were") {
    CHECK(parse_borrow_request(borrow_with(R"("slots":[[["a"]]],"slots":3)"), 1000)->slots == 3);
    CHECK(parse_borrow_request(borrow_with(R"("holder":{"name":"a"},"holder":{"url":"b"})"), 1000)
              ->holder->name == std::nullopt);
    CHECK(borrow_reason(borrow_with(R"("slots":3,"slots":[3])")) == "slots must be an integer");
    CHECK(*parse_register_request(pool_with(R"("slots":[{"a":1,"b":{"a":2},"a":{"c":3}}])"), 1000)
               ->settings.payloads == std::vector<Payload>{R"({"a":{"c":3},"b":{"a":2}})"});
}

TEST_CASE("a keepalive names a lease and a positive ttl") {
    const auto body = parse_keepalive_request(R"({"lease":")" + lease_text + R"(","ttl":2.5})");
    REQUIRE(body);
    CHECK(body->lease == some_lease);
    CHECK(body->ttl == 2500ms);
    const auto refused = [](const std::string& fields) {
        return reason(parse_keepalive_request(R"({"lease":")" + lease_text + "\"" + fields + "}"));
    };
    CHECK(refused("") == "ttl is required");
    CHECK(refused(R"(,"ttl":0)") == "ttl must be greater than 0");
    CHECK(refused(R"(,"ttl":-1)") == "ttl must be greater than 0");
    CHECK(refused(R"(,"ttl":"1")") == "ttl must be a number of seconds");
    CHECK(reason(parse_keepalive_request(R"({"ttl":1})")) == "lease is required");
    CHECK(reason(parse_keepalive_request(R"({"ttl":1,"lease":1})")) == "lease must be a UUID");
}

TEST_CASE("a resize is by an integer of either sign") {
    CHECK(parse_resize_request(R"({"by":3})")->by == 3);
    CHECK(parse_resize_request(R"({"by":-3})")->by == -3);
    CHECK(parse_resize_request(R"({"by":0})")->by == 0);
    CHECK(parse_resize_request(R"({"by":4294967295})")->by == 4294967295);
    CHECK(parse_resize_request(R"({"by":-4294967295})")->by == -4294967295);
    CHECK(reason(parse_resize_request("{}")) == "by is required");
    for (const char* value : {"4294967296", "-4294967296", "99999999999999999999", "-1e300"}) {
        CAPTURE(value);
        CHECK(reason(parse_resize_request(R"({"by":)" + std::string(value) + "}")) == "by out of range");
    }
    for (const char* value : {"1.5", R"("+1")", "null", "true", "[1]"}) {
        CAPTURE(value);
        CHECK(reason(parse_resize_request(R"({"by":)" + std::string(value) + "}")) ==
              "by must be an integer");
    }
}

TEST_CASE("a revocation names a position") {
    CHECK(parse_revoke_request(R"({"position":0})")->position == 0);
    CHECK(parse_revoke_request(R"({"position":4294967295})")->position == 4294967295);
    CHECK(reason(parse_revoke_request("{}")) == "position is required");
    CHECK(reason(parse_revoke_request(R"({"position":-1})")) == "position out of range");
    CHECK(reason(parse_revoke_request(R"({"position":4294967296})")) == "position out of range");
    CHECK(reason(parse_revoke_request(R"({"position":"0"})")) == "position must be an integer");
}

TEST_CASE("payloads are kept as they were given, without white space") {
    for (const std::string payload :
         {R"("")", R"("/dev/ttyUSB0")", R"("a \"quoted\" \\ word")", R"("\u0000 \n")",
          "\"\u00fc\u20ac\U0001f512\"", "{}", R"({"a":{"b":[1,-2,0.5,true,null,"c"]}})",
          R"({"n":18446744073709551615,"z":-9223372036854775808})", "{\"\U0001f512\":\"\u00fc\"}"}) {
        CAPTURE(payload);
        CHECK(parse_payload(payload).value() == payload);
        const RegisterRequest request{.count = 1, .settings = {.payloads = {{payload}}}};
        CHECK(*parse_register_request(to_json(request), 1000).value().settings.payloads ==
              std::vector<Payload>{payload});
    }
    CHECK(parse_payload(" { \"b\" : 1 ,\n \"a\" : [ ] } ").value() == R"({"a":[],"b":1})");
    CHECK(parse_payload(R"("\u00fc")").value() == "\"\u00fc\"");
}

TEST_CASE("only one string or object is a payload") {
    for (const char* text : {"1", "null", "true", "[]", R"(["a"])"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_payload(text));
    }
    for (const char* text :
         {"", "a", "{", R"("a)", R"("a","b")", R"("a"],"slots":["b")", R"("a"]} )", "\"\xff\""}) {
        CAPTURE(text);
        CHECK_FALSE(parse_payload(text));
    }
}

TEST_CASE("a text becomes a payload and is read from it again") {
    for (const std::string text : {"", "/dev/ttyUSB0", "{\"a\":1}", "null", "a\nb\\\"", "\u00fc\U0001f512"}) {
        CAPTURE(text);
        CHECK(payload_text(payload_of(text)) == text);
        CHECK(parse_payload(payload_of(text)).value() == payload_of(text));
    }
    CHECK(payload_of("a\"b") == R"("a\"b")");
    CHECK(payload_text(R"({"host":"a"})") == R"({"host":"a"})");
    CHECK(payload_text("null").empty());
    // What is no UTF-8 becomes a payload that is.
    CHECK(payload_of("\xff") == "\"\ufffd\"");
}

TEST_CASE("a lease's answer has the details of an extended one, or the four keys alone") {
    const std::string base =
        R"({"lease":"3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34","position":1,"expires_at_unix":1781337630,"expires_in":30)";
    LeaseGrant grant{some_lease, 1, 1781337630, 30};
    CHECK(to_json(grant) == base + "}");
    CHECK_FALSE(parse_lease_grant(to_json(grant))->details);

    grant.details = LeaseGrant::Details{{1, 3}, 18446744073709551615U, {"null", R"({"a":1})"}, 1781337600};
    CHECK(
        to_json(grant) ==
        base +
            R"(,"positions":[1,3],"fence":18446744073709551615,"slots":[null,{"a":1}],"granted_at_unix":1781337600})");
    const auto read = parse_lease_grant(to_json(grant));
    REQUIRE(read);
    REQUIRE(read->details);
    CHECK(read->details->positions == std::vector{1U, 3U});
    CHECK(read->details->fence == 18446744073709551615U);
    CHECK(read->details->slots == std::vector<Payload>{"null", R"({"a":1})"});
    CHECK(read->details->granted_at_unix == 1781337600);
    CHECK(to_json(*read) == to_json(grant));

    CHECK_FALSE(parse_lease_grant(base + R"(,"positions":[1],"fence":1,"granted_at_unix":1})"));
    CHECK_FALSE(parse_lease_grant(base + R"(,"positions":[],"fence":1,"slots":[],"granted_at_unix":1})"));
    CHECK_FALSE(parse_lease_grant(base + R"(,"positions":[1],"fence":1,"slots":[null]})"));
    CHECK_FALSE(parse_lease_grant(base + R"(,"positions":1,"fence":1,"slots":[null],"granted_at_unix":1})"));
    CHECK_FALSE(
        parse_lease_grant(base + R"(,"positions":["1"],"fence":1,"slots":[null],"granted_at_unix":1})"));
}

TEST_CASE("a renewal has the lease's four keys, or says that it is not held") {
    CHECK(to_json(Renewed{}) == R"({"renewed":false})");
    const std::string yes = to_json(Renewed{LeaseGrant{some_lease, 1, 1781337630, 30}});
    CHECK(
        yes ==
        R"({"renewed":true,"lease":"3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34","position":1,"expires_at_unix":1781337630,"expires_in":30})");
    CHECK(parse_renewed(yes)->lease->lease == some_lease);
    CHECK(parse_renewed(yes)->lease->expires_in == 30);
    CHECK_FALSE(parse_renewed(R"({"renewed":false})")->lease);
    CHECK_FALSE(parse_renewed(R"({"renewed":true})"));
    CHECK_FALSE(parse_renewed(R"({"renewed":1})"));
    CHECK_FALSE(parse_renewed("{}"));
}

TEST_CASE("a borrow that got nothing is told where it stands") {
    const BorrowRefused answer{"no resource available", 3, 2, 4, 4, 17};
    const std::string text = to_json(answer);
    CHECK(text == R"({"error":"no resource available","rank":3,"queue":2,"in_use":4,"count":4,"eta":17})");
    const auto read = parse_borrow_refused(text);
    REQUIRE(read);
    CHECK(to_json(*read) == text);
    CHECK(parse_error_body(text)->error == "no resource available");

    const std::string unknown = to_json(BorrowRefused{"no resource available", 1, 0, 4, 4, std::nullopt});
    CHECK(unknown ==
          R"({"error":"no resource available","rank":1,"queue":0,"in_use":4,"count":4,"eta":null})");
    CHECK(parse_borrow_refused(unknown)->eta == std::nullopt);
    CHECK_FALSE(parse_borrow_refused(R"({"error":"no resource available"})"));
}

TEST_CASE("what a revocation, a cancellation and a version say is read back") {
    CHECK(to_json(Revoked{true}) == R"({"revoked":true})");
    CHECK(to_json(Cancelled{false}) == R"({"cancelled":false})");
    CHECK(parse_revoked(R"({"revoked":true})")->revoked);
    CHECK_FALSE(parse_revoked(R"({"revoked":false})")->revoked);
    CHECK_FALSE(parse_revoked("{}"));
    CHECK(parse_cancelled(R"({"cancelled":true})")->cancelled);
    CHECK_FALSE(parse_cancelled(R"({"cancelled":"true"})"));
    CHECK(parse_version(to_json(ServerVersion{"1.2"}))->version == "1.2");
}

TEST_CASE("who holds and waits in a pool is told without any lease's UUID, and read back") {
    PoolDetails view{.id = some_pool};
    CHECK(to_json(view) ==
          R"({"id":"9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01","name":null,"count":0,"in_use":0,"available":0,)"
          R"("renewable":true,"cooldown":0,"pick":"lowest","holders":[],"queue":[],"out":[],"eta":null})");
    CHECK(parse_pool_details(to_json(view))->settings.name.empty());

    view = {.id = some_pool,
            .settings = {.name = "boards", .cooldown = 1500ms, .renewable = false, .pick = sema::Pick::idle},
            .count = 4,
            .in_use = 3,
            .available = 1,
            .eta = 0};
    view.holders.push_back(
        {0, {0, 2}, holder("ci \U0001f512", "http://ci/7"), 1781337600, 1781337630, 29, 41});
    view.holders.push_back({1, {1}, nullptr, 1781337601, 1781337631, 30, 42});
    view.queue.push_back({1, 2, -3, holder(std::nullopt, "http://ci/8"), 5});
    view.queue.push_back({2, 1, 0, holder(std::nullopt, std::nullopt), 0, true});
    view.out.push_back({3, SlotState::Out{"fan is \"broken\"", 1781337000}});
    view.out.push_back({5, SlotState::Out{"", 1781337001}});
    const std::string text = to_json(view);
    CHECK(
        text ==
        R"({"id":"9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01","name":"boards","count":4,"in_use":3,"available":1,)"
        R"("renewable":false,"cooldown":1.5,"pick":"idle","holders":[)"
        R"({"position":0,"positions":[0,2],"holder":{"name":"ci )"
        "\U0001f512"
        R"(","url":"http://ci/7"},"granted_at_unix":1781337600,"expires_at_unix":1781337630,"expires_in":29,"fence":41},)"
        R"({"position":1,"positions":[1],"holder":null,"granted_at_unix":1781337601,"expires_at_unix":1781337631,"expires_in":30,"fence":42}],)"
        R"("queue":[{"rank":1,"slots":2,"priority":-3,"holder":{"url":"http://ci/8"},"waiting_for":5},)"
        R"({"rank":2,"slots":1,"priority":0,"holder":{},"waiting_for":0,"away":true}],)"
        R"("out":[{"position":3,"reason":"fan is \"broken\"","since_unix":1781337000},)"
        R"({"position":5,"reason":"","since_unix":1781337001}],"eta":0})");
    const auto read = parse_pool_details(text);
    REQUIRE(read);
    CHECK(to_json(*read) == text);
    CHECK(*read->holders[0].holder == Holder{"ci \U0001f512", "http://ci/7"});
    CHECK(read->settings.cooldown == 1500ms);
    CHECK(read->settings.pick == sema::Pick::idle);
    CHECK(read->out[0].out->reason == "fan is \"broken\"");

    for (
        const char* body :
        {R"({"id":"9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01","count":0,"in_use":0,"available":0})",
         R"({"id":"9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01","name":null,"count":0,"in_use":0,"available":0,"renewable":true,"cooldown":0,"holders":[{}],"queue":[],"eta":null})",
         R"({"id":"9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01","name":null,"count":0,"in_use":0,"available":0,"renewable":true,"cooldown":0,"holders":[],"queue":[7],"eta":null})"}) {
        CAPTURE(body);
        CHECK_FALSE(parse_pool_details(body));
    }
}

TEST_CASE("what else is known of a queue and of slots is told, and read back") {
    PoolDetails view{.id = some_pool};
    view.queue.push_back({.rank = 1, .holder = nullptr, .waiting_for = 7, .waiter = 0xa5, .eta = 60});
    view.queue.push_back({.rank = 2, .holder = nullptr, .waiter = ~std::uint64_t{0}});
    view.resting.push_back({2, 1781337600});
    const std::string text = to_json(view);
    CHECK(text.find(R"("waiting_for":7,"eta":60,"waiter":"00000000000000a5"})") != text.npos);
    CHECK(text.find(R"("waiting_for":0,"waiter":"ffffffffffffffff"})") != text.npos);
    CHECK(text.find(R"(,"resting":[{"position":2,"until_unix":1781337600}]})") != text.npos);
    const auto read = parse_pool_details(text);
    REQUIRE(read);
    CHECK(to_json(*read) == text);
    CHECK(read->queue[0].waiter == 0xa5);
    CHECK_FALSE(read->queue[1].eta);
}

TEST_CASE("a waiter is named by 16 hex digits, and by nothing else") {
    const CancelRequest request{0x0123456789abcdef};
    CHECK(to_json(request) == R"({"waiter":"0123456789abcdef"})");
    CHECK(parse_cancel_request(to_json(request))->waiter == request.waiter);
    CHECK(parse_cancel_request(R"({"waiter":"0123456789ABCDEF"})")->waiter == request.waiter);
    CHECK(parse_cancel_request("{}").error().message == "waiter is required");
    for (const char* waiter :
         {"\"\"", "\"123456789abcdef\"", "\"00123456789abcdef\"", "\"+123456789abcdef\"",
          "\"0x23456789abcdef\"", "\" 123456789abcdef\"", "\"0123456789abcdeg\"", "1", "null", "[]"}) {
        CAPTURE(waiter);
        const auto read = parse_cancel_request(std::string("{\"waiter\":") + waiter + "}");
        REQUIRE_FALSE(read);
        CHECK(read.error().message == "waiter must be 16 hex digits");
    }
}

TEST_CASE("what the slots stand for is read as it was written") {
    CHECK(to_json(SlotList{some_pool}) ==
          R"({"id":"9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01","count":0,"slots":[]})");
    const SlotList list{some_pool, {"\"/dev/a\"", R"({"host":"b"})", "null"}};
    const std::string text = to_json(list);
    CHECK(text ==
          R"({"id":"9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01","count":3,"slots":["/dev/a",{"host":"b"},null]})");
    CHECK(parse_slot_list(text)->slots == list.slots);
    CHECK_FALSE(parse_slot_list(R"({"id":"9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01"})"));
    CHECK_FALSE(parse_slot_list(R"({"slots":[]})"));
}

TEST_CASE("a list of pools is read as it was written") {
    CHECK(to_json(PoolList{}) == R"({"pools":[]})");
    CHECK(parse_pool_list(R"({"pools":[]})")->pools.empty());
    const auto other = *sema::PoolId::parse("a0000000-0000-0000-0000-000000000001");
    const PoolList list{
        {{some_pool, "", 4, 3, 1, 0}, {other, "\"b\" \U0001f512", 1000, 1000, 0, 70'000, 360}}};
    const std::string text = to_json(list);
    CHECK(
        text ==
        R"({"pools":[{"id":"9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01","name":null,"count":4,"in_use":3,"available":1,"queue":0},)"
        R"({"id":"a0000000-0000-0000-0000-000000000001","name":"\"b\" )"
        "\U0001f512"
        R"(","count":1000,"in_use":1000,"available":0,"queue":70000,"oldest_wait":360}]})");
    const auto read = parse_pool_list(text);
    REQUIRE(read);
    CHECK(to_json(*read) == text);
    CHECK(read->pools[1].name == list.pools[1].name);
    CHECK(read->pools[1].id == other);

    for (
        const char* body :
        {"{}", R"({"pools":null})", R"({"pools":[7]})", R"({"pools":{"a":1}})", R"({"pools":[{}]})",
         R"({"pools":[{"id":"x","name":null,"count":1,"in_use":0,"available":1,"queue":0}]})",
         R"({"pools":[{"id":7,"name":null,"count":1,"in_use":0,"available":1,"queue":0}]})",
         R"({"pools":[{"id":"a0000000-0000-0000-0000-000000000001","name":null,"count":1,"in_use":0,"available":1}]})"}) {
        CAPTURE(body);
        CHECK_FALSE(parse_pool_list(body));
    }
}

TEST_CASE("requests with base fields alone are written as before") {
    CHECK(to_json(RegisterRequest{4}) == R"({"count":4})");
    CHECK(to_json(BorrowRequest{30s, 0s}) == R"({"ttl":30.0,"wait":0.0})");
    CHECK(to_json(ReturnRequest{some_lease}) == R"({"lease":"3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34"})");
}

TEST_CASE("requests with extensions are read as they were written") {
    const RegisterRequest pool{.count = 2,
                               .settings = {.name = "boards",
                                            .cooldown = 2500ms,
                                            .renewable = false,
                                            .payloads = {{R"("a")", R"({"b":1})"}},
                                            .pick = sema::Pick::idle}};
    const auto pool_read = parse_register_request(to_json(pool), 1000);
    REQUIRE(pool_read);
    CHECK(pool_read->count == 2);
    sema::for_each_setting([&](const auto& setting) {
        CAPTURE(setting.field);
        CHECK(pool_read->settings.*setting.change == pool.settings.*setting.change);
        CHECK(pool.settings.*setting.change);
    });

    const BorrowRequest borrow{1500ms, 2s, some_lease, 3, -7, holder("ci", "http://ci/7"), true};
    const auto borrow_read = parse_borrow_request(to_json(borrow), 1000);
    REQUIRE(borrow_read);
    CHECK(borrow_read->ttl == 1500ms);
    CHECK(borrow_read->wait == 2s);
    CHECK(borrow_read->lease == some_lease);
    CHECK(borrow_read->slots == 3);
    CHECK(borrow_read->priority == -7);
    CHECK(*borrow_read->holder == *borrow.holder);
    CHECK(borrow_read->extended);
    BorrowRequest bare{1s, 0s};
    bare.extended = true;
    CHECK(parse_borrow_request(to_json(bare), 1000)->extended);

    const auto keepalive = parse_keepalive_request(to_json(KeepaliveRequest{some_lease, 90s}));
    REQUIRE(keepalive);
    CHECK(keepalive->lease == some_lease);
    CHECK(keepalive->ttl == 90s);
    CHECK(parse_resize_request(to_json(ResizeRequest{-2}))->by == -2);
    CHECK(to_json(RevokeRequest{7}) == R"({"position":7})");
    CHECK_FALSE(parse_revoke_request(to_json(RevokeRequest{7}))->fence);
    const auto revoke = parse_revoke_request(to_json(RevokeRequest{7, 41}));
    CHECK(revoke->position == 7);
    CHECK(revoke->fence == 41);
    CHECK(parse_slot_request(to_json(SlotRequest{true, "fan"}))->reason == "fan");
    CHECK_FALSE(parse_slot_request(to_json(SlotRequest{true}))->reason);
    CHECK_FALSE(parse_slot_request(to_json(SlotRequest{false}))->out);
}

TEST_CASE("what ends or renews a lease may name the fence of the one that is meant") {
    const std::string lease = quoted(some_lease.str());
    const auto fault = [&](const std::string& fence) {
        const auto with = [&](const std::string& fields) {
            return "{" + fields + R"(,"fence":)" + fence + "}";
        };
        const std::string why = reason(parse_revoke_request(with(R"("position":0)")));
        CHECK(reason(parse_return_request(with(R"("lease":)" + lease))) == why);
        CHECK(reason(parse_keepalive_request(with(R"("ttl":1,"lease":)" + lease))) == why);
        return why;
    };
    CHECK(fault("0") == "accepted");
    CHECK(fault("9223372036854775807") == "accepted");
    CHECK(fault("-1") == "fence out of range");
    CHECK(fault("9223372036854775808") == "fence out of range");
    CHECK(fault("1.5") == "fence must be an integer");
    CHECK(fault("null") == "fence must be an integer");
    CHECK(fault(R"("1")") == "fence must be an integer");
    CHECK(reason(parse_revoke_request(R"({"fence":1})")) == "position is required");
    CHECK_FALSE(parse_return_request(to_json(ReturnRequest{some_lease}))->fence);
    CHECK(parse_return_request(to_json(ReturnRequest{some_lease, 41}))->fence == 41);
    CHECK_FALSE(parse_keepalive_request(to_json(KeepaliveRequest{some_lease, 90s}))->fence);
    CHECK(parse_keepalive_request(to_json(KeepaliveRequest{some_lease, 90s, 41}))->fence == 41);
}

TEST_CASE("a slot is taken out of service or put back, with a reason of at most 256 characters") {
    const auto fault = [](const std::string& body) { return reason(parse_slot_request(body)); };
    CHECK(fault(R"({"out":true,"reason":"fan","what":1})") == "accepted");
    CHECK(fault(R"({"out":true,"reason":)" + quoted(times(256, "\u00fc")) + "}") == "accepted");
    CHECK(fault(R"({"out":true,"reason":)" + quoted(times(257, "\u00fc")) + "}") ==
          "reason must have at most 256 characters");
    CHECK(fault(R"({"reason":"fan"})") == "out is required");
    for (const char* value : {"1", "null", R"("true")", "[]"})
        CHECK(fault(R"({"out":)" + std::string(value) + "}") == "out must be true or false");
    CHECK(fault(R"({"out":false,"reason":7})") == "reason must be a string");
    CHECK(fault("[]") == "body must be a JSON object");
}

TEST_CASE("how a slot is is read as it was written") {
    CHECK(to_json(SlotState{3}) == R"({"position":3,"out":false,"reason":null,"since_unix":null})");
    CHECK_FALSE(parse_slot_state(to_json(SlotState{3}))->out);
    const SlotState out{3, SlotState::Out{"fan", 1781337000}};
    CHECK(to_json(out) == R"({"position":3,"out":true,"reason":"fan","since_unix":1781337000})");
    const auto read = parse_slot_state(to_json(out));
    CHECK(read->position == 3);
    CHECK(read->out->reason == "fan");
    CHECK(read->out->since_unix == 1781337000);
    for (const char* body : {"{}", R"({"position":3})", R"({"position":3,"out":true})", "<html>",
                             R"({"position":3,"out":1,"reason":null,"since_unix":null})"})
        CHECK_FALSE(parse_slot_state(body));
}

TEST_CASE("the holders that a semad of another version tells are read") {
    const std::string begin =
        R"({"id":"9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01","name":null,"count":1,"in_use":0,"available":1,)";
    const auto before = parse_pool_details(begin + R"("holders":[],"queue":[],"eta":null})");
    REQUIRE(before);
    CHECK(before->out.empty());
    CHECK(before->settings.pick == sema::Pick::lowest);
    CHECK(parse_pool_details(begin + R"("pick":"random","holders":[],"queue":[],"eta":null})"));
}

TEST_CASE("every duration is read to the microsecond as it was written") {
    for (const auto ttl : {1us, 123us, 246us, 253us, 501us, 999'999us, 35'000'001us}) {
        CAPTURE(ttl.count());
        CHECK(parse_borrow_request(to_json(BorrowRequest{ttl, ttl}), 1000)->ttl == ttl);
        const RegisterRequest pool{.count = 1, .settings = {.cooldown = ttl}};
        CHECK(*parse_register_request(to_json(pool), 1000)->settings.cooldown == ttl);
    }
}
