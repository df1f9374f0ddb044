#include "tests/server/parsing.hpp"

#include <chrono>

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

constexpr const char* some_id = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";

std::vector<DeclaredPool> pools_of(const std::string& text) {
    const ConfigText file(text);
    return options({"--config", file.path()}).pools;
}

// What is refused of a pool with a name and a count, which stand in lines 2 and 3, and this.
std::string refusal_of(const std::string& text) {
    const ConfigText file("[[pool]]\nname = 'vsim'\ncount = 4\n" + text);
    std::string message = refusal({"--config", file.path()});
    CHECK_THAT(message, !has_text("9f1c2e7a"));
    return message.starts_with(file.path()) ? message.substr(file.path().size()) : message;
}

std::string refusal_of_all(const std::string& text) {
    const ConfigText file(text);
    std::string message = refusal({"--config", file.path()});
    return message.starts_with(file.path()) ? message.substr(file.path().size()) : message;
}

}  // namespace

TEST_CASE("a declared pool has all settings that pools have") {
    const auto pools = pools_of(R"(
[[pool]]
name = " vsim "
id = "9F1C2E7A-5B3D-4C8E-A1F0-6D2B9C4E7A01"
count = 2
slots = ["27000@lic1", { host = "lic2", port = 27000, up = true, tags = ["a", 1.5] }, "spare"]
cooldown = "5s"
renewable = false
pick = "idle"

[[pool]]
name = "gpu"
count = 0
)");
    REQUIRE(pools.size() == 2);
    CHECK(pools[0].name() == "vsim");
    CHECK(pools[0].id == PoolId::parse(some_id));
    CHECK(pools[0].count == 2);
    CHECK(pools[0].settings.payloads ==
          std::vector<Payload>{R"("27000@lic1")",
                               R"({"host":"lic2","port":27000,"tags":["a",1.5],"up":true})", R"("spare")"});
    CHECK(pools[0].settings.cooldown == 5s);
    CHECK_FALSE(pools[0].settings.renewable);
    CHECK(pools[0].settings.pick == Pick::idle);
    CHECK(pools[1].settings == PoolSettings{.name = "gpu"});
    CHECK_FALSE(pools[1].id);
}

TEST_CASE("a pool's id may stand in a file of its own") {
    const ConfigText id(std::string("\n ") + some_id + "\n");
    const auto pools = pools_of("[[pool]]\nname = 'a'\ncount = 1\nid-file = '" + id.path() + "'");
    CHECK(pools.at(0).id == PoolId::parse(some_id));
}

TEST_CASE("what is wrong with a declared pool is named by file, line and key") {
    CHECK(refusal_of("cuont = 3") ==
          ":4: pool.cuont: a pool has no such setting (there are: id, id-file, count, name, renewable, "
          "cooldown, pick, slots)");
    CHECK(refusal_of("id = 'x'") == ":4: pool.id: must be a UUID in quotes");
    CHECK(refusal_of("id = 3") == ":4: pool.id: must be a UUID in quotes");
    CHECK(refusal_of("id-file = 3") == ":4: pool.id-file: must be a text in quotes");
    CHECK(refusal_of("id-file = '/no/such/file'") ==
          ":4: pool.id-file: cannot read /no/such/file: No such file or directory");
    const ConfigText empty("\n");
    CHECK(refusal_of("id-file = '" + empty.path() + "'") ==
          ":4: pool.id-file: cannot read " + empty.path() + ": it is empty");
    const ConfigText wrong("9f1c2e7a\n");
    CHECK(refusal_of("id-file = '" + wrong.path() + "'") ==
          ":4: pool.id-file: the first line of " + wrong.path() + " must be a UUID (uuidgen makes one)");
    const ConfigText right(some_id);
    CHECK(refusal_of("id = '" + std::string(some_id) + "'\nid-file = '" + right.path() + "'") ==
          ":1: pool: has an id and an id-file: one of them is enough");
    CHECK(refusal_of("cooldown = 'soon'").find(":4: pool.cooldown: ") == 0);
    CHECK(refusal_of("cooldown = -1") == ":4: pool.cooldown: must not be negative");
    CHECK(refusal_of("cooldown = nan") == ":4: pool.cooldown: must not be negative");
    CHECK(refusal_of("cooldown = true") ==
          ":4: pool.cooldown: must be a duration such as \"5m\", or a number of seconds");
    CHECK(refusal_of("cooldown = '31d'") == ":4: pool.cooldown: must be at most 30d");
    CHECK(refusal_of("renewable = 'no'") == ":4: pool.renewable: must be true or false, without quotes");
    CHECK(refusal_of("pick = 'highest'") == ":4: pool.pick: must be lowest or idle, in quotes");
    CHECK(refusal_of("pick = 1") == ":4: pool.pick: must be lowest or idle, in quotes");
    CHECK(refusal_of("slots = 'a'") == ":4: pool.slots: must be a list");
    CHECK(refusal_of("slots = [1, 2, 3, 4]") == ":4: pool.slots: must hold texts or tables only");
    CHECK(refusal_of("slots = ['a', 'b', 'c']") ==
          ":4: pool.slots: must have at least 4 entries, as many as count says");
}

