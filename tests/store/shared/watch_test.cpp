#include "server/store/shared/shared_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/fake_engine.hpp"
#include "tests/support/recording_listener.hpp"
#include "tests/support/store_changes.hpp"

// Who lives, who is told of what, and how a store that went away is found again. Time goes on by hand.

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

/// Opens a store whose engine was prepared.
template <class Prepare>
Expected<std::unique_ptr<SharedStore>> open_with(FakeStore& fake, const Prepare& prepare) {
    auto engine = std::make_unique<FakeEngine>(fake);
    prepare(*engine);
    return open_shared_store(std::move(engine));
}

}  // namespace

TEST_CASE("a store whose connection goes while it is being opened is looked at again before it serves") {
    FakeStore fake;
    FakeEngine* engine = nullptr;
    const auto store = open_with(fake, [&](FakeEngine& made) {
        engine = &made;
        // The first look's beat comes about.
        made.fail(Call::beat, Kind::away, 1, 1);
    });
    REQUIRE(store);
    const unsigned looks = engine->times(Call::connect);
    CHECK(looks == 2);
    CHECK((*store)->reachable());
    CHECK((*store)->load(pool).index() == LoadResult(Absent{}).index());
}

TEST_CASE("a server that ends is lost at once, where its end is announced") {
    FakeStore fake;
    FakeServer here(fake);
    RecordingListener listener;
    const Listening listening(*here.store, listener);
    CHECK(here.store->is_lost(ServerId{}));
    CHECK_FALSE(here.store->is_lost(here.store->self()));
    std::optional<FakeServer> other(fake);
    const ServerId id = other->store->self();
    CHECK_FALSE(here.store->is_lost(id));
    other.reset();
    fake.settle();
    CHECK(listener.lost_servers() == std::vector{id});
    CHECK(here.store->is_lost(id));
    CHECK_FALSE(fake.has_heartbeat(id));
}

TEST_CASE("a server whose heartbeat stops is lost between two and a half and three seconds later") {
    FakeStore fake;
    FakeServer here(fake);
    FakeServer dead(fake);
    FakeServer living(fake);
    RecordingListener listener;
    const Listening listening(*here.store, listener);
    CHECK_FALSE(here.store->is_lost(dead.store->self()));
    CHECK_FALSE(here.store->is_lost(living.store->self()));
    fake.advance(10s);
    dead.engine->be_mute();
    fake.advance(2200ms);
    CHECK_FALSE(here.store->is_lost(dead.store->self()));
    fake.advance(600ms);
    CHECK(listener.lost_servers() == std::vector{dead.store->self()});
    CHECK(here.store->is_lost(dead.store->self()));
    CHECK_FALSE(here.store->is_lost(living.store->self()));
    // It was only slow.
    dead.engine->be_mute(false);
    fake.advance(1s);
    CHECK_FALSE(here.store->is_lost(dead.store->self()));
}

TEST_CASE("an end that is not announced is noticed by the heartbeat") {
    FakeStore fake;
    FakeServer here(fake);
    std::optional<FakeServer> other(fake);
    const ServerId id = other->store->self();
    CHECK_FALSE(here.store->is_lost(id));
    other->engine->fail(Call::bury);
    other.reset();
    fake.advance(2s);
    CHECK_FALSE(here.store->is_lost(id));
    fake.advance(800ms);
    CHECK(here.store->is_lost(id));
}

TEST_CASE("nobody is lost because this server could not look") {
    FakeStore fake;
    FakeServer here(fake);
    FakeServer other(fake);
    RecordingListener listener;
    const Listening listening(*here.store, listener);
    CHECK_FALSE(here.store->is_lost(other.store->self()));
    fake.advance(1s);
    SECTION("the store was away for both") {
        here.engine->cut_off();
        other.engine->cut_off();
        fake.advance(30s);
        here.engine->heal();
        fake.advance(1200ms);
        CHECK_FALSE(here.store->is_lost(other.store->self()));
        other.engine->heal();
    }
    SECTION("it did not run") {
        other.engine->be_mute();
        here.engine->stop(30s);
        fake.advance(1200ms);
        CHECK_FALSE(here.store->is_lost(other.store->self()));
        other.engine->be_mute(false);
        // It may have missed something.
        CHECK(listener.times_reached() == 1);
    }
    fake.advance(5s);
    CHECK(listener.lost_servers().empty());
}

