#include "tests/e2e/semad.hpp"

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace sema::test {

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

Grant fully_granted(const HttpResponse& response) {
    const Json body = Json::parse(expect_ok(response).body);
    return {granted(response), body.at("positions").get<std::vector<int>>(),
            body.at("fence").get<std::int64_t>(), body.at("slots").get<std::vector<Json>>(),
            body.at("granted_at_unix").get<std::int64_t>()};
}

std::string keys_of(const std::string& body) {
    const auto object = nlohmann::ordered_json::parse(body);
    std::string keys;
    for (const auto& [key, value] : object.items())
        keys += key + ' ';
    return keys;
}

std::string new_lease() {
    return LeaseId::random().str();
}

void stop(RunningServer& server, End end) {
    if (end == End::kill) return server.kill9();
    if (server.terminate() != 0) throw std::runtime_error("semad failed to end; it wrote: " + server.log());
}

void restart(RunningServer& server, End end) {
    stop(server, end);
    server.start();
}

TestPool::TestPool(const RunningServer& server, int count) : TestPool(server, PoolId::random().str()) {
    set_count(count);
}

TestPool::TestPool(const RunningServer& server, std::string id) : port_(server.port()), id_(std::move(id)) {}

void TestPool::set(const Json& fields) const {
    expect_ok(put(fields.dump()));
}

void TestPool::set_count(int count) const {
    set({{"count", count}});
}

int TestPool::state(const std::string& key) const {
    return Json::parse(expect_ok(get()).body).at(key).get<int>();
}

Slot TestPool::take(double ttl) const {
    return granted(borrow(Json{{"ttl", ttl}}.dump()));
}

Grant TestPool::take_with(const Json& fields) const {
    Json body{{"ttl", 60}};
    body.update(fields);
    return fully_granted(borrow(body.dump()));
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

bool TestPool::renews(const Slot& slot, double ttl) const {
    const HttpResponse response = keepalive(Json{{"lease", slot.lease}, {"ttl", ttl}}.dump());
    return Json::parse(expect_ok(response).body).at("renewed").get<bool>();
}

bool TestPool::revokes(int position) const {
    const HttpResponse response = revoke(Json{{"position", position}}.dump());
    return Json::parse(expect_ok(response).body).at("revoked").get<bool>();
}

bool TestPool::cancels(const std::string& lease) const {
    return Json::parse(expect_ok(cancel(lease)).body).at("cancelled").get<bool>();
}

Json TestPool::view() const {
    return Json::parse(expect_ok(holders()).body);
}

std::string TestPool::borrow_request(double ttl, double wait) const {
    return borrow_request({{"ttl", ttl}, {"wait", wait}});
}

std::string TestPool::borrow_request(const Json& fields) const {
    return http_request("POST", path() + "/borrow", fields.dump());
}

std::string TestPool::return_request(const Slot& slot) const {
    return http_request("POST", path() + "/return", Json{{"lease", slot.lease}}.dump());
}

RawClient TestPool::queue_up(double wait, double ttl) const {
    return queue_up_with({{"ttl", ttl}, {"wait", wait}});
}

// The borrow is sent together with a request that is answered on the spot. Once that answer is here, the
// server's thread is at work on this connection, and turns to no other before it has dealt with the borrow.
RawClient TestPool::queue_up_with(const Json& fields) const {
    Json body{{"ttl", 60}, {"wait", 60}};
    body.update(fields);
    RawClient client(port_);
    client.send(http_request("GET", "/") + borrow_request(body));
    if (client.receive().status != 404) throw std::runtime_error("the path / is not to be found");
    // The answer may leave before the borrow behind it is looked at. What one thread does next, it does
    // after that.
    in_use();
    return client;
}

EventStream::EventStream(const TestPool& pool) : connection_(pool.port_) {
    connection_.send(http_request("GET", pool.path() + "/events"));
    // Its body has no end; what the head is of an answer that refuses can be told from the head too.
    head_ = connection_.receive(true);
    if (head_.status != 200)
        throw std::runtime_error("no stream of events, but " + std::to_string(head_.status));
}

EventStream::Event EventStream::next() {
    Event event;
    for (;;) {
        std::string line = connection_.receive_until("\n");
        line.pop_back();
        const auto value = [&](const std::string& field) { return line.substr(field.size()); };
        if (line.empty() && !event.data.empty()) return event;
        if (line.rfind("event: ", 0) == 0) event.name = value("event: ");
        if (line.rfind("data: ", 0) == 0) event.data += value("data: ");
    }
}

Json EventStream::next_state() {
    const Event event = next();
    if (event.name != "state") throw std::runtime_error("no state, but an event " + event.name);
    return Json::parse(event.data);
}

Json EventStream::state_where(const std::function<bool(const Json&)>& condition) {
    for (;;) {
        Json state = next_state();
        if (condition(state)) return state;
    }
}

std::string EventStream::next_comment() {
    for (;;) {
        std::string line = connection_.receive_until("\n");
        if (line.front() == ':') return line;
    }
}

FullDisk::FullDisk(const RunningServer& server) : pid_(server.pid()) {
    prlimit(pid_, RLIMIT_FSIZE, nullptr, &before_);
    // The first page that is written to the log ends beyond it. The server's messages, in a file too, do not.
    const rlimit tight{4096, before_.rlim_max};
    if (prlimit(pid_, RLIMIT_FSIZE, &tight, nullptr) != 0)
        throw std::system_error(errno, std::generic_category(), "prlimit");
}

FullDisk::~FullDisk() {
    prlimit(pid_, RLIMIT_FSIZE, &before_, nullptr);
}

}  // namespace sema::test