TEST_CASE("a pool needs a name and a count that no other has") {
    CHECK(refusal_of_all("[[pool]]\ncount = 1") == ":1: pool: needs a name");
    CHECK(refusal_of_all("[[pool]]\ncount = 1\nname = ' '") == ":3: pool.name: must not be empty");
    CHECK(refusal_of_all("[[pool]]\ncount = 1\nname = 3") == ":3: pool.name: must be a text in quotes");
    CHECK(refusal_of_all("[[pool]]\nname = '" + std::string(257, 'x') + "'\ncount = 1")
              .find("must have at most 256 characters") != std::string::npos);
    // U+009B begins a sequence of a terminal's, U+202E turns the direction of writing.
    for (const std::string control : {"\\n", "\\u007f", "\\u0085", "\\u009b", "\\u202e"}) {
        CAPTURE(control);
        CHECK(refusal_of_all("[[pool]]\nname = \"a" + control + "b\"\ncount = 1") ==
              ":2: pool.name: must have no control characters");
    }
    CHECK(pools_of("[[pool]]\nname = \"\\u00e4\\u05d0\\U0001f600\"\ncount = 1")[0].name() ==
          "\xc3\xa4\xd7\x90\xf0\x9f\x98\x80");
    CHECK(refusal_of_all("[[pool]]\nname = 'a'") == ":1: pool: needs a count");
    // What a mistyped key should have been is not missing.
    CHECK_THAT(refusal_of_all("[[pool]]\nname = 'a'\ncuont = 4"),
               Catch::Matchers::StartsWith(":3: pool.cuont: a pool has no such setting"));
    CHECK(refusal_of_all("[[pool]]\nname = 'a'\n[[pool]]\nname = 'b'\ncuont = 4") ==
          ":1: pool: needs a count");
    for (const char* count : {"'4'", "1.5", "true"})
        CHECK(refusal_of_all(std::string("[[pool]]\nname = 'a'\ncount = ") + count) ==
              ":3: pool.count: must be a whole number, without quotes");
    for (const char* count : {"-1", "1000001"})
        CHECK(refusal_of_all(std::string("[[pool]]\nname = 'a'\ncount = ") + count) ==
              ":3: pool.count: " + std::string(count) + " is out of range (0 to 1000000)");
    CHECK(refusal_of_all("[[pool]]\nname = 'a'\ncount = 1001") ==
          ":3: pool.count: 1001 is more than --max-count allows (1000)");
    CHECK(pools_of("[limits]\nmax-count = 1001\n[[pool]]\nname = 'a'\ncount = 1001").size() == 1);
    CHECK(refusal_of_all("[[pool]]\nname = 'a'\ncount = 1\n[[pool]]\nname = 'a'\ncount = 1") ==
          ":4: pool: there are two with the name 'a'");
    const std::string id = std::string("\ncount = 1\nid = '") + some_id + "'\n";
    CHECK(refusal_of_all("[[pool]]\nname = 'a'" + id + "[[pool]]\nname = 'b'" + id) ==
          ":5: pool: another pool has the same id");
    CHECK(refusal_of_all("[pool]\nname = 'a'\ncount = 1") ==
          ":1: pool: must be a table for each pool: write [[pool]]");
    CHECK(refusal_of_all("pool = []") == ":1: pool: must be a table for each pool: write [[pool]]");
    CHECK(refusal_of_all("pool = [1]") == ":1: pool: must be a table for each pool: write [[pool]]");
    CHECK(refusal_of_all("[[pools]]\nname = 'a'\ncount = 1") ==
          ":1: pools: there is no such setting (did you mean 'pool'?)");
}
