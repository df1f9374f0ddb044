#include "server/http/access_log.hpp"

#include "tests/support/catch.hpp"

#include <nlohmann/json.hpp>

#include <numeric>
#include <regex>

using namespace sema;
using namespace sema::http;
using namespace std::chrono_literals;

namespace {

std::string line_of(AccessLog::Form form, const Access& access) {
    std::string written;
    AccessLog log([&](const std::string& line) { written += line; });
    log.turn_on(form);
    log.add(access);
    return written;
}

const std::string client = "10.1.2.3:4711";

}  // namespace

TEST_CASE("the keyed hash is SipHash-2-4") {
    // The vectors of its authors: the key 00 01 .. 0f, and so many bytes 00 01 02 ...
    const std::array<std::uint64_t, 2> key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    std::array<unsigned char, 15> bytes{};
    std::iota(bytes.begin(), bytes.end(), static_cast<unsigned char>(0));
    CHECK(keyed_hash(key, {}) == 0x726fdb47dd0e0e31);
    CHECK(keyed_hash(key, std::span(bytes).first(8)) == 0x93f5f5799a932462);
    CHECK(keyed_hash(key, bytes) == 0xa129ca6149be45e5);
}

TEST_CASE("a pool has the same hash each time, and another one in another run") {
    const PoolId pool = PoolId::random();
    const PoolHash run;
    CHECK(run.of(pool) == run.of(pool));
    CHECK(run.of(pool) != run.of(PoolId::random()));
    CHECK(run.of(pool) != PoolHash().of(pool));
}

TEST_CASE("a waiter has the same name each time, and another one in another pool") {
    const PoolId pool = PoolId::random();
    const LeaseId lease = LeaseId::random();
    CHECK(waiter_name(pool, lease) == waiter_name(pool, lease));
    CHECK(waiter_name(pool, lease) != waiter_name(PoolId::random(), lease));
    CHECK(waiter_name(pool, lease) != waiter_name(pool, LeaseId::random()));
}

TEST_CASE("a line of the access log has what was asked, by whom, and how it was answered") {
    const Access access{.client = client,
                        .call = CallKind::borrow,
                        .pool = PoolId::random(),
                        .status = 200,
                        .time = 1500us,
                        .bytes = 217};
    const std::string text = line_of(AccessLog::Form::text, access);
    CAPTURE(text);
    CHECK(std::regex_match(text, std::regex("\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3} access: "
                                            "10.1.2.3:4711 borrow [0-9a-f]{16} 200 0.001500 217\n")));
    const std::string line = line_of(AccessLog::Form::json, access);
    CHECK(line.back() == '\n');
    const auto json = nlohmann::json::parse(line);
    CHECK(std::regex_match(json.at("time").get<std::string>(),
                           std::regex("\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ")));
    CHECK(json.at("level") == "access");
    CHECK(json.at("message") == "borrow 200");
    CHECK(json.at("client") == client);
    CHECK(json.at("call") == "borrow");
    CHECK(json.at("pool").get<std::string>().size() == 16);
    CHECK(json.at("status") == 200);
    CHECK(json.at("seconds") == 0.0015);
    CHECK(json.at("bytes") == 217);
}

TEST_CASE("what a request lacks is left open in the access log") {
    const Access access{.client = client, .call = CallKind::other};
    CHECK(std::regex_search(line_of(AccessLog::Form::text, access), std::regex("other - - 0.000000 0\n$")));
    const auto json = nlohmann::json::parse(line_of(AccessLog::Form::json, access));
    CHECK(json.at("pool").is_null());
    CHECK(json.at("status").is_null());
}
