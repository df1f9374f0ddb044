#include "server/metrics/text.hpp"
#include "server/service/service_metrics.hpp"
#include "tests/service/bench.hpp"
#include "tests/service/shared_bench.hpp"
#include "tests/support/samples.hpp"

#include <thread>

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

std::string metrics_of(const Calls& calls) {
    MetricsText text;
    calls.service->write_metrics(text);
    return text.take();
}

wire::RegisterRequest named(const std::string& name, unsigned count) {
    wire::RegisterRequest request{count};
    request.settings.name = name;
    return request;
}

struct Counted : Bench {
    Counted() { service->keep_metrics(); }
    /// The value of a metric of the pools of one name.
    std::string value(const std::string& metric, const std::string& name = "",
                      const std::string& more = "") const {
        return sample(metrics_of(*this), metric + "{pool=\"" + name + "\"" + more + "}");
    }
    std::string ended(const std::string& reason) const {
        return value("sema_pool_leases_ended_total", "", ",reason=\"" + reason + "\"");
    }
};

}  // namespace

TEST_CASE("the slots, leases and waiters of a pool are told as they are now") {
    Counted bench;
    wire::RegisterRequest request = named("vsim", 3);
    request.settings.cooldown = 10s;
    bench.put(request);
    bench.flush();
    const Lease first = bench.granted(5s);
    bench.granted(60s);
    bench.give_back(first.id);
    bench.granted(60s);
    bench.borrow(60s, 100s);
    bench.flush();
    bench.pass(2s);
    bench.borrow(60s, 100s);
    bench.set_slot(2, {true});
    bench.flush();
    bench.clock.pass(1s);
    CHECK(bench.value("sema_pool_slots", "vsim") == "3");
    CHECK(bench.value("sema_pool_slots_out", "vsim") == "1");
    CHECK(bench.value("sema_pool_slots_in_use", "vsim") == "2");
    CHECK(bench.value("sema_pool_slots_resting", "vsim") == "1");
    CHECK(bench.value("sema_pool_slots_available", "vsim") == "0");
    CHECK(bench.value("sema_pool_waiters", "vsim") == "2");
    CHECK(bench.value("sema_pool_oldest_wait_seconds", "vsim") == "3");
    CHECK(bench.value("sema_pool_slots") == "");
}

TEST_CASE(
    "a slot that is lent and out of service leaves the others available, and its lease's end frees none") {
    Counted bench;
    bench.put(named("vsim", 3));
    bench.flush();
    CHECK(bench.value("sema_pool_slots_available", "vsim") == "3");
    bench.granted(5s);
    bench.granted(5s);
    bench.set_slot(0, {true});
    bench.flush();
    CHECK(bench.value("sema_pool_slots_in_use", "vsim") == "2");
    CHECK(bench.value("sema_pool_slots_out", "vsim") == "1");
    CHECK(bench.value("sema_pool_slots_available", "vsim") == "1");
    // Nobody looks at the pool meanwhile.
    bench.clock.pass(6s);
    CHECK(bench.value("sema_pool_slots_in_use", "vsim") == "0");
    CHECK(bench.value("sema_pool_slots_available", "vsim") == "2");
}

TEST_CASE("a slot that rests is available once it has rested") {
    Counted bench;
    wire::RegisterRequest request = named("vsim", 2);
    request.settings.cooldown = 10s;
    bench.put(request);
    bench.flush();
    const Lease returned = bench.granted(60s);
    bench.granted(5s);
    bench.give_back(returned.id);
    bench.flush();
    CHECK(bench.value("sema_pool_slots_available", "vsim") == "0");
    bench.clock.pass(11s);
    CHECK(bench.value("sema_pool_slots_available", "vsim") == "1");
    bench.clock.pass(5s);
    CHECK(bench.value("sema_pool_slots_available", "vsim") == "2");
}

TEST_CASE("the oldest wait is that of who has waited longest, whatever its priority") {
    Counted bench;
    bench.made(0);
    bench.borrow(60s, 100s);
    bench.flush();
    bench.pass(5s);
    Calls::Call urgent;
    urgent.ticket = bench.service->next_ticket();
    bench.service->borrow(bench.pool, urgent.ticket, {60s, 100s, std::nullopt, 1, 9, nullptr, true},
                          urgent.reply());
    bench.flush();
    bench.clock.pass(2s);
    CHECK(bench.value("sema_pool_oldest_wait_seconds") == "7");
}

