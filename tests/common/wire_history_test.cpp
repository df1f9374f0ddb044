#include "common/wire_history.hpp"

#include "tests/support/catch.hpp"

using namespace sema;
using namespace std::chrono_literals;

namespace {

const PoolId pool = *PoolId::parse("ba6e3159-788e-4cea-bdef-61f10b78baf9");

}  // namespace

TEST_CASE("a history is written as the reference shows it, and read back") {
    wire::PoolHistory history{.id = pool, .name = "boards", .kept_for = 60};
    history.history.push_back({.position = 1,
                               .positions = {1, 2},
                               .holder = std::make_shared<const Holder>(Holder{"a\"\n", "https://x"}),
                               .fence = 0xffff'ffff'ffff'ffffU,
                               .waited = 1'234'567us,
                               .granted_at_unix = 100,
                               .ended_at_unix = 160,
                               .how = "returned"});
    history.history.push_back({.position = 0, .positions = {0}, .waited = 3s, .how = "expired"});
    const std::string text = wire::to_json(history);
    CHECK(
        text ==
        R"({"id":"ba6e3159-788e-4cea-bdef-61f10b78baf9","name":"boards","kept_for":60,)"
        R"("history":[{"position":1,"positions":[1,2],"holder":{"name":"a\"\n","url":"https://x"},"fence":18446744073709551615,)"
        R"("waited":1.235,"granted_at_unix":100,"ended_at_unix":160,"how":"returned"},{"position":0,)"
        R"("positions":[0],"holder":null,"fence":0,"waited":3,"granted_at_unix":0,"ended_at_unix":0,)"
        R"("how":"expired"}]})");
    const auto read = wire::parse_pool_history(text);
    REQUIRE(read);
    CHECK(wire::to_json(*read) == text);
}

TEST_CASE("statistics are written as the reference shows them, and read back") {
    wire::PoolStatistics statistics{.id = pool,
                                    .kept_for = 0,
                                    .count = 2,
                                    .since_unix = 10,
                                    .until_unix = 20,
                                    .step = 1,
                                    .granted = 3,
                                    .refusals = 4};
    statistics.use.push_back({10, 2, 1.23456, 0});
    statistics.waits = {0s, 2500ms, 1h};
    statistics.holders.push_back({std::nullopt, 3, 61s});
    statistics.what_if.push_back({.count = 1, .refusals = 9});
    const std::string text = wire::to_json(statistics);
    CHECK(
        text ==
        R"({"id":"ba6e3159-788e-4cea-bdef-61f10b78baf9","name":null,"kept_for":0,"count":2,"since_unix":10,)"
        R"("until_unix":20,"step":1,"use":[{"at_unix":10,"count":2,"in_use":1.235,"queue":0}],)"
        R"("waits":{"granted":3,"p50":0,"p95":2.5,"max":3600},"refusals":4,)"
        R"("holders":[{"name":null,"leases":3,"held":61}],)"
        R"("what_if":[{"count":1,"waits":{"p50":null,"p95":null,"max":null},"refusals":9}]})");
    const auto read = wire::parse_pool_statistics(text);
    REQUIRE(read);
    CHECK(wire::to_json(*read) == text);
}

TEST_CASE("a server that does not say for how long it keeps a history is understood") {
    for (const std::optional<std::int64_t> kept_for :
         {std::optional<std::int64_t>(), std::optional<std::int64_t>(7)}) {
        const std::string history = wire::to_json(wire::PoolHistory{.id = pool, .kept_for = kept_for});
        const std::string statistics = wire::to_json(wire::PoolStatistics{.id = pool, .kept_for = kept_for});
        CHECK((history.find("kept_for") != history.npos) == kept_for.has_value());
        CHECK((statistics.find("kept_for") != statistics.npos) == kept_for.has_value());
        CHECK(wire::parse_pool_history(history).value().kept_for == kept_for);
        CHECK(wire::parse_pool_statistics(statistics).value().kept_for == kept_for);
    }
}

TEST_CASE("what is no history and what are no statistics is refused") {
    for (const char* const body :
         {"", "[]", "{}", R"({"id":"x","name":null,"history":[]})",
          R"({"id":"ba6e3159-788e-4cea-bdef-61f10b78baf9","name":null})",
          R"({"id":"ba6e3159-788e-4cea-bdef-61f10b78baf9","name":null,"history":null})",
          R"({"id":"ba6e3159-788e-4cea-bdef-61f10b78baf9","name":null,"history":[{}]})",
          R"({"id":"ba6e3159-788e-4cea-bdef-61f10b78baf9","name":5,"history":[]})",
          R"({"id":"ba6e3159-788e-4cea-bdef-61f10b78baf9","name":null,"history":[{"position":-1}]})"}) {
        CAPTURE(body);
        CHECK_FALSE(wire::parse_pool_history(body));
        CHECK_FALSE(wire::parse_pool_statistics(body));
    }
}
