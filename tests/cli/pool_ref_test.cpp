#include "cli/pool_ref.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

#include <cstdlib>
#include <fstream>

using namespace sema;
using namespace std::chrono_literals;
using sema::test::has_text;

namespace {

const std::string id = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";

Config config_with(const std::string& alias, const PoolDefaults& defaults) {
    Config config;
    config.path = "/home/me/.config/semactl/config.toml";
    config.pools[alias] = defaults;
    return config;
}

std::string refusal(const std::string& text, const Config& config = {}) {
    const auto pool = resolve_pool(text, config);
    return pool ? "accepted" : pool.error().message;
}

}  // namespace

TEST_CASE("a pool is named by its UUID, and messages don't repeat that") {
    const auto pool = resolve_pool(id, {});
    REQUIRE(pool);
    CHECK(pool->id.str() == id);
    CHECK(pool->name == "the pool");
    CHECK(pool->argument == "POOL");
    CHECK(resolve_pool("{9F1C2E7A5B3D4C8EA1F06D2B9C4E7A01}", {})->id == pool->id);
}

TEST_CASE("a pool is named by an alias, which brings its defaults") {
    const Config config = config_with("vsim", {id, Duration(10min), Duration(5s)});
    const auto pool = resolve_pool("vsim", config);
    REQUIRE(pool);
    CHECK(pool->id.str() == id);
    CHECK(pool->name == "vsim");
    CHECK(pool->argument == "vsim");
    CHECK(pool->ttl == Duration(10min));
    CHECK(pool->wait == Duration(5s));
    CHECK(refusal("gpu", config) ==
          "'gpu' is no pool: write a UUID, env:NAME, file:PATH, or an alias of "
          "/home/me/.config/semactl/config.toml (semactl new --save makes one)");
    CHECK(refusal("vism", config) == "'vism' is no pool (did you mean 'vsim'?)");
}

TEST_CASE("a pool's UUID is taken from a variable or from a file's first line") {
    const test::TempDir folder;
    const std::string file = folder.path() / "pool";
    std::ofstream(file) << "\xEF\xBB\xBF\n  '" << id << "' \r\nmore\n";
    setenv("SEMA_TEST_POOL", (" \"" + id + "\"\t\n").c_str(), 1);
    CHECK(resolve_pool("env:SEMA_TEST_POOL", {})->id.str() == id);
    CHECK(resolve_pool("env:SEMA_TEST_POOL", {})->name == "env:SEMA_TEST_POOL");
    CHECK(resolve_pool("file:" + file, {})->id.str() == id);
    CHECK(resolve_pool("vsim", config_with("vsim", {.id = "file:" + file}))->name == "vsim");
    CHECK(resolve_lease("env:SEMA_TEST_POOL")->str() == id);
    CHECK(resolve_lease("file:" + file)->str() == id);
}

TEST_CASE("what cannot be read as a pool is refused without repeating a secret") {
    const test::TempDir folder;
    const std::string empty = folder.path() / "empty";
    std::ofstream(empty).flush();
    setenv("SEMA_TEST_NONSENSE", "hunter2", 1);
    setenv("SEMA_TEST_EMPTY", " \n", 1);
    CHECK(refusal("env:SEMA_TEST_NONE") == "the variable SEMA_TEST_NONE is not set");
    CHECK(refusal("env:SEMA_TEST_EMPTY") == "the variable SEMA_TEST_EMPTY is empty");
    CHECK(refusal("env:SEMA_TEST_NONSENSE") == "what env:SEMA_TEST_NONSENSE holds is not a UUID");
    CHECK(refusal("file:/no/such/file") == "cannot read /no/such/file: No such file or directory");
    CHECK(refusal("file:" + empty) == "cannot read " + empty + ": it is empty");
    CHECK(refusal("vsim", config_with("vsim", {.id = "env:SEMA_TEST_NONE"})) ==
          "vsim: the variable SEMA_TEST_NONE is not set");
    CHECK(refusal(id + "0") == "the pool's UUID is mistyped: it is not one");
    CHECK(refusal(id.substr(3)) == "the pool's UUID is mistyped: it is not one");
    CHECK_THAT(resolve_lease(id + "0").error().message, !has_text(id));
}

TEST_CASE("a UUID that is abbreviated, as in a document, is named as such") {
    for (const std::string& text : {id.substr(0, 9) + "...", id.substr(0, 8) + "\u2026",
                                    "..." + id.substr(24), id.substr(0, 4) + "..." + id.substr(30)}) {
        CAPTURE(text);
        CHECK(refusal(text) == "the pool's UUID is abbreviated: all of its 36 characters are needed");
        CHECK(resolve_lease(text).error().message ==
              "the lease's UUID is abbreviated: all of its 36 characters are needed");
    }
    for (const char* text : {"...", "vsim...", "dead.beef"})
        CHECK_THAT(refusal(text), has_text("is no pool: write a UUID"));
}

TEST_CASE("the pool of the environment is read as one of the command line, and its value is told nobody") {
    const std::string unset = "SEMACTL_POOL: the variable is empty, and has to name a pool";
    const Config config = config_with("vsim", {.id = id, .ttl = Duration(10min)});
    const auto found = [&](const std::string& value) {
        setenv("SEMACTL_POOL", value.c_str(), 1);
        return resolve_pool(pool_of_environment, config);
    };
    CHECK(found("\xEF\xBB\xBF" + id + "\n")->id.str() == id);
    CHECK(found(" '" + id + "'")->name == "the pool");
    CHECK(found("vsim\n")->ttl == Duration(10min));
    CHECK(found("vsim")->name == "vsim");
    CHECK(found("").error().message == unset);
    CHECK(found(" \n").error().message == unset);
    CHECK(found("hunter2").error().message ==
          "SEMACTL_POOL: what the variable holds is no pool: write a UUID, env:NAME, file:PATH, or an alias "
          "of /home/me/.config/semactl/config.toml (semactl new --save makes one)");
    CHECK(found(id + "0").error().message == "SEMACTL_POOL: the pool's UUID is mistyped: it is not one");
    CHECK(found("env:SEMA_TEST_NONE").error().message ==
          "SEMACTL_POOL: the variable SEMA_TEST_NONE is not set");
    unsetenv("SEMACTL_POOL");
}

TEST_CASE("an alias that may stand in a file that cannot be read is refused with the reason") {
    Config config = config_with("gpu", {.id = id});
    config.unreadable = "cannot read it: Permission denied";
    CHECK_THAT(refusal("vsim", config), has_text("config.toml (cannot read it: Permission denied)"));
    config.is_unreadable_said = true;
    CHECK_THAT(refusal("vsim", config), Catch::Matchers::EndsWith("config.toml, which cannot be read"));
}

TEST_CASE("an alias is a simple word that cannot be taken for something else") {
    for (const char* name : {"vsim", "v", "GPU-2", "build_ports", "7"})
        CHECK(is_alias_name(name));
    for (const char* name :
         {"", "-x", "a b", "env:X", "a.b", "a=b", "\xc3\xa9", "9f1c2e7a5b3d4c8ea1f06d2b9c4e7a01"})
        CHECK_FALSE(is_alias_name(name));
}
