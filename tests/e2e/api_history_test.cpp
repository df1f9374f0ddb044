#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

// What the server tells of a pool's past.

using namespace sema::test;
using namespace std::chrono_literals;
using sema::test::has_text;
namespace fs = std::filesystem;

namespace {

HttpResponse ask(const RunningServer& server, const TestPool& pool, const std::string& what,
                 const std::string& query = "") {
    return call(server.port(), "GET", pool.path() + "/" + what + query);
}

Json history(const RunningServer& server, const TestPool& pool, const std::string& query = "") {
    const HttpResponse response = ask(server, pool, "history", query);
    REQUIRE(response.status == 200);
    return Json::parse(response.body).at("history");
}

Json statistics(const RunningServer& server, const TestPool& pool, const std::string& query = "") {
    const HttpResponse response = ask(server, pool, "statistics", query);
    REQUIRE(response.status == 200);
    return Json::parse(response.body);
}

std::string error_of(const HttpResponse& response) {
    CHECK(response.status == 400);
    return Json::parse(response.body).at("error");
}

fs::path history_file(const RunningServer& server) {
    return server.store().string() + "-history";
}

}  // namespace

TEST_CASE("the history has the leases that ended, the latest first, and no id of one") {
    const RunningServer server;
    const TestPool pool(server, 3);
    pool.set({{"count", 3}, {"name", "boards"}});
    const HttpResponse none = ask(server, pool, "history");
    CHECK(none.status == 200);
    CHECK(none.header("content-type") == "application/json");
    CHECK(none.body == R"({"id":")" + pool.id() + R"(","name":"boards","kept_for":2592000,"history":[]})");
    const Grant wide = pool.take_with({{"slots", 2}, {"holder", {{"name", "ann"}, {"url", "https://ci/7"}}}});
    const Slot plain = pool.take();
    CHECK(pool.returns(wide));
    CHECK(pool.revokes(2));
    const Json entries = history(server, pool);
    REQUIRE(entries.size() == 2);
    CHECK(entries[0].at("how") == "revoked");
    CHECK(entries[0].at("position") == 2);
    CHECK(entries[0].at("holder").is_null());
    const Json& first = entries[1];
    CHECK(keys_of(first.dump()) ==
          "ended_at_unix fence granted_at_unix holder how position positions waited ");
    CHECK(first.at("how") == "returned");
    CHECK(first.at("position") == 0);
    CHECK(first.at("positions") == Json{0, 1});
    CHECK(first.at("fence") == wide.fence);
    CHECK(first.at("holder") == Json{{"name", "ann"}, {"url", "https://ci/7"}});
    CHECK(first.at("waited") == 0);
    CHECK(first.at("granted_at_unix") == wide.granted_at_unix);
    CHECK(first.at("ended_at_unix") >= wide.granted_at_unix);
    CHECK_THAT(ask(server, pool, "history").body, !has_text(plain.lease));
    CHECK(history(server, pool, "?limit=1").size() == 1);
    CHECK(history(server, pool, "?position=1").size() == 1);
    CHECK(history(server, pool, "?position=1&limit=5&since=0.5").size() == 1);
    CHECK(history(server, pool, "?since=99999999999999").empty());
    CHECK(history(server, pool, "?limit=18446744073709551615&other=x").size() == 2);
}

TEST_CASE("a wait is told to the fraction of a second, and so are expiry and deletion") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const Slot first = pool.take(2);
    RawClient waiter = pool.queue_up(60, 1);
    REQUIRE(waiter.receive().status == 200);
    REQUIRE(eventually([&] { return pool.in_use() == 0; }));
    pool.take();
    pool.remove();
    CHECK(ask(server, pool, "history").status == 404);
    CHECK(ask(server, pool, "statistics").body == error_body("no such pool"));
    pool.set_count(1);
    const Json entries = history(server, pool);
    REQUIRE(entries.size() == 3);
    CHECK(entries[0].at("how") == "deleted");
    CHECK(entries[1].at("how") == "expired");
    CHECK(entries[1].at("waited").get<double>() > 0);
    CHECK(entries[1].at("waited").get<double>() < 30);
    CHECK(entries[2].at("how") == "expired");
    CHECK(entries[2].at("waited") == 0);
}

