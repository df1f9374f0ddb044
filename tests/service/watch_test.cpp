#include "tests/service/bench.hpp"

// What those who watch a pool are shown, and when.

using namespace std::chrono_literals;
using namespace sema;
using sema::test::Bench;

namespace {

/// Longer than any pause between two views here.
constexpr auto a_while = 1s;

/// Somebody who watches, and what it was shown.
struct Watcher {
    explicit Watcher(Bench& bench) : ticket(bench.service->next_ticket()) {
        bench.service->watch(bench.pool, ticket,
                             [into = answers](const Answer& answer) { into->push_back(answer); });
    }

    std::size_t view_count() const { return answers->size(); }
    const PoolView& view(std::size_t number) const {
        REQUIRE(number < view_count());
        const auto* shown = std::get_if<std::shared_ptr<const PoolView>>(&answers->at(number));
        REQUIRE(shown);
        return **shown;
    }
    const PoolView& latest() const { return view(view_count() - 1); }
    bool was_told(Refusal refusal) const {
        if (answers->empty()) return false;
        const auto* given = std::get_if<Refusal>(&answers->back());
        return given && *given == refusal;
    }

    std::shared_ptr<std::vector<Answer>> answers = std::make_shared<std::vector<Answer>>();
    Ticket ticket;
};

}  // namespace

TEST_CASE("who watches is shown the pool at once, and again after each change once that is stored") {
    Bench bench;
    bench.made(2);
    const Watcher watcher(bench);
    REQUIRE(watcher.view_count() == 1);
    CHECK(watcher.latest().in_use == 0);
    bench.borrow();
    CHECK(watcher.view_count() == 1);
    bench.flush();
    REQUIRE(watcher.view_count() == 2);
    CHECK(watcher.latest().in_use == 1);
    CHECK(watcher.latest().revision > watcher.view(0).revision);
    bench.pass(a_while);
    CHECK(watcher.view_count() == 2);
    bench.put({.count = 2, .settings = {.name = "seats"}});
    bench.flush();
    REQUIRE(watcher.view_count() == 3);
    CHECK(watcher.latest().settings->name == "seats");
}

TEST_CASE("the first view waits for what it shows to be stored") {
    Bench bench;
    bench.made(1);
    bench.borrow();
    const Watcher watcher(bench);
    CHECK(watcher.view_count() == 0);
    bench.flush();
    CHECK(watcher.view(0).in_use == 1);
}

TEST_CASE("what happens in the queue is shown though nothing of it is stored") {
    Bench bench;
    bench.made(0);
    const Watcher watcher(bench);
    const auto waiter = bench.borrow(60s, 300s);
    bench.flush();
    REQUIRE(watcher.view_count() == 2);
    CHECK(watcher.latest().queue.size() == 1);
    bench.pass(a_while);
    bench.service->leave(bench.pool, waiter.ticket);
    bench.flush();
    REQUIRE(watcher.view_count() == 3);
    CHECK(watcher.latest().queue.empty());
}

TEST_CASE("what changes nothing is not shown") {
    Bench bench;
    bench.made(1);
    const Watcher watcher(bench);
    bench.put(1);
    bench.inspect();
    bench.holders();
    bench.borrow(60s).is(Refusal::no_resource);
    bench.flush();
    const auto view_count = watcher.view_count();
    bench.pass(a_while);
    bench.borrow(60s);
    bench.flush();
    CHECK(watcher.view_count() == view_count);
}

TEST_CASE("changes in quick succession are shown together, the last one always") {
    Bench bench;
    bench.made(10);
    const Watcher watcher(bench);
    bench.borrow();
    bench.flush();
    REQUIRE(watcher.view_count() == 2);
    for (int i = 0; i < 5; ++i) {
        bench.borrow();
        bench.flush();
    }
    CHECK(watcher.view_count() == 2);
    // Nobody does anything any more.
    bench.pass(a_while);
    REQUIRE(watcher.view_count() == 3);
    CHECK(watcher.latest().in_use == 6);
}

