#include "common/ids.hpp"
#include "tests/e2e/ha_pair.hpp"
#include "tests/e2e/wrong_clock.hpp"
#include "tests/support/proxy.hpp"
#include "tests/support/sentinel_set.hpp"

#include <atomic>
#include <ctime>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

// By so much a server may be wrong that has looked at the store's clock but a few times, each of which took a
// while on a busy machine.
constexpr auto clock_error = 100ms;

}  // namespace

TEST_CASE("what one server is told, all have") {
    Pair pair;
    const TestPool pool(pair.one, 2);
    const TestPool there = pair.there(pool);
    CHECK(there.count() == 2);
    const Slot slot = pool.take();
    CHECK(there.in_use() == 1);
    CHECK(there.take().position == 1);
    CHECK(pool.available() == 0);
    there.set_count(5);
    CHECK(pool.count() == 5);
    there.set({{"count", 3}, {"cooldown", 0.5}, {"name", "simulator"}});
    CHECK(pool.view().at("name") == "simulator");
    CHECK(there.renews(slot, 30));
    CHECK(there.returns(slot));
    CHECK_FALSE(pool.returns(slot));
    there.remove();
    CHECK(pool.get().status == 404);
}

TEST_CASE("a slot that is returned on one server goes to who waits on another, at once", "[alone]") {
    Pair pair(one_thread);
    const TestPool pool(pair.one, 1);
    const Slot slot = pool.take();
    RawClient waiter = pair.there(pool).queue_up();
    REQUIRE(shows_waiting(pool, 1));
    CHECK(pool.returns(slot));
    const Stopwatch since_returned;
    CHECK(granted(waiter.receive()).position == 0);
    CHECK(since_returned.elapsed() < promptly);
    CHECK(pool.in_use() == 1);
}

TEST_CASE("a slot whose lease ends goes to who waits on another server") {
    Pair pair(one_thread);
    const TestPool pool(pair.one, 1);
    const Stopwatch since_asked;
    pool.take(1);
    const Stopwatch since_granted;
    RawClient waiter = pair.there(pool).queue_up();
    CHECK(granted(waiter.receive()).position == 0);
    CHECK(since_asked.elapsed() >= 1s - clock_error);
    CHECK(since_granted.elapsed() < 1s + told_of_failure_within);
}

TEST_CASE("slots that are added on one server go to who waits on others") {
    Pair pair(one_thread);
    const TestPool pool(pair.one, 0);
    RawClient here = pool.queue_up();
    RawClient there = pair.there(pool).queue_up();
    REQUIRE(shows_waiting(pool, 2));
    REQUIRE(shows_waiting(pair.there(pool), 2));
    pool.set_count(2);
    CHECK(granted(here.receive()).position != granted(there.receive()).position);
}

TEST_CASE("a pool that is deleted on one server is gone for who waits on others") {
    Pair pair(one_thread);
    const TestPool pool(pair.one, 0);
    RawClient here = pool.queue_up();
    RawClient there = pair.there(pool).queue_up();
    REQUIRE(shows_waiting(pool, 2));
    pool.remove();
    const Stopwatch since_deleted;
    CHECK(here.receive().status == 404);
    CHECK(there.receive().status == 404);
    CHECK(since_deleted.elapsed() < 1s + told_of_failure_within);
}

TEST_CASE("first come, first served holds over servers, and so do priorities") {
    Pair pair(one_thread);
    RunningServer third(with_store(pair.store->url(), one_thread));
    const TestPool pool(pair.one, 1);
    const std::vector<TestPool> pools = {pool, pair.there(pool), TestPool(third, pool.id())};
    Slot slot = pool.take();
    std::vector<RawClient> waiters;
    const std::vector<std::pair<std::string, int>> asked = {{"a", 0}, {"b", 0},  {"c", 5},
                                                            {"d", 0}, {"e", -1}, {"f", 5}};
    for (std::size_t i = 0; i < asked.size(); ++i) {
        waiters.push_back(queue_up_and_be_seen(pools[i % 3], pools[(i + 1) % 3],
                                               named(asked[i].first, {{"priority", asked[i].second}})));
    }
    const std::vector<std::string> order = {"c", "f", "a", "b", "d", "e"};
    for (const TestPool& each : pools)
        CHECK(eventually([&] { return names_in_queue(each) == order; }));
    std::int64_t fence = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
        REQUIRE(pools[i % 3].returns(slot));
        const auto next = static_cast<std::size_t>(order[i].front() - 'a');
        const Grant grant = fully_granted(waiters[next].receive());
        CHECK(grant.fence > fence);
        fence = grant.fence;
        slot = grant;
    }
}

