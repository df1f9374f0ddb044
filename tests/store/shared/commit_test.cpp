#include "server/store/shared/shared_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/fake_engine.hpp"
#include "tests/support/recording_listener.hpp"
#include "tests/support/store_changes.hpp"

// What becomes of commits whose outcome is not known, of connections that end, and of who is overtaken.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;
using Call = FakeEngine::Call;
using Kind = shared::Trouble::Kind;

namespace {

const PoolId pool = PoolId::random();

std::vector<CommitResult> commit(FakeServer& server, const PoolChange& change) {
    return server.store->commit({change}, std::nullopt);
}

/// A change that is tried until it succeeds.
std::vector<CommitResult> attempt(FakeServer& server, PoolChange change) {
    change.attempt = 1;
    return server.store->commit({change}, std::nullopt);
}

}  // namespace

TEST_CASE("a commit that failed is not applied, or was and nobody knows: the store counts as found anew") {
    for (const bool is_applied : {false, true}) {
        FakeStore fake;
        FakeServer here(fake);
        REQUIRE(committed(commit(here, change(pool).to(1).count(4))));
        const auto generation = here.store->generation();
        is_applied ? here.engine->lose_answer(Call::commit) : here.engine->fail(Call::commit);
        const std::string why = failure_text(commit(here, change(pool).from(1).to(2).count(5)));
        CHECK_THAT(why, has_text("the store fake: could not commit: the test"));
        CHECK_FALSE((here.store->reachable() && here.store->generation() == generation));
        fake.settle();
        CHECK(here.store->reachable());
        const LoadResult found = here.store->reload(pool);
        CHECK(std::get<PoolRecord>(found).count == (is_applied ? 5 : 4));
        // It has another version, which no late commit knows.
        CHECK(std::get<PoolRecord>(found).version > 2);
    }
}

TEST_CASE("what is refused leaves the store as it is") {
    FakeStore fake;
    FakeServer here(fake);
    const auto generation = here.store->generation();
    for (const Call call : {Call::commit, Call::load, Call::count, Call::list, Call::reload})
        here.engine->fail(call, Kind::refused);
    CHECK_FALSE(failure_text(commit(here, change(pool).to(1).count(4))).empty());
    CHECK_FALSE(failure_text(here.store->load(pool)).empty());
    CHECK_FALSE(here.store->pool_count());
    CHECK_FALSE(here.store->pools_after(std::nullopt, 1));
    CHECK_FALSE(failure_text(here.store->reload(pool)).empty());
    CHECK(here.store->reachable());
    CHECK(here.store->generation() == generation);
    CHECK(here.engine->times(Call::open) == 1);
}

TEST_CASE("a commit that arrives after a reload is not applied, be the pool there or not") {
    FakeStore fake;
    FakeServer here(fake);
    FakeServer other(fake);
    FakeServer third(fake);
    for (const bool is_there : {true, false}) {
        CAPTURE(is_there);
        const PoolId id = PoolId::random();
        if (is_there) REQUIRE(committed(commit(here, change(id).to(1).count(4))));
        if (!is_there) REQUIRE(absent(*third.store, id));
        here.engine->hold_commit();
        const Version base = is_there ? 1 : 0;
        REQUIRE_FALSE(failure_text(commit(here, change(id).from(base).to(7).count(9))).empty());
        fake.settle();
        const LoadResult found = other.store->reload(id);
        CHECK(stale(here.engine->deliver()));
        const auto* record = std::get_if<PoolRecord>(&found);
        CHECK((record != nullptr) == is_there);
        if (record) CHECK(loaded(*other.store, id).version == record->version);
        CHECK(absent(*other.store, id) != is_there);
        // Whoever learns of the reload may change it.
        const Version now = record ? record->version : 0;
        if (!is_there) REQUIRE(stale(commit(third, change(id).from(0).to(8).count(3))));
        CHECK(committed(commit(third, change(id).from(now).to(now + 1).count(3))));
    }
}

TEST_CASE("a reload is told to those who follow the pool") {
    FakeStore fake;
    FakeServer here(fake);
    FakeServer other(fake);
    RecordingListener listener;
    const Listening listening(*other.store, listener);
    REQUIRE(committed(commit(here, change(pool).to(1).count(4))));
    other.store->follow(pool);
    fake.settle();
    const auto found = here.store->reload(pool);
    fake.settle();
    using Change = RecordingListener::Change;
    CHECK(listener.changes() == std::vector<Change>{{pool, std::get<PoolRecord>(found).version}});
}

