#include "tests/callback/sender_bench.hpp"

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

const Delivery* delivery_in(const std::shared_ptr<const PoolView>& view) {
    return view->leases.empty() || !view->leases[0].delivery ? nullptr : view->leases[0].delivery.get();
}

std::string body_lease(const Receiver::Request& request) {
    return wire::parse_lease_grant(request.body).value().lease.str();
}

}  // namespace

TEST_CASE("an attempt without an answer ends, and another one follows") {
    callback::Patience brief = SenderBench::hurry();
    brief.attempt = 100ms;
    SenderBench bench(brief);
    const PoolId pool = bench.made(1);
    Receiver receiver(Receiver::hanging());
    bench.ask(pool, LeaseId::random(), receiver.url());
    receiver.await(2);
    const auto view = bench.view(pool);
    REQUIRE(delivery_in(view));
    CHECK(delivery_in(view)->last_error == "there was no answer within 1 seconds");
    receiver.react(Receiver::answering(200));
    CHECK(bench.settles(pool));
}

TEST_CASE("a borrower is told again where the store failed to note that it was not, and only then") {
    SenderBench bench;
    const PoolId pool = bench.made(1);
    std::atomic<bool> has_failed{false};
    Receiver receiver([&](const Receiver::Request&) {
        // What comes of this attempt cannot be stored at first.
        if (!has_failed.exchange(true)) bench.faults->fail_commits(1);
        return Receiver::answer(200);
    });
    bench.ask(pool, LeaseId::random(), receiver.url());
    receiver.await(1);
    CHECK(bench.settles(pool));
    CHECK(receiver.calls() == 1);
    CHECK(bench.view(pool)->in_use == 1);
}

TEST_CASE("calls to one receiver are bounded at a time, and all are made") {
    SenderBench bench;
    constexpr unsigned count = 60;
    const PoolId pool = bench.made(count + 1);
    std::atomic<bool> open{false};
    Receiver receiver([&](const Receiver::Request&) {
        (void)eventually([&] { return open.load(); });
        return Receiver::answer(200);
    });
    const Receiver other;
    for (unsigned i = 0; i < count; ++i)
        bench.ask(pool, LeaseId::random(), receiver.url("/?job=" + std::to_string(i)));
    receiver.await(16);
    // The sender has been through all those before it calls this one.
    bench.ask(pool, LeaseId::random(), other.url());
    other.await(1);
    CHECK(receiver.calls() == 16);
    open = true;
    receiver.await(count);
    CHECK(bench.settles(pool));
    CHECK(receiver.calls() == count);
}

namespace {

/// A sender whose attempts outlast any test.
callback::Patience patient() {
    callback::Patience times = SenderBench::hurry();
    times.attempt = 10min;
    return times;
}

/// What the sender has counted of that.
bool counts(const SenderBench& bench, const std::string& line) {
    return eventually([&] {
        MetricsText text;
        bench.sender->write_metrics(text);
        return text.take().find(line + "\n") != std::string::npos;
    });
}

}  // namespace

TEST_CASE("a receiver that answers at none of many addresses holds up no other") {
    SenderBench bench(patient());
    const PoolId pool = bench.made(201);
    Receiver hanging(Receiver::hanging());
    const Receiver other;
    for (int i = 0; i < 200; ++i)
        bench.ask(pool, LeaseId::random(), hanging.url("/projects/" + std::to_string(i)));
    hanging.await(16);
    bench.ask(pool, LeaseId::random(), other.url());
    other.await(1);
    CHECK(hanging.connections() == 16);
}

TEST_CASE("a receiver whose last call was not answered has two calls at a time until one is answered") {
    SenderBench bench(patient());
    const PoolId pool = bench.made(50);
    // It hangs up.
    Receiver receiver([](const Receiver::Request&) { return ""; });
    bench.ask(pool, LeaseId::random(), receiver.url());
    receiver.await(1);
    // The sender knows of it.
    REQUIRE(eventually([&] {
        const auto view = bench.view(pool);
        return delivery_in(view) && delivery_in(view)->attempts > 0;
    }));
    std::promise<void> may_answer;
    const auto gate = may_answer.get_future().share();
    std::atomic<int> held{0};
    std::atomic<bool> is_first{true};
    std::atomic<bool> is_open{false};
    receiver.react([&](const Receiver::Request&) {
        ++held;
        gate.wait();
        // One is answered, and the others wait.
        if (!is_first.exchange(false)) (void)eventually([&] { return is_open.load(); });
        return Receiver::answer(200);
    });
    for (int i = 0; i < 40; ++i)
        bench.ask(pool, LeaseId::random(), receiver.url());
    REQUIRE(eventually([&] { return held == 2; }));
    // The sender has been through all those before it calls this one.
    const Receiver other;
    bench.ask(pool, LeaseId::random(), other.url());
    other.await(1);
    CHECK(held == 2);
    may_answer.set_value();
    CHECK(eventually([&] { return held == 17; }));
    is_open = true;
    CHECK(bench.settles(pool));
}

