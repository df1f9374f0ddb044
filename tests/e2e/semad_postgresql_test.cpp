#include "tests/e2e/migration.hpp"
#include "tests/e2e/semad.hpp"
#include "tests/e2e/semad_config.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/pooler.hpp"
#include "tests/support/postgresql_server.hpp"

using namespace sema::test;

namespace {

std::vector<std::string> semad(const std::string& store) {
    return {SEMAD, "--listen", "127.0.0.1:0", "--store", store};
}

}  // namespace

TEST_CASE("semad on a PostgreSQL shows its password nowhere, and warns of one on the command line") {
    const PostgresqlServer postgresql;
    const std::string place = "127.0.0.1:" + std::to_string(postgresql.port());
    Program server(semad("postgresql://postgres:sesame@" + place + "/postgres"));
    REQUIRE(server.warns("store postgresql://" + place + "/postgres\n"));
    REQUIRE(server.warns("PGPASSWORD"));
    CHECK(server.err().find("sesame") == std::string::npos);

    const Finished refused = run_program(semad("postgresql://postgres:sesame@" + place + "/nowhere"));
    CHECK(refused.status == 2);
    CHECK(refused.err.find('\n') == refused.err.size() - 1);
    CHECK_THAT(refused.err, has_text("create the database"));
    CHECK(refused.err.find("sesame") == std::string::npos);
}

TEST_CASE("pools and live leases move to a PostgreSQL and back, once no server uses either store") {
    const PostgresqlServer postgresql;
    check_migration(postgresql.url());
}

TEST_CASE("semad check, pools and migrate make nothing in a PostgreSQL that has no pools yet") {
    const PostgresqlServer postgresql;
    const ConfigFile file("[[pool]]\nname = 'vsim'\ncount = 1\n");
    const auto semad = [&](const std::string& command) {
        return run_program({SEMAD, command, "--config", file.path(), "--store", postgresql.url()});
    };
    const Finished checked = semad("check");
    CHECK(checked.status == 0);
    CHECK_THAT(checked.out, has_text("/postgres is not there yet, and will be made\n"));
    const Finished pools = semad("pools");
    CHECK(pools.status == 2);
    CHECK_THAT(pools.err, has_text("the pools have no ids yet"));
    const TempDir folder;
    const Finished migrated = migrate(postgresql.url(), "sqlite:" + (folder.path() / "moved.db").string());
    CHECK(migrated.status == 2);
    CHECK_THAT(migrated.err, has_text("there is no store in postgresql://"));
    CHECK(postgresql.query("SELECT count(*) FROM pg_namespace WHERE nspname = 'sema'").front() == "0");
    const RunningServer server(file.flags({"--store", postgresql.url()}));
    CHECK_THAT(semad("check").out, has_text("can be used, and has 1 pool\n"));
    CHECK_THAT(semad("pools").out, has_text("vsim\n"));
}

TEST_CASE("behind a pooler that does not lend for sessions servers hear of each other by looking") {
    const PostgresqlServer postgresql;
    const std::string mode = GENERATE("transaction", "statement");
    CAPTURE(mode);
    const Pooler pooler(postgresql, mode);
    const std::string warning = "a pooler lends its connections for single " + mode + "s";
    RunningServer one({"--store", pooler.url()});
    RunningServer other({"--store", pooler.url()});
    CHECK(one.program().warns(warning));
    CHECK(other.program().warns(warning));
    const TestPool pool(one, 1);
    const TestPool there(other, pool.id());
    for (int i = 0; i < 3; ++i) {
        const Slot held = pool.take();
        RawClient waiter = there.queue_up();
        CHECK(pool.returns(held));
        const Slot got = granted(waiter.receive());
        CHECK(got.position == 0);
        CHECK(there.returns(got));
    }
    const RunningServer direct({"--store", postgresql.url()});
    CHECK(TestPool(direct, pool.id()).in_use() == 0);
    CHECK(direct.log().find("a pooler lends") == std::string::npos);
}
