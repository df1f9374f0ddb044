#include "tests/pool/pool_bench.hpp"

// Slots that are out of service.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

Claim claim(unsigned slots, Duration wait = 300s) {
    return {{}, LeaseId::random(), 60s, start + wait, false, slots, 0};
}

PoolRecord with_out(unsigned count, Position position, const OutOfService& out) {
    PoolRecord record{1, count};
    record.out[position] = out;
    return record;
}

}  // namespace

TEST_CASE("a slot out of service is lent to nobody, and is no available one") {
    Bench bench(3);
    bench.take_out(start, 0, "fan is broken");
    CHECK(bench.pool.count() == 3);
    CHECK(bench.pool.in_use() == 0);
    CHECK(bench.pool.available() == 2);
    CHECK(bench.granted(start).position() == 1);
    CHECK(bench.granted(start).position() == 2);
    CHECK(bench.pool.available() == 0);
    CHECK(bench.refused(start));
}

TEST_CASE("a slot that is taken out of service is stored, and shown with its reason") {
    Bench bench(2);
    bench.take_out(start, 1, "fan is broken");
    const OutOfService out{start, "fan is broken"};
    CHECK(bench.changes.out == std::map<Position, std::optional<OutOfService>>{{1, out}});
    CHECK(bench.pool.view(start).out == std::map<Position, OutOfService>{{1, out}});
    CHECK(bench.pool.figures(start).out == 1);
    REQUIRE(bench.pool.out_of_service(1));
    CHECK(bench.pool.out_of_service(0) == nullptr);

    bench.changes = {};
    bench.put_back(start + 1s, 1);
    CHECK(bench.changes.out == std::map<Position, std::optional<OutOfService>>{{1, std::nullopt}});
    CHECK(bench.pool.view(start).out.empty());
    CHECK(bench.pool.available() == 2);
}

TEST_CASE("a pool is read with its slots that are out of service") {
    const Bench bench(with_out(2, 0, {start - 5s, "fan is broken"}));
    CHECK(bench.pool.available() == 1);
    CHECK(bench.pool.view(start).out.at(0) == OutOfService{start - 5s, "fan is broken"});
}

TEST_CASE("the lease of a slot that is taken out of service goes on, renewals included") {
    Bench bench(2);
    const Lease lease = bench.granted(start, 10s);
    bench.take_out(start, 0);
    CHECK(bench.pool.in_use() == 1);
    CHECK(bench.pool.available() == 1);
    CHECK(bench.kept_alive(start + 9s, lease.id, 10s) == start + 19s);
    CHECK(bench.pool.knows(lease.id));
    CHECK(bench.give_back(start + 10s, lease.id));
    CHECK(bench.pool.available() == 1);
    CHECK(bench.granted(start + 10s).position() == 1);
    CHECK(bench.refused(start + 10s));
}

TEST_CASE("the next in the queue is not served by a slot that comes free out of service") {
    Bench bench(1);
    const Lease lease = bench.granted(start, 10s);
    const Ticket waiter = bench.queued(start, 300s);
    bench.take_out(start, 0);
    bench.advance_to(lease.expires_at);
    CHECK(bench.served().empty());
    bench.put_back(start + 20s, 0);
    CHECK(bench.served() == Tickets{waiter});
}

TEST_CASE("a slot that is put back is handed to the next in the queue in the same step") {
    Bench bench(2);
    bench.take_out(start, 1);
    bench.granted(start);
    const Ticket first = bench.queued(start, 300s);
    const Ticket second = bench.queued(start, 300s);
    bench.put_back(start + 1s, 1);
    CHECK(bench.served() == Tickets{first});
    CHECK(bench.effects->granted[0].lease.position() == 1);
    CHECK(bench.pool.waiter(second));
}

TEST_CASE("a slot that is put back while it is held or rests is lent once it is free") {
    Bench bench(1);
    bench.set(start, {.cooldown = 5s});
    const Lease lease = bench.granted(start, 10s);
    bench.take_out(start, 0);
    bench.put_back(start, 0);
    CHECK(bench.refused(start));
    bench.give_back(start + 1s, lease.id);
    bench.take_out(start + 1s, 0);
    bench.put_back(start + 1s, 0);
    CHECK(bench.refused(start + 6s - 1ms));
    CHECK(bench.granted(start + 6s).position() == 0);
}

TEST_CASE("a slot that rested while it was out of service is free once it is put back") {
    Bench bench(1);
    bench.set(start, {.cooldown = 5s});
    const Lease lease = bench.granted(start, 10s);
    bench.give_back(start, lease.id);
    bench.take_out(start, 0);
    bench.advance_to(start + 5s);
    CHECK(bench.pool.available() == 0);
    bench.put_back(start + 5s, 0);
    CHECK(bench.pool.available() == 1);
}

TEST_CASE("a change of the cooldown does not make a slot out of service rest anew") {
    PoolRecord record = with_out(1, 0, {start, ""});
    record.settings = std::make_shared<const PoolSettings>(PoolSettings{.cooldown = 5s});
    HeldSlot ended{LeaseId::random(), 0, start - 60s, start - 30s};
    record.slots = {ended};
    Bench bench(record);
    bench.set(start, {.cooldown = 1h});
    CHECK(bench.changes.slots.at(0) == std::nullopt);
}

