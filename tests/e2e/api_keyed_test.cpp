#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <csignal>
#include <string>
#include <vector>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

/// One thread, and places are kept for longer than any machine takes for a test.
const std::vector<std::string> patient = {"--threads", "1", "--rejoin", "5m"};
/// One thread, and places are kept for a moment only.
const std::vector<std::string> brief = {"--threads", "1", "--rejoin", "0.3"};

std::string with_lease(const std::string& lease, const std::string& fields = R"("ttl":60)") {
    return R"({"lease":")" + lease + R"(",)" + fields + "}";
}

std::string error_of(const HttpResponse& response) {
    return Json::parse(response.body).at("error").get<std::string>();
}

/// Waits until so much time has passed.
void let_pass(const Stopwatch& watch, std::chrono::milliseconds time) {
    REQUIRE(eventually([&] { return watch.elapsed() > time; }));
}

/// Borrows with these ids, and is gone before any answer.
void lose_answers(const RunningServer& server, const TestPool& pool, const std::vector<std::string>& leases) {
    // The server must not be quicker than this test.
    halt(server.pid());
    for (std::size_t i = 0; i < leases.size(); ++i) {
        RawClient client(server.port());
        client.send(pool.borrow_request(Json{{"lease", leases[i]}, {"ttl", 60}, {"wait", 0}}));
        i % 2 == 0 ? client.close() : client.abort();
    }
    kill(server.pid(), SIGCONT);
}

/// Has the server learn that a connection is gone. REQUIRES: it has one thread.
void leave(RawClient& client, const TestPool& pool) {
    client.close();
    pool.in_use();
}

}  // namespace

TEST_CASE("a borrower may choose its lease's id, in any form of a UUID") {
    const RunningServer server;
    const TestPool pool(server, 3);
    const std::string lease = "3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34";
    const Grant grant = fully_granted(pool.borrow(with_lease("3A7D0B149E2C4F6A8B1D0C5E2F9A7B34")));
    CHECK(grant.lease == lease);
    CHECK(fully_granted(pool.borrow(with_lease("{" + lease + "}"))).fence == grant.fence);
    CHECK(fully_granted(pool.borrow(with_lease("urn:uuid:" + lease))).fence == grant.fence);
    CHECK(pool.in_use() == 1);
    CHECK(pool.returns(grant));
}

TEST_CASE("a repeated borrow is answered the same lease while that lives") {
    const RunningServer server;
    const TestPool pool(server, 2);
    const std::string lease = new_lease();
    const HttpResponse first = pool.borrow(with_lease(lease));
    const HttpResponse second = pool.borrow(with_lease(lease));
    CHECK(keys_of(second.body) == keys_of(first.body));
    Json one = Json::parse(first.body);
    Json two = Json::parse(second.body);
    CHECK(two["expires_in"] <= one["expires_in"]);
    one.erase("expires_in");
    two.erase("expires_in");
    CHECK(one == two);
    CHECK(pool.in_use() == 1);
}

TEST_CASE("a repeated borrow tells what remains of the lease, and its other fields are ignored") {
    const RunningServer server;
    const TestPool pool(server, 2);
    const std::string lease = new_lease();
    const Grant grant = pool.take_with({{"lease", lease}, {"ttl", 60}, {"holder", {{"name", "first"}}}});
    const Stopwatch since_granted;
    let_pass(since_granted, 1100ms);
    const Grant again = fully_granted(pool.borrow(
        with_lease(lease, R"("ttl":5000,"slots":2,"priority":9,"holder":{"name":"second"},"wait":30)")));
    CHECK(again.expires_at_unix == grant.expires_at_unix);
    CHECK(again.expires_in <= 58);
    CHECK(again.expires_in > 5);
    CHECK(again.positions == grant.positions);
    CHECK(pool.view()["holders"][0]["holder"]["name"] == "first");
    CHECK(pool.in_use() == 1);
}

TEST_CASE("a repeated borrow passes by the queue to its own lease") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Grant grant = pool.take_with({{"lease", new_lease()}});
    RawClient waiter = pool.queue_up();
    CHECK(fully_granted(pool.borrow(with_lease(grant.lease))).fence == grant.fence);
    CHECK_FALSE(waiter.has_answer());
}

