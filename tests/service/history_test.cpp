#include "server/service/history.hpp"

#include "common/wire_history.hpp"
#include "server/store/sqlite/sqlite_history.hpp"
#include "tests/service/bench.hpp"
#include "tests/service/shared_bench.hpp"
#include "tests/support/eventually.hpp"

#include <functional>
#include <limits>
#include <utility>

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

constexpr Duration month = 30 * 24h;

/// Hands everything on to another store, unless it is to fail.
class FaultyHistory final : public HistoryStore {
  public:
    Expected<void> append(const std::vector<PoolPast>& past, const HistoryBounds& bounds) override {
        if (fails) return failure("the disk is full");
        if (const auto meanwhile = std::exchange(on_append, {})) meanwhile();
        return inner_->append(past, bounds);
    }
    Expected<void> read(const PoolId& pool, HistoryPart part, TimePoint since,
                        const std::function<bool(HistoryEntry&&)>& take) override {
        if (fails) return failure("the disk is full");
        return inner_->read(pool, part, since, take);
    }
    Expected<bool> prune(const HistoryBounds& bounds) override { return inner_->prune(bounds); }
    Expected<bool> clear() override {
        if (fails) return failure("the disk is full");
        return inner_->clear();
    }

    std::atomic<bool> fails{false};
    /// Called once.
    std::function<void()> on_append;

  private:
    std::unique_ptr<HistoryStore> inner_ = make_memory_history();
};

/// What a History tells of a pool of these calls.
class Questions {
  public:
    Questions(const Clock& clock, Duration age)
        : faulty_(new FaultyHistory),
          history(std::unique_ptr<HistoryStore>(faulty_), clock, age,
                  [this](const std::string& text) { trouble.push_back(text); }) {}

    Calls::Call ask(Calls& calls, const HistoryQuery& query) {
        Calls::Call call;
        calls.service->look_back(calls.pool, query, call.reply());
        calls.flush();
        history.go_on();
        return call;
    }
    std::string text(Calls& calls, const HistoryQuery& query) {
        return std::string(*ask(calls, query).as<HistoryListed>().json);
    }
    std::vector<wire::PoolHistory::Entry> leases(Calls& calls, const HistoryQuery& query = {}) {
        return wire::parse_pool_history(text(calls, query)).value().history;
    }
    wire::PoolStatistics statistics(Calls& calls, HistoryQuery query = {}) {
        query.what = HistoryQuery::What::statistics;
        return wire::parse_pool_statistics(text(calls, query)).value();
    }
    void fail(bool fails) { faulty_->fails = fails; }
    void during_write(std::function<void()> function) { faulty_->on_append = std::move(function); }

  private:
    FaultyHistory* const faulty_;

  public:
    std::vector<std::string> trouble;
    History history;
};

struct Telling : Bench {
    explicit Telling(Duration age = month) : asked(clock, age) { service->keep_history(asked.history); }
    ~Telling() { service.reset(); }

    void again() {
        restart();
        service->keep_history(asked.history);
    }
    std::vector<wire::PoolHistory::Entry> leases(const HistoryQuery& query = {}) {
        return asked.leases(*this, query);
    }
    wire::PoolStatistics statistics(const HistoryQuery& query = {}) { return asked.statistics(*this, query); }
    std::string ends() {
        std::string ends;
        for (const auto& entry : leases())
            ends += entry.how + " ";
        return ends;
    }
    std::size_t refusals() { return statistics().refusals; }

    Questions asked;
};

}  // namespace

TEST_CASE("each end of a lease is told, the latest first, with who had it and how long that waited") {
    Telling bench;
    bench.made(2);
    const Lease first = bench.granted();
    Calls::Call waiting;
    waiting.ticket = bench.service->next_ticket();
    const auto holder = std::make_shared<const Holder>(Holder{"ann", "https://ci/1"});
    bench.service->borrow(bench.pool, waiting.ticket, {60s, 100s, std::nullopt, 2, 0, holder, true},
                          waiting.reply());
    bench.flush();
    bench.pass(4s);
    bench.give_back(first.id);
    bench.flush();
    const Lease second = waiting.as<LeaseGranted>().lease;
    bench.pass(60s);
    bench.granted();
    bench.revoke(0);
    bench.flush();
    bench.granted();
    bench.remove();
    bench.flush();
    bench.made(1);
    const auto leases = bench.leases();
    REQUIRE(leases.size() == 4);
    CHECK(leases[0].how == "deleted");
    CHECK(leases[1].how == "revoked");
    CHECK(leases[2].how == "expired");
    CHECK(leases[2].positions == std::vector<unsigned>{0, 1});
    CHECK(leases[2].position == 0);
    CHECK(leases[2].waited == 4s);
    CHECK(leases[2].fence == second.fence);
    CHECK(*leases[2].holder == *holder);
    CHECK(leases[2].ended_at_unix - leases[2].granted_at_unix == 60);
    CHECK(leases[2].granted_at_unix == whole_seconds(second.granted_at.time_since_epoch()));
    CHECK(leases[3].how == "returned");
    CHECK(leases[3].fence == first.fence);
    CHECK(leases[3].waited == 0s);
    CHECK(leases[3].holder == nullptr);
}

