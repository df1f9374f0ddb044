#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <chrono>
#include <vector>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

// So many bytes of requests that do not wait.
std::string requests_of(std::size_t size) {
    std::string text;
    while (text.size() < size)
        text += http_request("GET", "/healthz");
    return text;
}

}  // namespace

TEST_CASE("a returned slot goes to a waiter at once") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 2);
    pool.take();
    const Slot one = pool.take();
    RawClient waiter = pool.queue_up();
    CHECK_FALSE(waiter.has_answer());
    CHECK(pool.returns(one));
    const Stopwatch watch;
    CHECK(granted(waiter.receive()).position == 1);
    CHECK(watch.elapsed() < in_time);
}

TEST_CASE("waiters are served first come, first served") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    Slot held = pool.take();
    std::vector<RawClient> waiters;
    for (int i = 0; i < 20; ++i)
        waiters.push_back(pool.queue_up());
    for (std::size_t i = 0; i < waiters.size(); ++i) {
        CAPTURE(i);
        REQUIRE(pool.returns(held));
        held = granted(waiters[i].receive());
        for (std::size_t later = i + 1; later < waiters.size(); ++later)
            CHECK_FALSE(waiters[later].has_answer());
    }
    CHECK(pool.in_use() == 1);
}

TEST_CASE("a newcomer that doesn't wait never overtakes the queue") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    RawClient waiter = pool.queue_up();
    // The newcomer's borrow comes as close behind the return as can be.
    RawClient newcomer(server.port());
    newcomer.send(pool.return_request(held) + pool.borrow_request(60, 0));
    CHECK(newcomer.receive().body == R"({"returned":true})");
    CHECK(newcomer.receive().status == 409);
    CHECK(granted(waiter.receive()).position == 0);
}

TEST_CASE("a newcomer that doesn't wait never overtakes those whom a raise serves") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 0);
    RawClient waiter = pool.queue_up();
    RawClient newcomer(server.port());
    newcomer.send(http_request("PUT", pool.path(), R"({"count":1})") + pool.borrow_request(60, 0));
    CHECK(newcomer.receive().status == 200);
    CHECK(newcomer.receive().status == 409);
    CHECK(granted(waiter.receive()).position == 0);
}

TEST_CASE("a slot whose lease expires goes to a waiter then, not before") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const Stopwatch since_asked;
    pool.take(0.3);
    const Stopwatch since_granted;
    RawClient waiter = pool.queue_up();
    CHECK(granted(waiter.receive()).position == 0);
    CHECK(since_asked.elapsed() >= 300ms);
    CHECK(since_granted.elapsed() < 300ms + in_time);
}

TEST_CASE("a raise serves as many waiters as it adds slots, in their order") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 0);
    RawClient first = pool.queue_up();
    RawClient second = pool.queue_up();
    RawClient third = pool.queue_up();
    const Stopwatch watch;
    pool.set_count(2);
    CHECK(granted(first.receive()).position == 0);
    CHECK(granted(second.receive()).position == 1);
    CHECK(watch.elapsed() < in_time);
    CHECK_FALSE(third.has_answer());
    CHECK(pool.in_use() == 2);
}

TEST_CASE("a delete answers all waiters at once") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    pool.take();
    RawClient first = pool.queue_up();
    RawClient second = pool.queue_up();
    const Stopwatch watch;
    pool.remove();
    for (RawClient* waiter : {&first, &second}) {
        const HttpResponse response = waiter->receive();
        CHECK(response.status == 404);
        CHECK(response.body == error_body("no such pool"));
    }
    CHECK(watch.elapsed() < in_time);
}

TEST_CASE("waiters of a deleted pool are not served by the one registered after it") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 0);
    RawClient waiter = pool.queue_up();
    RawClient client(server.port());
    client.send(http_request("DELETE", pool.path()) + http_request("PUT", pool.path(), R"({"count":1})"));
    CHECK(client.receive().status == 200);
    CHECK(client.receive().status == 200);
    CHECK(waiter.receive().status == 404);
    CHECK(pool.in_use() == 0);
}

TEST_CASE("a wait that ends without a slot is answered at its deadline") {
    const RunningServer server;
    const TestPool pool(server, 1);
    pool.take();
    RawClient client(server.port());
    const Stopwatch watch;
    client.send(pool.borrow_request(60, 0.3));
    const HttpResponse response = client.receive();
    CHECK(watch.elapsed() >= 300ms);
    CHECK(watch.elapsed() < 300ms + in_time);
    CHECK(response.status == 409);
    CHECK(response.header("content-type") == "application/json");
    CHECK(response.body == error_body("no resource available"));
}