TEST_CASE("taken out once more, a slot is out since the first time; a reason replaces the one before") {
    Bench bench(1);
    bench.take_out(start, 0, "fan is broken");
    const auto revision = bench.pool.revision();
    bench.changes = {};
    bench.take_out(start + 1s, 0);
    CHECK(bench.changes.empty());
    CHECK(bench.pool.revision() == revision);
    bench.take_out(start + 2s, 0, "waits for its fan");
    CHECK(*bench.pool.out_of_service(0) == OutOfService{start, "waits for its fan"});
    CHECK(bench.pool.revision() > revision);
    bench.take_out(start + 3s, 0, "");
    CHECK(*bench.pool.out_of_service(0) == OutOfService{start, ""});
    bench.put_back(start + 4s, 0);
    bench.changes = {};
    bench.put_back(start + 5s, 0);
    CHECK(bench.changes.empty());
}

TEST_CASE("there is no slot at or beyond the count to take out of service") {
    Bench bench(2);
    CHECK_FALSE(bench.pool.take_out(start, 2, std::nullopt, bench.anew()));
    CHECK_FALSE(bench.pool.put_back(start, 2, bench.anew()));
    CHECK(bench.changes.empty());
    CHECK(bench.pool.put_back(start, 1, bench.anew()));
}

TEST_CASE("a slot stays out of service while the pool is smaller") {
    Bench bench(3);
    bench.take_out(start, 2, "fan is broken");
    bench.set_count(start, 1);
    CHECK(bench.pool.available() == 1);
    CHECK(bench.pool.view(start).out.empty());
    CHECK(bench.pool.figures(start).out == 0);
    bench.set_count(start, 3);
    CHECK(bench.pool.available() == 2);
    CHECK(bench.pool.view(start).out.size() == 1);
    // It can be put back meanwhile.
    bench.set_count(start, 1);
    bench.put_back(start, 2);
    bench.set_count(start, 3);
    CHECK(bench.pool.available() == 3);
}

TEST_CASE("a claim for several slots takes none that is out of service") {
    Bench bench(70);
    bench.take_out(start, 0);
    bench.take_out(start, 2);
    bench.take_out(start, 65);
    const Lease lease = bench.granted(start, claim(65));
    REQUIRE(lease.positions.size() == 65);
    CHECK(lease.positions[0] == 1);
    CHECK(lease.positions[1] == 3);
    CHECK(lease.positions[63] == 66);
    CHECK(lease.positions[64] == 67);
    CHECK(bench.pool.available() == 2);
}

TEST_CASE("a claim for more slots than are in service waits and holds up nobody") {
    Bench bench(3);
    bench.take_out(start, 1);
    const Ticket wide = bench.queued(start, claim(3));
    const Lease one = bench.granted(start);
    bench.granted(start);
    bench.put_back(start, 1);
    // Now it has its turn before everybody who comes later.
    CHECK(bench.served().empty());
    CHECK(bench.refused(start));
    bench.give_back(start, one.id);
    CHECK(bench.refused(start));
    bench.advance_to(start + 60s);
    CHECK(bench.served() == Tickets{wide});
}

TEST_CASE("whoever kept others waiting lets them pass when a slot is taken out that it needs") {
    Bench bench(3);
    const Lease lease = bench.granted(start);
    const Ticket wide = bench.queued(start, claim(3));
    const Ticket next = bench.queued(start, claim(1));
    bench.take_out(start, 2);
    CHECK(bench.served() == Tickets{next});
    bench.give_back(start, lease.id);
    bench.advance_to(start + 60s);
    CHECK(bench.served().empty());
    bench.put_back(start + 60s, 2);
    CHECK(bench.served() == Tickets{wide});
}

TEST_CASE("a grant never takes more slots than the count, where leases beyond it go on") {
    Bench bench(4);
    for (int i = 0; i < 4; ++i)
        bench.granted(start);
    bench.set_count(start, 2);
    bench.revoke(start, 0);
    bench.revoke(start, 1);
    bench.take_out(start, 0);
    // Two leases at the positions 2 and 3.
    CHECK(bench.pool.available() == 0);
    bench.revoke(start, 3);
    CHECK(bench.pool.available() == 1);
    CHECK(bench.granted(start).position() == 1);
    CHECK(bench.refused(start));
}

TEST_CASE("what could not be stored of slots out of service is undone") {
    Bench bench(2);
    bench.take_out(start, 0, "one");
    PoolRecord record{1, 2};
    bench.roll_back_to(start, record);
    CHECK(bench.pool.available() == 2);
    bench.take_out(start, 0, "two");
    record.out[1] = {start, "three"};
    bench.roll_back_to(start, record);
    CHECK(bench.pool.available() == 1);
    CHECK(bench.granted(start).position() == 0);
}

TEST_CASE("the forecast does not count on slots that are out of service") {
    Bench bench(2);
    for (int i = 0; i < 2; ++i) {
        const Lease lease = bench.granted(start - 40s + i * 20s, 100s);
        bench.give_back(start - 20s + i * 20s, lease.id);
    }
    // Leases last 20 s.
    bench.granted(start, 100s);
    bench.granted(start + 10s, 100s);
    CHECK(bench.pool.view(start + 10s).eta == 10s);
    bench.take_out(start + 10s, 0);
    CHECK(bench.pool.view(start + 10s).eta == 20s);
    CHECK(bench.pool.eta(bench.pool.forecast(start + 10s), 1, 2) == std::nullopt);
    bench.take_out(start + 10s, 1);
    CHECK(bench.pool.view(start + 10s).eta == std::nullopt);
    bench.put_back(start + 10s, 0);
    CHECK(bench.pool.view(start + 10s).eta == 10s);
}