TEST_CASE("a lease is counted at its grant with the wait for it, and at its end with how it ended") {
    Counted bench;
    bench.made(1);
    const Lease first = bench.granted(60s);
    bench.borrow(20s, 100s);
    bench.flush();
    bench.pass(4s);
    bench.give_back(first.id);
    bench.flush();
    CHECK(bench.value("sema_pool_grants_total") == "2");
    CHECK(bench.value("sema_pool_wait_seconds_sum") == "4");
    CHECK(bench.value("sema_pool_wait_seconds_bucket", "", ",le=\"0.01\"") == "1");
    CHECK(bench.value("sema_pool_wait_seconds_bucket", "", ",le=\"5\"") == "2");
    CHECK(bench.ended("returned") == "1");
    CHECK(bench.value("sema_pool_hold_seconds_sum") == "4");

    // Nobody makes a call.
    bench.clock.pass(20s);
    CHECK(bench.ended("expired") == "1");
    CHECK(bench.value("sema_pool_slots_in_use") == "0");
    CHECK(bench.value("sema_pool_hold_seconds_sum") == "24");

    bench.granted(60s);
    bench.revoke(0);
    bench.flush();
    CHECK(bench.ended("revoked") == "1");

    bench.granted(60s);
    bench.remove();
    bench.flush();
    CHECK(bench.ended("deleted") == "1");
    CHECK(bench.ended("returned") == "1");
    CHECK(bench.value("sema_pool_grants_total") == "4");
    CHECK(bench.value("sema_pool_hold_seconds_count") == "4");
}

TEST_CASE("a lease whose answer is lost counts as returned") {
    Counted bench;
    bench.made(1);
    bench.lose_answer_of(bench.granted());
    bench.flush();
    CHECK(bench.ended("returned") == "1");
}

TEST_CASE("a borrow that gets nothing counts once, whether it waited or not") {
    Counted bench;
    bench.made(0);
    bench.borrow();
    CHECK(bench.value("sema_pool_refusals_total") == "1");
    bench.borrow(60s, 1s);
    bench.flush();
    bench.pass(1s);
    CHECK(bench.value("sema_pool_refusals_total") == "2");
    bench.service->leave(bench.pool, bench.borrow(60s, 1s).ticket);
    bench.pass(1s);
    CHECK(bench.value("sema_pool_refusals_total") == "2");
    CHECK(bench.value("sema_pool_grants_total") == "0");
}

TEST_CASE("a repeated borrow of one lease is one grant") {
    Counted bench;
    bench.made(2);
    const LeaseId lease = LeaseId::random();
    bench.borrow(lease);
    bench.flush();
    bench.borrow(lease);
    bench.flush();
    CHECK(bench.value("sema_pool_grants_total") == "1");
}

TEST_CASE("what could not be stored is not counted, and the store is down until it works") {
    Counted bench;
    bench.made(1);
    CHECK(sample(metrics_of(bench), "sema_store_up") == "1");
    bench.faults->fail_commits(1);
    const auto lost = bench.borrow();
    bench.flush();
    CHECK(lost.is(Refusal::store_failed));
    CHECK(bench.value("sema_pool_grants_total") == "0");
    CHECK(sample(metrics_of(bench), "sema_store_up") == "0");
    CHECK(bench.service->store_trouble() != "");
    bench.faults->heal();
    bench.granted();
    CHECK(bench.value("sema_pool_grants_total") == "1");
    CHECK(sample(metrics_of(bench), "sema_store_up") == "1");
    CHECK(bench.service->store_trouble() == "");
}

TEST_CASE("pools without a name are counted together, and so are pools of one name") {
    Counted bench;
    bench.made(1);
    bench.granted();
    bench.pool = PoolId::random();
    bench.made(2);
    bench.granted();
    for (int i = 0; i < 2; ++i) {
        bench.pool = PoolId::random();
        bench.put(named("same", 4));
        bench.flush();
        bench.granted();
    }
    CHECK(bench.value("sema_pool_slots") == "3");
    CHECK(bench.value("sema_pool_grants_total") == "2");
    CHECK(bench.value("sema_pool_slots", "same") == "8");
    CHECK(bench.value("sema_pool_slots_in_use", "same") == "2");
    CHECK(bench.value("sema_pool_grants_total", "same") == "2");
}

