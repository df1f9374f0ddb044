#include "server/declared_pools.hpp"

#include "server/reload.hpp"
#include "server/store/memory/memory_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/manual_clock.hpp"

#include <future>

using namespace sema;
using namespace sema::test;

namespace {

DeclaredPool declared(const std::string& name, unsigned count = 1) {
    return {.place = "f:1: pool", .count_place = {}, .count = count, .settings = {.name = name}};
}

}  // namespace

TEST_CASE("an id that is made for a name is the same wherever the seed is, and a proper UUID") {
    // printf vsim | openssl dgst -sha256 -hmac seed, with version and variant put in.
    CHECK(id_from("seed", "vsim").str() == "86bfac1b-0715-8b57-b1e1-be6d6a73e06b");
    CHECK_FALSE(id_from("seed", "vsim") == id_from("seed", "vsin"));
    CHECK_FALSE(id_from("seed", "vsim") == id_from("other", "vsim"));
    const std::string id = id_from(fresh_seed(), "vsim").str();
    CHECK(id[14] == '8');
    CHECK(std::string("89ab").find(id[19]) != std::string::npos);
    CHECK_FALSE(fresh_seed() == fresh_seed());
}

TEST_CASE("pools without an id get one, and others keep theirs") {
    DeclaredPool own = declared("own");
    own.id = PoolId::random();
    CHECK_FALSE(need_seed({own}));
    CHECK(need_seed({own, declared("vsim")}));
    CHECK(with_ids({own}, std::nullopt)->front().id == own.id);
    const auto both = with_ids({own, declared("vsim")}, "seed");
    CHECK(both->at(0).id == own.id);
    CHECK(both->at(1).id == id_from("seed", "vsim"));
    own.id = id_from("seed", "vsim");
    CHECK(with_ids({own, declared("vsim")}, "seed").error().message.find("the pool 'own' has the same id") !=
          std::string::npos);
}

TEST_CASE("what could not be brought about is told for each pool") {
    const auto store = make_memory_store();
    ManualClock clock;
    ServiceLimits limits;
    limits.max_pools = 1;
    Service service(*store, clock, limits);
    service.start();
    const auto pools = with_ids({declared("first"), declared("second")}, "seed").value();
    // Which of the two is the one too many is up to the service.
    const auto troubles = bring_about(service, pools);
    REQUIRE(troubles.size() == 1);
    CHECK_THAT(troubles[0].trouble,
               Catch::Matchers::StartsWith("the pool '") &&
                   Catch::Matchers::EndsWith("' could not be made what the configuration says: there "
                                             "are as many pools as --max-pools allows"));
    limits.max_pools = 2;
    service.set_limits(limits);
    CHECK(bring_about(service, pools).empty());
    service.stop();
    CHECK(store->pool_count().value() == 2);
}

TEST_CASE("a pool that cannot be made has no other one undone that was changed meanwhile") {
    const auto store = make_memory_store();
    ManualClock clock;
    ServiceLimits limits;
    limits.max_pools = 1;
    Service service(*store, clock, limits);
    service.start();
    boost::asio::io_context context;
    std::vector<std::string> reports;
    const auto note = [&](const std::string& report) { reports.push_back(report); };
    PoolKeeper keeper(context, service, note, std::chrono::milliseconds(1));
    const auto pools = with_ids({declared("first"), declared("second")}, "seed").value();
    keeper.keep(pools);
    REQUIRE(reports.size() == 1);
    const bool is_first = reports[0].find("'second'") != std::string::npos;
    DeclaredPool changed = pools[is_first ? 0 : 1];
    changed.count = 7;
    CHECK(bring_about(service, {changed}).empty());
    limits.max_pools = 2;
    service.set_limits(limits);
    REQUIRE(context.run_one() == 1);
    CHECK(reports.back().empty());
    std::promise<std::size_t> count;
    service.inspect(*changed.id,
                    [&](const Answer& answer) { count.set_value(std::get<PoolCounts>(answer).count); });
    while (service.settle()) {
    }
    CHECK(count.get_future().get() == 7);
    service.stop();
}

TEST_CASE("pools that are gone are named, a pool under a new name is not") {
    const auto before = with_ids({declared("a"), declared("b")}, "seed").value();
    DeclaredPool renamed = before[0];
    renamed.settings.name = "c";
    CHECK(missing_names(before, {renamed}) == std::vector<std::string>{"b"});
}

TEST_CASE("a reload takes nothing where one part cannot take it") {
    std::vector<std::string> log;
    bool is_right = false;
    Reload reload;
    for (const std::string part : {"first", "second"}) {
        reload.add([&log, &is_right, part](const Options&) -> Expected<Reload::Apply> {
            log.push_back("prepare " + part);
            if (part == "second" && !is_right) return failure("second is wrong");
            return [&log, part] { log.push_back("take " + part); };
        });
    }
    CHECK(reload.take(Options()).error().message == "second is wrong");
    CHECK(log == std::vector<std::string>{"prepare first", "prepare second"});
    log.clear();
    is_right = true;
    CHECK(reload.take(Options()));
    CHECK(log == std::vector<std::string>{"prepare first", "prepare second", "take first", "take second"});
}

TEST_CASE("settings that a reload does not take are told apart by what was given") {
    Options before;
    before.kept = {{"listen", {"a:1"}}, {"threads", {"1"}}, {"store", {"memory:"}}};
    Options after;
    after.kept = {{"listen", {"a:1", "b:2"}}, {"store", {"memory:"}}, {"socket-mode", {"600"}}};
    CHECK(changed_but_kept(before, after) == std::vector<std::string>{"listen", "socket-mode", "threads"});
    CHECK(changed_but_kept(before, before).empty());
}
