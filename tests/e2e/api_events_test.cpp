#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <string>
#include <vector>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

bool has_in_use(const Json& state, int number) {
    return state.at("in_use") == number;
}

HttpResponse answer_to_watcher(const RunningServer& server, const TestPool& pool) {
    return call(server.port(), "GET", pool.path() + "/events");
}

}  // namespace

TEST_CASE("a watcher is told the state at once, in the words of holders") {
    const RunningServer server;
    const TestPool pool(server, 2);
    pool.set({{"count", 2}, {"name", "boards"}});
    EventStream watcher(pool);
    CHECK(watcher.head().header("content-type") == "text/event-stream");
    CHECK(watcher.head().header("connection") == "close");
    CHECK(watcher.head().header("x-accel-buffering") == "no");
    CHECK_FALSE(watcher.head().has("content-length"));
    CHECK_FALSE(watcher.head().has("transfer-encoding"));
    const EventStream::Event event = watcher.next();
    CHECK(event.name == "state");
    CHECK(event.data == pool.holders().body);
    CHECK(watcher.is_silent());
}

TEST_CASE("a watcher is told of every kind of change") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    EventStream watcher(pool);
    watcher.next_state();

    const Grant grant = pool.take_with({{"slots", 1}, {"ttl", 50}, {"holder", {{"name", "ci"}}}});
    Json state = watcher.next_state();
    CHECK(state["in_use"] == 1);
    CHECK(state["holders"][0]["holder"]["name"] == "ci");
    CHECK(state["holders"][0]["fence"] == grant.fence);
    CHECK(pool.renews(grant, 3000));
    state = watcher.next_state();
    CHECK(state["holders"][0]["expires_at_unix"] > grant.expires_at_unix);
    RawClient waiter = pool.queue_up_with({{"holder", {{"name", "next"}}}});
    state = watcher.next_state();
    REQUIRE(state["queue"].size() == 1);
    CHECK(state["queue"][0]["holder"]["name"] == "next");
    waiter.close();
    CHECK(watcher.next_state()["queue"].empty());
    CHECK(pool.resize(R"({"by":2})").status == 200);
    CHECK(watcher.next_state()["count"] == 3);
    pool.set({{"count", 3}, {"name", "boards"}});
    CHECK(watcher.next_state()["name"] == "boards");
    pool.set({{"count", 3}, {"renewable", false}});
    CHECK(watcher.next_state()["renewable"] == false);
    CHECK(pool.returns(grant));
    CHECK(watcher.next_state()["in_use"] == 0);
    pool.take();
    CHECK(watcher.next_state()["in_use"] == 1);
    CHECK(pool.revokes(0));
    CHECK(watcher.next_state()["in_use"] == 0);
    pool.set({{"count", 3}, {"cooldown", 3600}});
    CHECK(watcher.next_state()["cooldown"] == 3600);
}

TEST_CASE("a watcher hears of a hand-off") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    RawClient waiter = pool.queue_up_with({{"holder", {{"name", "next"}}}});
    EventStream watcher(pool);
    CHECK(watcher.next_state()["queue"].size() == 1);
    CHECK(pool.returns(held));
    const Json state =
        watcher.state_where([](const Json& it) { return it["queue"].empty() && has_in_use(it, 1); });
    CHECK(state["holders"][0]["holder"]["name"] == "next");
    granted(waiter.receive());
}

TEST_CASE("a watcher hears of what time alone changes, without any other call") {
    const RunningServer server;
    const TestPool pool(server, 1);
    pool.set({{"count", 1}, {"cooldown", 2}});
    const Stopwatch since_asked;
    pool.take(2);
    EventStream watcher(pool);
    CHECK(watcher.next_state()["in_use"] == 1);
    const Json expired = watcher.next_state();
    CHECK(since_asked.elapsed() >= 2s);
    CHECK(expired["in_use"] == 0);
    CHECK(expired["available"] == 0);
    const Json rested = watcher.next_state();
    CHECK(since_asked.elapsed() >= 4s);
    CHECK(rested["available"] == 1);
}

TEST_CASE("a watcher hears of a wait that ran out, and of a place that was dropped") {
    const RunningServer server({"--threads", "1", "--rejoin", "0.2"});
    const TestPool pool(server, 0);
    EventStream watcher(pool);
    watcher.next_state();
    RawClient plain = pool.queue_up(0.2);
    CHECK(watcher.state_where([](const Json& it) { return it["queue"].size() == 1; })["queue"].size() == 1);
    CHECK(watcher.next_state()["queue"].empty());
    RawClient keyed = pool.queue_up_with({{"lease", new_lease()}, {"wait", 0.1}});
    CHECK(keyed.receive().status == 409);
    watcher.state_where([](const Json& it) { return it["queue"].size() == 1; });
    watcher.state_where([](const Json& it) { return it["queue"].empty(); });
}

TEST_CASE("what changes nothing makes no event") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    EventStream watcher(pool);
    watcher.next_state();
    pool.get();
    pool.holders();
    pool.set_count(1);
    CHECK_FALSE(pool.takes_one());
    CHECK_FALSE(pool.revokes(5));
    CHECK(pool.resize(R"({"by":0})").status == 200);
    const TestPool other(server, 1);
    other.take();
    CHECK(pool.returns(held));
    CHECK(watcher.next_state()["in_use"] == 0);
    CHECK(watcher.is_silent());
}

