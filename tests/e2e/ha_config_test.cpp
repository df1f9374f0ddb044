#include "tests/e2e/ha_pair.hpp"
#include "tests/e2e/semad_config.hpp"

// Servers of one store, and pools that their configuration declares.

using namespace sema::test;

TEST_CASE(
    "servers of one store agree on the ids of declared pools, also after a restart of one and of the store") {
    const ConfigFile file("[[pool]]\nname = 'vsim'\ncount = 2\n[[pool]]\nname = 'gpu'\ncount = 1\n");
    Pair pair(file.flags());
    const auto ids = declared_ids(file.flags({"--store", pair.store->url()}));
    REQUIRE(ids.size() == 2);
    for (const auto& [name, id] : ids) {
        CHECK(TestPool(pair.one, id).view().at("name") == name);
        CHECK(TestPool(pair.other, id).view().at("name") == name);
    }
    const Slot slot = TestPool(pair.one, ids.at("gpu")).take();
    REQUIRE(pair.other.terminate() == 0);
    pair.store->kill9();
    pair.store->start();
    pair.other.start();
    CHECK(declared_ids(file.flags({"--store", pair.store->url()})) == ids);
    CHECK(TestPool(pair.other, ids.at("gpu")).returns(slot));
}

TEST_CASE("a raise that one server's file brings serves who waits on the other") {
    const ConfigFile file("[[pool]]\nname = 'vsim'\ncount = 1\n");
    Pair pair(file.flags(one_thread));
    const std::string id = declared_ids(file.flags({"--store", pair.store->url()})).at("vsim");
    const TestPool pool(pair.one, id);
    pool.take();
    RawClient waiter = pair.there(pool).queue_up();
    REQUIRE(shows_waiting(pool, 1));
    file.write("[[pool]]\nname = 'vsim'\ncount = 2\n");
    reload(pair.one);
    CHECK(granted(waiter.receive()).position == 1);
}

TEST_CASE("pools that a shared store could not take are made once it is back") {
    const ConfigFile file;
    Pair pair(file.flags());
    pair.store->kill9();
    file.write("[[pool]]\nname = 'vsim'\ncount = 1\n");
    reload(pair.one, "the pool 'vsim' could not be made what the configuration says: the store failed");
    pair.store->start();
    REQUIRE(pair.one.program().warns("all pools of the configuration are there"));
    const std::string id = declared_ids(file.flags({"--store", pair.store->url()})).at("vsim");
    REQUIRE(eventually([&] { return is_ready(pair.other); }, recovered_within));
    CHECK(TestPool(pair.other, id).count() == 1);
}
