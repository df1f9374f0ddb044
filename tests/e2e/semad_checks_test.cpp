#include "tests/e2e/callbacks.hpp"
#include "tests/e2e/monitored.hpp"
#include "tests/support/redis_server.hpp"

using namespace sema::test;

namespace {

Json checks_of(const HttpResponse& response) {
    return Json::parse(response.body).at("checks");
}

const Json ok = {{"status", "ok"}};

}  // namespace

TEST_CASE("livez and readyz say that all is well, readyz with what it looked at where that is asked for") {
    const MonitoredServer server;
    for (const int port : {server.semad().port(), server.metrics_port()}) {
        CHECK(call(port, "GET", "/livez").body == R"({"status":"ok"})");
        CHECK(call(port, "HEAD", "/livez").body == "");
        CHECK(call(port, "POST", "/livez").header("allow") == "GET, HEAD");
        CHECK(call(port, "GET", "/readyz").body == R"({"status":"ready"})");
        CHECK(call(port, "GET", "/readyz?other").body == R"({"status":"ready"})");
        for (const std::string query : {"verbose", "verbose=1", "a=b&verbose"}) {
            const HttpResponse response = call(port, "GET", "/readyz?" + query);
            CHECK(response.status == 200);
            CHECK(
                Json::parse(response.body) ==
                Json{{"status", "ready"}, {"checks", {{"store", ok}, {"listeners", ok}, {"draining", ok}}}});
        }
    }
}

TEST_CASE("readyz says why where a shared store is away") {
    RedisServer redis;
    const MonitoredServer server({"--store", redis.url()});
    const TestPool pool(server.semad(), 1);
    redis.kill9();
    CHECK(eventually([&] { return call(server.semad().port(), "GET", "/readyz").status == 503; }));
    CHECK(eventually([&] {
        const HttpResponse response = call(server.semad().port(), "GET", "/readyz?verbose");
        const Json store = checks_of(response).at("store");
        return response.status == 503 && response.has("retry-after") && store.at("status") == "failed" &&
               store.at("reason").get<std::string>().find("127.0.0.1") != std::string::npos;
    }));
    CHECK(server.value("sema_store_up") == "0");
    const Json body = Json::parse(call(server.semad().port(), "GET", "/readyz?verbose").body);
    CHECK(body.at("error") == "the store cannot be reached: semad's log says why");
    CHECK(body.at("checks").at("listeners") == ok);
    CHECK(call(server.semad().port(), "GET", "/livez").status == 200);
    redis.start();
    CHECK(eventually([&] { return call(server.semad().port(), "GET", "/readyz?verbose").status == 200; }));
}

TEST_CASE("readyz tells of a store that failed, which only a call can try again") {
    const MonitoredServer server;
    const TestPool pool(server.semad(), 1);
    {
        const FullDisk full(server.semad());
        CHECK(pool.put(R"({"count":2})").status == 502);
    }
    const HttpResponse response = server.watch("/readyz?verbose");
    CHECK(response.status == 200);
    CHECK(checks_of(response).at("store").at("status") == "ok");
    CHECK(checks_of(response).at("store").at("reason") != "");
    pool.set_count(2);
    CHECK(checks_of(server.watch("/readyz?verbose")).at("store") == ok);
}

TEST_CASE("readyz says on the listener for metrics that semad shuts down") {
    // A callback that is not answered keeps semad for some seconds.
    const Receiver hanging(Receiver::hanging());
    MonitoredServer server(allowing);
    const TestPool pool(server.semad(), 1);
    queued(pool, callback_to(hanging.url()));
    hanging.await(1);
    server.semad().program().signal(SIGTERM);
    Json checks;
    CHECK(eventually([&] {
        const HttpResponse response = server.watch("/readyz?verbose");
        checks = checks_of(response);
        return response.status == 503 && checks.at("draining").at("status") == "failed";
    }));
    CHECK(checks.at("listeners").at("status") == "failed");
    CHECK(server.semad().program().wait() == 0);
}