TEST_CASE("a chosen id whose lease has ended names a fresh one") {
    const RunningServer server;
    const TestPool pool(server, 2);
    const TestPool other(server, 1);
    const std::string lease = new_lease();
    const Grant first = pool.take_with({{"lease", lease}});
    CHECK(pool.returns(first));
    const Grant second = pool.take_with({{"lease", lease}, {"ttl", 1}});
    CHECK(second.fence > first.fence);
    REQUIRE(eventually([&] { return pool.in_use() == 0; }));
    const Grant third = pool.take_with({{"lease", lease}});
    CHECK(third.fence > second.fence);
    CHECK(pool.revokes(third.position));
    CHECK(other.take_with({{"lease", lease}}).lease == lease);
}

TEST_CASE("a chosen id that is live or queued in another pool is refused") {
    RunningServer server(patient);
    const TestPool pool(server, 1);
    const TestPool other(server, 1);
    const std::string live = new_lease();
    const std::string queued = new_lease();
    const Grant grant = pool.take_with({{"lease", live}});
    RawClient waiter = pool.queue_up_with({{"lease", queued}});
    const auto check_refused = [&](const std::string& lease) {
        const HttpResponse response = other.borrow(with_lease(lease, R"("ttl":1,"wait":1)"));
        CHECK(response.status == 409);
        CHECK(response.header("content-type") == "application/json");
        CHECK(response.body == error_body("lease id in use"));
    };
    check_refused(live);
    check_refused(queued);
    CHECK(other.in_use() == 0);
    restart(server, End::kill);
    check_refused(live);
    pool.in_use();
    check_refused(live);
    check_refused(queued);
    CHECK(pool.returns(grant));
    CHECK(pool.cancels(queued));
    CHECK(other.take_with({{"lease", live}}).lease == live);
}

TEST_CASE("a deleted pool's chosen ids may be used elsewhere") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const TestPool other(server, 2);
    const std::string live = new_lease();
    const std::string queued = new_lease();
    pool.take_with({{"lease", live}});
    RawClient waiter = pool.queue_up_with({{"lease", queued}});
    pool.remove();
    CHECK(waiter.receive().status == 404);
    CHECK(other.take_with({{"lease", live}}).lease == live);
    CHECK(other.take_with({{"lease", queued}}).lease == queued);
}

TEST_CASE("a borrow repeated while it waits takes its place over, and the older one is told") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    const std::string lease = new_lease();
    RawClient older = pool.queue_up_with({{"lease", lease}});
    RawClient between = pool.queue_up();
    RawClient newer = pool.queue_up_with({{"lease", lease}});
    const HttpResponse response = older.receive();
    CHECK(response.status == 409);
    CHECK(response.header("content-type") == "application/json");
    CHECK(response.body == error_body("taken over by a newer request"));
    CHECK(pool.waiting() == 2);
    CHECK(pool.returns(held));
    CHECK(granted(newer.receive()).lease == lease);
    CHECK_FALSE(between.has_answer());
}

TEST_CASE("who takes a place over brings its own ttl and wait, and leaves the rest as it was") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 2);
    const Slot held = pool.take();
    pool.take();
    const std::string lease = new_lease();
    RawClient older =
        pool.queue_up_with({{"lease", lease}, {"ttl", 50}, {"priority", 3}, {"holder", {{"name", "first"}}}});
    RawClient newer = pool.queue_up_with(
        {{"lease", lease}, {"ttl", 20}, {"slots", 2}, {"priority", -3}, {"holder", {{"name", "second"}}}});
    const Json queue = pool.view()["queue"];
    REQUIRE(queue.size() == 1);
    CHECK(queue[0]["slots"] == 1);
    CHECK(queue[0]["priority"] == 3);
    CHECK(queue[0]["holder"]["name"] == "first");
    CHECK(pool.returns(held));
    const Grant grant = fully_granted(newer.receive());
    CHECK(grant.positions.size() == 1);
    CHECK(grant.expires_in == 20);

    const std::string another = new_lease();
    RawClient long_wait = pool.queue_up_with({{"lease", another}});
    const Stopwatch watch;
    RawClient short_wait = pool.queue_up_with({{"lease", another}, {"wait", 0.3}});
    CHECK(error_of(short_wait.receive()) == "no resource available");
    CHECK(watch.elapsed() >= 300ms);
}