TEST_CASE("nobody overtakes who waits on another server, however short the queue looks from there") {
    Pair pair(one_thread);
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    Slot slot = pool.take();
    for (int round = 0; round < 20; ++round) {
        RawClient waiter = queue_up_and_be_seen(there, pool, named("waiter"));
        RawClient returner(pair.one.port());
        // The return, and right behind it somebody who would like to have the slot at once.
        returner.send(pool.return_request(slot) + pool.borrow_request(60, 0));
        CHECK(returner.receive().status == 200);
        CHECK(returner.receive().status == 409);
        slot = granted(waiter.receive());
    }
}

TEST_CASE("who waits on a server that dies is out of the queue within 3 s, and the next is served") {
    Pair pair(one_thread);
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    const Slot slot = there.take();
    const RawClient lost = queue_up_and_be_seen(pool, there, named("lost"));
    RawClient next = queue_up_and_be_seen(there, pool, named("next"));
    pair.one.kill9();
    const Stopwatch since_killed;
    CHECK(there.returns(slot));
    CHECK(fully_granted(next.receive()).position == 0);
    CHECK(since_killed.elapsed() < taken_out_within);
    CHECK(names_in_queue(there).empty());
}

TEST_CASE("who waits on a server that is stopped leaves the queue at once") {
    Pair pair(one_thread);
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    const Slot slot = there.take();
    const RawClient lost = queue_up_and_be_seen(pool, there, named("lost"));
    pair.one.terminate();
    const Stopwatch since_stopped;
    CHECK(shows_waiting(there, 0));
    CHECK(since_stopped.elapsed() < 1s + told_of_failure_within);
}

TEST_CASE("who chose the lease's id and comes back through another server keeps its place") {
    for (const bool is_killed : {true, false}) {
        Pair pair({"--threads", "1", "--rejoin", "1m"});
        const TestPool pool(pair.one, 1);
        const TestPool there = pair.there(pool);
        const Slot slot = there.take();
        const std::string lease = new_lease();
        RawClient first = queue_up_and_be_seen(pool, there, named("keyed", {{"lease", lease}}));
        RawClient second = queue_up_and_be_seen(there, pool, named("second"));
        if (is_killed) {
            pair.one.kill9();
        } else {
            first.close();
        }
        RawClient again = there.queue_up_with(named("keyed", {{"lease", lease}}));
        CHECK(eventually([&] {
            return names_in_queue(there) == std::vector<std::string>{"keyed", "second"};
        }));
        CHECK(there.returns(slot));
        const Grant grant = fully_granted(again.receive());
        CHECK(grant.lease == lease);
        CHECK_FALSE(second.has_answer());
        CHECK(there.returns(grant));
        CHECK(fully_granted(second.receive()).position == 0);
    }
}

TEST_CASE("a borrow that is repeated on another server is answered the same lease") {
    Pair pair;
    const TestPool pool(pair.one, 2);
    const std::string lease = new_lease();
    const Grant first = pool.take_with({{"lease", lease}});
    const Grant again = pair.there(pool).take_with({{"lease", lease}});
    CHECK(again.fence == first.fence);
    CHECK(again.positions == first.positions);
    CHECK(pool.in_use() == 1);
    // A lease's id is one pool's at a time, on whatever server.
    const TestPool second(pair.other, 1);
    CHECK(second.borrow(Json{{"lease", lease}, {"ttl", 60}}.dump()).status == 409);
}

