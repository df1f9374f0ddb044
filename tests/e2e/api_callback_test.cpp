#include "tests/e2e/callbacks.hpp"

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

// Borrowers who are called: what they are answered, and what they are told.

using namespace sema::test;
using namespace std::chrono_literals;

TEST_CASE("a borrower is called once there is a slot, with the extended body of a lease") {
    const RunningServer server(allowing);
    const TestPool pool(server, 1);
    pool.set({{"count", 1}, {"slots", Json::array({"27000@lic1"})}});
    const Receiver receiver;
    const Slot held = pool.take();
    Json fields = callback_to(receiver.url("/start?token=a%20b"));
    fields["callback"]["headers"] = {{"Authorization", "Bearer x"}, {"X-Job", "7"}};
    fields["callback"]["body"] = {{"ref", "main"}};
    fields["holder"] = {{"name", "build 7"}};
    const HttpResponse response = pool.borrow(fields.dump());
    CHECK(response.status == 202);
    CHECK(keys_of(response.body) == "lease rank queue eta ");
    const Json place = Json::parse(response.body);
    CHECK(place["rank"] == 1);
    CHECK(place["queue"] == 1);
    CHECK(receiver.connections() == 0);

    REQUIRE(pool.returns(held));
    const Receiver::Request request = receiver.await(1).front();
    CHECK(request.method == "POST");
    CHECK(request.target == "/start?token=a%20b");
    CHECK(request.headers.at("content-type") == "application/json");
    CHECK(request.headers.at("authorization") == "Bearer x");
    CHECK(request.headers.at("x-job") == "7");
    CHECK(request.headers.count("webhook-id") == 1);
    CHECK(request.headers.count("webhook-timestamp") == 1);
    CHECK(request.headers.count("webhook-signature") == 0);
    CHECK(keys_of(request.body) ==
          "lease position expires_at_unix expires_in positions fence slots granted_at_unix body ");
    const Json body = Json::parse(request.body);
    CHECK(body["lease"] == place["lease"]);
    CHECK(body["slots"] == Json::array({"27000@lic1"}));
    CHECK(body["body"] == Json{{"ref", "main"}});
    CHECK(body["expires_in"].get<int>() > 500);
    REQUIRE(has_settled(server, pool));
    CHECK(pool.renews(slot_of(request), 60));
    CHECK(pool.view()["holders"][0]["holder"]["name"] == "build 7");
    CHECK(pool.returns(slot_of(request)));
    CHECK(receiver.calls() == 1);
}

TEST_CASE("where a slot is free, its borrower is called at once") {
    const RunningServer server(allowing);
    const TestPool pool(server, 1);
    const Receiver receiver;
    const Json place = queued(pool, callback_to(receiver.url()));
    CHECK(place["rank"] == 1);
    CHECK(place["eta"] == 0);
    CHECK(Json::parse(receiver.await(1).front().body)["lease"] == place["lease"]);
    CHECK(pool.in_use() == 1);
}

TEST_CASE("those who are called and those who wait are served in the order in which they came") {
    const RunningServer server(allowing);
    const TestPool pool(server, 1);
    const Receiver receiver;
    const Slot held = pool.take();
    RawClient first = pool.queue_up();
    queued(pool, callback_to(receiver.url("/2")));
    RawClient third = pool.queue_up();
    queued(pool, callback_to(receiver.url("/4")));
    const Json queue = pool.view()["queue"];
    REQUIRE(queue.size() == 4);
    CHECK_FALSE(queue[0].contains("callback"));
    CHECK(queue[1]["callback"] == true);
    CHECK(queue[3]["callback"] == true);

    REQUIRE(pool.returns(held));
    const Slot one = granted(first.receive());
    CHECK(receiver.connections() == 0);
    REQUIRE(pool.returns(one));
    const Slot two = slot_of(receiver.await(1)[0]);
    CHECK_FALSE(third.has_answer());
    REQUIRE(pool.returns(two));
    REQUIRE(pool.returns(granted(third.receive())));
    CHECK(receiver.await(2)[1].target == "/4");
}

