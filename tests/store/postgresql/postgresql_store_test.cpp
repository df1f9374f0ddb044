#include "server/store/postgresql/postgresql_store.hpp"

#include "server/store/postgresql/postgresql_history.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/postgresql_server.hpp"
#include "tests/support/proxy.hpp"
#include "tests/support/store_changes.hpp"
#include "tests/support/temp_dir.hpp"

#include <sys/stat.h>

#include <fstream>
#include <future>

// What is PostgreSQL's own; what every store does is in tests/contract.

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

const PoolId pool = PoolId::random();

PostgresqlStoreOptions options_for(const std::string& url) {
    PostgresqlStoreOptions options;
    options.address = parse_postgresql_address(url).value();
    return options;
}

std::unique_ptr<SharedStore> open(const std::string& url) {
    auto store = open_postgresql_store(options_for(url));
    if (!store) throw std::runtime_error(store.error().message);
    return *std::move(store);
}

/// For tests that are not about how long a store takes to answer: a busy machine's disk may take seconds.
std::unique_ptr<SharedStore> open_patiently(const std::string& url) {
    PostgresqlStoreOptions options = options_for(url);
    options.answer_limit = 20s;
    auto store = open_postgresql_store(options);
    if (!store) throw std::runtime_error(store.error().message);
    return *std::move(store);
}

std::vector<CommitResult> commit(Store& store, const std::vector<PoolChange>& batch) {
    return store.commit(batch, std::nullopt);
}

std::string refusal(const std::string& url) {
    const auto store = open_postgresql_store(options_for(url));
    REQUIRE_FALSE(store);
    CHECK(store.error().message.find('\n') == std::string::npos);
    CHECK(store.error().message.find("sesame") == std::string::npos);
    return store.error().message;
}

std::string warnings(const std::string& url) {
    std::string all;
    for (const std::string& warning : postgresql_store_warnings(options_for(url)))
        all += warning + "\n";
    return all;
}

/// Who wants a password from now on: everybody over TCP but `postgres`.
void lock(const PostgresqlServer& server) {
    std::ofstream(server.folder() / "data" / "pg_hba.conf")
        << "local all all trust\nhost all postgres all trust\nhost all all all scram-sha-256\n";
    server.query("SELECT pg_reload_conf()");
}

std::string at(const PostgresqlServer& server, const std::string& credentials,
               const std::string& database = "postgres") {
    return "postgresql://" + credentials + "@127.0.0.1:" + std::to_string(server.port()) + "/" + database;
}

}  // namespace

TEST_CASE("the address of a PostgreSQL is libpq's, and is shown without user, password and parameters") {
    const auto shown = [](const std::string& url) { return describe(parse_postgresql_address(url).value()); };
    CHECK(shown("postgresql://me:sesame@db.example:5433/pools?sslmode=require") ==
          "postgresql://db.example:5433/pools");
    CHECK(shown("postgres://a:1,b:2/pools?target_session_attrs=any") == "postgresql://a:1,b:2/pools");
    CHECK(shown("postgresql://[::1]:5432/pools") == "postgresql://[::1]:5432/pools");
    CHECK(shown("postgresql:///pools?host=/run/postgresql") == "postgresql:///run/postgresql/pools");
    CHECK(parse_postgresql_address("postgresql://me:sesame@db/pools")->has_password);
    CHECK(parse_postgresql_address("postgresql://me@db/pools?password=sesame")->has_password);
    CHECK_FALSE(parse_postgresql_address("postgresql://me@db/pools")->has_password);
    for (const std::string wrong :
         {"postgresql://me:ses%ame@db/pools", "postgresql://db/pools?nonsense=sesame",
          "postgresql://[::1/sesame", "postgresql:me:sesame", "postgresql://me:top/sesame@db/pools",
          "postgresql://me:ses@sesame@db/pools", "postgresql://me:p@ss:w/sesame@db"}) {
        CAPTURE(wrong);
        const auto parsed = parse_postgresql_address(wrong);
        REQUIRE_FALSE(parsed);
        CHECK_THAT(parsed.error().message, has_text("write postgresql://USER@HOST:PORT/DATABASE"));
        CHECK(parsed.error().message.find("sesame") == std::string::npos);
    }
}

