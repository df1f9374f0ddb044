#pragma once

#include "server/http/http_server.hpp"
#include "server/store/memory/memory_store.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/faulty_store.hpp"
#include "tests/support/raw_client.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/tls_files.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace sema::test {

/// The whole server in this process, so that a test can hold its store still while an answer is under way.
/// With SEMA_TEST_TLS in the environment it speaks TLS, as RawClient does.
class Server {
  public:
    explicit Server(std::size_t max_connections = 10'000)
        : tls_(load_tls()), http_(routes_, options(max_connections, tls_.get())) {
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

    const std::string& pool() const { return pool_; }
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
        std::this_thread::sleep_for(std::chrono::milliseconds(15));
        gate.open();
        client.receive();
        client.receive();
    }

  private:
    static std::unique_ptr<http::TlsContext> load_tls() {
        if (std::getenv("SEMA_TEST_TLS") == nullptr) return nullptr;
        const TempDir folder;
        const auto [certificate, key] = make_certificate(folder.path(), "semad");
        const auto loaded = http::read_tls_files({certificate, key, ""});
        return std::make_unique<http::TlsContext>(loaded.value().settings);
    }

    static http::HttpOptions options(std::size_t max_connections, const http::TlsContext* tls) {
        http::HttpOptions options;
        options.tls = tls;
        options.max_connections = max_connections;
        options.listen = {http::TcpAddress{"127.0.0.1", "0"}};
        return options;
    }

    std::shared_ptr<StoreFaults> faults_ = std::make_shared<StoreFaults>();
    std::unique_ptr<Store> store_ = make_faulty_store(make_memory_store(), faults_);
    SystemClock clock_{std::nullopt};
    Service service_{*store_, clock_, {}};
    http::Routes routes_{service_, clock_, 1000};
    std::unique_ptr<http::TlsContext> tls_;
    http::HttpServer http_;
    std::string pool_ = PoolId::random().str();
    int port_ = 0;
};

}  // namespace sema::test