TEST_CASE("a change of a pool that is followed is told, once, and not to whom it is from") {
    FakeStore fake;
    FakeServer here(fake);
    FakeServer other(fake);
    RecordingListener listener;
    const Listening listening(*here.store, listener);
    here.store->follow(pool);
    here.store->follow(pool);
    fake.settle();
    CHECK(here.engine->follows(pool));
    REQUIRE(committed(commit(here, change(pool).to(1).count(4))));
    REQUIRE(committed(commit(other, change(PoolId::random()).to(1).count(4))));
    REQUIRE(committed(commit(other, change(pool).from(1).to(1))));
    REQUIRE(committed(commit(other, change(pool).from(1).to(2).count(5))));
    REQUIRE(committed(commit(other, change(pool).from(2).to(0).clear())));
    fake.settle();
    using Change = RecordingListener::Change;
    CHECK(listener.changes() == std::vector<Change>{{pool, 2}, {pool, 0}});
    here.store->unfollow(pool);
    fake.settle();
    CHECK_FALSE(here.engine->follows(pool));
    CHECK(listener.times_reached() == 0);
}

TEST_CASE("whoever follows a pool still does after the subscription ended, and looks again") {
    FakeStore fake;
    FakeServer here(fake);
    FakeServer other(fake);
    RecordingListener listener;
    const Listening listening(*here.store, listener);
    here.store->follow(pool);
    fake.settle();
    const auto generation = here.store->generation();
    here.engine->end_subscription();
    fake.settle();
    CHECK(listener.times_reached() == 1);
    CHECK(here.store->generation() == generation);
    REQUIRE(committed(commit(other, change(pool).to(1).count(4))));
    fake.settle();
    CHECK(listener.changes().size() == 1);
    // Where it cannot be had anew, the store is looked for.
    here.engine->fail(Call::subscribe);
    here.engine->end_subscription();
    fake.settle();
    CHECK(here.store->reachable());
    CHECK(here.store->generation() > generation);
    CHECK(here.engine->follows(pool));
}

TEST_CASE("what was followed while the store was away is followed when it is back") {
    FakeStore fake;
    FakeServer here(fake);
    here.engine->cut_off();
    fake.advance(1s);
    CHECK_FALSE(here.store->reachable());
    here.store->follow(pool);
    const PoolId dropped = PoolId::random();
    here.store->follow(dropped);
    here.store->unfollow(dropped);
    here.engine->heal();
    fake.advance(150ms);
    CHECK(here.store->reachable());
    CHECK(here.engine->follows(pool));
    CHECK_FALSE(here.engine->follows(dropped));
}

TEST_CASE(
    "a store that does not answer the watch is away, says why, and is found again at once when it answers") {
    FakeStore fake;
    FakeServer here(fake);
    RecordingListener listener;
    const Listening listening(*here.store, listener);
    const auto generation = here.store->generation();
    const TimePoint before = here.store->now();
    here.engine->cut_off();
    fake.advance(250ms);
    CHECK_FALSE(here.store->reachable());
    CHECK(here.store->generation() > generation);
    const unsigned asked = here.engine->times(Call::load);
    const std::string why = failure_text(here.store->load(pool));
    CHECK_THAT(why, has_text("the store fake: could not read a pool: it cannot be reached (the test cut it "
                             "off; semad keeps trying)"));
    CHECK(why.find(pool.str()) == std::string::npos);
    CHECK_FALSE(here.store->pool_count());
    CHECK_FALSE(here.store->chosen_leases());
    CHECK(here.engine->times(Call::load) == asked);
    CHECK(listener.times_reached() == 0);
    fake.advance(5s);
    // The time goes on meanwhile.
    CHECK(here.store->now() - before == 5250ms);
    here.engine->heal();
    fake.advance(150ms);
    CHECK(here.store->reachable());
    CHECK(listener.times_reached() == 1);
    CHECK(absent(*here.store, pool));
}