TEST_CASE("who waits on one server is taken out by another, and a lease of one is revoked by another") {
    Pair pair(one_thread);
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    const Slot slot = pool.take();
    const std::string lease = new_lease();
    RawClient waiter = queue_up_and_be_seen(pool, there, named("keyed", {{"lease", lease}}));
    CHECK(there.cancels(lease));
    CHECK(waiter.receive().status == 409);
    CHECK(shows_waiting(pool, 0));

    RawClient stranger = queue_up_and_be_seen(pool, there, named("by name"));
    const auto name_of = [](const TestPool& seen) { return seen.view().at("queue").at(0).at("waiter"); };
    CHECK(name_of(there) == name_of(pool));
    CHECK(call(pair.other.port(), "POST", there.path() + "/cancel", Json{{"waiter", name_of(pool)}}.dump())
              .body == R"({"cancelled":true})");
    CHECK(stranger.receive().status == 409);
    CHECK(shows_waiting(pool, 0));

    RawClient next = queue_up_and_be_seen(pool, there, named("next"));
    CHECK(there.revokes(0));
    CHECK(fully_granted(next.receive()).position == 0);
    CHECK_FALSE(pool.renews(slot, 60));
    CHECK_FALSE(pool.returns(slot));
}

TEST_CASE("who watches a pool on one server sees what another does") {
    Pair pair(one_thread);
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    EventStream events(pool);
    CHECK(events.next_state().at("in_use") == 0);
    const Slot slot = there.take();
    CHECK(events.state_where([](const Json& state) { return state.at("in_use") == 1; }).at("available") == 0);
    const RawClient waiter = there.queue_up();
    events.state_where([](const Json& state) { return state.at("queue").size() == 1; });
    CHECK(there.returns(slot));
    events.state_where(
        [](const Json& state) { return state.at("queue").empty() && state.at("in_use") == 1; });
    there.remove();
    CHECK(eventually([&] { return pool.get().status == 404; }));
}

TEST_CASE("fences grow over all servers") {
    Pair pair;
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    std::int64_t fence = 0;
    for (int round = 0; round < 6; ++round) {
        const TestPool& through = round % 2 == 0 ? pool : there;
        const Grant grant = through.take_with({{"slots", 1}});
        CHECK(grant.fence > fence);
        fence = grant.fence;
        CHECK((round % 3 == 0 ? pool : there).returns(grant));
        if (round == 3) restart(pair.one, End::kill);
    }
}

TEST_CASE("servers in different databases of one store know nothing of each other", "[redis]") {
    const RedisServer redis(store_options());
    const RunningServer one(with_store(redis.url(0)));
    const RunningServer other(with_store(redis.unix_url(1)));
    const TestPool pool(one, 1);
    CHECK(TestPool(other, pool.id()).get().status == 404);
}

TEST_CASE("servers on the socket of one store share its pools", "[redis]") {
    const RedisServer redis(store_options());
    const RunningServer one(with_store(redis.unix_url(2)));
    const RunningServer other(with_store(redis.url(2)));
    const TestPool pool(one, 1);
    CHECK(TestPool(other, pool.id()).count() == 1);
}

// A sanitizer's library wants to be loaded before any other.
#if !SANITIZED
TEST_CASE("a server whose wall clock is wrong by an hour lends and ends as the others do", "[redis][alone]") {
    for (const std::chrono::seconds wrong : {3600s, -3600s}) {
        const WrongClock clock(wrong);
        const RedisServer redis(store_options());
        const RunningServer right(with_store(redis.url(), one_thread));
        const RunningServer astray(with_store(redis.url(), one_thread), clock.options());
        const TestPool pool(right, 2);
        const TestPool there(astray, pool.id());
        const auto now = std::time(nullptr);
        const Stopwatch since_asked;
        const Slot lasting = there.take(60);
        CHECK(std::abs(lasting.expires_at_unix - now - 60) <= 2);
        const Slot brief = there.take(1.5);
        const Stopwatch since_granted;
        CHECK(pool.in_use() == 2);
        CHECK(there.renews(lasting, 60));
        CHECK(granted(pool.borrow(R"({"ttl":60,"wait":10})")).position == brief.position);
        CHECK(since_asked.elapsed() >= 1500ms - clock_error);
        CHECK(since_granted.elapsed() < 1500ms + promptly);
        CHECK(there.in_use() == 2);
        CHECK(pool.returns(lasting));
    }
}

