#include "server/http/http_server.hpp"
#include "server/store/memory.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/faulty_store.hpp"
#include "tests/support/raw_client.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

/// The whole server in this process, so that a test can hold its store still while an answer is under way.
class Server {
  public:
    Server() {
        REQUIRE(http_.listen());
        service_.start();
        http_.start();
        const std::string& url = http_.addresses().front();
        port_ = std::stoi(url.substr(url.rfind(':') + 1));
        REQUIRE(call("PUT", "", R"({"count":1})").status == 200);
    }
    ~Server() {
        stop([] {});
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// As semad does on TERM. `meanwhile` is done when nothing is read from connections any more.
    void stop(const std::function<void()>& meanwhile) {
        http_.drain();
        service_.drain();
        http_.stop();
        meanwhile();
        service_.stop();
        http_.hand_out_rest();
        service_.stop();
    }
    /// What the store holds.
    std::size_t stored_leases() {
        const auto record = store_->load(*PoolId::parse(pool_));
        return std::get<PoolRecord>(record).slots.size();
    }

    RawClient connect() const { return RawClient(port_); }
    std::string request(const std::string& method, const std::string& call,
                        const std::string& body = "") const {
        return http_request(method, "/l/" + pool_ + call, body);
    }
    HttpResponse call(const std::string& method, const std::string& call,
                      const std::string& body = "") const {
        RawClient client = connect();
        client.send(request(method, call, body));
        return client.receive();
    }
    /// -1 where the answer doesn't tell: it would rest on what is about to fail.
    int in_use() const { return nlohmann::json::parse(call("GET", "").body).value("in_use", -1); }
    std::string take() const {
        return nlohmann::json::parse(call("POST", "/borrow", R"({"ttl":60})").body).at("lease");
    }
    /// A connection whose borrow waits.
    RawClient queue_up() const {
        RawClient client = connect();
        // The first is answered on the spot, by the only thread, which then takes up the second.
        client.send(http_request("GET", "/") + request("POST", "/borrow", R"({"ttl":60,"wait":60})"));
        client.receive();
        return client;
    }

    StoreFaults& faults() { return *faults_; }
    /// Has the server take its store for a slow one, on which no thread of connections waits, for a second.
    void slow_down() {
        StoreFaults::Gate gate(faults());
        RawClient client = connect();
        client.send(request("PUT", "", R"({"count":2})") + request("PUT", "", R"({"count":1})"));
        gate.await_commit();
        std::this_thread::sleep_for(15ms);
        gate.open();
        client.receive();
        client.receive();
    }

  private:
    static http::HttpOptions options() {
        http::HttpOptions options;
        options.listen = {http::TcpAddress{"127.0.0.1", "0"}};
        return options;
    }

    std::shared_ptr<StoreFaults> faults_ = std::make_shared<StoreFaults>();
    std::unique_ptr<Store> store_ = make_faulty_store(make_memory_store(), faults_);
    SystemClock clock_{std::nullopt};
    Service service_{*store_, clock_, {}};
    http::Routes routes_{service_, clock_, 1000};
    http::HttpServer http_{routes_, options()};
    std::string pool_ = PoolId::random().str();
    int port_ = 0;
};

std::string lease_body(const std::string& lease) {
    return R"({"lease":")" + lease + R"("})";
}

}  // namespace

TEST_CASE("no answer is sent before what it tells is stored") {
    Server server;
    RawClient borrower = server.connect();
    RawClient onlooker = server.connect();
    server.slow_down();
    {
        StoreFaults::Gate gate(server.faults());
        borrower.send(server.request("POST", "/borrow", R"({"ttl":60})"));
        gate.await_commit();
        // Answered on the spot, by the thread that has dealt with all that came before.
        onlooker.send(server.request("GET", "") + http_request("GET", "/"));
        RawClient other = server.connect();
        other.send(http_request("GET", "/"));
        CHECK(other.receive().status == 404);
        CHECK_FALSE(borrower.has_answer());
        CHECK_FALSE(onlooker.has_answer());
    }
    CHECK(borrower.receive().status == 200);
    CHECK(nlohmann::json::parse(onlooker.receive().body).at("in_use") == 1);
}

TEST_CASE("a borrower that goes while its answer is being stored loses its lease") {
    Server server;
    for (const bool with_reset : {false, true}) {
        RawClient borrower = server.connect();
        {
            StoreFaults::Gate gate(server.faults());
            borrower.send(server.request("POST", "/borrow", R"({"ttl":60})"));
            gate.await_commit();
            with_reset ? borrower.abort() : borrower.close();
        }
        CHECK(eventually([&] { return server.in_use() == 0; }));
    }
}

