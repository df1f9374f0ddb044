#include "client/client.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/patient.hpp"
#include "tests/support/scripted_server.hpp"

// A server of a later version has more keys in its answers than this client knows, one of an earlier version
// has fewer: docs/http-api.md, "Versions".

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

const PoolId pool = PoolId::random();
const LeaseId lease = LeaseId::random();

wire::BorrowRequest extended(unsigned slots) {
    return {.ttl = 60s, .wait = 1s, .lease = lease, .slots = slots, .extended = true};
}

template <class Result, class Call>
Result result_of(const std::string& answer, Call call) {
    ScriptedServer server({{Scene::Wait::for_request, answer}});
    Client client(*parse_server_address(server.url()));
    auto result = call(client);
    REQUIRE(std::holds_alternative<Result>(result));
    return std::get<Result>(std::move(result));
}

template <class Result>
Result borrowed(const std::string& answer, unsigned slots = 1) {
    return result_of<Result>(answer, [slots](Client& client) {
        Patient patient;
        return client.borrow(pool, extended(slots), patient);
    });
}

wire::PoolDetails holders_in(const std::string& body) {
    return result_of<wire::PoolDetails>(http("200 OK", body),
                                        [](Client& client) { return client.holders(pool); });
}

// A body with a key more at its end.
std::string with_more(std::string body) {
    body.pop_back();
    return body + R"(,"later":{"error":"?","deep":[1,[2]]}})";
}

const std::string id_key = R"({"id":")" + pool.str() + R"(",)";
const std::string base_lease =
    R"({"lease":")" + lease.str() + R"(","position":2,"expires_at_unix":2000000000,"expires_in":60})";
const std::string holder_entry =
    R"({"position":0,"positions":[0],"holder":{"name":"ann","later":1},"granted_at_unix":1,)"
    R"("expires_at_unix":2,"expires_in":1,"fence":1})";
const std::string queue_entry = R"({"rank":1,"slots":1,"priority":0,"holder":null,"waiting_for":5})";

}  // namespace

TEST_CASE("keys that the client does not know are ignored in every answer") {
    std::string full = base_lease;
    full.pop_back();
    full += R"(,"positions":[2],"fence":7,"slots":["a"],"granted_at_unix":1})";
    const auto grant = borrowed<Grant>(http("200 OK", with_more(full)));
    CHECK(grant.lease.lease == lease);
    CHECK(grant.lease.details->fence == 7);

    const auto none = borrowed<NoSlot>(
        http("409 Conflict",
             with_more(
                 R"({"error":"no resource available","rank":2,"queue":3,"in_use":4,"count":4,"eta":null})")));
    CHECK(none.details->rank == 2);

    const auto renewed =
        result_of<wire::Renewed>(http("200 OK", with_more(R"({"renewed":true,)" + base_lease.substr(1))),
                                 [](Client& client) { return client.keepalive(pool, lease, 60s); });
    CHECK(renewed.lease->position == 2);

    const auto state = result_of<wire::PoolState>(
        http("200 OK", with_more(id_key + R"("count":3,"in_use":1,"available":2})")),
        [](Client& client) { return client.inspect(pool); });
    CHECK(state.available == 2);
    CHECK(result_of<wire::Returned>(http("200 OK", with_more(R"({"returned":true})")), [](Client& client) {
              return client.give_back(pool, lease, 60s);
          }).returned);
    CHECK(result_of<wire::PoolList>(
              http("200 OK", with_more(R"({"pools":[)" +
                                       with_more(id_key + R"("name":null,"count":1,"in_use":0,)"
                                                          R"("available":1,"queue":0})") +
                                       "]}")),
              [](Client& client) { return client.pools("token"); })
              .pools.size() == 1);
    CHECK(result_of<wire::ServerVersion>(http("200 OK", with_more(R"({"version":"9"})")), [](Client& client) {
              return client.version();
          }).version == "9");

    const auto details = holders_in(with_more(
        id_key + R"("name":"boards","count":1,"in_use":1,"available":0,"renewable":false,"cooldown":5,)" +
        R"("holders":[)" + with_more(holder_entry) + R"(],"queue":[)" + with_more(queue_entry) +
        R"(],"eta":null})"));
    CHECK(details.settings == PoolSettings{.name = "boards", .cooldown = 5s, .renewable = false});
    CHECK(*details.holders.at(0).holder->name == "ann");
    CHECK(details.queue.at(0).waiting_for == 5);
}

TEST_CASE("an answer without the extended keys is that of a server which has no extensions") {
    CHECK_FALSE(borrowed<Grant>(http("200 OK", base_lease)).lease.details);
    CHECK_FALSE(borrowed<NoSlot>(http("409 Conflict", R"({"error":"no resource available"})")).details);
}

TEST_CASE("a setting that the server does not name has its default") {
    const auto details = holders_in(id_key + R"("count":1,"in_use":0,"available":1,"holders":[],"queue":[)" +
                                    queue_entry + R"(],"eta":null})");
    CHECK(details.settings == PoolSettings());
    CHECK_FALSE(details.queue.at(0).away);
}

TEST_CASE("an answer without a key that every version has is no semad's") {
    for (const char* key : {"lease", "position", "expires_at_unix", "expires_in"}) {
        CAPTURE(key);
        std::string body = base_lease;
        body.insert(body.find(key), "not_");
        CHECK(borrowed<Rejected>(http("200 OK", body)).is_foreign);
    }
}

TEST_CASE("a server that cannot lend several slots at once is given back the one that it lent") {
    ScriptedServer server({{Scene::Wait::for_request, http("200 OK", base_lease)},
                           {Scene::Wait::for_request, http("200 OK", R"({"returned":true})")}});
    Client client(*parse_server_address(server.url()));
    Patient patient;
    const auto answer = client.borrow(pool, extended(2), patient);
    REQUIRE(std::holds_alternative<Rejected>(answer));
    CHECK(std::get<Rejected>(answer).reason == "cannot lend several slots at once: it has no extensions");
    REQUIRE(server.requests().size() == 2);
    CHECK_THAT(server.requests().at(1), has_text("/return HTTP") && has_text(lease.str()));
}

TEST_CASE("a call that the server does not have is refused, and no absent pool") {
    const std::string answer = http("404 Not Found", R"({"error":"no such path"})");
    const auto rejected = result_of<Rejected>(answer, [](Client& client) { return client.holders(pool); });
    CHECK(rejected.reason == "refused: no such path (status 404)");
    CHECK_FALSE(rejected.is_foreign);
}