TEST_CASE("each step of finding the store may fail, and is tried again") {
    for (const Call call : {Call::connect, Call::subscribe, Call::beat}) {
        FakeStore fake;
        FakeServer here(fake);
        here.engine->fail(Call::beat);
        fake.advance(250ms);
        // It was found again in the same moment.
        REQUIRE(here.store->reachable());
        here.engine->fail(call, Kind::away, call == Call::beat ? 4 : 3);
        if (call != Call::beat) here.engine->fail(Call::beat);
        fake.advance(250ms + 2 * 150ms - 1us);
        CHECK_FALSE(here.store->reachable());
        fake.advance(150ms);
        CHECK(here.store->reachable());
    }
}

TEST_CASE("a store that is not there when it is opened is looked for during three seconds") {
    FakeStore fake;
    const auto began = fake.wall();
    const auto refused = open_with(fake, [](FakeEngine& engine) { engine.cut_off(); });
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message == "cannot use fake: as a store: the test cut it off");
    CHECK(fake.wall() - began >= 2700ms);
    CHECK(fake.wall() - began <= 3s);

    const auto late = open_with(fake, [](FakeEngine& engine) { engine.fail(Call::connect, Kind::away, 18); });
    CHECK(late);
}

TEST_CASE("a store that somebody has to mend first is refused at once") {
    FakeStore fake;
    const auto began = fake.wall();
    CHECK_FALSE(open_with(fake, [](FakeEngine& engine) { engine.fail(Call::connect, Kind::lasting); }));
    CHECK(fake.wall() == began);
}

TEST_CASE("a store that must not be used yet can be opened, and is not reachable, but its time is known") {
    FakeStore fake;
    fake.be_unsafe();
    FakeServer here(fake);
    CHECK_FALSE(here.store->reachable());
    CHECK_THAT(failure_text(here.store->load(pool)), has_text("the test made it unsafe"));
    CHECK(here.store->unix_time(here.store->now()) == fake.wall());
    fake.be_unsafe(false);
    fake.advance(150ms);
    CHECK(here.store->reachable());
    fake.be_unsafe();
    fake.advance(250ms);
    CHECK_FALSE(here.store->reachable());
    // Its heartbeat is there all the while.
    fake.advance(5s);
    CHECK(fake.has_heartbeat(here.store->self()));
}

TEST_CASE("a run of a server that was started anew at the same place is lost at once, for all") {
    FakeStore fake;
    FakeServer first(fake);
    REQUIRE(first.store->serve_at("here"));
    REQUIRE(first.store->serve_at("here"));
    FakeServer other(fake);
    REQUIRE(other.store->serve_at("there"));
    CHECK(other.store->is_in_use().value());
    REQUIRE_FALSE(other.store->is_lost(first.store->self()));
    const ServerId id = first.store->self();
    first.engine->be_mute();
    FakeServer second(fake);
    REQUIRE(second.store->serve_at("here"));
    fake.settle();
    CHECK(second.store->is_lost(id));
    CHECK(other.store->is_lost(id));
    CHECK_FALSE(second.store->is_lost(other.store->self()));
    // Where that cannot be told, the caller hears of it.
    FakeServer third(fake);
    third.engine->fail(Call::place);
    CHECK_FALSE(third.store->serve_at("here"));
}

TEST_CASE("no listener is called any more once there is none") {
    FakeStore fake;
    FakeServer here(fake);
    RecordingListener listener;
    {
        const Listening listening(*here.store, listener);
        here.engine->end_subscription();
        fake.settle();
        CHECK(listener.times_reached() == 1);
    }
    here.engine->end_subscription();
    fake.settle();
    CHECK(listener.times_reached() == 1);
}