TEST_CASE("statistics have the shape that the reference gives them") {
    const RunningServer server;
    const TestPool pool(server, 2);
    const Grant grant = pool.take_with({{"holder", {{"name", "ann"}}}});
    pool.returns(grant);
    pool.take();
    pool.take();
    CHECK(pool.borrow(R"({"ttl":60})").status == 409);
    const HttpResponse response = ask(server, pool, "statistics");
    CHECK(keys_of(response.body) ==
          "id name kept_for count since_unix until_unix step use waits refusals holders what_if ");
    const Json told = Json::parse(response.body);
    CHECK(told.at("id") == pool.id());
    CHECK(told.at("name").is_null());
    CHECK(told.at("count") == 2);
    CHECK(told.at("step").get<int>() >= 1);
    CHECK(told.at("use").at(0).size() == 4);
    CHECK(told.at("use").back().at("count") == 2);
    CHECK(told.at("use").back().at("in_use") > 0);
    CHECK(told.at("waits") == Json{{"granted", 3}, {"p50", 0}, {"p95", 0}, {"max", 0}});
    CHECK(told.at("refusals") == 1);
    CHECK(told.at("holders").size() == 2);
    std::vector<int> counts;
    for (const Json& other : told.at("what_if"))
        counts.push_back(other.at("count"));
    CHECK(counts == std::vector<int>{1, 2, 3, 4, 5, 6});
    CHECK(told.at("what_if").at(1).at("refusals") == 1);
    CHECK(told.at("what_if").at(2).at("refusals") == 0);
    CHECK(statistics(server, pool, "?what_if=false").at("what_if").empty());
    // An hour ago the pool was not there yet.
    const auto hour =
        statistics(server, pool, "?since=" + std::to_string(told.at("until_unix").get<int>() - 3600));
    CHECK(std::abs(hour.at("since_unix").get<int>() - told.at("since_unix").get<int>()) <= 1);
    CHECK(hour.at("waits") == told.at("waits"));
}

TEST_CASE("the borrowers of then, put before the pool once more, wait as they did") {
    const RunningServer server(one_thread);
    const TestPool pool(server, 1);
    Slot held = pool.take();
    std::vector<RawClient> waiters;
    for (int i = 0; i < 4; ++i)
        waiters.push_back(pool.queue_up_with({{"priority", i % 2}}));
    // The second of those with the higher priority, then the others.
    for (const std::size_t next : {std::size_t{1}, std::size_t{3}, std::size_t{0}, std::size_t{2}}) {
        const Stopwatch watch;
        REQUIRE(eventually([&] { return watch.elapsed() > 50ms; }));
        CHECK(pool.returns(held));
        held = granted(waiters[next].receive());
    }
    CHECK(pool.returns(held));
    const Json told = statistics(server, pool);
    REQUIRE(told.at("waits").at("granted") == 5);
    const Json& same = told.at("what_if").at(0);
    REQUIRE(same.at("count") == 1);
    for (const char* const percentile : {"p50", "p95", "max"}) {
        CAPTURE(percentile);
        const double was = told.at("waits").at(percentile);
        CHECK(std::abs(same.at("waits").at(percentile).get<double>() - was) < 0.005);
    }
    CHECK(told.at("waits").at("max") > 0.15);
    CHECK(told.at("what_if").at(4).at("waits").at("max") == 0);
}

