#include "tests/e2e/ha_pair.hpp"

#include <string>
#include <vector>

// A store that forgets: somebody empties it, or it goes back to an earlier moment, as where a replica that
// was behind takes over, or where a backup is put in its place.

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

/// Returns once it is a replica that has all that the primary has.
void follow(const RedisServer& redis, const RedisServer& primary) {
    redis.command({"REPLICAOF", "127.0.0.1", std::to_string(primary.port())});
    REQUIRE(eventually([&] {
        const std::string info = redis.command({"INFO", "replication"})[0];
        return info.find("master_link_status:up\r\n") != std::string::npos;
    }));
    // What the primary had meanwhile comes in the order in which it was done.
    const std::string mark = new_lease();
    primary.command({"SET", "mark", mark});
    REQUIRE(eventually([&] { return redis.command({"GET", "mark"})[0] == mark; }));
}

RedisOptions replicated() {
    RedisOptions options = store_options();
    options.config.emplace_back("repl-diskless-sync-delay 0");
    return options;
}

/// Two semads over one Redis that can go back to an earlier moment.
struct Forgetful : RedisPair {
    Forgetful() : RedisPair(one_thread, replicated()), replica(replicated()) {}

    /// What the store has now is what it goes back to.
    void remember() {
        follow(replica, redis);
        replica.command({"REPLICAOF", "NO", "ONE"});
    }
    /// As the replica's data take the place of the store's. Neither the store's name for itself changes by
    /// that, nor are connections to it lost.
    void go_back() {
        follow(redis, replica);
        REQUIRE(eventually([&] { return !is_ready(one) && !is_ready(other); }));
        redis.command({"REPLICAOF", "NO", "ONE"});
        REQUIRE(eventually([&] { return is_ready(one) && is_ready(other); }));
    }

    RedisServer replica;
};

}  // namespace

TEST_CASE(
    "who waits for a slot of a store that is emptied is told that within a second, a holder when it asks",
    "[redis]") {
    RedisPair pair(one_thread);
    const TestPool pool(pair.one, 2);
    const TestPool there = pair.there(pool);
    const Slot first = pool.take();
    const Slot second = there.take();
    RawClient waiter_here = queue_up_and_be_seen(pool, there, named("here"));
    RawClient waiter_there = queue_up_and_be_seen(there, pool, named("there"));
    EventStream events(there);
    CHECK(events.next_state().at("in_use") == 2);
    pair.redis.command({"FLUSHALL"});
    const Stopwatch since_emptied;
    CHECK(waiter_here.receive().status == 404);
    CHECK(waiter_there.receive().status == 404);
    CHECK(since_emptied.elapsed() < 1s + told_of_failure_within);
    CHECK(events.next().name == "deleted");
    CHECK_FALSE(pool.renews(first, 60));
    CHECK_FALSE(there.returns(second));
    CHECK(pool.borrow(R"({"ttl":60})").status == 404);
    CHECK(there.get().status == 404);
    CHECK(is_ready(pair.one));
    CHECK(is_ready(pair.other));
}

TEST_CASE("a pool that is made again in a store that was emptied is lent as any other, through all servers",
          "[redis]") {
    RedisPair pair(one_thread);
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    const Grant lost = there.take_with({{"slots", 1}});
    CHECK(pool.in_use() == 1);
    pair.redis.command({"FLUSHALL"});
    there.set_count(1);
    const Grant grant = pool.take_with({{"slots", 1}});
    CHECK(grant.fence > lost.fence);
    CHECK(there.borrow(R"({"ttl":60})").status == 409);
    CHECK_FALSE(there.renews(lost, 60));
    CHECK_FALSE(there.returns(lost));
    RawClient waiter = queue_up_and_be_seen(there, pool, named("waiter"));
    CHECK(pool.returns(grant));
    CHECK(fully_granted(waiter.receive()).fence > grant.fence);
    // The servers watch over each other as before.
    const RawClient dead = queue_up_and_be_seen(pool, there, named("dead"));
    RawClient next = queue_up_and_be_seen(there, pool, named("next"));
    pair.one.kill9();
    const Stopwatch since_killed;
    CHECK(there.revokes(0));
    CHECK(fully_granted(next.receive()).position == 0);
    CHECK(since_killed.elapsed() < taken_out_within);
}