TEST_CASE("a queue that changes in quick succession is shown in the end") {
    Bench bench;
    bench.made(0);
    const Watcher watcher(bench);
    for (int i = 0; i < 5; ++i) {
        bench.borrow(60s, 300s);
        bench.flush();
    }
    CHECK(watcher.view_count() == 2);
    bench.pass(a_while);
    REQUIRE(watcher.view_count() == 3);
    CHECK(watcher.latest().queue.size() == 5);
}

TEST_CASE("an expiry is shown in its time, though nobody waits") {
    Bench bench;
    bench.made(1);
    bench.granted(10s);
    const Watcher watcher(bench);
    bench.pass(10s - 1us);
    CHECK(watcher.view_count() == 1);
    bench.pass(1us);
    REQUIRE(watcher.view_count() == 2);
    CHECK(watcher.latest().in_use == 0);
}

TEST_CASE("a slot that has rested is shown in its time") {
    Bench bench;
    bench.put({.count = 1, .settings = {.cooldown = 10s}});
    bench.give_back(bench.granted().id);
    bench.flush();
    const Watcher watcher(bench);
    CHECK(watcher.latest().available == 0);
    bench.pass(10s - 1us);
    CHECK(watcher.view_count() == 1);
    bench.pass(1us);
    REQUIRE(watcher.view_count() == 2);
    CHECK(watcher.latest().available == 1);
}

TEST_CASE("all who watch are shown the same, whenever they came") {
    Bench bench;
    bench.made(5);
    const Watcher first(bench);
    bench.borrow();
    bench.flush();
    const Watcher second(bench);
    REQUIRE(second.view_count() == 1);
    CHECK(second.latest().in_use == 1);
    bench.pass(a_while);
    bench.borrow();
    bench.flush();
    CHECK(first.latest().in_use == 2);
    CHECK(second.latest().in_use == 2);
    CHECK(first.view_count() == 3);
    CHECK(second.view_count() == 2);
}

TEST_CASE("who stops watching is shown nothing more, and the others are") {
    Bench bench;
    bench.made(5);
    const Watcher first(bench);
    const Watcher second(bench);
    CHECK(bench.service->leave(bench.pool, first.ticket));
    CHECK_FALSE(bench.service->leave(bench.pool, first.ticket));
    bench.borrow();
    bench.flush();
    CHECK(first.view_count() == 1);
    CHECK(second.view_count() == 2);
    CHECK(bench.service->leave(bench.pool, second.ticket));
    bench.pass(a_while);
    bench.borrow();
    bench.flush();
    CHECK(second.view_count() == 2);
    // Nothing of them stays behind.
    CHECK(first.answers.use_count() == 1);
    CHECK(second.answers.use_count() == 1);
}

TEST_CASE("who stops watching before the pool was loaded is not kept") {
    Bench bench;
    bench.made(1);
    bench.restart();
    const Watcher watcher(bench);
    bench.service->leave(bench.pool, watcher.ticket);
    bench.flush();
    const auto view_count = watcher.view_count();
    bench.borrow();
    bench.flush();
    bench.pass(a_while);
    CHECK(watcher.view_count() == view_count);
    CHECK(watcher.answers.use_count() == 1);
}

TEST_CASE("a change that could not be stored is not shown, and what is stored is shown then") {
    Bench bench;
    bench.made(2);
    const Watcher watcher(bench);
    bench.faults->fail_commits(1);
    bench.borrow();
    bench.flush();
    bench.pass(a_while);
    REQUIRE(watcher.view_count() >= 2);
    for (std::size_t i = 1; i + 1 < watcher.view_count(); ++i)
        CHECK(std::get<Refusal>(watcher.answers->at(i)) == Refusal::store_failed);
    CHECK(watcher.latest().in_use == 0);
    CHECK(watcher.latest().revision > watcher.view(0).revision);
    bench.pass(a_while);
    bench.borrow();
    bench.flush();
    CHECK(watcher.latest().in_use == 1);
}

TEST_CASE("who watches learns that the pool was deleted, once that is stored, and is forgotten") {
    Bench bench;
    bench.made(1);
    const Watcher watcher(bench);
    bench.remove();
    CHECK(watcher.view_count() == 1);
    bench.flush();
    REQUIRE(watcher.view_count() == 2);
    CHECK(watcher.was_told(Refusal::no_such_pool));
    bench.made(1);
    bench.pass(a_while);
    bench.borrow();
    bench.flush();
    CHECK(watcher.view_count() == 2);
    CHECK(watcher.answers.use_count() == 1);
}