TEST_CASE("nothing is granted to a wait that has ended") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    RawClient waiter = pool.queue_up(0.05);
    CHECK(waiter.receive().status == 409);
    CHECK(pool.returns(held));
    CHECK(pool.in_use() == 0);
    CHECK_FALSE(waiter.has_answer());
}

TEST_CASE("a wait that ended while the server slept gets nothing that came free meanwhile") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    pool.take(2);
    const Stopwatch since_granted;
    RawClient waiter = pool.queue_up(0.3);
    halt(server.pid());
    REQUIRE(eventually([&] { return since_granted.elapsed() > 2100ms; }));
    kill(server.pid(), SIGCONT);
    CHECK(waiter.receive().status == 409);
    CHECK(pool.in_use() == 0);
}

TEST_CASE("a wait that ends before those ahead of it takes nobody else out of the queue") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    RawClient first = pool.queue_up();
    RawClient impatient = pool.queue_up(0.05);
    RawClient last = pool.queue_up();
    CHECK(impatient.receive().status == 409);
    CHECK(pool.returns(held));
    const Slot next = granted(first.receive());
    CHECK(pool.returns(next));
    CHECK(granted(last.receive()).position == 0);
}

TEST_CASE("a lease of a waiter lasts from its grant on") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    pool.take(3);
    RawClient waiter = pool.queue_up(60, 2.5);
    const Slot slot = granted(waiter.receive());
    CHECK(pool.in_use() == 1);
    CHECK(pool.returns(slot));
}

TEST_CASE("nothing is granted below a shrunk pool's use, to waiters neither") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 2);
    const Slot zero = pool.take();
    const Slot one = pool.take();
    pool.set_count(1);
    RawClient waiter = pool.queue_up();
    CHECK(pool.returns(zero));
    CHECK_FALSE(waiter.has_answer());
    CHECK(pool.in_use() == 1);
    CHECK(pool.returns(one));
    CHECK(granted(waiter.receive()).position == 0);
    CHECK(pool.in_use() == 1);
}

TEST_CASE("a waiter that hangs up leaves the queue, and the next one is served") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    RawClient closing = pool.queue_up();
    RawClient aborting = pool.queue_up();
    RawClient ending = pool.queue_up();
    RawClient last = pool.queue_up();
    closing.close();
    aborting.abort();
    ending.half_close();
    CHECK(pool.returns(held));
    const Slot slot = granted(last.receive());
    CHECK(slot.position == 0);
    CHECK(pool.returns(slot));
    CHECK(pool.in_use() == 0);
}

TEST_CASE("a waiter that hangs up makes room for another waiter at once") {
    const RunningServer server({"--threads", "1", "--max-waiters", "2"});
    const TestPool pool(server, 0);
    RawClient first = pool.queue_up();
    RawClient second = pool.queue_up();
    const HttpResponse refused = pool.queue_up().receive();
    CHECK(refused.status == 503);
    CHECK(refused.has("retry-after"));
    CHECK(refused.body == error_body("too many waiters"));
    CHECK(pool.borrow(R"({"ttl":1})").status == 409);

    first.close();
    const auto is_waiting = [&](RawClient& client) { return !client.has_answer(); };
    RawClient third = pool.queue_up();
    // Had it been refused, that would have been said before this.
    pool.get();
    CHECK(is_waiting(third));
    second.abort();
    RawClient fourth = pool.queue_up();
    pool.get();
    CHECK(is_waiting(fourth));
    pool.set_count(2);
    CHECK(granted(third.receive()).position == 0);
    CHECK(granted(fourth.receive()).position == 1);
}

TEST_CASE("a waiter that hangs up in the same moment in which it asks leaves the queue all the same") {
    const RunningServer server({"--threads", "1", "--max-waiters", "2"});
    const TestPool pool(server, 0);
    for (int i = 0; i < 10; ++i) {
        RawClient client(server.port());
        // The first call is still being stored when the end of the second arrives.
        client.send(http_request("PUT", "/l/" + sema::PoolId::random().str(), R"({"count":1})") +
                    pool.borrow_request(60, 60));
        i % 2 == 0 ? client.close() : client.half_close();
        RawClient next = pool.queue_up();
        CHECK(eventually([&] { return !next.has_answer(); }));
    }
    RawClient last = pool.queue_up();
    pool.get();
    CHECK_FALSE(last.has_answer());
}

TEST_CASE("a waiter that hangs up behind more than is read of it leaves the queue soon") {
    const RunningServer server({"--threads", "1", "--max-waiters", "1"});
    const TestPool pool(server, 0);
    const bool with_reset = GENERATE(false, true);
    // With the longer one the client's end does not arrive before the server reads on.
    const std::string much = requests_of(GENERATE(80'000U, 400'000U));
    RawClient client = pool.queue_up();
    client.send(much);
    with_reset ? client.abort() : client.close();
    CHECK(eventually([&] {
        RawClient next = pool.queue_up();
        pool.get();
        return !next.has_answer();
    }));
}