TEST_CASE("a PostgreSQL that cannot be used says what to do") {
    PostgresqlOptions options;
    if (GENERATE(false, true)) {
        options.program.environment = {{"LANGUAGE", "de"}};
        options.config = {"lc_messages = 'C.UTF-8'"};
    }
    const PostgresqlServer server(options);
    server.query(
        "CREATE ROLE guest LOGIN PASSWORD 'sesame'; "
        "CREATE ROLE limited LOGIN PASSWORD 'sesame' CONNECTION LIMIT 0");
    lock(server);
    CHECK_THAT(refusal("postgresql://me:sesame@127.0.0.1:1/pools"),
               has_text("cannot use postgresql://127.0.0.1:1/pools as a store: cannot connect: "));
    CHECK_THAT(refusal(at(server, "postgres", "nowhere")),
               has_text("create the database, or name another one"));
    CHECK_THAT(refusal(at(server, "guest:sesam")),
               has_text("check the user, and the password in PGPASSWORD"));
    CHECK_THAT(refusal(at(server, "nobody:sesame")),
               has_text("check the user, and the password in PGPASSWORD"));
    CHECK_THAT(refusal(at(server, "guest")), has_text("check the user, and the password in PGPASSWORD"));
    CHECK_THAT(refusal(at(server, "limited:sesame")),
               has_text("raise its max_connections, or the limit of the user or the database"));
    CHECK_THAT(refusal(at(server, "guest:sesame")),
               has_text("docs/postgresql.md says which rights semad needs"));
    open_patiently(server.url());
    server.query("UPDATE sema.format SET number = 9");
    CHECK_THAT(refusal(server.url()), has_text("is of format 9 and this semad knows format 1"));
}

TEST_CASE("a pipe in the place of a file of TLS is refused, and not waited for") {
    const PostgresqlServer server;
    const TempDir folder;
    const std::string pipe = folder.path() / "pipe";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    for (const std::string keyword : {"sslrootcert", "sslcrl", "sslcert", "sslkey"}) {
        CHECK_THAT(refusal(server.url() + "?" + keyword + "=" + pipe),
                   has_text("cannot read its " + keyword + " " + pipe + ": it is not a regular file"));
        // libpq has a use for none where the other side speaks no TLS.
        CHECK(open_patiently(server.url() + "?" + keyword + "=/nowhere.pem"));
    }
}

TEST_CASE("semad needs no more rights than the documentation says") {
    const PostgresqlServer server;
    open_patiently(server.url());
    server.query(
        "CREATE ROLE semad LOGIN PASSWORD 'sesame'; GRANT USAGE ON SCHEMA sema TO semad; "
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sema TO semad; "
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sema TO semad");
    lock(server);
    const auto store = open_patiently(at(server, "semad:sesame"));
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4).put(some_slot(0))})));
    CHECK(loaded(*store, pool).slots.size() == 1);
    CHECK(store->serve_at("here"));
    CHECK(store->keep_seed("seed").value() == "seed");
    CHECK(loaded(*store, pool).version == 1);
    CHECK(std::holds_alternative<PoolRecord>(store->reload(pool)));
}

TEST_CASE("servers that start at once on an empty database all find it made") {
    const PostgresqlServer server;
    std::vector<std::future<std::unique_ptr<SharedStore>>> opened;
    for (int i = 0; i < 6; ++i)
        opened.push_back(std::async(std::launch::async, [&] { return open_patiently(server.url()); }));
    std::vector<std::unique_ptr<SharedStore>> stores;
    for (auto& each : opened)
        stores.push_back(each.get());
    REQUIRE(committed(commit(*stores[0], {change(pool).to(1).count(4)})));
    CHECK(loaded(*stores[5], pool).count == 4);
}

TEST_CASE("a server that is refused the table of histories, as another one makes it, looks for it again") {
    const PostgresqlServer server;
    open_patiently(server.url());
    // A sequence is not rolled back.
    server.query(
        "CREATE SEQUENCE public.tries; CREATE FUNCTION fail_once() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF nextval('public.tries') = 1 THEN RAISE unique_violation; END IF; END $$; "
        "CREATE EVENT TRIGGER fails ON ddl_command_start WHEN TAG IN ('CREATE TABLE') "
        "EXECUTE FUNCTION fail_once()");
    const auto history = make_postgresql_history(options_for(server.url()));
    const TimePoint now(1h);
    const auto written = history->append({{pool, {{.at = now, .fence = 7}}}}, {.oldest = now, .most = 1000});
    CAPTURE(written ? std::string() : written.error().message);
    CHECK(written);
    CHECK(server.query("SELECT number FROM sema.history") == std::vector<std::string>{"7"});
}

TEST_CASE("a commit that PostgreSQL rolled back to order it among others is done again") {
    const PostgresqlServer server;
    const auto store = open_patiently(server.url());
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4)})));
    // A sequence is not rolled back.
    server.query(
        "CREATE SEQUENCE public.tries; CREATE FUNCTION fail_twice() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN "
        "IF nextval('public.tries') < 3 THEN RAISE serialization_failure; END IF; RETURN NEW; END $$; "
        "CREATE TRIGGER fails BEFORE UPDATE ON sema.pool FOR EACH ROW EXECUTE FUNCTION fail_twice()");
    CHECK(committed(commit(*store, {change(pool).from(1).to(2).count(5)})));
    CHECK(loaded(*store, pool).count == 5);
}

