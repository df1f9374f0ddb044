#include "tests/e2e/monitored.hpp"

#include <algorithm>
#include <regex>
#include <set>

using namespace sema::test;

namespace {

const std::set<std::string> documented = {"sema_build_info",
                                          "sema_pool_slots",
                                          "sema_pool_slots_in_use",
                                          "sema_pool_slots_resting",
                                          "sema_pool_slots_out",
                                          "sema_pool_slots_available",
                                          "sema_pool_waiters",
                                          "sema_pool_oldest_wait_seconds",
                                          "sema_pool_grants_total",
                                          "sema_pool_leases_ended_total",
                                          "sema_pool_refusals_total",
                                          "sema_pool_wait_seconds",
                                          "sema_pool_hold_seconds",
                                          "sema_callbacks_total",
                                          "sema_callbacks_pending",
                                          "sema_http_requests_total",
                                          "sema_http_request_seconds",
                                          "sema_http_connections",
                                          "sema_store_commit_seconds",
                                          "sema_store_batch_changes",
                                          "sema_store_up"};

/// Some of all that can happen.
void live(const RunningServer& server) {
    const TestPool pool(server, 1);
    pool.set({{"count", 1}, {"name", "vsim \"8\"\\\n\x01"}});
    const Slot slot = pool.take();
    pool.borrow(R"({"ttl":1})");
    pool.returns(slot);
    const TestPool other(server, 2);
    other.take();
    call(server.port(), "GET", "/nothing");
}

std::string authorized(const std::string& token) {
    return "Authorization: Bearer " + token + "\r\n";
}

}  // namespace

TEST_CASE("promtool finds nothing to say of the metrics, which are those that are documented") {
    const MonitoredServer server;
    live(server.semad());
    const HttpResponse response = server.watch("/metrics");
    CHECK(response.status == 200);
    CHECK(response.header("content-type") == "text/plain; version=0.0.4; charset=utf-8");
    ProgramOptions input;
    input.input = response.body;
    const Finished checked = run_program({promtool(), "check", "metrics"}, input);
    CHECK(checked.out + checked.err == "");
    CHECK(checked.status == 0);

    std::set<std::string> own;
    for (const std::string& name : metric_names(response.body)) {
        if (name.starts_with("process_")) continue;
        CHECK(own.insert(name).second);
    }
    CHECK(own == documented);
    for (const char* name : {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
                             "process_max_fds", "process_start_time_seconds"})
        CHECK(sample(response.body, name) != "");
}

TEST_CASE("metrics tell of pools by their names, and of no UUID") {
    const MonitoredServer server;
    live(server.semad());
    const std::string text = server.metrics();
    CHECK(sample(text, R"(sema_pool_grants_total{pool="vsim \"8\"\\\n)"
                       "\xEF\xBF\xBD\"}") == "1");
    CHECK(sample(text, R"(sema_pool_slots{pool=""})") == "2");
    CHECK(sample(text, R"(sema_pool_slots_in_use{pool=""})") == "1");
    CHECK_FALSE(std::regex_search(text, std::regex("[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")));
}

TEST_CASE("requests are counted by call and status, connections as they are") {
    const MonitoredServer server;
    live(server.semad());
    // A request is counted once its answer is out, which its client may see before.
    const auto becomes = [&](const std::string& name, const std::string& value) {
        return eventually([&] { return server.value(name) == value; });
    };
    CHECK(becomes(R"(sema_http_requests_total{call="register",code="200"})", "3"));
    CHECK(becomes(R"(sema_http_requests_total{call="borrow",code="409"})", "1"));
    CHECK(becomes(R"(sema_http_requests_total{call="other",code="404"})", "1"));
    RawClient client(server.semad().port());
    client.send(http_request("GET", "/healthz"));
    client.receive();
    CHECK(becomes("sema_http_connections", "1"));
    client.close();
    CHECK(becomes("sema_http_connections", "0"));
}