TEST_CASE("a borrower is called again until it takes the call, with the same id") {
    const RunningServer server(allowing);
    const TestPool pool(server, 1);
    int status = 0;
    std::string headers;
    SECTION("after an error of its own") {
        status = 500;
    }
    SECTION("after an error of the caller") {
        status = 404;
    }
    SECTION("after a redirect, which is not followed") {
        status = 307;
        headers = "Location: /elsewhere\r\n";
    }
    SECTION("after what it asked to wait for") {
        status = 429;
        headers = "Retry-After: 1\r\n";
    }
    // Once; then it takes the call.
    std::atomic<bool> refuses{true};
    Receiver receiver([&](const Receiver::Request&) {
        return refuses.exchange(false) ? Receiver::answer(status, headers) : Receiver::answer(204);
    });
    const Stopwatch watch;
    const Json place = queued(pool, callback_to(receiver.url("/here")));
    const auto calls = receiver.await(2);
    if (status == 429) CHECK(watch.elapsed() > 1s);
    CHECK(calls[1].target == "/here");
    CHECK(calls[1].headers.at("webhook-id") == calls[0].headers.at("webhook-id"));
    CHECK(Json::parse(calls[1].body)["lease"] == place["lease"]);
    REQUIRE(has_settled(server, pool));
    CHECK(receiver.calls() == 2);
    CHECK(pool.in_use() == 1);
}

TEST_CASE("the list of callbacks shows who waits, who is called and why that failed, and no secret") {
    const RunningServer server(allowing);
    const TestPool pool(server, 1);
    const Receiver receiver(Receiver::answering(503));
    Json fields = callback_to(receiver.url("/secret-path?secret-query"));
    fields["holder"] = {{"name", "called"}};
    const Json first = queued(pool, fields);
    fields["wait"] = 100;
    const Json second = queued(pool, fields);
    REQUIRE(eventually([&] { return callbacks(server, pool)[0]["attempts"] != 0; }));
    const HttpResponse response = call(server.port(), "GET", pool.path() + "/callbacks");
    const Json list = Json::parse(response.body)["callbacks"];
    REQUIRE(list.size() == 2);
    CHECK(keys_of(list[0].dump()) ==
          "attempts expires_in holder last_error next_attempt_in rank state url waiting_for ");
    CHECK(list[0]["state"] == "delivering");
    CHECK(list[0]["rank"].is_null());
    CHECK(list[0]["holder"]["name"] == "called");
    CHECK(list[0]["url"] == receiver.url("/..."));
    CHECK(list[0]["last_error"] == "it answered 503");
    CHECK(list[0]["expires_in"].get<int>() > 500);
    CHECK(list[1]["state"] == "waiting");
    CHECK(list[1]["rank"] == 1);
    CHECK(list[1]["attempts"] == 0);
    CHECK(list[1]["last_error"].is_null());
    CHECK(list[1]["expires_in"].get<int>() <= 100);
    for (const std::string& secret :
         {std::string("secret"), first["lease"].get<std::string>(), second["lease"].get<std::string>()}) {
        CHECK(response.body.find(secret) == response.body.npos);
        CHECK(server.log().find(secret) == std::string::npos);
    }
}

TEST_CASE("a receiver that is gone for good gives the slot to the next in line") {
    const RunningServer server(allowing);
    const TestPool pool(server, 1);
    const Receiver receiver(Receiver::answering(410));
    queued(pool, callback_to(receiver.url()));
    RawClient next = pool.queue_up();
    granted(next.receive());
    CHECK(receiver.calls() == 1);
    CHECK(server.log().find("127.0.0.1") != std::string::npos);
}