TEST_CASE("a pool deleted and made again in one go is another one to who watched") {
    Bench bench;
    bench.made(1);
    const Watcher watcher(bench);
    bench.remove();
    bench.put(2);
    const Watcher newcomer(bench);
    bench.flush();
    REQUIRE(watcher.view_count() == 2);
    CHECK(watcher.was_told(Refusal::no_such_pool));
    CHECK(newcomer.latest().count == 2);
}

TEST_CASE("who watches a pool whose deletion failed hears of no deletion, and waits for no more") {
    Bench bench;
    bench.made(1);
    const Watcher watcher(bench);
    bench.faults->fail_commits(1);
    bench.remove();
    bench.flush();
    CHECK(watcher.was_told(Refusal::watch_lost));
    CHECK(watcher.answers.use_count() == 1);
    const Watcher again(bench);
    CHECK(again.latest().count == 1);
}

TEST_CASE("who watches a pool that cannot be read any more hears of no deletion") {
    Bench bench;
    bench.made(1);
    const Watcher watcher(bench);
    bench.faults->fail_commits(1);
    bench.faults->fail_loads();
    bench.borrow();
    bench.flush();
    CHECK(watcher.was_told(Refusal::watch_lost));
    CHECK(watcher.answers.use_count() == 1);
    bench.faults->heal();
    CHECK(bench.in_use() == 0);
}

TEST_CASE("there is nothing to watch where there is no pool, or none that could be stored") {
    Bench bench;
    const Watcher early(bench);
    bench.flush();
    CHECK(early.was_told(Refusal::no_such_pool));
    bench.faults->fail_commits(1);
    bench.put(1);
    const Watcher watcher(bench);
    bench.flush();
    CHECK((watcher.was_told(Refusal::no_such_pool) || watcher.was_told(Refusal::store_failed)));
    CHECK(watcher.answers.use_count() == 1);
}

TEST_CASE("draining tells those who watch") {
    Bench bench;
    bench.made(1);
    const Watcher watcher(bench);
    bench.service->drain();
    CHECK(watcher.was_told(Refusal::shutting_down));
    CHECK(watcher.answers.use_count() == 1);
    const Watcher late(bench);
    CHECK(late.was_told(Refusal::shutting_down));
}

TEST_CASE("who came to watch while the pool was being read hears of a drain too") {
    Bench bench;
    bench.made(1);
    bench.restart();
    const Watcher watcher(bench);
    bench.service->drain();
    bench.flush();
    CHECK(watcher.was_told(Refusal::shutting_down));
    CHECK(watcher.answers.use_count() == 1);
}

TEST_CASE("the holders are listed by position, the queue by rank") {
    Bench bench;
    bench.made(2);
    const Lease first = bench.granted();
    const Lease second = bench.granted();
    bench.give_back(first.id);
    const Lease third = bench.granted();
    const LeaseId low = LeaseId::random();
    const LeaseId high = LeaseId::random();
    for (const auto& [id, priority] : {std::pair{low, -1}, {high, 1}}) {
        bench.service->borrow(bench.pool, bench.service->next_ticket(),
                              {60s, 300s, id, 1, priority, nullptr, true}, [](const Answer&) {});
    }
    const auto look = bench.holders();
    bench.flush();
    const auto view = look.as<std::shared_ptr<const PoolView>>();
    REQUIRE(view->leases.size() == 2);
    CHECK(view->leases[0].id == third.id);
    CHECK(view->leases[1].id == second.id);
    REQUIRE(view->queue.size() == 2);
    CHECK(view->queue[0].claim.lease == high);
    CHECK(view->queue[1].claim.lease == low);
}

TEST_CASE("the holders are not listed before what is listed is stored, and not where there is no pool") {
    Bench bench;
    const auto nowhere = bench.holders();
    bench.flush();
    CHECK(nowhere.is(Refusal::no_such_pool));
    bench.made(1);
    bench.borrow();
    const auto look = bench.holders();
    CHECK_FALSE(look.answered());
    bench.flush();
    CHECK(look.answered());
}