TEST_CASE("a waiter that chose its lease's id keeps its place while it is away, and is passed over") {
    const RunningServer server(patient);
    const TestPool pool(server, 1);
    Slot held = pool.take();
    const std::string lease = new_lease();
    RawClient first = pool.queue_up_with({{"lease", lease}});
    RawClient second = pool.queue_up();
    RawClient third = pool.queue_up();
    leave(first, pool);
    CHECK(pool.waiting() == 3);
    CHECK(pool.returns(held));
    held = granted(second.receive());
    const Json queue = pool.view()["queue"];
    REQUIRE(queue.size() == 2);
    CHECK(queue[0]["rank"] == 1);

    RawClient back = pool.queue_up_with({{"lease", lease}});
    CHECK(pool.waiting() == 2);
    CHECK(pool.returns(held));
    CHECK(granted(back.receive()).lease == lease);
    CHECK_FALSE(third.has_answer());
}

TEST_CASE("nothing is granted to a waiter while it is away") {
    const RunningServer server(patient);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    const std::string lease = new_lease();
    RawClient first = pool.queue_up_with({{"lease", lease}});
    leave(first, pool);
    CHECK(pool.returns(held));
    CHECK(pool.in_use() == 0);
    CHECK(pool.available() == 1);
    // Whoever is there has the slot meanwhile.
    const Slot newcomer = pool.take();
    CHECK(pool.returns(newcomer));
    CHECK(pool.waiting() == 1);
    CHECK(pool.take_with({{"lease", lease}}).lease == lease);
    CHECK(pool.waiting() == 0);
}

TEST_CASE("a place is kept for --rejoin and no longer") {
    const RunningServer server(brief);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    const std::string lease = new_lease();
    RawClient first = pool.queue_up_with({{"lease", lease}});
    RawClient second = pool.queue_up();
    const Stopwatch since_away;
    first.close();
    CHECK(eventually([&] { return pool.waiting() == 1; }));
    CHECK(since_away.elapsed() >= 300ms);
    RawClient late = pool.queue_up_with({{"lease", lease}});
    CHECK(pool.returns(held));
    granted(second.receive());
    CHECK_FALSE(late.has_answer());
}

TEST_CASE("a place that was taken over in time is kept for as long as its new owner waits") {
    const RunningServer server(brief);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    const std::string lease = new_lease();
    RawClient first = pool.queue_up_with({{"lease", lease}});
    leave(first, pool);
    RawClient back = pool.queue_up_with({{"lease", lease}});
    const Stopwatch since_back;
    let_pass(since_back, 700ms);
    CHECK(pool.waiting() == 1);
    CHECK(pool.returns(held));
    CHECK(granted(back.receive()).lease == lease);
}

TEST_CASE("a waiter whose wait ran out keeps its place too, and asks again") {
    const RunningServer server(patient);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    const std::string lease = new_lease();
    RawClient first = pool.queue_up_with({{"lease", lease}, {"wait", 3}});
    RawClient second = pool.queue_up();
    const HttpResponse response = first.receive();
    CHECK(response.status == 409);
    CHECK(response.body ==
          R"({"error":"no resource available","rank":1,"queue":2,"in_use":1,"count":1,"eta":null})");
    CHECK(pool.waiting() == 2);
    RawClient again = pool.queue_up_with({{"lease", lease}});
    CHECK(pool.returns(held));
    CHECK(granted(again.receive()).lease == lease);
    CHECK_FALSE(second.has_answer());
}

TEST_CASE("a borrow that does not wait gets no place, whatever its id") {
    const RunningServer server;
    const TestPool pool(server, 1);
    pool.take();
    const HttpResponse response = pool.borrow(with_lease(new_lease()));
    CHECK(response.status == 409);
    CHECK(response.body ==
          R"({"error":"no resource available","rank":1,"queue":0,"in_use":1,"count":1,"eta":null})");
    CHECK(pool.waiting() == 0);
}

TEST_CASE("a borrow that does not wait tells its rank behind those who do, and keeps a place that it had") {
    const RunningServer server(patient);
    const TestPool pool(server, 1);
    pool.take();
    const std::string lease = new_lease();
    RawClient first = pool.queue_up_with({{"lease", lease}});
    RawClient second = pool.queue_up();
    const Json newcomer = Json::parse(pool.borrow(R"({"ttl":60,"slots":1})").body);
    CHECK(newcomer["rank"] == 3);
    CHECK(newcomer["queue"] == 2);
    const HttpResponse repeated = pool.borrow(with_lease(lease));
    CHECK(repeated.status == 409);
    CHECK(error_of(repeated) == "no resource available");
    CHECK(Json::parse(repeated.body)["rank"] == 1);
    CHECK(error_of(first.receive()) == "taken over by a newer request");
    CHECK(pool.waiting() == 2);
    CHECK_FALSE(second.has_answer());
}