TEST_CASE("a waiter that sends more behind its call than is kept gets its answer, and that is the last one") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 0);
    RawClient client = pool.queue_up();
    RawClient modest = pool.queue_up();
    modest.send(requests_of(1));
    // More than is kept and fits on the way, so that it is not over before the server reads on.
    CHECK(client.send(requests_of(20'000'000)));
    pool.set_count(2);
    const HttpResponse answer = client.receive();
    CHECK(granted(answer).position == 0);
    CHECK(answer.header("connection") == "close");
    CHECK(client.closed_by_server());
    CHECK(granted(modest.receive()).position == 1);
    CHECK(modest.receive().status == 200);
}

TEST_CASE("however much is sent behind borrows that find a slot at once, each of it is answered") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const std::string lease = sema::LeaseId::random().str();
    const std::string pair = pool.borrow_request({{"ttl", 600}, {"wait", 60}, {"lease", lease}}) +
                             http_request("POST", pool.path() + "/return", Json{{"lease", lease}}.dump());
    std::string batch;
    while (batch.size() < 150'000)
        batch += pair;
    const std::size_t answers = batch.size() / pair.size() * 2;
    RawClient client(server.port());
    // The server looks at what connections do each second.
    const auto end = std::chrono::steady_clock::now() + 2500ms;
    while (std::chrono::steady_clock::now() < end) {
        REQUIRE(client.send(batch));
        for (std::size_t i = 0; i < answers; ++i)
            REQUIRE(client.receive().status == 200);
    }
}

// The closing client's side of the connection is gone before the return is even sent, whichever thread
// then hears of which first.
TEST_CASE("a slot returned right after its waiter hung up is not lost") {
    for (const auto& options : {std::vector<std::string>{"--threads", "1"}, {"--threads", "4"}}) {
        const RunningServer server(options);
        const TestPool pool(server, 1);
        RawClient holder(server.port());
        for (int round = 0; round < 100; ++round) {
            holder.send(pool.borrow_request(60, 10));
            const Slot held = granted(holder.receive());
            RawClient waiter = pool.queue_up();
            round % 2 == 0 ? waiter.close() : waiter.abort();
            holder.send(pool.return_request(held));
            REQUIRE(holder.receive().body == R"({"returned":true})");
        }
        CHECK(eventually([&] { return pool.in_use() == 0; }));
    }
}

TEST_CASE("a slot returned while the whole server slept through its waiter's hang-up is not lost") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    for (int round = 0; round < 20; ++round) {
        const Slot held = pool.take();
        RawClient holder(server.port());
        holder.send(http_request("GET", "/"));
        holder.receive();
        RawClient waiter = pool.queue_up();
        halt(server.pid());
        // Whatever comes first.
        if (round % 2 == 0) waiter.close();
        holder.send(pool.return_request(held));
        if (round % 2 != 0) waiter.close();
        kill(server.pid(), SIGCONT);
        REQUIRE(holder.receive().body == R"({"returned":true})");
        REQUIRE(eventually([&] { return pool.in_use() == 0; }));
    }
}

TEST_CASE("a borrower that is gone before its answer loses its lease, not the slot") {
    const RunningServer server;
    const TestPool pool(server, 1000);
    std::vector<RawClient> clients;
    for (int i = 0; i < 100; ++i)
        clients.emplace_back(server.port());
    // The server must not be quicker than this test: who goes when the answer is here keeps the lease.
    halt(server.pid());
    for (std::size_t i = 0; i < clients.size(); ++i) {
        clients[i].send(pool.borrow_request(60, 0));
        i % 2 == 0 ? clients[i].close() : clients[i].abort();
    }
    kill(server.pid(), SIGCONT);
    CHECK(eventually([&] { return pool.in_use() == 0; }));
}

TEST_CASE("a borrower that will send no more gets its answer all the same, and keeps its lease") {
    const RunningServer server;
    const TestPool pool(server, 3);
    for (int i = 0; i < 3; ++i) {
        RawClient client(server.port());
        client.send(pool.borrow_request(60, 0));
        client.half_close();
        CHECK(granted(client.receive()).position == i);
        CHECK(client.closed_by_server());
    }
    CHECK(pool.in_use() == 3);
    RawClient client(server.port());
    client.send(pool.borrow_request(60, 0));
    client.half_close();
    CHECK(client.receive().status == 409);
}
