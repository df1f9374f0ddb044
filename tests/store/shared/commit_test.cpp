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

TEST_CASE("who was overtaken three times asks for a turn, of a tenth of a second where the way is short") {
    FakeStore fake;
    FakeServer far(fake);
    FakeServer near(fake);
    REQUIRE(committed(commit(near, change(pool).to(1).count(1))));
    PoolChange late = change(pool).from(9).to(10).count(2);
    late.overtaken = 3;
    CHECK(stale(commit(far, late)));
    CHECK(far.engine->turn_asked_for() == 100ms);
    CHECK(stale(commit(near, change(pool).from(1).to(2).count(3))));
    late.base = 1;
    CHECK(committed(commit(far, late)));
    CHECK(committed(commit(near, change(pool).from(10).to(11).count(3))));
}

TEST_CASE("a way that is long makes a turn long, up to a second") {
    FakeStore fake;
    FakeServer far(fake);
    for (const auto& [way, turn] : {std::pair{300ms, 610ms}, std::pair{600ms, 1000ms}}) {
        far.engine->before_commit([&] { fake.advance(way); });
        commit(far, change(pool).from(9).to(9));
        commit(far, change(pool).from(9).to(9));
        CHECK(far.engine->turn_asked_for() == turn);
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