TEST_CASE("a store that went back lends what it knows to be free, once, and servers give no fence again",
          "[redis]") {
    Forgetful pair;
    const TestPool pool(pair.one, 3);
    const TestPool there = pair.there(pool);
    const Grant kept = pool.take_with({{"slots", 1}});
    const Grant returned = there.take_with({{"slots", 1}});
    const TestPool removed(pair.one, 1);
    pair.remember();
    removed.remove();
    const TestPool made(pair.one, 1);
    CHECK(pool.returns(returned));
    Grant lost = there.take_with({{"slots", 1}});
    REQUIRE(there.returns(lost));
    lost = there.take_with({{"slots", 1}});
    pair.go_back();
    CHECK(removed.count() == 1);
    CHECK(made.get().status == 404);
    // Of the leases it has those of before, and no others.
    CHECK(there.renews(kept, 60));
    CHECK_FALSE(pool.renews(lost, 60));
    CHECK_FALSE(there.returns(lost));
    CHECK(pool.in_use() == 2);
    const Grant next = there.take_with({{"slots", 1}});
    CHECK(next.position == 2);
    CHECK(next.fence > lost.fence);
    CHECK(pool.borrow(R"({"ttl":60})").status == 409);
    CHECK(there.borrow(R"({"ttl":60})").status == 409);
    // Its holder is gone, so that only its time would end it.
    CHECK(pool.returns(returned));
    CHECK(pool.take_with({{"slots", 1}}).fence > next.fence);
}

TEST_CASE("a pool that is put back beneath the servers is not lent twice", "[redis]") {
    RedisPair pair;
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    const std::string key = "sema:{" + pool.id() + "}";
    pair.redis.command({"COPY", key, "backup"});
    REQUIRE(pool.returns(pool.take()));
    pair.redis.command({"COPY", "backup", key, "REPLACE"});
    const Slot slot = there.take();
    REQUIRE(there.renews(slot, 60));
    CHECK_FALSE(pool.takes_one());
    CHECK(there.returns(slot));
}

TEST_CASE("a waiter that is in the queue again of a store that went back keeps no slot from others",
          "[redis]") {
    Forgetful pair;
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    const Slot slot = pool.take();
    RawClient left = queue_up_and_be_seen(there, pool, named("left"));
    pair.remember();
    left.close();
    REQUIRE(shows_waiting(pool, 0));
    pair.go_back();
    CHECK(eventually([&] { return pool.returns(slot); }, recovered_within));
    CHECK(eventually([&] { return pool.takes_one(); }, recovered_within));
}

TEST_CASE("who waits while a store goes back waits on, in the order of before", "[redis]") {
    Forgetful pair;
    const TestPool pool(pair.one, 1);
    const TestPool there = pair.there(pool);
    const Grant slot = pool.take_with({{"slots", 1}});
    RawClient before = queue_up_and_be_seen(pool, there, named("before"));
    RawClient left = queue_up_and_be_seen(there, pool, named("left"));
    pair.remember();
    left.close();
    REQUIRE(shows_waiting(pool, 1));
    RawClient after = queue_up_and_be_seen(there, pool, named("after"));
    pair.go_back();
    CHECK(eventually(
        [&] {
            return names_in_queue(pool) == std::vector<std::string>{"before", "after"};
        },
        recovered_within));
    CHECK(there.returns(slot));
    const Grant first = fully_granted(before.receive());
    CHECK(pool.returns(first));
    CHECK(fully_granted(after.receive()).fence > first.fence);
}