TEST_CASE("a commit that never arrived is not applied after the pool was read anew") {
    const PostgresqlServer server;
    Proxy proxy(server.port());
    const auto store = open("postgresql://postgres@" + proxy.host_and_port() + "/postgres");
    REQUIRE(committed(commit(*open_patiently(server.url()), {change(pool).to(1).count(4)})));
    // It has a connection to commit over.
    REQUIRE(eventually([&] { return committed(commit(*store, {change(pool).from(1).to(1)})); }));
    proxy.become(Proxy::State::holding);
    REQUIRE_FALSE(failure_text(commit(*store, {change(pool).from(1).to(2).count(5)})).empty());
    REQUIRE(eventually([&] { return store->reachable(); }));
    LoadResult found;
    REQUIRE(eventually([&] {
        found = store->reload(pool);
        return std::holds_alternative<PoolRecord>(found);
    }));
    CHECK(std::get<PoolRecord>(found).count == 4);
    // Now it arrives.
    proxy.become(Proxy::State::open);
    const auto other = open_patiently(server.url());
    CHECK(
        committed(commit(*other, {change(pool).from(std::get<PoolRecord>(found).version).to(99).count(6)})));
    CHECK(loaded(*other, pool).count == 6);
}

TEST_CASE("a PostgreSQL that is killed, or hangs, is away until it is back, with what was committed") {
    PostgresqlServer server;
    const auto store = open(server.url());
    REQUIRE(committed(commit(*open_patiently(server.url()), {change(pool).to(1).count(4)})));
    server.kill9();
    CHECK_FALSE(failure_text(store->load(pool)).empty());
    CHECK_FALSE(store->reachable());
    server.start();
    REQUIRE(eventually([&] { return store->reachable(); }));
    REQUIRE(eventually([&] { return std::holds_alternative<PoolRecord>(store->load(pool)); }));
    CHECK(loaded(*store, pool).count == 4);
    server.pause();
    CHECK_FALSE(failure_text(commit(*store, {change(pool).from(1).to(2).count(5)})).empty());
    CHECK_FALSE(store->reachable());
    server.resume();
    CHECK(eventually([&] { return store->reachable(); }));
    CHECK(eventually([&] { return std::holds_alternative<PoolRecord>(store->reload(pool)); }));
}

TEST_CASE("what no standby confirms was not committed, as far as anybody is answered") {
    PostgresqlServer server;
    const auto store = open(server.url());
    REQUIRE(committed(commit(*open_patiently(server.url()), {change(pool).to(1).count(4)})));
    server.configure({"synchronous_standby_names = 'absent'"});
    REQUIRE(eventually([&] { return server.query("SHOW synchronous_standby_names").front() == "absent"; }));
    std::vector<CommitResult> result;
    Version version = 1;
    REQUIRE(eventually([&] {
        // Until all of PostgreSQL has seen that.
        result = commit(*store, {change(pool).from(version).to(version + 1).count(5)});
        if (committed(result)) ++version;
        return !failure_text(result).empty();
    }));
    CHECK_FALSE(committed(result));
    // An administrator who ends the wait does not make it confirmed.
    server.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    server.configure({"synchronous_standby_names = ''"});
    REQUIRE(eventually([&] { return std::holds_alternative<PoolRecord>(store->reload(pool)); }));
}

TEST_CASE("settings of a PostgreSQL with which answers can be lost are warned of") {
    PostgresqlServer server;
    CHECK(warnings(server.url()).empty());
    server.configure({"fsync = off", "full_page_writes = off", "synchronous_commit = off"});
    REQUIRE(eventually([&] { return server.query("SHOW fsync").front() == "off"; }));
    const std::string said = warnings(server.url());
    CHECK_THAT(said, has_text("set fsync = on"));
    CHECK_THAT(said, has_text("set full_page_writes = on"));
    CHECK_THAT(said, has_text("set synchronous_commit = on"));
    server.configure({"fsync = on", "full_page_writes = on", "synchronous_commit = on"});
    const PostgresqlServer standby(server, "one");
    REQUIRE(
        eventually([&] { return server.query("SELECT count(*) FROM pg_stat_replication").front() == "1"; }));
    CHECK_THAT(warnings(server.url()), has_text("name it in synchronous_standby_names"));
    server.configure({"synchronous_standby_names = 'one'"});
    CHECK(eventually([&] { return warnings(server.url()).empty(); }));
    CHECK_THAT(refusal(standby.url()), has_text("it is a standby at the moment"));
}

TEST_CASE("a PostgreSQL that is set to take no changes is not called a standby") {
    const PostgresqlServer server;
    server.query("ALTER DATABASE postgres SET default_transaction_read_only = on");
    CHECK_THAT(refusal(server.url()), has_text("as long as its default_transaction_read_only is on"));
}

TEST_CASE("of several hosts, the one that takes changes is found") {
    PostgresqlServer primary;
    PostgresqlServer standby(primary, "one");
    primary.configure({"synchronous_standby_names = 'one'"});
    const auto store =
        open_patiently("postgresql://postgres@127.0.0.1:1,127.0.0.1:" + std::to_string(standby.port()) +
                       ",127.0.0.1:" + std::to_string(primary.port()) + "/postgres");
    REQUIRE(committed(commit(*store, {change(pool).to(1).count(4)})));
    primary.kill9();
    standby.promote();
    REQUIRE(eventually([&] { return std::holds_alternative<PoolRecord>(store->reload(pool)); }));
    CHECK(loaded(*store, pool).count == 4);
}
