#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scripted_server.hpp"

// semactl with a server of another version: docs/http-api.md, "Versions".

using namespace sema::test;

namespace {

const std::string lease = "3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34";

// The grant of a borrow, with these keys more.
std::string grant(const std::string& more) {
    return http("200 OK", R"({"lease":")" + lease +
                              R"(","position":2,"expires_at_unix":2000000000,"expires_in":3600)" + more +
                              "}");
}

Scene on_request(const std::string& answer) {
    return {Scene::Wait::for_request, answer};
}

const Scene returned = on_request(http("200 OK", R"({"returned":true})"));

}  // namespace

TEST_CASE("run works with a server that has no extensions, and exports what there is") {
    const ScriptedServer server({on_request(grant("")), returned});
    const Semactl semactl(server.url());
    const Finished done = semactl({"run", "vsim", "--ttl", "1h", "--wait", "0", "--", "sh", "-c",
                                   "echo $SEMA_POSITION $SEMA_LEASE ${SEMA_FENCE-none} ${SEMA_SLOT-none}"});
    CHECK(done.status == 0);
    CHECK(done.out == "2 " + lease + " none none\n");
    CHECK_THAT(server.requests().at(1), has_text("/return HTTP"));
}

TEST_CASE("run works with a server whose answers have keys that semactl does not know") {
    const std::string more =
        R"(,"positions":[2],"fence":7,"slots":["a"],"granted_at_unix":1,"error":"none","later":[{}])";
    const ScriptedServer server({on_request(grant(more)), returned});
    const Semactl semactl(server.url());
    const Finished done = semactl({"run", "vsim", "--ttl", "1h", "--wait", "0", "--", "sh", "-c",
                                   "echo $SEMA_POSITION $SEMA_FENCE $SEMA_SLOT"});
    CHECK(done.status == 0);
    CHECK(done.out == "2 7 a\n");
}

TEST_CASE("several slots of a server that lends one at a time are an error, and that one is returned") {
    const ScriptedServer server({on_request(grant("")), returned});
    const Semactl semactl(server.url());
    const Finished refused =
        semactl({"run", "vsim", "--slots", "2", "--ttl", "1h", "--wait", "0", "--", "true"});
    CHECK(refused.status == 125);
    CHECK(refused.err ==
          "semactl: vsim: " + server.url() + " cannot lend several slots at once: it has no extensions\n");
    CHECK_THAT(server.requests().at(1), has_text("/return HTTP"));
}