TEST_CASE("a stale change says what the pool is, as far as it can be read") {
    FakeStore fake;
    FakeServer here(fake);
    FakeServer other(fake);
    REQUIRE(committed(commit(other, change(pool).to(1).count(4))));
    here.engine->before_commit(
        [&] { REQUIRE(committed(commit(other, change(pool).from(1).to(2).count(6)))); });
    const auto results = commit(here, change(pool).from(1).to(2).count(5));
    REQUIRE(stale(results));
    CHECK(std::get<PoolRecord>(*std::get<Stale>(results[0]).now).count == 6);
}

TEST_CASE("a connection that ended while it was idle is opened anew before it is used") {
    FakeStore fake;
    FakeServer here(fake);
    REQUIRE(committed(commit(here, change(pool).to(1).count(4))));
    const auto generation = here.store->generation();
    fake.advance(1s + 1us);
    here.engine->hang_up();
    CHECK(committed(commit(here, change(pool).from(1).to(2).count(5))));
    CHECK(here.engine->times(Call::open) == 2);
    // What was read before may have been rolled back since.
    CHECK(here.store->generation() > generation);
    CHECK(here.store->reachable());
}

TEST_CASE("a connection that was just used is trusted, and its end is a failure") {
    FakeStore fake;
    FakeServer here(fake);
    REQUIRE(committed(commit(here, change(pool).to(1).count(4))));
    here.engine->hang_up();
    CHECK_FALSE(failure_text(commit(here, change(pool).from(1).to(2).count(5))).empty());
    fake.settle();
    CHECK(committed(commit(here, change(pool).from(1).to(2).count(5))));
}

TEST_CASE("a connection leads to the store as it was last found") {
    FakeStore fake;
    FakeServer here(fake);
    REQUIRE(committed(commit(here, change(pool).to(1).count(4))));
    here.engine->fail(Call::beat);
    fake.advance(250ms);
    CHECK(here.store->reachable());
    CHECK(loaded(*here.store, pool).count == 4);
    CHECK(here.engine->times(Call::open) == 2);
    // One that cannot be opened means that the store is away, and is looked for.
    here.engine->fail(Call::beat);
    fake.advance(250ms);
    const unsigned looks = here.engine->times(Call::connect);
    here.engine->fail(Call::open);
    CHECK_THAT(failure_text(here.store->load(pool)), has_text("the test made it fail"));
    fake.settle();
    CHECK(here.engine->times(Call::connect) == looks + 1);
    CHECK(loaded(*here.store, pool).count == 4);
}

TEST_CASE(
    "a server that comes too late has its turn at once, for which others wait, and each is called in its "
    "order") {
    FakeStore fake;
    FakeServer one(fake);
    FakeServer two(fake);
    FakeServer three(fake);
    RecordingListener second;
    RecordingListener third;
    const Listening two_listens(*two.store, second);
    const Listening three_listens(*three.store, third);
    REQUIRE(committed(attempt(one, change(pool).to(1).count(1))));
    REQUIRE(stale(attempt(one, change(pool).from(9).to(10).count(2))));
    CHECK(one.engine->turn_asked_for().time == 100ms);
    for (FakeServer* late : {&three, &two, &three}) {
        const auto refused = attempt(*late, change(pool).from(1).to(2).count(3));
        REQUIRE(stale(refused));
        CHECK(std::get<Stale>(refused[0]).waits_for_turn);
        CHECK_FALSE(std::get<Stale>(refused[0]).now);
    }
    // Who only asks needs no turn.
    CHECK(committed(attempt(two, change(pool).from(1).to(1))));
    REQUIRE(committed(attempt(one, change(pool).from(1).to(2).count(2))));
    fake.settle();
    using Change = RecordingListener::Change;
    CHECK(third.turns() == std::vector<Change>{{pool, 2}});
    CHECK(second.turns().empty());
    CHECK(stale(attempt(one, change(pool).from(2).to(3).count(3))));
    REQUIRE(committed(attempt(three, change(pool).from(2).to(3).count(3))));
    fake.settle();
    CHECK(second.turns() == std::vector<Change>{{pool, 3}});
    // It has nothing to change: with its question the turn is over.
    REQUIRE(committed(attempt(two, change(pool).from(3).to(3))));
    CHECK(committed(attempt(one, change(pool).from(3).to(4).count(4))));
    CHECK(committed(attempt(three, change(pool).from(4).to(5).count(4))));
}

