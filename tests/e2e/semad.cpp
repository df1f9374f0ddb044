#include "tests/e2e/semad.hpp"

#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace sema::test {

using Json = nlohmann::json;

namespace {

const HttpResponse& expect_ok(const HttpResponse& response) {
    if (response.status != 200)
        throw std::runtime_error("answered " + std::to_string(response.status) + ": " + response.body);
    return response;
}

}  // namespace

HttpResponse call(int port, const std::string& method, const std::string& target, const std::string& body,
                  const std::string& headers) {
    RawClient client(port);
    client.send(http_request(method, target, body, headers));
    return client.receive(method == "HEAD");
}

std::string error_body(const std::string& reason) {
    return Json{{"error", reason}}.dump();
}

Slot granted(const HttpResponse& response) {
    const Json body = Json::parse(expect_ok(response).body);
    return {body.at("lease").get<std::string>(), body.at("position").get<int>(),
            body.at("expires_at_unix").get<std::int64_t>(), body.at("expires_in").get<std::int64_t>()};
}

TestPool::TestPool(const RunningServer& server, int count) : TestPool(server, PoolId::random().str()) {
    set_count(count);
}

TestPool::TestPool(const RunningServer& server, std::string id) : port_(server.port()), id_(std::move(id)) {}

void TestPool::set_count(int count) const {
    expect_ok(put(Json{{"count", count}}.dump()));
}

int TestPool::state(const std::string& key) const {
    return Json::parse(expect_ok(get()).body).at(key).get<int>();
}

Slot TestPool::take(double ttl) const {
    return granted(borrow(Json{{"ttl", ttl}}.dump()));
}

bool TestPool::takes_one() const {
    const HttpResponse response = borrow(R"({"ttl":60})");
    if (response.status == 409) return false;
    expect_ok(response);
    return true;
}

bool TestPool::returns(const Slot& slot) const {
    const HttpResponse response = give_back(Json{{"lease", slot.lease}}.dump());
    return Json::parse(expect_ok(response).body).at("returned").get<bool>();
}

std::string TestPool::borrow_request(double ttl, double wait) const {
    return http_request("POST", path() + "/borrow", Json{{"ttl", ttl}, {"wait", wait}}.dump());
}

std::string TestPool::return_request(const Slot& slot) const {
    return http_request("POST", path() + "/return", Json{{"lease", slot.lease}}.dump());
}

// The borrow is sent together with a request that is answered on the spot. Once that answer is here, the
// server's thread is at work on this connection, and turns to no other before it has dealt with the borrow.
RawClient TestPool::queue_up(double wait, double ttl) const {
    RawClient client(port_);
    client.send(http_request("GET", "/") + borrow_request(ttl, wait));
    if (client.receive().status != 404) throw std::runtime_error("the path / is not to be found");
    // The answer may leave before the borrow behind it is looked at. What one thread does next, it does
    // after that.
    in_use();
    return client;
}

FullDisk::FullDisk(const RunningServer& server) : pid_(server.pid()) {
    prlimit(pid_, RLIMIT_FSIZE, nullptr, &before_);
    const rlimit tight{std::filesystem::file_size(server.store().string() + "-wal"), before_.rlim_max};
    if (prlimit(pid_, RLIMIT_FSIZE, &tight, nullptr) != 0)
        throw std::system_error(errno, std::generic_category(), "prlimit");
}

FullDisk::~FullDisk() {
    prlimit(pid_, RLIMIT_FSIZE, &before_, nullptr);
}

}  // namespace sema::test
