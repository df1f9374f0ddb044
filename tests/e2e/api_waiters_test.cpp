#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <cstdint>
#include <set>
#include <string>
#include <vector>

// What is shown of a queue and of slots to those who may inspect the pool, and what they can do to a waiter.

using namespace sema::test;

namespace {

HttpResponse cancel(const RunningServer& server, const TestPool& pool, const Json& body) {
    return call(server.port(), "POST", pool.path() + "/cancel", body.dump());
}

bool cancels(const RunningServer& server, const TestPool& pool, const std::string& waiter) {
    const HttpResponse response = cancel(server, pool, {{"waiter", waiter}});
    CHECK(response.status == 200);
    return Json::parse(response.body).at("cancelled").get<bool>();
}

/// The names of the waiters, by rank.
std::vector<std::string> waiters(const TestPool& pool) {
    std::vector<std::string> names;
    const Json view = pool.view();
    for (const Json& entry : view.at("queue"))
        names.push_back(entry.at("waiter").get<std::string>());
    return names;
}

}  // namespace

TEST_CASE("a waiter is taken out of the queue by the name that is shown of it") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    RawClient first = pool.queue_up();
    RawClient second = pool.queue_up_with({{"lease", new_lease()}});
    RawClient third = pool.queue_up();
    REQUIRE(eventually([&] { return pool.waiting() == 3; }));
    const auto names = waiters(pool);
    CHECK(cancels(server, pool, names[1]));
    const HttpResponse answer = second.receive();
    CHECK(answer.status == 409);
    CHECK(answer.body == error_body("cancelled"));
    CHECK(waiters(pool) == std::vector{names[0], names[2]});
    // The others have kept their places.
    CHECK(pool.returns(held));
    CHECK(first.receive().status == 200);
    CHECK_FALSE(third.has_answer());
}

TEST_CASE("the name of a waiter means no other one, whatever its rank") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    RawClient first = pool.queue_up();
    RawClient second = pool.queue_up();
    REQUIRE(eventually([&] { return pool.waiting() == 2; }));
    const std::string gone = waiters(pool).front();
    // The second waiter comes to the rank that the first one had.
    CHECK(pool.returns(held));
    CHECK(first.receive().status == 200);
    CHECK_FALSE(cancels(server, pool, gone));
    CHECK(pool.waiting() == 1);
    CHECK_FALSE(cancels(server, pool, std::string(16, '0')));
    CHECK_FALSE(second.has_answer());
}

TEST_CASE("a waiter keeps its name over reconnects and restarts, and has another one in another pool") {
    RunningServer server({"--rejoin", "5m"});
    const TestPool pool(server, 1);
    const TestPool other(server, 1);
    pool.take();
    other.take();
    const std::string lease = new_lease();
    const RawClient first = pool.queue_up_with({{"lease", lease}});
    REQUIRE(eventually([&] { return pool.waiting() == 1; }));
    const std::string name = waiters(pool).front();
    restart(server, End::kill);
    CHECK(waiters(pool) == std::vector{name});
    const RawClient back = pool.queue_up_with({{"lease", lease}});
    CHECK(eventually([&] { return !pool.view().at("queue").at(0).contains("away"); }));
    CHECK(waiters(pool).front() == name);
    CHECK(lease.find(name) == lease.npos);
    CHECK(cancels(server, pool, name));
    const RawClient elsewhere = other.queue_up_with({{"lease", lease}});
    REQUIRE(eventually([&] { return other.waiting() == 1; }));
    CHECK(waiters(other).front() != name);
}

TEST_CASE("a name that is none is refused, and a pool that is none has no waiter") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const TestPool unknown(server, new_lease());
    CHECK(cancel(server, pool, Json::object()).body == error_body("waiter is required"));
    for (const Json& wrong :
         {Json(1), Json(""), Json("0"), Json(std::string(15, 'a')), Json(std::string(17, 'a')),
          Json("-123456789abcdef"), Json("g123456789abcdef")}) {
        CAPTURE(wrong);
        const HttpResponse response = cancel(server, pool, {{"waiter", wrong}});
        CHECK(response.status == 400);
        CHECK(response.body == error_body("waiter must be 16 hex digits"));
    }
    CHECK_FALSE(cancels(server, unknown, std::string(16, 'A')));
}

TEST_CASE("each waiter is told when its turn will come, once leases have ended") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    Slot held = pool.take();
    const RawClient first = pool.queue_up();
    const RawClient second = pool.queue_up();
    REQUIRE(eventually([&] { return pool.waiting() == 2; }));
    const Json view = pool.view();
    for (const Json& entry : view.at("queue"))
        CHECK_FALSE(entry.contains("eta"));
    CHECK(pool.returns(held));
    REQUIRE(eventually([&] { return pool.waiting() == 1; }));
    const RawClient third = pool.queue_up();
    REQUIRE(eventually([&] { return pool.waiting() == 2; }));
    const Json queue = pool.view().at("queue");
    CHECK(queue.at(0).at("eta").get<int>() <= queue.at(1).at("eta").get<int>());
}

TEST_CASE("it is shown which slots rest, and until when") {
    const RunningServer server;
    const TestPool pool(server, 0);
    pool.set({{"count", 3}, {"cooldown", 3600}});
    CHECK_FALSE(pool.view().contains("resting"));
    pool.take();
    CHECK(pool.returns(pool.take()));
    const Json view = pool.view();
    REQUIRE(view.at("resting").size() == 1);
    CHECK(view.at("resting").at(0).at("position") == 1);
    const auto now =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    const auto until = view.at("resting").at(0).at("until_unix").get<std::int64_t>();
    CHECK(until > now + 3000);
    CHECK(until <= now + 3602);
}

TEST_CASE("what the slots stand for is shown, for as many as there are") {
    const RunningServer server;
    const TestPool pool(server, 0);
    const auto slots = [&] { return call(server.port(), "GET", pool.path() + "/slots"); };
    CHECK(slots().body == R"({"id":")" + pool.id() + R"(","count":0,"slots":[]})");
    pool.set({{"count", 3}, {"slots", {"27000@lic1", {{"tty", "/dev/ttyUSB0"}}, "27000@lic3"}}});
    CHECK(Json::parse(slots().body).at("slots") ==
          Json({"27000@lic1", {{"tty", "/dev/ttyUSB0"}}, "27000@lic3"}));
    pool.set_count(2);
    CHECK(Json::parse(slots().body).at("slots").size() == 2);
    pool.set_count(4);
    CHECK(Json::parse(slots().body).at("slots") ==
          Json({"27000@lic1", {{"tty", "/dev/ttyUSB0"}}, "27000@lic3", nullptr}));
    CHECK(call(server.port(), "GET", TestPool(server, new_lease()).path() + "/slots").status == 404);
    CHECK(call(server.port(), "POST", pool.path() + "/slots").status == 405);
}