TEST_CASE("a step of the store's wall clock ends no lease, and keeps none", "[redis][alone]") {
    for (const std::chrono::seconds step : {3600s, -3600s}) {
        const WrongClock clock(0s);
        RedisOptions options = store_options();
        options.program = clock.options();
        RedisServer redis(options);
        const RunningServer one(with_store(redis.url(), one_thread));
        const RunningServer other(with_store(redis.url(), one_thread));
        const TestPool pool(one, 2);
        const TestPool there(other, pool.id());
        const Slot lasting = pool.take(60);
        const Stopwatch since_asked;
        const Slot brief = there.take(3);
        RawClient waiter = pool.queue_up();
        REQUIRE(shows_waiting(there, 1));
        clock.step(step);
        CHECK(there.in_use() == 2);
        CHECK(pool.in_use() == 2);
        CHECK(granted(waiter.receive()).position == brief.position);
        CHECK(since_asked.elapsed() >= 3s - clock_error);
        CHECK(since_asked.elapsed() < 3s + promptly);
        CHECK(pool.renews(lasting, 60));
        CHECK(there.returns(lasting));
    }
}

TEST_CASE("a server whose machine was halted without knowing lends nothing by the time of before",
          "[redis][alone]") {
    const WrongClock clock(0s);
    const RedisServer redis(store_options());
    const RunningServer right(with_store(redis.url(), one_thread));
    const RunningServer halted(with_store(redis.url(), one_thread), clock.options("WRONG_BOOT_CLOCK"));
    const TestPool pool(right, 1);
    const TestPool there(halted, pool.id());
    for (int halts = 1; halts <= 3; ++halts) {
        clock.step(-20s * halts);
        // At once: nothing has told it yet.
        HttpResponse lent;
        Stopwatch since_asked;
        do {
            since_asked = Stopwatch();
            lent = there.borrow(R"({"ttl":2})");
        } while (lent.status == 502);
        const Slot slot = granted(lent);
        const Slot next = granted(pool.borrow(R"({"ttl":60,"wait":10})"));
        CHECK(since_asked.elapsed() >= 2s - clock_error);
        CHECK(since_asked.elapsed() < 2s + promptly);
        CHECK(pool.returns(next));
    }
    // The clock of all was left alone.
    CHECK(redis.command({"HGET", "sema:clock", "epoch"})[0] == "(nil)");
}
#endif

TEST_CASE("a server that is far from the store has its turn on a pool that is busy at a near one",
          "[redis]") {
    const RedisServer redis(store_options());
    Proxy way(redis.port());
    const RunningServer near(with_store(redis.url()));
    const RunningServer far(with_store("redis://" + way.host_and_port() + "/0"));
    const TestPool pool(near, 3);
    const TestPool there(far, pool.id());
    const Slot held = there.take(3);
    way.be_long(10ms);
    std::atomic<bool> over{false};
    std::atomic<int> borrowed{0};
    std::vector<std::thread> busy;
    for (int i = 0; i < 2; ++i) {
        busy.emplace_back([&] {
            while (!over) {
                const HttpResponse answer = pool.borrow(R"({"ttl":10,"wait":1})");
                if (answer.status != 200) continue;
                ++borrowed;
                (void)pool.give_back(Json{{"lease", granted(answer).lease}}.dump());
            }
        });
    }
    for (int i = 0; i < 6 || (borrowed <= 50 && i < 60); ++i) {
        const Stopwatch asked;
        CHECK(there.renews(held, 3));
        CHECK(asked.elapsed() < 2s);
        std::this_thread::sleep_for(500ms);
    }
    over = true;
    for (std::thread& thread : busy)
        thread.join();
    CHECK(borrowed > 50);
}

TEST_CASE("while the store is away calls fail soon, waiters wait on, and all is well once it is back") {
    Pair pair(one_thread);
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    const Slot slot = pool.take(60);
    RawClient patient = queue_up_and_be_seen(there, pool, named("patient"));
    const Stopwatch since_asked;
    RawClient brief = queue_up_and_be_seen(there, pool, named("brief", {{"wait", 4}}));
    const Stopwatch since_queued;
    pair.store->pause();
    for (const TestPool& through : {pool, there}) {
        const Stopwatch since_borrowed;
        CHECK(through.borrow(R"({"ttl":60})").status == 502);
        CHECK(since_borrowed.elapsed() < told_of_failure_within);
        const Stopwatch since_returned;
        CHECK(through.give_back(Json{{"lease", slot.lease}}.dump()).status == 502);
        CHECK(since_returned.elapsed() < told_of_failure_within);
        const Stopwatch since_looked;
        CHECK(through.get().status == 502);
        CHECK(since_looked.elapsed() < told_of_failure_within);
    }
    CHECK(eventually([&] { return status_of(pair.one, "/readyz") == 503; }, 3s));
    CHECK(status_of(pair.one, "/healthz") == 200);
    CHECK(brief.receive().status == 409);
    CHECK(since_asked.elapsed() >= 4s - clock_error);
    CHECK(since_queued.elapsed() < 4s + told_of_failure_within);
    CHECK_FALSE(patient.has_answer());
    pair.store->resume();
    CHECK(eventually([&] { return is_ready(pair.one) && is_ready(pair.other); }, recovered_within));
    CHECK(eventually([&] { return names_in_queue(pool) == std::vector<std::string>{"patient"}; },
                     recovered_within));
    // One of the returns that were answered 502 may have been done.
    CHECK(eventually(
        [&] {
            return pool.give_back(Json{{"lease", slot.lease}}.dump()).status == 200;
        },
        recovered_within));
    const Grant grant = fully_granted(patient.receive());
    CHECK(grant.position == 0);
    CHECK(pool.in_use() == 1);
    CHECK(there.returns(grant));
}