TEST_CASE("a lease with a chosen id is found again after a restart") {
    for (const End end : {End::kill, End::term}) {
        RunningServer server;
        const TestPool pool(server, 2);
        const Grant grant = pool.take_with({{"lease", new_lease()}});
        restart(server, end);
        const Grant again = fully_granted(pool.borrow(with_lease(grant.lease)));
        CHECK(again.fence == grant.fence);
        CHECK(again.position == grant.position);
        CHECK(again.granted_at_unix - grant.granted_at_unix <= 1);
        CHECK(pool.in_use() == 1);
        CHECK(pool.returns(grant));
    }
}

TEST_CASE("places with chosen ids survive a restart, in their order") {
    for (const End end : {End::kill, End::term}) {
        RunningServer server(patient);
        const TestPool pool(server, 2);
        const Slot held = pool.take();
        pool.take();
        const std::string first = new_lease();
        const std::string second = new_lease();
        {
            const RawClient waiter = pool.queue_up_with({{"lease", first}, {"holder", {{"name", "first"}}}});
            const RawClient other = pool.queue_up_with({{"lease", second}, {"slots", 2}, {"priority", -1}});
            const RawClient nameless = pool.queue_up();
            stop(server, end);
        }
        server.start();
        // A shared store's servers take it for granted a little later that the old one is gone.
        REQUIRE(eventually([&] { return pool.waiting() == 2; }));
        const Json queue = pool.view()["queue"];
        CHECK(queue[0]["holder"]["name"] == "first");
        CHECK(queue[1]["slots"] == 2);
        CHECK(queue[1]["priority"] == -1);

        RawClient other = pool.queue_up_with({{"lease", second}});
        RawClient waiter = pool.queue_up_with({{"lease", first}});
        CHECK(pool.returns(held));
        CHECK(granted(waiter.receive()).lease == first);
        CHECK_FALSE(other.has_answer());
        CHECK(pool.waiting() == 1);
    }
}

TEST_CASE("a place that nobody comes back to after a restart is dropped") {
    RunningServer server(brief);
    const TestPool pool(server, 1);
    pool.take();
    const RawClient waiter = pool.queue_up_with({{"lease", new_lease()}});
    restart(server, End::kill);
    CHECK(pool.waiting() == 1);
    CHECK(eventually([&] { return pool.waiting() == 0; }));
    restart(server, End::kill);
    CHECK(pool.waiting() == 0);
}

TEST_CASE("a lease whose answer was lost is there for whoever asks again") {
    const RunningServer server(patient);
    const TestPool pool(server, 2);
    const std::vector<std::string> leases = {new_lease(), new_lease()};
    lose_answers(server, pool, leases);
    for (const std::string& lease : leases) {
        const Grant grant = pool.take_with({{"lease", lease}});
        CHECK(grant.lease == lease);
        CHECK(pool.in_use() <= 2);
        CHECK(pool.returns(grant));
    }
    CHECK(pool.in_use() == 0);
}

TEST_CASE("a lease whose answer was lost is freed when nobody asks for it again") {
    const RunningServer server(brief);
    const TestPool pool(server, 100);
    std::vector<std::string> leases;
    for (int i = 0; i < 20; ++i)
        leases.push_back(new_lease());
    lose_answers(server, pool, leases);
    CHECK(eventually([&] { return pool.in_use() == 0; }));
}

TEST_CASE("a lease whose answer was lost and that was asked for again, or kept alive, lives on", "[sqlite]") {
    const RunningServer server({"--threads", "1", "--rejoin", "5"});
    const TestPool pool(server, 2);
    const std::string repeated = new_lease();
    const std::string kept = new_lease();
    lose_answers(server, pool, {repeated, kept});
    CHECK(pool.in_use() == 2);
    const Grant grant = pool.take_with({{"lease", repeated}});
    CHECK(pool.keepalive(with_lease(kept)).body.find(R"({"renewed":true,)") == 0);
    const Stopwatch watch;
    let_pass(watch, 5500ms);
    CHECK(pool.in_use() == 2);
    CHECK(pool.returns(grant));
}