TEST_CASE("a turn that is not taken passes, and so does the name of a server that is gone") {
    FakeStore fake;
    FakeServer one(fake);
    FakeServer two(fake);
    std::optional<FakeServer> gone(fake);
    RecordingListener second;
    const Listening two_listens(*two.store, second);
    REQUIRE(committed(attempt(one, change(pool).to(1).count(1))));
    REQUIRE(stale(attempt(one, change(pool).from(9).to(10).count(2))));
    REQUIRE(stale(attempt(*gone, change(pool).from(1).to(2).count(3))));
    REQUIRE(stale(attempt(two, change(pool).from(1).to(2).count(3))));
    gone.reset();
    SECTION("the next one is called") {
        REQUIRE(committed(attempt(one, change(pool).from(1).to(2).count(2))));
        fake.settle();
        CHECK(second.turns().size() == 1);
    }
    SECTION("its time is over") {
        fake.advance(100ms - 1us);
        CHECK(stale(attempt(two, change(pool).from(1).to(2).count(3))));
        fake.advance(1us);
        CHECK(committed(attempt(two, change(pool).from(1).to(2).count(3))));
        CHECK(second.turns().empty());
    }
}

TEST_CASE("what is said of the pool with a turn is not believed once the store may have been rolled back") {
    FakeStore fake;
    FakeServer one(fake);
    FakeServer two(fake);
    RecordingListener second;
    const Listening two_listens(*two.store, second);
    REQUIRE(committed(attempt(one, change(pool).to(1).count(1))));
    REQUIRE(loaded(*two.store, pool).count == 1);
    fake.advance(1s + 1us);
    two.engine->hang_up();
    // That its connection ended may mean that the store was started anew.
    REQUIRE(stale(attempt(two, change(pool).from(9).to(10).count(2))));
    REQUIRE(committed(attempt(two, change(pool).from(1).to(2).count(2))));
    REQUIRE(stale(attempt(one, change(pool).from(1).to(2).count(3))));
    REQUIRE(stale(attempt(two, change(pool).from(2).to(3).count(3))));
    REQUIRE(committed(attempt(one, change(pool).from(2).to(3).count(3))));
    fake.settle();
    CHECK(second.turns().empty());
    CHECK(second.times_reached() == 1);
    // From then on it hears with certainty.
    fake.advance(100ms);
    REQUIRE(stale(attempt(one, change(pool).from(2).to(3).count(3))));
    REQUIRE(stale(attempt(two, change(pool).from(3).to(4).count(3))));
    REQUIRE(committed(attempt(one, change(pool).from(3).to(4).count(3))));
    fake.settle();
    CHECK(second.turns().size() == 1);
}

TEST_CASE("a server that is far away asks only where it is overtaken again and again, for up to a second") {
    FakeStore fake;
    FakeServer far(fake);
    REQUIRE(committed(commit(far, change(pool).to(1).count(1))));
    CHECK(far.engine->turn_asked_for().after == 0);
    for (const auto& [way, turn] :
         {std::pair{10ms, 100ms}, std::pair{300ms, 610ms}, std::pair{600ms, 1000ms}}) {
        far.engine->before_commit([&fake, time = way] { fake.advance(time); });
        commit(far, change(pool).from(9).to(9));
        commit(far, change(pool).from(9).to(9));
        CHECK(far.engine->turn_asked_for().time == turn);
        CHECK(far.engine->turn_asked_for().after == (way == 10ms ? 0 : 3));
    }
}

TEST_CASE("all chosen leases are found, each once, over several pages of pools") {
    FakeStore fake;
    FakeServer here(fake);
    std::vector<PoolChange> batch;
    for (int i = 0; i < 250; ++i) {
        HeldSlot slot = some_slot(0);
        slot.chosen = i % 2 == 0;
        HeldSlot second = slot;
        second.position = 1;
        batch.push_back(change(PoolId::random()).to(1).count(2).put(slot).put(second));
    }
    REQUIRE(committed(here.store->commit(batch, std::nullopt)));
    CHECK(here.store->chosen_leases().value().size() == 125);
    CHECK(here.store->pool_count().value() == 250);
    here.engine->fail(Call::load);
    CHECK_FALSE(here.store->chosen_leases());
}

TEST_CASE("nothing is asked for no changes") {
    FakeStore fake;
    FakeServer here(fake);
    CHECK(here.store->commit({}, std::nullopt).empty());
    CHECK(here.engine->times(Call::commit) == 0);
    CHECK_FALSE(here.store->anchor().value());
}