TEST_CASE("a lease whose borrower cannot be reached goes to the next while it lasts") {
    const RunningServer server(allowing);
    const TestPool pool(server, 1);
    const Receiver receiver(Receiver::answering(500));
    Json fields = callback_to(receiver.url());
    fields["ttl"] = 10;
    const Stopwatch watch;
    queued(pool, fields);
    RawClient next = pool.queue_up();
    granted(next.receive());
    CHECK(watch.elapsed() < 10s);
    CHECK(receiver.calls() >= 2);
}

TEST_CASE("a callback is taken back, while it waits and while it is being delivered") {
    const RunningServer server(allowing);
    const TestPool pool(server, 1);
    const Receiver receiver(Receiver::answering(500));
    const std::string called = queued(pool, callback_to(receiver.url()))["lease"];
    const std::string waiting = queued(pool, callback_to(receiver.url()))["lease"];
    receiver.await(1);
    CHECK(pool.cancels(waiting));
    CHECK_FALSE(pool.cancels(waiting));
    CHECK(pool.waiting() == 0);
    CHECK(pool.in_use() == 1);
    CHECK(pool.cancels(called));
    CHECK(pool.in_use() == 0);
    CHECK(callbacks(server, pool).empty());
    // One that holds a slot is none to be cancelled.
    Receiver taker;
    const std::string taken = queued(pool, callback_to(taker.url()))["lease"];
    taker.await(1);
    REQUIRE(has_settled(server, pool));
    CHECK_FALSE(pool.cancels(taken));
    CHECK(pool.in_use() == 1);
}

TEST_CASE("a repeated borrow with a callback keeps its place, and is answered the lease once there is one") {
    const RunningServer server(allowing);
    const TestPool pool(server, 1);
    const Receiver receiver;
    const Receiver other;
    const Slot held = pool.take();
    Json fields = callback_to(receiver.url());
    fields["lease"] = new_lease();
    const Json first = queued(pool, fields);
    queued(pool, callback_to(other.url("/second")));
    fields["callback"]["url"] = other.url("/first");
    const Json again = queued(pool, fields);
    CHECK(again["lease"] == first["lease"]);
    CHECK(again["rank"] == 1);
    CHECK(again["queue"] == 2);
    REQUIRE(pool.returns(held));
    CHECK(other.await(1)[0].target == "/first");
    CHECK(receiver.connections() == 0);
    const Grant grant = fully_granted(pool.borrow(fields.dump()));
    CHECK(fields["lease"] == grant.lease);
    CHECK(pool.in_use() == 1);
    CHECK(pool.borrow(Json{{"ttl", 9}, {"lease", fields["lease"]}}.dump()).status == 200);
    const TestPool elsewhere(server, 1);
    CHECK(elsewhere.borrow(fields.dump()).status == 409);
}

TEST_CASE("a place is a callback's or a connection's, as its borrower asked last") {
    const RunningServer server(allowing);
    const TestPool pool(server, 1);
    const Receiver receiver;
    Slot held = pool.take();
    const std::string lease = new_lease();
    RawClient waiter = pool.queue_up_with({{"lease", lease}});
    Json fields = callback_to(receiver.url());
    fields["lease"] = lease;
    CHECK(queued(pool, fields)["rank"] == 1);
    CHECK(waiter.receive().status == 409);
    RawClient again(server.port());
    again.send(pool.borrow_request(Json{{"lease", lease}, {"ttl", 60}, {"wait", 60}}));
    REQUIRE(eventually([&] { return !pool.view()["queue"][0].contains("callback"); }));
    REQUIRE(pool.returns(held));
    CHECK(granted(again.receive()).lease == lease);
    CHECK(receiver.connections() == 0);
}