TEST_CASE("what a borrow waits is no part of the time that requests take") {
    const MonitoredServer server(one_thread);
    const TestPool pool(server.semad(), 1);
    const Slot slot = pool.take();
    RawClient granted = pool.queue_up();
    RawClient refused(server.semad().port());
    refused.send(pool.borrow_request(60, 5.1));
    CHECK(refused.receive().status == 409);
    pool.returns(slot);
    CHECK(granted.receive().status == 200);
    REQUIRE(eventually(
        [&] { return server.value(R"(sema_http_requests_total{call="borrow",code="200"})") == "2"; }));
    const std::string text = server.metrics();
    const double waited = std::stod(sample(text, R"(sema_pool_wait_seconds_sum{pool=""})"));
    CHECK(waited >= 5);
    CHECK(std::stod(sample(text, "sema_http_request_seconds_sum")) < 5);
}

TEST_CASE("a store that cannot be written to is down in the metrics") {
    const MonitoredServer server;
    const TestPool pool(server.semad(), 1);
    CHECK(server.value("sema_store_up") == "1");
    {
        const FullDisk full(server.semad());
        CHECK(pool.put(R"({"count":2})").status == 502);
        CHECK(server.value("sema_store_up") == "0");
        CHECK(eventually(
            [&] { return server.value(R"(sema_http_requests_total{call="register",code="502"})") == "1"; }));
    }
    pool.set_count(2);
    CHECK(server.value("sema_store_up") == "1");
}

TEST_CASE("without a listener of their own metrics are for the administrator") {
    const MonitoredServer with;
    const int port = with.semad().port();
    const HttpResponse nobody = call(port, "GET", "/metrics");
    CHECK(nobody.status == 401);
    CHECK(nobody.header("www-authenticate") == "Bearer");
    CHECK(call(port, "GET", "/metrics", "", authorized("wrong")).status == 403);
    const HttpResponse served = call(port, "GET", "/metrics", "", authorized(admin_token));
    CHECK(served.status == 200);
    CHECK(sample(served.body, "sema_store_up") == "1");
    const HttpResponse head = call(port, "HEAD", "/metrics", "", authorized(admin_token));
    CHECK(head.status == 200);
    CHECK(head.body == "");
    const HttpResponse post = call(port, "POST", "/metrics", "", authorized(admin_token));
    CHECK(post.status == 405);
    CHECK(post.header("allow") == "GET, HEAD");

    const RunningServer without;
    CHECK(call(without.port(), "GET", "/metrics").body == error_body("no such path"));
}

TEST_CASE("the listener for metrics serves no other call") {
    const MonitoredServer server;
    const TestPool pool(server.semad(), 1);
    for (const std::string& target : {pool.path(), std::string("/pools"), std::string("/openapi.json")})
        CHECK(server.watch(target).status == 404);
    CHECK(server.watch("/metrics", "DELETE").status == 405);
    CHECK(server.watch("/metrics", "HEAD").body == "");
    for (const std::string target : {"/healthz", "/livez", "/readyz", "/version"})
        CHECK(server.watch(target).status == 200);
}

TEST_CASE("metrics are served on a Unix socket, and in a file's settings") {
    const TempDir folder;
    const auto file = folder.path() / "semad.toml";
    const auto socket = folder.path() / "metrics";
    std::ofstream(file) << "[metrics]\nlisten = \"unix:" << socket.string() << "\"\n";
    const RunningServer server({"--config", file.string()});
    const Finished read =
        run_program({"curl", "-sS", "--unix-socket", socket.string(), "http://semad/metrics"});
    CHECK(sample(read.out, "sema_store_up") == "1");
    CHECK(call(server.port(), "GET", "/metrics").status == 404);
}

TEST_CASE("metrics can be read when all connections are taken") {
    const MonitoredServer server({"--max-connections", "1", "--threads", "1"});
    RawClient only(server.semad().port());
    only.send(http_request("GET", "/healthz"));
    only.receive();
    CHECK(call(server.semad().port(), "GET", "/healthz").status == 503);
    const std::string text = server.metrics();
    CHECK(sample(text, "sema_http_connections") == "1");
    CHECK(sample(text, R"(sema_http_requests_total{call="other",code="503"})") == "1");
    const HttpResponse ready = server.watch("/readyz?verbose");
    CHECK(ready.status == 503);
    CHECK(Json::parse(ready.body).at("checks").at("listeners").at("reason") ==
          "all 1 connections are in use");
}