TEST_CASE("many receivers that do not answer leave room for one that is new, and more for one that answers") {
    SenderBench bench(patient());
    const PoolId pool = bench.made(1000);
    const Receiver known;
    bench.ask(pool, LeaseId::random(), known.url());
    REQUIRE(bench.settles(pool));
    std::vector<std::unique_ptr<Receiver>> dead;
    for (int i = 0; i < 70; ++i) {
        dead.push_back(std::make_unique<Receiver>([](const Receiver::Request&) { return ""; }));
        for (int k = 0; k < 3; ++k)
            bench.ask(pool, LeaseId::random(), dead.back()->url());
    }
    for (const auto& receiver : dead) {
        receiver->await(3);
        receiver->react(Receiver::hanging());
    }
    const Receiver fresh;
    bench.ask(pool, LeaseId::random(), fresh.url());
    fresh.await(1);
    std::vector<std::unique_ptr<Receiver>> fresh_and_dead;
    for (int i = 0; i < 70; ++i) {
        fresh_and_dead.push_back(std::make_unique<Receiver>(Receiver::hanging()));
        for (int k = 0; k < 3; ++k)
            bench.ask(pool, LeaseId::random(), fresh_and_dead.back()->url());
    }
    bench.ask(pool, LeaseId::random(), known.url());
    known.await(2);
}

TEST_CASE(
    "a sender that may make few calls at a time makes no more, and keeps some for receivers that answer") {
    SenderBench bench(patient(), 8);
    const PoolId pool = bench.made(100);
    const Receiver known;
    bench.ask(pool, LeaseId::random(), known.url());
    REQUIRE(bench.settles(pool));
    std::vector<std::unique_ptr<Receiver>> fresh;
    const auto connections = [&] {
        std::size_t sum = 0;
        for (const auto& receiver : fresh)
            sum += receiver->connections();
        return sum;
    };
    for (int i = 0; i < 12; ++i) {
        fresh.push_back(std::make_unique<Receiver>(Receiver::hanging()));
        bench.ask(pool, LeaseId::random(), fresh.back()->url());
    }
    CHECK(eventually([&] { return connections() == 6; }));
    // The sender has been through all those before it calls this one.
    bench.ask(pool, LeaseId::random(), known.url());
    known.await(2);
    CHECK(connections() == 6);
}

TEST_CASE(
    "a call that has no turn until half of its lease's time is left is not made, and the next is served") {
    SenderBench bench(patient());
    const PoolId busy = bench.made(16);
    const PoolId pool = bench.made(1);
    const Receiver hanging(Receiver::hanging());
    const Receiver other;
    for (int i = 0; i < 16; ++i)
        bench.ask(busy, LeaseId::random(), hanging.url());
    hanging.await(16);
    const TimePoint then = bench.now();
    bench.ask(pool, LeaseId::random(), hanging.url("/late"), 4s);
    bench.ask(pool, LeaseId::random(), other.url());
    other.await(1);
    CHECK(bench.now() - then >= 2s);
    CHECK(hanging.connections() == 16);
    REQUIRE(eventually([&] { return bench.log().size() == 1; }));
    CHECK(bench.log()[0] == "the callback to " + hanging.url("") +
                                " was not made, and its lease was given back: 16 calls to that receiver were "
                                "not answered yet");
    CHECK(counts(bench, "sema_callbacks_total{result=\"no_turn\"} 1"));
    CHECK(bench.view(busy)->in_use == 16);
}

TEST_CASE("a call is taken once the header of the answer is complete") {
    SenderBench bench(patient());
    const PoolId pool = bench.made(1);
    // The connection stays open, as for a body that is still to come.
    const Receiver receiver([](const Receiver::Request&) {
        return "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nstarted\n";
    });
    bench.ask(pool, LeaseId::random(), receiver.url());
    CHECK(bench.settles(pool));
    CHECK(receiver.calls() == 1);
    CHECK(bench.view(pool)->in_use == 1);
}

TEST_CASE(
    "a lease that was taken over during an attempt that failed was not given back, and nobody says so") {
    SenderBench bench;
    const PoolId pool = bench.made(1);
    std::promise<void> may_answer;
    const auto gate = may_answer.get_future().share();
    const Receiver receiver([gate](const Receiver::Request&) {
        gate.wait();
        return Receiver::answer(410);
    });
    const LeaseId lease = LeaseId::random();
    bench.ask(pool, lease, receiver.url());
    receiver.await(1);
    bench.call([&](const Reply& reply) { bench.service->keep_alive(pool, lease, 600s, reply); });
    may_answer.set_value();
    REQUIRE(counts(bench, "sema_callbacks_pending 0"));
    CHECK(bench.view(pool)->in_use == 1);
    CHECK(bench.log().empty());
    CHECK(counts(bench, "sema_callbacks_total{result=\"gone\"} 0"));
}