TEST_CASE("no lease's UUID is in an event") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Grant grant = pool.take_with({{"lease", new_lease()}});
    const std::string queued = new_lease();
    RawClient waiter = pool.queue_up_with({{"lease", queued}});
    EventStream watcher(pool);
    const std::string data = watcher.next().data;
    CHECK(data.find(grant.lease) == data.npos);
    CHECK(data.find(queued) == data.npos);
}

TEST_CASE("a watcher of a deleted pool is told so, and the stream ends") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    EventStream watcher(pool);
    watcher.next_state();
    pool.remove();
    const EventStream::Event event = watcher.next();
    CHECK(event.name == "deleted");
    CHECK(event.data == R"({"deleted":true})");
    CHECK(watcher.ends());
    // Whoever registers the pool again has nothing to do with it.
    pool.set_count(2);
    EventStream another(pool);
    CHECK(another.next_state()["count"] == 2);
}

TEST_CASE("only a pool that is there can be watched") {
    const RunningServer server;
    const TestPool pool(server, sema::PoolId::random().str());
    const HttpResponse response = answer_to_watcher(server, pool);
    CHECK(response.status == 404);
    CHECK(response.header("content-type") == "application/json");
    CHECK(response.body == error_body("no such pool"));
    pool.set_count(1);
    EventStream watcher(pool);
    CHECK(watcher.next_state()["count"] == 1);
}

TEST_CASE("every watcher of a pool is told, and none of another pool") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const TestPool other(server, 1);
    std::vector<EventStream> watchers;
    for (int i = 0; i < 20; ++i)
        watchers.emplace_back(pool).next_state();
    EventStream elsewhere(other);
    elsewhere.next_state();
    watchers.front().close();
    pool.take();
    for (std::size_t i = 1; i < watchers.size(); ++i)
        CHECK(watchers[i].next_state()["in_use"] == 1);
    CHECK(elsewhere.is_silent());
}

TEST_CASE("watchers that go away leave nothing behind") {
    const RunningServer server({"--threads", "1", "--max-connections", "4"});
    const TestPool pool(server, 1);
    for (int i = 0; i < 20; ++i) {
        EventStream watcher(pool);
        watcher.next_state();
        watcher.close();
        const Slot slot = pool.take();
        CHECK(pool.returns(slot));
    }
}

TEST_CASE("a watcher that reads late is told the latest state, and not each one before it") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 100);
    // What all the states take together is more than any buffer between the two holds.
    const std::string url(2000, 'x');
    for (int i = 0; i < 100; ++i)
        pool.take_with({{"holder", {{"url", url}}}});
    EventStream watcher(pool);
    watcher.next_state();
    RawClient client(server.port());
    for (int i = 0; i < 200; ++i) {
        client.send(http_request("POST", pool.path() + "/resize", R"({"by":1})"));
        REQUIRE(client.receive().status == 200);
    }
    int events = 0;
    int last = 100;
    watcher.state_where([&](const Json& state) {
        ++events;
        const int count = state["count"].get<int>();
        CHECK(count > last);
        last = count;
        return count == 300;
    });
    CHECK(events < 200);
    CHECK(watcher.is_silent());
}

TEST_CASE("what could not be stored is not told", "[sqlite]") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    pool.take();
    EventStream watcher(pool);
    watcher.next_state();
    {
        const FullDisk full(server);
        CHECK(pool.put(R"({"count":1,"name":"unheard"})").status == 502);
    }
    pool.set({{"count", 1}, {"name", "heard"}});
    watcher.state_where([](const Json& state) {
        CHECK(state["name"] != "unheard");
        return state["name"] == "heard";
    });
}

TEST_CASE("a stream ends when semad is stopped, and holds it up no longer than that") {
    RunningServer server;
    const TestPool pool(server, 1);
    EventStream watcher(pool);
    watcher.next_state();
    const Stopwatch watch;
    CHECK(server.terminate() == 0);
    CHECK(watch.elapsed() < 5s);
    CHECK(watcher.ends());
    server.start();
    EventStream again(pool);
    CHECK(again.next_state()["count"] == 1);
}

TEST_CASE("a silent stream has a comment now and then") {
    const RunningServer server;
    const TestPool pool(server, 1);
    EventStream watcher(pool);
    const Stopwatch watch;
    watcher.next_state();
    CHECK(watcher.next_comment() == ":\n");
    CHECK(watch.elapsed() >= 10s);
    pool.take();
    CHECK(watcher.next_state()["in_use"] == 1);
}

TEST_CASE("a watcher that sends more is not confused by it") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    RawClient watcher(server.port());
    watcher.send(http_request("GET", pool.path() + "/events") + http_request("GET", "/healthz"));
    CHECK(watcher.receive(true).status == 200);
    CHECK(watcher.receive_until("\n\n").find("event: state\n") == 0);
    pool.take();
    CHECK(watcher.receive_until("\n\n").find(R"("in_use":1)") != std::string::npos);
}

TEST_CASE("a HEAD of the events answers, and that is all") {
    const RunningServer server;
    const TestPool pool(server, 1);
    RawClient client(server.port());
    client.send(http_request("HEAD", pool.path() + "/events"));
    CHECK(client.receive(true).status == 200);
    const TestPool absent(server, sema::PoolId::random().str());
    CHECK(call(server.port(), "HEAD", absent.path() + "/events").status == 404);
}