TEST_CASE("the slot of a borrower that goes while its answer is being stored goes to the next") {
    Server server;
    for (const bool with_reset : {false, true}) {
        RawClient borrower = server.connect();
        RawClient next = server.connect();
        server.slow_down();
        {
            StoreFaults::Gate gate(server.faults());
            borrower.send(server.request("POST", "/borrow", R"({"ttl":60})"));
            gate.await_commit();
            next = server.queue_up();
            with_reset ? borrower.abort() : borrower.close();
        }
        const HttpResponse response = next.receive();
        REQUIRE(response.status == 200);
        const std::string lease = nlohmann::json::parse(response.body).at("lease");
        CHECK(server.call("POST", "/return", lease_body(lease)).body == R"({"returned":true})");
    }
    CHECK(server.in_use() == 0);
}

TEST_CASE("the slot of a waiter that goes while its grant is being stored goes to the next") {
    Server server;
    for (const bool with_reset : {false, true}) {
        const std::string held = server.take();
        RawClient first = server.queue_up();
        RawClient next = server.queue_up();
        RawClient holder = server.connect();
        {
            StoreFaults::Gate gate(server.faults());
            holder.send(server.request("POST", "/return", lease_body(held)));
            gate.await_commit();
            with_reset ? first.abort() : first.close();
        }
        CHECK(holder.receive().body == R"({"returned":true})");
        const HttpResponse response = next.receive();
        REQUIRE(response.status == 200);
        const std::string lease = nlohmann::json::parse(response.body).at("lease");
        CHECK(server.call("POST", "/return", lease_body(lease)).body == R"({"returned":true})");
    }
    CHECK(server.in_use() == 0);
}

TEST_CASE(
    "a borrower that only stops sending while its answer is being stored gets it, and keeps its lease") {
    Server server;
    RawClient borrower = server.connect();
    {
        StoreFaults::Gate gate(server.faults());
        borrower.send(server.request("POST", "/borrow", R"({"ttl":60})"));
        gate.await_commit();
        borrower.half_close();
    }
    const HttpResponse response = borrower.receive();
    CHECK(response.status == 200);
    CHECK(borrower.closed_by_server());
    CHECK(server.in_use() == 1);
    const std::string lease = nlohmann::json::parse(response.body).at("lease");
    CHECK(server.call("POST", "/return", lease_body(lease)).body == R"({"returned":true})");
}

TEST_CASE("a borrower that goes while its answer is being stored loses its lease though the server stops") {
    for (const bool with_reset : {false, true}) {
        Server server;
        RawClient borrower = server.connect();
        server.slow_down();
        StoreFaults::Gate gate(server.faults());
        borrower.send(server.request("POST", "/borrow", R"({"ttl":60})"));
        gate.await_commit();
        with_reset ? borrower.abort() : borrower.close();
        RawClient other = server.connect();
        other.send(http_request("GET", "/"));
        other.receive();
        server.stop([&] { gate.open(); });
        CHECK(server.stored_leases() == 0);
    }
}

TEST_CASE("a return is done though its client doesn't stay for the answer") {
    Server server;
    const std::string held = server.take();
    {
        RawClient holder = server.connect();
        holder.send(server.request("POST", "/return", lease_body(held)));
    }
    CHECK(eventually([&] { return server.in_use() == 0; }));
}

TEST_CASE("a call whose changes cannot be stored is answered 502, and changed nothing") {
    Server server;
    const std::string held = server.take();
    const auto fails = [&](const std::string& method, const std::string& call, const std::string& body = "") {
        server.faults().fail_commits(1);
        const HttpResponse response = server.call(method, call, body);
        CHECK(response.status == 502);
        CHECK(response.body == R"({"error":"database command failed"})");
    };
    fails("PUT", "", R"({"count":2})");
    fails("DELETE", "");
    fails("POST", "/return", lease_body(held));
    CHECK(server.in_use() == 1);
    CHECK(server.call("POST", "/return", lease_body(held)).body == R"({"returned":true})");
    fails("POST", "/borrow", R"({"ttl":60})");
    CHECK(server.in_use() == 0);
    CHECK(server.call("POST", "/borrow", R"({"ttl":60})").status == 200);
}

TEST_CASE("a waiter whose grant cannot be stored is answered 502, and the lease stays with its holder") {
    Server server;
    const std::string held = server.take();
    RawClient waiter = server.queue_up();
    server.faults().fail_commits(1);
    CHECK(server.call("POST", "/return", lease_body(held)).status == 502);
    CHECK(waiter.receive().status == 502);
    CHECK(server.in_use() == 1);
    CHECK(server.call("POST", "/return", lease_body(held)).body == R"({"returned":true})");
    CHECK(server.in_use() == 0);
}

TEST_CASE("a client that goes before a 502 leaves nothing behind") {
    Server server;
    {
        RawClient borrower = server.connect();
        StoreFaults::Gate gate(server.faults());
        borrower.send(server.request("POST", "/borrow", R"({"ttl":60})"));
        gate.await_commit();
        server.faults().fail_commits(1);
        borrower.abort();
    }
    CHECK(eventually([&] { return server.in_use() == 0; }));
    CHECK(server.call("POST", "/borrow", R"({"ttl":60})").status == 200);
}