TEST_CASE("a place ends when its wait is over, which is no longer than --max-callback-wait") {
    std::vector<std::string> options = allowing;
    options.insert(options.end(), {"--max-callback-wait", "100"});
    const RunningServer server(options);
    const TestPool pool(server, 1);
    const Receiver receiver;
    const Slot held = pool.take(600);
    Json fields = callback_to(receiver.url());
    fields["wait"] = 1000;
    queued(pool, fields);
    fields["wait"] = 0;
    queued(pool, fields);
    for (const Json& entry : callbacks(server, pool))
        CHECK(entry["expires_in"].get<int>() <= 100);
    fields["wait"] = 3;
    queued(pool, fields);
    CHECK(pool.waiting() == 3);
    CHECK(eventually([&] { return pool.waiting() == 2; }));
    CHECK(receiver.connections() == 0);
}

TEST_CASE("callbacks are off unless they are allowed, and what is wrong with one is said") {
    const auto refusal = [](const RunningServer& server, const Json& callback) {
        const TestPool pool(server, 0);
        const HttpResponse response = pool.borrow(Json{{"ttl", 60}, {"callback", callback}}.dump());
        CHECK(response.status == 400);
        CHECK(pool.waiting() == 0);
        return Json::parse(response.body).at("error").get<std::string>();
    };
    const RunningServer off;
    CHECK(refusal(off, {{"url", "http://127.0.0.1/"}}) == "callback is not allowed on this server: use wait");
    const RunningServer server({"--callback-allow", "127.0.0.1:81", "--callback-allow", "*.example.com",
                                "--callback-allow", "*.example.org:8443"});
    const std::string key = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (const std::string url : {"http://127.0.0.1/", "http://example.com/", "https://hooks.example.org/",
                                  "http://127.0.0.2:81/", "https://example.com.evil.test/"}) {
        CAPTURE(url);
        CHECK_THAT(refusal(server, {{"url", url}}), has_text("--callback-allow"));
    }
    for (const std::string url :
         {"", "ftp://a.example.com/", "file:///etc/passwd", "http://", "http://u:p@a.example.com/",
          "http://u@a.example.com/", "http://a.example.com:0/", "http://a.example.com:65536/", "http://a b/",
          "http://a.example.com/\r\nX: 1", "a.example.com", "http://@a.example.com/",
          "https://hooks.example.org:8443.evil.test/"}) {
        CAPTURE(url);
        CHECK_THAT(refusal(server, {{"url", url}}), has_text("callback.url"));
    }
    const std::string good = "https://a.example.com/";
    for (const Json& headers :
         {Json{{"Host", "x"}}, Json{{"content-length", "1"}}, Json{{"Transfer-Encoding", "chunked"}},
          Json{{"Connection", "close"}}, Json{{"Webhook-Id", "x"}}, Json{{"Proxy-Authorization", "x"}},
          Json{{"A", "b\r\nC: d"}}, Json{{"A", "b\nC"}}, Json{{"A:b", "c"}}, Json{{"A", 1}}, Json{{"", "c"}},
          Json("A: b"), Json{{"A\r\nB", "c"}}}) {
        CAPTURE(headers);
        CHECK_THAT(refusal(server, {{"url", good}, {"headers", headers}}), has_text("callback.headers"));
    }
    for (const Json& secret :
         {Json("whsec_short"), Json("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), Json(""), Json(1),
          Json("whsec_????????????????????????????????"), Json(key + ", " + key)}) {
        CAPTURE(secret);
        CHECK_THAT(refusal(server, {{"url", good}, {"secret", secret}}), has_text("callback.secret"));
    }
    CHECK_THAT(refusal(server, {{"url", good}, {"body", std::string(20000, 'x')}}), has_text("16384"));
    CHECK_THAT(refusal(server, nullptr), has_text("callback must be an object"));
    CHECK_THAT(refusal(server, Json::object()), has_text("callback.url is required"));
    const TestPool pool(server, 0);
    CHECK(pool.borrow(Json{{"ttl", 60}, {"callback", {{"url", good}, {"secret", key + " " + key}}}}.dump())
              .status == 202);
    CHECK(TestPool(server, new_lease())
              .borrow(Json{{"ttl", 60}, {"callback", {{"url", good}}}}.dump())
              .status == 404);
}
