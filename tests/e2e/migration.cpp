#include "tests/e2e/migration.hpp"

#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <vector>

namespace sema::test {

Finished migrate(const std::string& from, const std::string& to) {
    return run_program({SEMAD, "migrate", from, to});
}

void check_migration(const std::string& url) {
    const TempDir folder;
    const auto file = [&folder](const char* name) { return "sqlite:" + (folder.path() / name).string(); };
    const std::string id = new_lease();
    std::vector<Slot> held;
    const auto served = [&](const std::string& store, const auto& act) {
        RunningServer server({"--store", store});
        act(TestPool(server, id));
        CHECK(migrate(store, file("never.db")).status == 2);
        CHECK(server.terminate() == 0);
    };
    served(file("before.db"), [&](const TestPool& pool) {
        REQUIRE(pool.put(R"({"count":3})").status == 200);
        held = {pool.take(300), pool.take(300)};
    });
    const Finished there = migrate(file("before.db"), url);
    CHECK(there.err == "");
    CHECK_THAT(there.out, has_text("copied 1 pool and 2 live leases"));
    served(url, [&](const TestPool& pool) {
        CHECK(pool.in_use() == 2);
        CHECK(pool.returns(held[0]));
        CHECK(pool.take(300).position == 0);
    });
    CHECK(migrate(url, file("after.db")).status == 0);
    served(file("after.db"), [&](const TestPool& pool) {
        CHECK(pool.in_use() == 2);
        CHECK(pool.returns(held[1]));
    });
    CHECK_THAT(migrate(file("before.db"), url).err, has_text("has pools already"));
}

}  // namespace sema::test