TEST_CASE("a lease that was asked for again before its first answer was known to be lost lives on",
          "[sqlite]") {
    const RunningServer server(brief);
    const TestPool pool(server, 2);
    const std::string repeated = new_lease();
    const std::string kept = new_lease();
    halt(server.pid());
    for (const std::string& lease : {repeated, kept}) {
        RawClient client(server.port());
        client.send(pool.borrow_request(Json{{"lease", lease}, {"ttl", 60}, {"wait", 0}}));
        client.close();
    }
    // Each comes right behind the lost one.
    RawClient again(server.port());
    again.send(pool.borrow_request(Json{{"lease", repeated}, {"ttl", 60}, {"wait", 0}}));
    RawClient keeper(server.port());
    keeper.send(http_request("POST", pool.path() + "/keepalive", with_lease(kept)));
    kill(server.pid(), SIGCONT);
    CHECK(granted(again.receive()).lease == repeated);
    CHECK(keeper.receive().body.find(R"({"renewed":true,)") == 0);
    const Stopwatch watch;
    let_pass(watch, 700ms);
    CHECK(pool.in_use() == 2);
}

TEST_CASE("a place in the queue can be given up") {
    const RunningServer server(patient);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    const std::string first = new_lease();
    const std::string away = new_lease();
    RawClient waiter = pool.queue_up_with({{"lease", first}});
    RawClient leaving = pool.queue_up_with({{"lease", away}});
    RawClient last = pool.queue_up();
    leave(leaving, pool);

    const HttpResponse cancelled = pool.cancel(first);
    CHECK(cancelled.status == 200);
    CHECK(cancelled.header("content-type") == "application/json");
    CHECK(cancelled.body == R"({"cancelled":true})");
    const HttpResponse told = waiter.receive();
    CHECK(told.status == 409);
    CHECK(told.body == error_body("cancelled"));
    CHECK(pool.cancels(away));
    CHECK(pool.waiting() == 1);
    CHECK(pool.cancel(first).body == R"({"cancelled":false})");
    CHECK(pool.returns(held));
    granted(last.receive());
}

TEST_CASE("only a waiter's place can be given up so") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const TestPool unregistered(server, sema::PoolId::random().str());
    const Grant grant = pool.take_with({{"lease", new_lease()}});
    CHECK_FALSE(pool.cancels(grant.lease));
    CHECK_FALSE(pool.cancels(new_lease()));
    CHECK_FALSE(unregistered.cancels(grant.lease));
    CHECK(pool.in_use() == 1);
    const HttpResponse refused = pool.cancel("vsim");
    CHECK(refused.status == 400);
    CHECK(refused.body == error_body("lease must be a UUID"));
    std::string upper = grant.lease;
    for (char& c : upper)
        c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    CHECK_FALSE(pool.cancels("%7B" + upper + "%7D"));
}

TEST_CASE("a place that was given up stays so over a restart") {
    RunningServer server(patient);
    const TestPool pool(server, 1);
    pool.take();
    const std::string lease = new_lease();
    RawClient waiter = pool.queue_up_with({{"lease", lease}});
    CHECK(pool.cancels(lease));
    restart(server, End::kill);
    CHECK(pool.waiting() == 0);
}

TEST_CASE("a waiter is granted its lease over a connection that came with a restart only once") {
    RunningServer server(patient);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    const std::string lease = new_lease();
    RawClient waiter = pool.queue_up_with({{"lease", lease}});
    CHECK(pool.returns(held));
    const Grant grant = fully_granted(waiter.receive());
    restart(server, End::kill);
    CHECK(pool.waiting() == 0);
    CHECK(fully_granted(pool.borrow(with_lease(lease))).fence == grant.fence);
    CHECK(pool.in_use() == 1);
}

TEST_CASE("however many ask for one id at the same time, there is one lease") {
    const RunningServer server({"--threads", "4", "--rejoin", "5m"});
    const TestPool pool(server, 20);
    const std::string lease = new_lease();
    std::vector<RawClient> clients;
    for (int i = 0; i < 20; ++i)
        clients.emplace_back(server.port());
    for (RawClient& client : clients)
        client.send(pool.borrow_request(Json{{"lease", lease}, {"ttl", 60}, {"wait", 60}}));
    const std::int64_t fence = pool.take_with({{"lease", lease}}).fence;
    for (RawClient& client : clients)
        CHECK(fully_granted(client.receive()).fence == fence);
    CHECK(pool.in_use() == 1);
}