TEST_CASE("who waits is refused at its deadline while the store is away, whatever else is going on") {
    for (const bool is_busy : {false, true}) {
        for (const std::chrono::milliseconds since_taken : {0ms, 2500ms}) {
            CAPTURE(is_busy, since_taken.count());
            Pair pair;
            const TestPool pool(pair.one, 1);
            const TestPool there = pair.there(pool);
            // One whose time is over while the store is away, or one that lasts.
            pool.take(is_busy ? 4 : 60);
            std::vector<std::pair<RawClient, double>> waiters;
            const Stopwatch since_asked;
            for (const double wait : {4.0, 4.5, 5.5, 6.5}) {
                waiters.emplace_back(pool.queue_up(wait), wait);
                waiters.emplace_back(there.queue_up(wait), wait);
            }
            REQUIRE(shows_waiting(there, 8));
            REQUIRE(eventually([&] { return since_asked.elapsed() > since_taken; }));
            pair.store->pause();
            for (auto& [waiter, wait] : waiters) {
                CAPTURE(wait);
                CHECK(waiter.receive(false, 10s).status == 409);
                // A commit that is under way is waited for.
                CHECK(since_asked.elapsed() < std::chrono::duration<double>(wait) + told_of_failure_within);
            }
            pair.store->resume();
        }
    }
}

TEST_CASE("a store that was killed and started again has everything, and waiters have their places") {
    Pair pair(one_thread);
    const TestPool pool(pair.one, 2);
    const TestPool there = pair.there(pool);
    const Slot slot = pool.take(60);
    const Slot brief = there.take(3);
    RawClient first = queue_up_and_be_seen(pool, there, named("first"));
    RawClient second = queue_up_and_be_seen(there, pool, named("second"));
    pair.store->kill9();
    CHECK(pool.borrow(R"({"ttl":60})").status == 502);
    pair.store->start();
    CHECK(eventually([&] { return is_ready(pair.one) && is_ready(pair.other); }, recovered_within));
    CHECK(fully_granted(first.receive()).position == brief.position);
    CHECK(names_in_queue(pool) == std::vector<std::string>{"second"});
    CHECK(there.returns(slot));
    CHECK(fully_granted(second.receive()).position == slot.position);
}

TEST_CASE("a store and all servers that were killed at once have what was answered", "[alone]") {
    Pair pair;
    const TestPool pool(pair.one, 3);
    const Slot slot = pool.take(60);
    const Stopwatch since_asked;
    const Slot brief = pool.take(10);
    pair.one.kill9();
    pair.other.kill9();
    pair.store->kill9();
    pair.store->start();
    pair.other.start();
    pair.one.start();
    CHECK(pool.in_use() == 2);
    CHECK(pair.there(pool).renews(slot, 60));
    // A commit of a store that has just been started may take longer than it may.
    CHECK(eventually([&] {
        const HttpResponse state = pool.get();
        return state.status == 200 && Json::parse(state.body).at("in_use") == 1;
    }));
    CHECK(since_asked.elapsed() >= 10s - clock_error);
    CHECK(since_asked.elapsed() < 10s + told_of_failure_within);
    CHECK_FALSE(pool.returns(brief));
}

