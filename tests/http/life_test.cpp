#include "server/http/http_server.hpp"
#include "server/store/memory/memory_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/faulty_store.hpp"
#include "tests/support/raw_client.hpp"

#include <atomic>

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

TEST_CASE("life is reported again and again, but not while one of the threads hangs", "[plain]") {
    const auto faults = std::make_shared<StoreFaults>();
    const auto store = make_faulty_store(make_memory_store(), faults);
    SystemClock clock(std::nullopt);
    Service service(*store, clock, {});
    http::Routes routes(service, clock, 1000);
    http::HttpOptions options;
    options.listen = {http::TcpAddress{"127.0.0.1", "0"}};
    options.threads = 3;
    std::atomic<int> reports = 0;
    http::HttpServer server(routes, options);
    REQUIRE(server.listen());
    server.report_life(1ms, [&] { ++reports; });
    CHECK(reports == 0);
    service.start();
    server.start();
    CHECK(eventually([&] { return reports >= 10; }));
    {
        StoreFaults::Gate gate(*faults);
        const std::string& url = server.addresses().front();
        RawClient client(std::stoi(url.substr(url.rfind(':') + 1)));
        client.send(http_request("PUT", "/l/" + PoolId::random().str(), R"({"count":1})"));
        gate.await_commit();
        // One may be under way that came by before.
        const int before = reports;
        CHECK_FALSE(eventually([&] { return reports > before + 1; }, 300ms));
        CHECK(server.is_alive());
        CHECK(eventually([&] { return !server.is_alive(2s); }));
        gate.open();
        CHECK(client.receive().status == 200);
        CHECK(eventually([&] { return reports > before + 10; }));
        CHECK(eventually([&] { return server.is_alive(2s); }));
    }
    server.drain();
    service.drain();
    server.stop();
    service.stop();
}