TEST_CASE("however many wait for one id at the same time, one gets the lease and the others are told") {
    const RunningServer server({"--threads", "4", "--rejoin", "5m"});
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    const std::string lease = new_lease();
    std::vector<RawClient> clients;
    for (int i = 0; i < 20; ++i)
        clients.emplace_back(server.port());
    for (RawClient& client : clients)
        client.send(pool.borrow_request(Json{{"lease", lease}, {"ttl", 60}, {"wait", 60}}));
    const auto answered = [&] {
        return std::count_if(clients.begin(), clients.end(),
                             [](RawClient& client) { return client.has_answer(); });
    };
    CHECK(eventually([&] { return answered() == 19; }));
    CHECK(pool.waiting() == 1);
    CHECK(pool.returns(held));
    int granted_to = 0;
    for (RawClient& client : clients) {
        const HttpResponse response = client.receive();
        if (response.status == 200) {
            ++granted_to;
            CHECK(granted(response).lease == lease);
        } else {
            CHECK(response.body == error_body("taken over by a newer request"));
        }
    }
    CHECK(granted_to == 1);
    CHECK(pool.in_use() == 1);
}

TEST_CASE("a waiter that hangs up in the moment of its grant has its lease when it comes back") {
    const RunningServer server(patient);
    const TestPool pool(server, 1);
    for (int round = 0; round < 20; ++round) {
        const Slot held = pool.take();
        const std::string lease = new_lease();
        RawClient holder(server.port());
        holder.send(http_request("GET", "/"));
        holder.receive();
        RawClient waiter = pool.queue_up_with({{"lease", lease}});
        halt(server.pid());
        // Whatever comes first.
        if (round % 2 == 0) waiter.close();
        holder.send(pool.return_request(held));
        if (round % 2 != 0) waiter.close();
        kill(server.pid(), SIGCONT);
        REQUIRE(holder.receive().body == R"({"returned":true})");
        const Grant grant = pool.take_with({{"lease", lease}});
        REQUIRE(grant.lease == lease);
        REQUIRE(pool.in_use() == 1);
        REQUIRE(pool.waiting() == 0);
        REQUIRE(pool.returns(grant));
    }
}

TEST_CASE("a place that could not be stored is none, or is kept all the same", "[sqlite]") {
    RunningServer server(patient);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    const std::string lease = new_lease();
    const std::string earlier = new_lease();
    RawClient first = pool.queue_up_with({{"lease", earlier}});
    {
        const FullDisk full(server);
        RawClient waiter(server.port());
        waiter.send(pool.borrow_request(Json{{"lease", lease}, {"ttl", 60}, {"wait", 60}}));
        CHECK_FALSE(pool.takes_one());
        // What fails takes the pool back to what is stored.
        CHECK(pool.give_back(R"({"lease":")" + held.lease + R"("})").status == 502);
        CHECK(pool.cancel(earlier).status == 502);
    }
    RawClient again = pool.queue_up_with({{"lease", earlier}});
    CHECK_FALSE(again.has_answer());
    RawClient also = pool.queue_up_with({{"lease", lease}});
    CHECK_FALSE(also.has_answer());
    CHECK(pool.waiting() == 2);
    CHECK(pool.returns(held));
    const Grant grant = fully_granted(again.receive());
    CHECK(grant.lease == earlier);
    restart(server, End::kill);
    CHECK(pool.waiting() == 1);
    CHECK(pool.in_use() == 1);
    CHECK(pool.returns(grant));
    CHECK(pool.take_with({{"lease", lease}}).lease == lease);
}

TEST_CASE("an estimate of the wait is made of how long leases lasted") {
    RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const auto eta = [&](int slots) {
        return Json::parse(pool.borrow(R"({"ttl":60,"slots":)" + std::to_string(slots) + "}").body).at("eta");
    };
    const Slot first = pool.take(4);
    CHECK(eta(1).is_null());
    CHECK(pool.view()["eta"].is_null());
    REQUIRE(eventually([&] { return pool.in_use() == 0; }));
    pool.take(3600);
    // About 4 s from now, and less as time passes: how slow this machine is cannot be known.
    CHECK(eta(1).is_number_integer());
    CHECK(eta(1) <= 60);
    CHECK(pool.view()["eta"].is_number_integer());
    // It can never fit.
    CHECK(eta(2).is_null());
    pool.set_count(0);
    CHECK(eta(1).is_null());
    CHECK(pool.view()["eta"].is_null());
    pool.set_count(1);
    CHECK(eta(1).is_number_integer());
    restart(server, End::term);
    CHECK(eta(1).is_null());
}