TEST_CASE("a receiver may ask for any time") {
    SenderBench bench;
    const PoolId pool = bench.made(1);
    const Receiver receiver(Receiver::answering(503, "Retry-After: 9300000000000\r\n"));
    bench.ask(pool, LeaseId::random(), receiver.url());
    // That is more than there is.
    REQUIRE(eventually([&] { return bench.view(pool)->in_use == 0; }));
    CHECK(receiver.calls() == 1);
}

TEST_CASE("a sender that drains lets what is under way end, and begins nothing") {
    SenderBench bench;
    const PoolId pool = bench.made(1);
    std::promise<void> may_answer;
    const auto gate = may_answer.get_future().share();
    Receiver receiver([gate](const Receiver::Request&) {
        gate.wait();
        return Receiver::answer(200);
    });
    const LeaseId first = LeaseId::random();
    bench.ask(pool, first, receiver.url());
    receiver.await(1);
    bench.sender->drain(patience);
    bench.ask(pool, LeaseId::random(), receiver.url());
    REQUIRE(bench.gives_back(pool, first));
    may_answer.set_value();
    bench.sender->stop();
    CHECK(receiver.calls() == 1);
    // The next run does.
    bench.kill();
    bench.start();
    receiver.await(2);
}

TEST_CASE("what is broken off is taken up again with the same lease") {
    SenderBench bench;
    const PoolId pool = bench.made(1);
    Receiver receiver(Receiver::hanging());
    const LeaseId lease = LeaseId::random();
    bench.ask(pool, lease, receiver.url());
    receiver.await(1);
    bench.kill();
    receiver.react(Receiver::answering(200));
    bench.start();
    const auto calls = receiver.await(2);
    CHECK(body_lease(calls[0]) == lease.str());
    CHECK(body_lease(calls[1]) == lease.str());
    CHECK(calls[0].headers.at("webhook-id") == calls[1].headers.at("webhook-id"));
    CHECK(bench.settles(pool));
}

TEST_CASE("whoever is revoked or returned between two attempts is not called any more") {
    SenderBench bench;
    const PoolId pool = bench.made(1);
    // The next attempt would come after that.
    Receiver receiver(Receiver::answering(503, "Retry-After: 1\r\n"));
    const LeaseId lease = LeaseId::random();
    bench.ask(pool, lease, receiver.url("/first"));
    REQUIRE(eventually([&] {
        const auto view = bench.view(pool);
        return delivery_in(view) && delivery_in(view)->attempts == 1;
    }));
    REQUIRE(bench.gives_back(pool, lease));
    receiver.react(Receiver::answering(200));
    const TimePoint then = bench.now();
    REQUIRE(eventually([&] { return bench.now() > then + 1200ms; }));
    bench.ask(pool, LeaseId::random(), receiver.url("/second"));
    CHECK(receiver.await(2)[1].target == "/second");
}

TEST_CASE("what is given up is logged without a secret") {
    SenderBench bench;
    const PoolId pool = bench.made(1);
    const Receiver receiver(Receiver::answering(410));
    const LeaseId lease = LeaseId::random();
    bench.ask(pool, lease, receiver.url("/secret?token=secret"));
    REQUIRE(eventually([&] { return bench.view(pool)->in_use == 0; }));
    REQUIRE(eventually([&] { return bench.log().size() == 1; }));
    const std::string line = bench.log()[0];
    CHECK(line ==
          "the callback to " + receiver.url("") + " failed, and its lease was given back: it answered 410");
}

TEST_CASE("what came of calls is counted") {
    SenderBench bench;
    const PoolId pool = bench.made(4);
    Receiver receiver([](const Receiver::Request& request) {
        return Receiver::answer(std::stoi(request.target.substr(1)));
    });
    bench.ask(pool, LeaseId::random(), receiver.url("/200"));
    bench.ask(pool, LeaseId::random(), receiver.url("/410"));
    bench.ask(pool, LeaseId::random(), receiver.url("/500"), 2s);
    CHECK(bench.settles(pool));
    CHECK(counts(bench, "sema_callbacks_pending 0"));
    CHECK(counts(bench, "sema_callbacks_total{result=\"accepted\"} 1"));
    CHECK(counts(bench, "sema_callbacks_total{result=\"gone\"} 1"));
    CHECK(counts(bench, "sema_callbacks_total{result=\"given_up\"} 1"));
    CHECK(counts(bench, "sema_callbacks_total{result=\"no_turn\"} 0"));
    CHECK(bench.log().size() == 2);
}