TEST_CASE("a pool that gets another name is counted by that from then on") {
    Counted bench;
    bench.put(named("old", 2));
    bench.flush();
    bench.granted();
    bench.put(named("new", 2));
    bench.flush();
    bench.granted();
    CHECK(bench.value("sema_pool_grants_total", "old") == "1");
    CHECK(bench.value("sema_pool_grants_total", "new") == "1");
    CHECK(bench.value("sema_pool_slots", "old") == "");
    CHECK(bench.value("sema_pool_slots_in_use", "new") == "2");
}

TEST_CASE("of more names than are counted, the rest is counted without one, until there is room") {
    Counted bench;
    const auto add = [&](const std::string& name) {
        bench.pool = PoolId::random();
        bench.put(named(name, 1));
        bench.flush();
        bench.granted();
    };
    for (std::size_t i = 0; i < PoolSeriesTable::most_names; ++i)
        add("p" + std::to_string(i));
    const PoolId last = bench.pool;
    add("late");
    CHECK(bench.value("sema_pool_grants_total", "late") == "");
    CHECK(bench.value("sema_pool_slots") == "1");
    bench.pool = last;
    bench.remove();
    bench.flush();
    CHECK(bench.value("sema_pool_grants_total", "p999") == "1");
    add("later");
    CHECK(bench.value("sema_pool_grants_total", "later") == "1");
    CHECK(bench.value("sema_pool_grants_total", "p999") == "");
}

TEST_CASE("commits are counted with their time and the rows that they change") {
    Counted bench;
    bench.made(2);
    const std::string before = metrics_of(bench);
    CHECK(sample(before, "sema_store_commit_seconds_count") == "1");
    bench.borrow();
    bench.borrow();
    bench.flush();
    const std::string after = metrics_of(bench);
    CHECK(sample(after, "sema_store_commit_seconds_count") == "2");
    CHECK(sample(after, "sema_store_batch_changes_sum") == "3");
}

TEST_CASE("each of several servers counts what it did itself") {
    World world(1);
    for (Calls* server : std::initializer_list<Calls*>{&world.a, &world.b})
        server->service->keep_metrics();
    const auto value = [](const Calls& server, const std::string& metric, const std::string& more = "") {
        return sample(metrics_of(server), metric + "{pool=\"\"" + more + "}");
    };
    const Lease held = world.a.granted();
    const auto waiting = world.b.borrow(60s, 100s);
    world.settle();
    CHECK(value(world.b, "sema_pool_slots_in_use") == "1");
    CHECK(value(world.b, "sema_pool_waiters") == "1");
    world.pass(2s);
    world.a.give_back(held.id);
    world.settle();
    REQUIRE(waiting.answered());
    CHECK(value(world.b, "sema_pool_waiters") == "0");
    CHECK(value(world.a, "sema_pool_grants_total") == "1");
    CHECK(value(world.b, "sema_pool_grants_total") == "1");
    CHECK(value(world.b, "sema_pool_wait_seconds_sum") == "2");
    CHECK(value(world.a, "sema_pool_leases_ended_total", ",reason=\"returned\"") == "1");
    CHECK(value(world.b, "sema_pool_leases_ended_total", ",reason=\"returned\"") == "0");
    CHECK(sample(metrics_of(world.a), "sema_store_up") == "1");
}

TEST_CASE("a server that nobody waits at does not tell of a queue that it saw once") {
    World world(1);
    world.a.service->keep_metrics();
    world.a.granted(300s);
    const auto waiting = world.b.waiting(200s);
    world.a.in_use();
    CHECK(sample(metrics_of(world.a), "sema_pool_waiters{pool=\"\"}") == "0");
    CHECK(sample(metrics_of(world.a), "sema_pool_oldest_wait_seconds{pool=\"\"}") == "0");
    // Its lease is over, which nobody has asked about.
    world.memory.clock().pass(400s);
    CHECK(sample(metrics_of(world.a), "sema_pool_slots_in_use{pool=\"\"}") == "0");
}

TEST_CASE("metrics can be read while calls are made") {
    Counted bench;
    bench.made(8);
    std::atomic<bool> is_over{false};
    std::thread reader([&] {
        while (!is_over)
            metrics_of(bench);
    });
    for (int i = 0; i < 300; ++i)
        bench.give_back(bench.granted().id);
    bench.flush();
    is_over = true;
    reader.join();
    CHECK(bench.value("sema_pool_grants_total") == "300");
    CHECK(bench.ended("returned") == "300");
}