TEST_CASE("nothing that is told has the id of a lease") {
    Telling bench;
    bench.made(1);
    const Lease lease = bench.granted();
    bench.give_back(lease.id);
    bench.flush();
    CHECK(bench.asked.text(bench, {}).find(lease.id.str()) == std::string::npos);
}

TEST_CASE("a pool that is not there has no history, and one that is made again has the one of before") {
    Telling bench;
    CHECK(bench.asked.ask(bench, {}).is(Refusal::no_such_pool));
    bench.made(1);
    CHECK(bench.leases().empty());
    bench.give_back(bench.granted().id);
    bench.remove();
    bench.flush();
    CHECK(bench.asked.ask(bench, {}).is(Refusal::no_such_pool));
    bench.made(1);
    CHECK(bench.leases().size() == 1);
    bench.pool = PoolId::random();
    bench.made(1);
    CHECK(bench.leases().empty());
}

TEST_CASE("one asks for some of the leases by their number, position and time") {
    Telling bench;
    bench.made(2);
    for (int i = 0; i < 3; ++i) {
        const Lease first = bench.granted();
        const Lease second = bench.granted();
        bench.pass(10s);
        bench.give_back(first.id);
        bench.flush();
        bench.give_back(second.id);
        bench.flush();
    }
    CHECK(bench.leases().size() == 6);
    CHECK(bench.leases({.limit = 4}).size() == 4);
    CHECK(bench.leases({.limit = 1})[0].position == 1);
    const auto at_0 = bench.leases({.limit = 2, .position = 0});
    REQUIRE(at_0.size() == 2);
    CHECK(at_0[0].position == 0);
    CHECK(at_0[1].position == 0);
    CHECK(bench.leases({.position = 7}).empty());
    const Duration now = bench.clock.unix_time(bench.clock.now());
    CHECK(bench.leases({.since = now}).size() == 2);
    CHECK(bench.leases({.since = now - 10s}).size() == 4);
    CHECK(bench.leases({.since = now + 1s}).empty());
    CHECK(bench.leases({.since = Duration(100'000'000'000s)}).empty());
    CHECK(bench.leases({.since = 0s}).size() == 6);
}

TEST_CASE("a lease that expires while nobody looks is told once somebody looks") {
    Telling bench;
    bench.made(1);
    bench.granted(5s);
    bench.clock.pass(100s);
    const auto leases = bench.leases();
    REQUIRE(leases.size() == 1);
    CHECK(leases[0].how == "expired");
    CHECK(leases[0].ended_at_unix - leases[0].granted_at_unix == 5);
}

TEST_CASE("a lease that expires while the server is down is told once, whatever starts there are") {
    Telling bench;
    wire::RegisterRequest request{2};
    request.settings.cooldown = 10s;
    bench.put(request);
    bench.flush();
    bench.give_back(bench.granted(5s).id);
    bench.flush();
    bench.granted(5s);
    for (int i = 0; i < 3; ++i) {
        bench.clock.pass(20s);
        bench.again();
        CHECK(bench.ends() == "expired returned ");
    }
}

TEST_CASE("a lease of several slots that expires while the server is down is one") {
    Telling bench;
    bench.made(3);
    Calls::Call call;
    call.ticket = bench.service->next_ticket();
    bench.service->borrow(bench.pool, call.ticket, {5s, 0s, std::nullopt, 3, 7, nullptr, true}, call.reply());
    bench.flush();
    bench.clock.pass(20s);
    bench.again();
    const auto leases = bench.leases();
    REQUIRE(leases.size() == 1);
    CHECK(leases[0].positions == std::vector<unsigned>{0, 1, 2});
}

TEST_CASE("what a lease had waited is known after a restart") {
    Telling bench;
    bench.made(1);
    const Lease first = bench.granted();
    const auto waiting = bench.borrow(60s, 100s);
    bench.flush();
    bench.pass(4s);
    bench.give_back(first.id);
    bench.flush();
    bench.again();
    bench.give_back(waiting.as<LeaseGranted>().lease.id);
    bench.flush();
    CHECK(bench.leases()[0].waited == 4s);
}

TEST_CASE("what could not be committed is not told") {
    Telling bench;
    bench.made(1);
    const Lease lease = bench.granted();
    bench.faults->fail_commits(1);
    bench.give_back(lease.id);
    bench.flush();
    bench.faults->heal();
    CHECK(bench.leases().empty());
    bench.give_back(lease.id);
    bench.flush();
    CHECK(bench.ends() == "returned ");
}

TEST_CASE("who leaves without a lease is a refusal, and who comes back is none") {
    Telling bench;
    bench.made(1);
    bench.granted(1h);
    bench.borrow();
    CHECK(bench.refusals() == 1);
    bench.borrow(60s, 5s);
    bench.flush();
    bench.pass(5s);
    CHECK(bench.refusals() == 2);
    bench.service->leave(bench.pool, bench.borrow(60s, 5s).ticket);
    bench.flush();
    CHECK(bench.refusals() == 3);
    const LeaseId keyed = LeaseId::random();
    bench.borrow(keyed, 5s);
    bench.flush();
    bench.pass(5s);
    bench.borrow(keyed, 5s);
    bench.flush();
    CHECK(bench.refusals() == 3);
    bench.cancel(keyed);
    bench.flush();
    CHECK(bench.refusals() == 4);
    bench.borrow(LeaseId::random(), 5s);
    bench.flush();
    bench.pass(5s);
    bench.pass(bench.limits.pool.rejoin);
    CHECK(bench.refusals() == 5);
}

TEST_CASE("who is sent away by the server's end has not given up") {
    Telling bench;
    bench.made(0);
    bench.borrow(60s, 100s);
    bench.flush();
    bench.service->drain();
    bench.flush();
    bench.again();
    CHECK(bench.refusals() == 0);
}

TEST_CASE("statistics have the live leases, the queue and the changes of the count") {
    Telling bench;
    bench.made(1);
    bench.pass(10s);
    bench.granted(1h);
    bench.borrow(60s, 1h);
    bench.flush();
    bench.pass(30s);
    bench.put(2);
    bench.flush();
    bench.pass(30s);
    const auto told = bench.statistics();
    CHECK(told.count == 2);
    CHECK(told.until_unix - told.since_unix == 70);
    CHECK(told.step == 1);
    REQUIRE(told.use.size() == 70);
    CHECK(told.use[5].in_use == 0);
    CHECK(told.use[20].in_use == 1);
    CHECK(told.use[20].queue == 1);
    CHECK(told.use[20].count == 1);
    CHECK(told.use[60].in_use == 2);
    CHECK(told.use[60].queue == 0);
    CHECK(told.use[60].count == 2);
    CHECK(told.granted == 2);
    CHECK(told.waits.max == 30s);
    REQUIRE(told.what_if.size() == 6);
    CHECK(told.what_if[0].count == 1);
    CHECK(told.what_if[5].count == 6);
    CHECK(told.what_if[0].waits.max == 60s);
    // There it was 1 for a while, and so there was a wait.
    CHECK(told.what_if[1].count == 2);
    CHECK(told.what_if[1].waits.max == 0s);
    HistoryQuery query;
    query.what_if = false;
    CHECK(bench.statistics(query).what_if.empty());
}

TEST_CASE("refusals that were pushed out take no lease, no wait and no count from the statistics") {
    Telling bench;
    bench.made(1);
    const Lease lease = bench.granted();
    bench.borrow(60s, 1h);
    bench.flush();
    bench.pass(30s);
    bench.give_back(lease.id);
    bench.put(2);
    bench.flush();
    bench.pass(1h);
    // A borrower that asks again and again, and does not wait.
    std::vector<HistoryEntry> looks(History::most_of_pool / 4,
                                    {.what = HistoryEntry::What::refused, .at = bench.clock.now()});
    for (int i = 0; i < 5; ++i) {
        bench.asked.history.add({{bench.pool, looks}});
        bench.asked.history.go_on();
    }
    HistoryQuery query;
    query.what_if = false;
    const auto told = bench.statistics(query);
    CHECK(told.until_unix - told.since_unix == 3630);
    CHECK(told.granted == 2);
    CHECK(told.waits.max == 30s);
    CHECK(told.refusals == History::most_of_pool);
    CHECK(told.use.front().count == 1);
    CHECK(told.use.back().count == 2);
}

TEST_CASE("a flood of refusals on one pool costs other pools no lease") {
    Telling bench;
    bench.made(1);
    const Lease lease = bench.granted();
    bench.pass(10s);
    const HistoryEntry look{.what = HistoryEntry::What::refused, .at = bench.clock.now()};
    const HistoryEntry resized{
        .what = HistoryEntry::What::resized, .at = bench.clock.now(), .count_before = 7, .count = 1};
    const PoolId flooded = PoolId::random();
    // Faster than it is written.
    for (int i = 0; i < 300; ++i)
        bench.asked.history.add({{flooded, std::vector(1000, look)}});
    bench.give_back(lease.id);
    bench.flush();
    // One that comes with what is dropped.
    bench.asked.history.add({{flooded, {look}}, {bench.pool, {look, resized}}});
    CHECK(bench.ends() == "returned ");
    CHECK(bench.statistics().use.front().count == 7);
    CHECK(bench.refusals() == 0);
    REQUIRE(bench.asked.trouble.size() >= 1);
    CHECK_THAT(bench.asked.trouble[0], has_text("they came faster"));
    // There is room again.
    bench.asked.history.add({{bench.pool, {look}}});
    CHECK(bench.refusals() == 1);
}

TEST_CASE("statistics of a pool that nobody has used say so") {
    Telling bench;
    bench.made(3);
    const auto told = bench.statistics();
    CHECK(told.granted == 0);
    CHECK_FALSE(told.waits.p50);
    CHECK(told.refusals == 0);
    CHECK(told.holders.empty());
    CHECK(!told.use.empty());
    CHECK(told.what_if.size() == 7);
}

TEST_CASE("statistics since a time in the future, or long ago, are those of what there is") {
    Telling bench;
    bench.made(1);
    // That it was made is kept no more.
    bench.clock.pass(2 * month);
    bench.give_back(bench.granted().id);
    bench.flush();
    const Duration now = bench.clock.unix_time(bench.clock.now());
    CHECK(bench.statistics({.since = now + 1h}).granted == 0);
    const auto told = bench.statistics({.since = 0s});
    CHECK(told.granted == 1);
    CHECK(told.until_unix - told.since_unix == 30 * 24 * 3600);
    CHECK(told.use.size() <= 301);
}

TEST_CASE("statistics since a time at which the pool was not there yet begin when it was made") {
    Telling bench;
    bench.made(1);
    bench.pass(10s);
    bench.granted(1h);
    bench.pass(30s);
    const auto since = [&](Duration ago) {
        const auto told = bench.statistics({.since = bench.clock.unix_time(bench.clock.now()) - ago});
        return told.until_unix - told.since_unix;
    };
    CHECK(since(month) == 40);
    CHECK(since(40s) == 40);
    CHECK(since(20s) == 20);
    const auto told = bench.statistics({.since = 0s});
    CHECK(told.step == 1);
    REQUIRE(told.use.size() == 40);
    CHECK(told.use[5].in_use == 0);
    CHECK(told.use[5].count == 1);
    CHECK(told.use[20].in_use == 1);
    // From here on it is known that there were slots before.
    bench.put(2);
    bench.flush();
    bench.pass(10s);
    CHECK(since(15s) == 15);
    CHECK(since(month) == 50);
}

TEST_CASE("what the time has run out for is told no more") {
    Telling bench(1h);
    bench.made(1);
    bench.give_back(bench.granted().id);
    bench.flush();
    CHECK(bench.leases().size() == 1);
    bench.clock.pass(59min);
    CHECK(bench.leases().size() == 1);
    bench.clock.pass(2min);
    CHECK(bench.leases().empty());
}

TEST_CASE("without an age nothing is kept, and questions are answered") {
    Telling bench(0s);
    bench.made(1);
    bench.give_back(bench.granted().id);
    bench.flush();
    CHECK(bench.leases().empty());
    CHECK(bench.statistics().granted == 0);
    // From now on.
    bench.asked.history.set_age(1h);
    bench.give_back(bench.granted().id);
    bench.flush();
    CHECK(bench.leases().size() == 1);
    bench.asked.history.set_age(0s);
    CHECK(bench.leases().empty());
}

TEST_CASE("what there was before the age became 0 does not come back") {
    Telling bench;
    bench.made(1);
    bench.give_back(bench.granted().id);
    bench.flush();
    CHECK(bench.leases().size() == 1);
    // That the store fails meanwhile is made good for.
    bench.asked.fail(true);
    bench.asked.history.set_age(0s);
    bench.asked.history.go_on();
    REQUIRE(bench.asked.trouble.size() == 1);
    bench.asked.fail(false);
    bench.asked.history.set_age(0s);
    // What waits to be written when it becomes 0 is not kept, either.
    bench.asked.history.set_age(month);
    bench.give_back(bench.granted().id);
    bench.flush();
    bench.asked.history.set_age(0s);
    bench.asked.history.go_on();
    CHECK(bench.asked.trouble.size() == 2);
    bench.asked.history.set_age(month);
    CHECK(bench.leases().empty());
    bench.give_back(bench.granted().id);
    bench.flush();
    CHECK(bench.leases().size() == 1);
}

TEST_CASE(
    "a history that cannot be written keeps nobody from borrowing, says so once, and is made good for") {
    Telling bench;
    bench.made(1);
    bench.asked.fail(true);
    for (int i = 0; i < 3; ++i) {
        const Lease lease = bench.granted();
        const auto returned = bench.give_back(lease.id);
        bench.flush();
        CHECK(returned.as<LeaseReturned>().returned);
        bench.asked.history.go_on();
    }
    REQUIRE(bench.asked.trouble.size() == 1);
    CHECK(bench.asked.trouble[0] == "the disk is full");
    CHECK(bench.asked.ask(bench, {}).is(Refusal::store_failed));
    bench.asked.fail(false);
    // What was not written yet is tried again after a while.
    bench.asked.history.stop();
    CHECK(bench.asked.trouble.size() == 2);
}

TEST_CASE("whoever asks when the server ends is answered so") {
    Telling bench;
    bench.made(1);
    Calls::Call call;
    bench.service->look_back(bench.pool, {}, call.reply());
    bench.flush();
    CHECK_FALSE(call.answered());
    bench.asked.history.drain();
    CHECK(call.is(Refusal::shutting_down));
    CHECK(bench.asked.ask(bench, {}).is(Refusal::shutting_down));
}

TEST_CASE("so many questions at a time, and no more") {
    Telling bench;
    bench.made(1);
    std::vector<Calls::Call> calls(20);
    for (const auto& call : calls)
        bench.service->look_back(bench.pool, {}, call.reply());
    bench.flush();
    CHECK(calls.back().is(Refusal::too_many_questions));
    CHECK_FALSE(calls.front().answered());
    while (bench.asked.history.go_on()) {
    }
    CHECK(calls.front().answered());
}

TEST_CASE("with its thread, what happened is told within moments") {
    Telling bench;
    bench.asked.history.start();
    bench.made(1);
    bench.give_back(bench.granted().id);
    bench.flush();
    std::atomic<bool> is_told{false};
    bench.service->look_back(bench.pool, {}, [&](const Answer& answer) {
        const auto* told = std::get_if<HistoryListed>(&answer);
        is_told = told && told->json->find("returned") != std::string_view::npos;
    });
    bench.flush();
    CHECK(eventually([&] { return is_told.load(); }));
    bench.asked.history.stop();
}

TEST_CASE("what happened before it was asked is told, though something else is being written") {
    Telling bench;
    bench.made(1);
    const Lease lease = bench.granted();
    Calls::Call question;
    bench.asked.during_write([&] {
        bench.give_back(lease.id);
        bench.flush();
        bench.service->look_back(bench.pool, {}, question.reply());
        bench.flush();
    });
    bench.asked.history.go_on();
    bench.asked.history.go_on();
    CHECK(question.as<HistoryListed>().json->find("returned") != std::string_view::npos);
}

TEST_CASE("of a shared pool each server tells what all have done") {
    SharedMemory memory;
    const PoolId id = PoolId::random();
    Server a(memory, id);
    Server b(memory, id);
    Questions asked(memory.clock(), month);
    a.service->keep_history(asked.history);
    b.service->keep_history(asked.history);
    a.made(1);
    const Lease first = a.granted(60s);
    const auto waiting = b.waiting(100s);
    memory.clock().pass(4s);
    a.give_back(first.id);
    a.flush();
    b.flush();
    REQUIRE(waiting.answered());
    // Its end is seen by both.
    memory.clock().pass(100s);
    CHECK(a.in_use() == 0);
    CHECK(b.in_use() == 0);
    for (Server* server : {&a, &b}) {
        const auto leases = asked.leases(*server);
        REQUIRE(leases.size() == 2);
        CHECK(leases[0].how == "expired");
        CHECK(leases[0].waited == 4s);
        CHECK(leases[1].how == "returned");
    }
    a.service.reset();
    b.service.reset();
}
