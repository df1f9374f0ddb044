#include "common/pool_settings.hpp"

#include "tests/support/catch.hpp"

#include <set>

using namespace std::chrono_literals;
using namespace sema;

TEST_CASE("the table of settings has every setting, once in each format") {
    std::set<std::string> fields;
    std::set<std::string> columns;
    std::set<unsigned> places;
    for_each_setting([&](const auto& setting) {
        fields.insert(setting.field);
        columns.insert(setting.column);
        places.insert(setting.row_place);
    });
    // One more setting does not compile here, until it is named.
    [[maybe_unused]] const auto [name, cooldown, renewable, payloads, pick] = PoolSettings();
    [[maybe_unused]] const auto [new_name, new_cooldown, new_renewable, new_payloads, new_pick] =
        SettingsChange();
    const std::size_t count = 5;
    CHECK(std::tuple_size_v<decltype(pool_settings)> == count);
    CHECK(fields.size() == count);
    CHECK(columns.size() == count);
    CHECK(places.size() == count);
    CHECK(*places.rbegin() == count - 1);
}

TEST_CASE("a change replaces what it names") {
    const PoolSettings before{.name = "boards", .cooldown = 5s, .renewable = false, .payloads = {"\"a\""}};
    CHECK(changed(before, {}) == before);
    CHECK_FALSE(is_any({}));
    const SettingsChange change{.name = "", .cooldown = 0s};
    CHECK(is_any(change));
    CHECK(changed(before, change) == PoolSettings{.renewable = false, .payloads = {"\"a\""}});
}

TEST_CASE("a setting that is a word is one of those that there are") {
    CHECK(word_of(Pick::lowest) == "lowest");
    CHECK(word_of(Pick::idle) == "idle");
    CHECK(parse_word<Pick>("lowest") == Pick::lowest);
    CHECK(parse_word<Pick>("idle") == Pick::idle);
    for (const char* other : {"", "Idle", "idle ", "idl", "highest"})
        CHECK_FALSE(parse_word<Pick>(other));
    CHECK(choice_of<Pick>() == "lowest or idle");
}