TEST_CASE("a borrow that failed has no slot 2 s after the store is back") {
    Pair pair;
    const TestPool pool(pair.one, 8);
    for (int round = 0; round < 3; ++round) {
        // Some reach the store and are not answered in time, others don't reach it.
        pair.store->pause();
        std::vector<RawClient> clients;
        for (int i = 0; i < 8; ++i) {
            clients.emplace_back(i % 2 == 0 ? pair.one.port() : pair.other.port());
            clients.back().send(pool.borrow_request(60, 0));
        }
        for (RawClient& client : clients)
            CHECK(client.receive().status == 502);
        pair.store->resume();
        const Stopwatch since_back;
        CHECK(eventually([&] { return since_back.elapsed() > 2s; }));
        // On a busy machine one of them comes back later.
        const TestPool there = pair.there(pool);
        REQUIRE(eventually([&] { return pool.get().status == 200 && there.get().status == 200; }));
        CHECK(eventually([&] { return pool.in_use() == 0 && there.in_use() == 0; }, 1500ms));
    }
}

TEST_CASE("a store whose memory is full fails what must be stored, changes nothing, and passes", "[redis]") {
    RedisPair pair;
    const TestPool pool(pair.one, 2);
    const TestPool there = pair.there(pool);
    const Slot slot = pool.take();
    pair.redis.command({"CONFIG", "SET", "maxmemory", "1"});
    CHECK(pool.borrow(R"({"ttl":60})").status == 502);
    CHECK(there.put(R"({"count":5})").status == 502);
    pair.redis.command({"CONFIG", "SET", "maxmemory", "0"});
    CHECK(eventually([&] { return is_ready(pair.one) && is_ready(pair.other); }, recovered_within));
    CHECK(pool.count() == 2);
    CHECK(pool.in_use() == 1);
    CHECK(there.take().position == 1);
    CHECK(there.returns(slot));
}

TEST_CASE("a server that halts loses its waiters' places after 3 s, and takes them up again") {
    Pair pair(one_thread);
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    const Slot slot = there.take();
    RawClient halted = queue_up_and_be_seen(pool, there, named("halted"));
    RawClient next = queue_up_and_be_seen(there, pool, named("next"));
    pair.one.program().signal(SIGSTOP);
    const Stopwatch since_halted;
    CHECK(there.returns(slot));
    const Grant grant = fully_granted(next.receive());
    CHECK(since_halted.elapsed() < taken_out_within);
    pair.one.program().signal(SIGCONT);
    CHECK(eventually([&] { return names_in_queue(there) == std::vector<std::string>{"halted"}; },
                     recovered_within));
    CHECK(there.returns(grant));
    CHECK(fully_granted(halted.receive()).position == 0);
}

TEST_CASE("under Sentinel no lease is lost with the primary", "[redis]") {
    SentinelOptions options;
    options.engine = store_options().engine;
    SentinelSet set(options);
    const std::vector<std::string> server_options =
        with_store(set.url(), {"--threads", "1", "--redis-wait-replicas", "1"});
    const RunningServer one(server_options);
    const RunningServer other(server_options);
    const TestPool pool(one, sema::PoolId::random().str());
    const TestPool there(other, pool.id());
    // Each answer may be 502 while the replicas of a busy machine are slow.
    REQUIRE(eventually([&] { return pool.put(R"({"count":5})").status == 200; }));
    std::vector<Grant> held;
    for (int i = 0; i < 5; ++i) {
        HttpResponse lent;
        REQUIRE(eventually([&] {
            lent = (i % 2 == 0 ? pool : there).borrow(R"({"ttl":60,"slots":1})");
            return lent.status == 200;
        }));
        held.push_back(fully_granted(lent));
    }
    RawClient waiter = queue_up_and_be_seen(pool, there, named("waiter"));
    set.server(set.primary()).kill9();
    CHECK(eventually([&] { return is_ready(one) && is_ready(other); }));
    REQUIRE(eventually([&] { return there.get().status == 200; }));
    CHECK(there.in_use() == 5);
    REQUIRE(eventually([&] {
        return there.keepalive(Json{{"lease", held[0].lease}, {"ttl", 60}}.dump()).status == 200;
    }));
    for (const Grant& grant : held)
        CHECK(pool.renews(grant, 60));
    CHECK(there.returns(held[3]));
    const Grant next = fully_granted(waiter.receive());
    CHECK(next.position == held[3].position);
    CHECK(next.fence > held[4].fence);
}
