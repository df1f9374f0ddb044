#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <sqlite3.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

using namespace sema::test;
using namespace std::chrono_literals;
using sema::test::has_text;
namespace fs = std::filesystem;

namespace {

std::string content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// What semad says of a store that it doesn't take: one line, exit status 2.
std::string refusal(const std::string& path) {
    const Finished run = run_program({SEMAD, "--listen", "127.0.0.1:0", "--store", "sqlite:" + path});
    CHECK(run.status == 2);
    CHECK(run.out.empty());
    CHECK(run.err.find('\n') == run.err.size() - 1);
    CHECK_THAT(run.err, has_text(path));
    return run.err;
}

void execute(const fs::path& database, const char* sql) {
    sqlite3* handle = nullptr;
    REQUIRE(sqlite3_open(database.c_str(), &handle) == SQLITE_OK);
    CHECK(sqlite3_exec(handle, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(handle);
}

}  // namespace

TEST_CASE("what was answered survives the end of semad") {
    for (const End end : {End::kill, End::term}) {
        RunningServer server;
        const TestPool pool(server, 3);
        const TestPool gone(server, 1);
        const Slot zero = pool.take();
        const Slot one = pool.take();
        const Slot two = pool.take();
        pool.set_count(4);
        gone.take();
        CHECK(pool.returns(one));
        gone.remove();
        stop(server, end);
        server.start();
        CHECK(pool.count() == 4);
        CHECK(pool.in_use() == 2);
        CHECK(gone.get().status == 404);
        CHECK_FALSE(pool.returns(one));
        CHECK(pool.take().position == 1);
        CHECK(pool.take().position == 3);
        CHECK(pool.returns(zero));
        CHECK(pool.returns(two));
        CHECK(pool.in_use() == 2);
    }
}

TEST_CASE("every single answer is on the disk when it is given") {
    RunningServer server;
    const TestPool pool(server, 10);
    std::vector<Slot> held;
    for (int round = 0; round < 5; ++round) {
        held.push_back(pool.take());
        server.kill9();
        server.start();
        REQUIRE(pool.in_use() == round + 1);
    }
    for (int round = 4; round >= 0; --round) {
        REQUIRE(pool.returns(held[static_cast<std::size_t>(round)]));
        server.kill9();
        server.start();
        REQUIRE(pool.in_use() == round);
    }
}

TEST_CASE("a lease keeps the time that it has left over a restart") {
    for (const End end : {End::kill, End::term}) {
        RunningServer server;
        const TestPool pool(server, 1);
        const Stopwatch since_asked;
        pool.take(8);
        const Stopwatch since_granted;
        stop(server, end);
        server.start();
        CHECK(pool.in_use() == 1);
        CHECK(granted(pool.borrow(R"({"ttl":60,"wait":30})")).position == 0);
        CHECK(since_asked.elapsed() >= 8s);
        CHECK(since_granted.elapsed() < 8s + in_time);
    }
}

TEST_CASE("a lease that ended while semad was down has ended when it is up") {
    for (const End end : {End::kill, End::term}) {
        RunningServer server;
        const TestPool pool(server, 2);
        const Slot brief = pool.take(0.2);
        const Stopwatch since_granted;
        const Slot lasting = pool.take(60);
        stop(server, end);
        REQUIRE(eventually([&] { return since_granted.elapsed() > 200ms; }));
        server.start();
        CHECK(pool.in_use() == 1);
        CHECK_FALSE(pool.returns(brief));
        CHECK(pool.returns(lasting));
    }
}

TEST_CASE("nobody waits in the queue after a restart") {
    RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    const RawClient waiter = pool.queue_up();
    server.kill9();
    server.start();
    CHECK(pool.returns(held));
    CHECK(pool.in_use() == 0);
}

TEST_CASE("a memory store forgets with the end of semad") {
    RunningServer server({"--store", "memory:"});
    const TestPool pool(server, 1);
    pool.take();
    server.terminate();
    server.start();
    CHECK(pool.get().status == 404);
}

TEST_CASE("a second semad on the same store is refused, and the first goes on") {
    RunningServer server;
    const TestPool pool(server, 2);
    pool.take();
    CHECK_THAT(refusal(server.store().string()), has_text("another process has it open"));
    pool.take();
    CHECK(pool.in_use() == 2);
    server.kill9();
    server.start();
    CHECK(pool.in_use() == 2);
}

TEST_CASE("a file that is no store of semad's is refused and left as it was") {
    const TempDir folder;
    const fs::path text = folder.path() / "text";
    std::ofstream(text) << "This is not a database, however long one looks at it.\n";
    const fs::path foreign = folder.path() / "foreign.db";
    execute(foreign, "CREATE TABLE recipes (name TEXT)");
    for (const fs::path& path : {text, foreign}) {
        const std::string before = content(path);
        refusal(path.string());
        CHECK(content(path) == before);
        CHECK_FALSE(fs::exists(path.string() + "-wal"));
    }
}

TEST_CASE("a store of a later format is refused and left as it was") {
    RunningServer server;
    const TestPool pool(server, 1);
    REQUIRE(server.terminate() == 0);
    execute(server.store(), "PRAGMA user_version = 7");
    const std::string before = content(server.store());
    CHECK_THAT(refusal(server.store().string()), has_text("format is 7"));
    CHECK(content(server.store()) == before);
    execute(server.store(), "PRAGMA user_version = 6");
    server.start();
    CHECK(pool.count() == 1);
}

TEST_CASE("a pool whose rows hold what no semad writes is found out, and the others are served", "[sqlite]") {
    for (const char* damage :
         {"UPDATE settings SET payloads = replace(payloads, '\"a', '\"a\"')",
          "UPDATE settings SET payloads = '7' || char(10)", "UPDATE settings SET cooldown_us = -1",
          "UPDATE pools SET fence = -1 WHERE id IN (SELECT pool FROM settings)"}) {
        CAPTURE(damage);
        RunningServer server;
        const TestPool pool(server, 1);
        REQUIRE(pool.put(R"({"count":1,"slots":["a"]})").status == 200);
        pool.take(600);
        const TestPool other(server, 1);
        REQUIRE(server.terminate() == 0);
        execute(server.store(), damage);
        const Finished check = run_program({SEMAD, "check", "--store", "sqlite:" + server.store().string()});
        CHECK(check.status == 2);
        CHECK_THAT(check.err, has_text("holds what no server writes"));
        server.start();
        CHECK(pool.get().status == 502);
        CHECK(pool.borrow(R"({"ttl":60})").status == 502);
        CHECK(other.get().status == 200);
    }
}

TEST_CASE("a store that cannot be there is refused") {
    const TempDir folder;
    std::ofstream(folder.path() / "file") << "";
    refusal((folder.path() / "file" / "semad.db").string());
    refusal(folder.path().string());
    refusal("/proc/semad/semad.db");
    refusal("/dev/null");
}

TEST_CASE("a full disk fails what must be stored, changes nothing, and passes") {
    RunningServer server;
    const TestPool pool(server, 2);
    const TestPool unmade(server, sema::PoolId::random().str());
    const Slot held = pool.take();
    {
        const FullDisk full(server);
        for (const HttpResponse& response :
             {pool.borrow(R"({"ttl":60})"), pool.give_back(R"({"lease":")" + held.lease + R"("})"),
              pool.put(R"({"count":5})"), pool.remove(), unmade.put(R"({"count":1})")}) {
            CHECK(response.status == 502);
            CHECK(response.header("content-type") == "application/json");
            CHECK(response.body == error_body("database command failed"));
        }
        CHECK(pool.count() == 2);
        CHECK(pool.in_use() == 1);
        CHECK(unmade.get().status == 404);
        CHECK(pool.give_back(R"({"lease":"9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01"})").body ==
              R"({"returned":false})");
        CHECK(server.program().warns("could not commit"));
    }
    CHECK(pool.returns(held));
    CHECK(pool.take().position == 0);
    CHECK(unmade.put(R"({"count":1})").status == 200);
    // Told with the first commit that succeeds a second after the trouble.
    CHECK(eventually([&] {
        pool.set_count(3);
        pool.set_count(2);
        return server.log().find("the store works again") != std::string::npos;
    }));
    server.kill9();
    server.start();
    CHECK(pool.in_use() == 1);
    CHECK(pool.count() == 2);
    CHECK(unmade.count() == 1);
}

TEST_CASE("a full disk during a hand-off answers the waiter, and the lease stays with its holder") {
    RunningServer server(one_thread);
    const TestPool pool(server, 1);
    const Slot held = pool.take();
    RawClient waiter = pool.queue_up();
    {
        const FullDisk full(server);
        CHECK(pool.give_back(R"({"lease":")" + held.lease + R"("})").status == 502);
        CHECK(pool.in_use() == 1);
    }
    CHECK(pool.returns(held));
    // The waiter was told, or it waited on and has the slot now.
    const HttpResponse response = waiter.receive();
    CHECK((response.status == 502 || response.status == 200));
    CHECK(pool.in_use() == (response.status == 200 ? 1 : 0));
}

TEST_CASE(
    "nothing is stored in a file that was removed, and what was stored before is safe once it is back") {
    RunningServer server;
    const TestPool pool(server, 2);
    const TestPool probe(server, 1);
    int probe_count = 1;
    const Slot held = pool.take();
    for (const std::string suffix : {"", "-wal"}) {
        const std::filesystem::path file = server.store().string() + suffix;
        const std::filesystem::path elsewhere = file.string() + ".moved";
        std::filesystem::rename(file, elsewhere);
        // Semad looks for its files once a second. What it stores until then is in the moved file.
        REQUIRE(eventually([&] {
            const std::string body = R"({"count":)" + std::to_string(probe_count + 1) + "}";
            const bool stored = probe.put(body).status == 200;
            if (stored) ++probe_count;
            return !stored;
        }));
        const HttpResponse response = pool.borrow(R"({"ttl":60})");
        CHECK(response.status == 502);
        CHECK(response.body == error_body("database command failed"));
        CHECK(pool.in_use() == 1);
        std::ofstream(file) << "something else";
        CHECK(pool.borrow(R"({"ttl":60})").status == 502);
        std::filesystem::rename(elsewhere, file);
        CHECK(pool.returns(pool.take()));
    }
    CHECK(pool.returns(held));
    CHECK(server.program().warns("was removed or replaced"));
    server.kill9();
    server.start();
    CHECK(pool.in_use() == 0);
    CHECK(probe.count() == probe_count);
}

TEST_CASE(
    "a migration changes nothing of the store that it reads, what a killed semad has left or an old one") {
    RunningServer server;
    const TestPool pool(server, 2);
    pool.take(600);
    const fs::path log = server.store().string() + "-wal";
    const auto is_left_as_it_was = [&](const std::string& name) {
        const std::string before = content(server.store());
        const std::string log_before = content(log);
        const std::string to = "sqlite:" + (server.folder() / name).string();
        const Finished done = run_program({SEMAD, "migrate", "sqlite:" + server.store().string(), to});
        CHECK(done.err.empty());
        CHECK_THAT(done.out, has_text("copied 1 pool and 1 live lease"));
        CHECK(content(server.store()) == before);
        CHECK(content(log) == log_before);
    };
    server.kill9();
    REQUIRE(fs::exists(log));
    is_left_as_it_was("of-killed.db");
    server.start();
    CHECK(server.terminate() == 0);
    // As format 5 was.
    execute(server.store(),
            "ALTER TABLE leases DROP COLUMN waited_us; ALTER TABLE leases DROP COLUMN priority;"
            "PRAGMA user_version = 5");
    is_left_as_it_was("of-old.db");
}