TEST_CASE("what is asked of the past has to make sense, and the reason says what does not") {
    const RunningServer server;
    const TestPool pool(server, 1);
    for (const char* const since : {"", "x", "1x", "-1", "nan", "inf", "%31", "1,5", "+1", " 1", "0x10"}) {
        CAPTURE(since);
        CHECK(error_of(
                  ask(server, pool, "history", std::string("?since=") + (*since == ' ' ? "%201" : since))) ==
              "since must be a Unix time in seconds");
    }
    for (const char* const limit : {"", "0", "-1", "1.5", "ten", "18446744073709551616"}) {
        CAPTURE(limit);
        CHECK(error_of(ask(server, pool, "history", std::string("?limit=") + limit)) ==
              "limit must be an integer of 1 or more");
    }
    for (const char* const position : {"", "-1", "a", "4294967296", "1;2"}) {
        CAPTURE(position);
        CHECK(error_of(ask(server, pool, "history", std::string("?position=") + position)) ==
              "position must be an integer of 0 or more");
    }
    CHECK(error_of(ask(server, pool, "statistics", "?what_if=perhaps")) == "what_if must be true or false");
    CHECK(error_of(ask(server, pool, "statistics", "?since")) == "since must be a Unix time in seconds");
    // Of another call.
    CHECK(history(server, pool, "?what_if=perhaps").empty());
    CHECK(statistics(server, pool, "?limit=0&position=x").at("count") == 1);
    CHECK(history(server, pool, "?").empty());
    CHECK(history(server, pool, "?&&since=1&").empty());
    const TestPool unknown(server, sema::PoolId::random().str());
    CHECK(ask(server, unknown, "history").status == 404);
    CHECK(call(server.port(), "GET", "/l/x/history").status == 400);
    const HttpResponse posted = call(server.port(), "POST", pool.path() + "/history");
    CHECK(posted.status == 405);
    CHECK(posted.header("allow") == "GET, HEAD");
}

TEST_CASE("names of holders are texts and nothing else") {
    const RunningServer server;
    const TestPool pool(server, 1);
    const std::string name =
        "\"},{\"x\":\"\\ \n\x1b]0;x\x07 <img onerror> \xf0\x9f\x94\x92 '; DROP TABLE chunks; --";
    pool.returns(pool.take_with({{"holder", {{"name", name}, {"url", "javascript:alert(1)"}}}}));
    const Json entries = history(server, pool);
    REQUIRE(entries.size() == 1);
    CHECK(entries[0].at("holder").at("name") == name);
    CHECK(entries[0].at("holder").at("url") == "javascript:alert(1)");
    CHECK(statistics(server, pool).at("holders").at(0).at("name") == name);
    CHECK_THAT(ask(server, pool, "history").body, !has_text("\x1b"));
}

TEST_CASE("what was told survives the end of semad", "[sqlite]") {
    RunningServer server;
    const TestPool pool(server, 1);
    for (const End end : {End::kill, End::term}) {
        pool.returns(pool.take());
        const Json before = history(server, pool);
        restart(server, end);
        CHECK(history(server, pool) == before);
        // What was not told yet is written before the end.
        if (end != End::kill) continue;
        pool.returns(pool.take());
        CHECK(server.terminate() == 0);
        server.start();
        CHECK(history(server, pool).size() == before.size() + 1);
    }
    CHECK(fs::status(history_file(server)).permissions() == fs::perms(0600));
}

TEST_CASE("a lease that ends while semad is away is in the history", "[sqlite]") {
    RunningServer server;
    const TestPool pool(server, 1);
    pool.take(0.2);
    const Stopwatch watch;
    server.kill9();
    REQUIRE(eventually([&] { return watch.elapsed() > 300ms; }));
    server.start();
    const Json entries = history(server, pool);
    REQUIRE(entries.size() == 1);
    CHECK(entries[0].at("how") == "expired");
    restart(server, End::kill);
    CHECK(history(server, pool) == entries);
}

TEST_CASE("a history that cannot be kept keeps nobody from borrowing, and the log says so", "[sqlite]") {
    RunningServer server;
    const TestPool pool(server, 1);
    CHECK(server.terminate() == 0);
    fs::remove_all(history_file(server));
    fs::remove_all(history_file(server).string() + "-wal");
    fs::create_directory(history_file(server));
    server.start();
    pool.returns(pool.take());
    CHECK(server.program().warns("(slots are lent all the same)"));
    CHECK_THAT(server.log(), has_text(history_file(server).string()));
    CHECK(ask(server, pool, "history").status == 502);
    CHECK(call(server.port(), "GET", "/readyz").status == 200);
    fs::remove(history_file(server));
    REQUIRE(eventually([&] { return ask(server, pool, "history").status == 200; }));
    REQUIRE(eventually([&] { return history(server, pool).size() == 1; }));
    CHECK(server.program().warns("the history works again"));
    CHECK(server.terminate() == 0);
    // Damaged: whoever removes it loses nothing else.
    std::ofstream(history_file(server), std::ios::trunc) << std::string(5000, 'x');
    fs::remove(history_file(server).string() + "-wal");
    server.start();
    pool.returns(pool.take());
    CHECK(ask(server, pool, "history").status == 502);
    CHECK(server.program().warns("remove the file, and only the history is lost"));
}

TEST_CASE("a full disk costs entries of the history, and nothing else once it has room", "[sqlite]") {
    RunningServer server;
    const TestPool pool(server, 1);
    pool.returns(pool.take());
    REQUIRE(history(server, pool).size() == 1);
    {
        const FullDisk full(server);
        CHECK(pool.borrow(R"({"ttl":60})").status == 502);
        CHECK(ask(server, pool, "history").status != 500);
    }
    REQUIRE(eventually([&] { return pool.borrow(R"({"ttl":60})").status == 200; }));
    CHECK(pool.revokes(0));
    CHECK(eventually([&] { return history(server, pool).size() >= 2; }));
}

TEST_CASE("semad --history 0 keeps none, and a reload begins one, and another ends it", "[sqlite]") {
    const TempDir folder;
    const fs::path config = folder.path() / "semad.toml";
    std::ofstream(config) << "history = 0\n";
    RunningServer server({"--config", config.string()});
    const TestPool pool(server, 1);
    pool.returns(pool.take());
    CHECK(history(server, pool).empty());
    CHECK(statistics(server, pool).at("kept_for") == 0);
    CHECK_FALSE(fs::exists(history_file(server)));
    std::ofstream(config) << "history = \"1h\"\n";
    REQUIRE(::kill(server.pid(), SIGHUP) == 0);
    REQUIRE(server.program().warns("the settings were read anew"));
    pool.returns(pool.take());
    CHECK(history(server, pool).size() == 1);
    CHECK(statistics(server, pool, "?what_if=false").at("kept_for") == 3600);
    std::ofstream(config) << "history = 0\n";
    REQUIRE(::kill(server.pid(), SIGHUP) == 0);
    CHECK(server.program().warns("no history is kept any more, and what was kept is removed"));
    REQUIRE(eventually([&] { return !fs::exists(history_file(server)); }));
    CHECK(history(server, pool).empty());
}

TEST_CASE("semad --history 0 removes what was kept before", "[sqlite]") {
    const TempDir folder;
    const fs::path config = folder.path() / "semad.toml";
    std::ofstream(config) << "history = \"1d\"\n";
    RunningServer server({"--config", config.string()});
    const TestPool pool(server, 1);
    pool.returns(pool.take());
    CHECK(history(server, pool).size() == 1);
    server.kill9();
    std::ofstream(config) << "history = 0\n";
    server.start();
    REQUIRE(eventually([&] { return !fs::exists(history_file(server)); }));
    CHECK_FALSE(fs::exists(history_file(server).string() + "-wal"));
    server.kill9();
    std::ofstream(config) << "history = \"1d\"\n";
    server.start();
    CHECK(history(server, pool).empty());
}
