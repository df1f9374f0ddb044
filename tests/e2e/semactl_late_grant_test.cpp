// Nothing shows how long an answer was on its way: not its date, which a proxy may have written.
#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scripted_server.hpp"

#include <nlohmann/json.hpp>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

using Json = nlohmann::json;

const std::string lease = "3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34";

std::string grant(int expires_in) {
    return R"({"lease":")" + lease + R"(","position":0,"expires_at_unix":2000000000,"expires_in":)" +
           std::to_string(expires_in) + R"(,"positions":[0],"fence":1,"slots":[null],"granted_at_unix":1})";
}

Scene answer(const std::string& body, std::chrono::milliseconds delay = 0ms) {
    // Fresh, says whatever stands between.
    return {Scene::Wait::for_request, http("200 OK", body, "Date: Sun, 01 Nov 2026 12:00:00 GMT\r\n"), delay};
}

Scene renewed(int expires_in) {
    return answer(R"({"renewed":true,)" + grant(expires_in).substr(1));
}

// What ends the short call that a wait begins with, so that the next one has time for a slow answer.
const Scene first_call{Scene::Wait::for_request,
                       http("409 Conflict", R"({"error":"no resource available"})")};
const Scene taken_over{Scene::Wait::for_request,
                       http("409 Conflict", R"({"error":"taken over by a newer request"})")};
const Scene returned = answer(R"({"returned":true})");
const Scene away{Scene::Wait::for_request, http("502 Bad Gateway", "<html>")};
const Scene unanswered{Scene::Wait::for_end_of_input, ""};
const Scene not_renewable{Scene::Wait::for_request,
                          http("409 Conflict", R"({"error":"lease is not renewable"})")};

// What each request called.
std::vector<std::string> calls(const ScriptedServer& server) {
    std::vector<std::string> all;
    for (const std::string& request : server.requests()) {
        const std::string path = request.substr(0, request.find(" HTTP/"));
        // A renewal that was given up again, since its command had ended, was not sent.
        if (!path.empty()) all.push_back(path.substr(path.rfind('/')));
    }
    return all;
}

Json body_of(const std::string& request) {
    return Json::parse(request.substr(request.find("\r\n\r\n")));
}

using Calls = std::vector<std::string>;

}  // namespace

TEST_CASE("a grant that was long on its way is renewed before a command starts with it") {
    ScriptedServer server({first_call, answer(grant(10), 2500ms), renewed(10), returned});
    const Finished run =
        Semactl(server.url())({"run", "vsim", "--ttl", "10", "--wait", "60", "--", "echo", "served"});
    CHECK(run.status == 0);
    CHECK(run.out == "served\n");
    CHECK(calls(server) == Calls{"/borrow", "/borrow", "/keepalive", "/return"});
}

TEST_CASE("a grant that was long on its way and cannot be renewed is used while half of its ttl is left") {
    ScriptedServer server({first_call, answer(grant(6), 1500ms), away, away, returned, returned});
    const Finished run =
        Semactl(server.url())({"run", "vsim", "--ttl", "6", "--wait", "60", "--", "echo", "served"});
    CHECK(run.status == 0);
    CHECK(run.out == "served\n");
    CHECK(run.err.find("too late") == std::string::npos);
    CHECK(calls(server).at(2) == "/keepalive");
}

TEST_CASE("a grant that was so long on its way that less is left is returned, and another one asked for") {
    ScriptedServer server({first_call, answer(grant(8), 4200ms), away, returned, answer(grant(8)), returned});
    const Finished run =
        Semactl(server.url())({"run", "vsim", "--ttl", "8", "--wait", "60", "--", "echo", "served"});
    CHECK(run.status == 0);
    CHECK(run.out == "served\n");
    CHECK_THAT(run.err, has_text("vsim: the slot came too late to be used"));
    REQUIRE(calls(server) == Calls{"/borrow", "/borrow", "/keepalive", "/return", "/borrow", "/return"});
    const auto id = [&](std::size_t index) {
        return body_of(server.requests()[index]).at("lease").get<std::string>();
    };
    CHECK(id(1) == id(0));
    // The return, should it arrive twice or late, is none of that lease.
    CHECK(id(4) != id(1));
}

TEST_CASE("a slot that came too late is returned though the server fails for seconds") {
    std::vector<Scene> scenes = {first_call, answer(grant(8), 4200ms), away};
    const std::size_t failures = 8;
    scenes.resize(scenes.size() + failures, away);
    scenes.insert(scenes.end(), {returned, answer(grant(8)), returned});
    ScriptedServer server(scenes);
    const Finished run =
        Semactl(server.url())({"run", "vsim", "--ttl", "8", "--wait", "60", "--", "echo", "served"});
    CHECK(run.status == 0);
    CHECK(run.out == "served\n");
    Calls expected = {"/borrow", "/borrow", "/keepalive"};
    expected.resize(expected.size() + failures + 1, "/return");
    expected.insert(expected.end(), {"/borrow", "/return"});
    CHECK(calls(server) == expected);
}

TEST_CASE("a TERM is heard while a grant that was long on its way is renewed", "[alone]") {
    ScriptedServer server({first_call, answer(grant(60), 1200ms), unanswered, returned});
    const Semactl semactl(server.url());
    Program run(Semactl::command({"borrow", "vsim", "--ttl", "60", "--wait", "60"}), semactl.options());
    REQUIRE(eventually([&] { return calls(server).size() == 3; }));
    const auto begin = std::chrono::steady_clock::now();
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGTERM);
    // The renewal has 2 s for its answer.
    CHECK(std::chrono::steady_clock::now() - begin < 1500ms);
    CHECK(calls(server) == Calls{"/borrow", "/borrow", "/keepalive", "/return"});
}

TEST_CASE("a command whose lease is not renewed starts with the whole of it") {
    ScriptedServer server({first_call, answer(grant(60), 1200ms), renewed(60), returned});
    const Finished run = Semactl(server.url())(
        {"run", "vsim", "--ttl", "60", "--no-keepalive", "--wait", "60", "--", "echo", "served"});
    CHECK(run.out == "served\n");
    CHECK(calls(server) == Calls{"/borrow", "/borrow", "/keepalive", "/return"});
}

TEST_CASE("of a lease that may not be renewed it is asked how much is left") {
    ScriptedServer server(
        {first_call, answer(grant(60), 1200ms), not_renewable, answer(grant(58)), returned});
    const Finished run = Semactl(server.url())(
        {"run", "vsim", "--ttl", "60", "--no-keepalive", "--wait", "60", "--", "echo", "served"});
    CHECK(run.out == "served\n");
    REQUIRE(calls(server) == Calls{"/borrow", "/borrow", "/keepalive", "/borrow", "/return"});
    const Json first = body_of(server.requests()[0]);
    const Json again = body_of(server.requests()[3]);
    CHECK(again.at("lease") == first.at("lease"));
    CHECK(again.at("wait") == 0);
}

TEST_CASE("a borrow by hand prints the time that is left of its lease") {
    ScriptedServer waited({first_call, answer(grant(60), 1200ms), renewed(60)});
    const Finished fresh =
        Semactl(waited.url())({"borrow", "vsim", "--ttl", "60", "--wait", "60", "--output", "json"});
    CHECK(Json::parse(fresh.out).at("expires_in") == 60);
    CHECK(calls(waited) == Calls{"/borrow", "/borrow", "/keepalive"});

    // One that its user named may be an old one, which it is not to renew.
    ScriptedServer named({first_call, answer(grant(60), 1200ms), answer(grant(17))});
    const Finished old = Semactl(named.url())(
        {"borrow", "vsim", "--ttl", "60", "--wait", "60", "--lease", lease, "--output", "json"});
    CHECK(Json::parse(old.out).at("expires_in") == 17);
    CHECK(calls(named) == Calls{"/borrow", "/borrow", "/borrow"});
}

TEST_CASE("a borrower whose own older call took its place asks again") {
    ScriptedServer run({first_call, taken_over, taken_over, answer(grant(60)), returned});
    const Finished ran = Semactl(run.url())({"run", "vsim", "--wait", "60", "--", "echo", "served"});
    CHECK(ran.out == "served\n");
    CHECK(ran.err.find("taken over") == std::string::npos);
    CHECK(body_of(run.requests().at(3)).at("lease") == body_of(run.requests().at(0)).at("lease"));

    ScriptedServer borrow({first_call, taken_over, answer(grant(60))});
    CHECK(Semactl(borrow.url())({"borrow", "vsim", "--ttl", "60", "--wait", "60"}).status == 0);

    // A call whose answer was lost may be read late.
    ScriptedServer named({away, taken_over, answer(grant(60))});
    CHECK(Semactl(named.url())({"borrow", "vsim", "--ttl", "60", "--wait", "60", "--lease", lease}).status ==
          0);
}

TEST_CASE("a borrower whose place another one took, under a lease's id that the user chose, says so") {
    ScriptedServer server({first_call, taken_over});
    const Finished named =
        Semactl(server.url())({"borrow", "vsim", "--ttl", "60", "--wait", "60", "--lease", lease});
    CHECK(named.status == 125);
    CHECK_THAT(named.err, has_text("another borrower waits under the same lease's id, in this one's place"));
    CHECK(calls(server) == Calls{"/borrow", "/borrow"});
}

TEST_CASE("who leaves while answers are late returns what may have been granted, or says so") {
    // The server is asked for as long as there is time.
    const std::vector<Scene> rest = GENERATE(std::vector<Scene>{returned},
                                             std::vector<Scene>{away, away, returned}, std::vector<Scene>{});
    const bool is_returned = !rest.empty();
    std::vector<Scene> scenes{unanswered, unanswered};
    scenes.insert(scenes.end(), rest.begin(), rest.end());
    ScriptedServer server(scenes);
    const Semactl semactl(server.url());
    Program run(Semactl::command({"run", "vsim", "--wait", "60", "--", "true"}), semactl.options());
    REQUIRE(run.warns("waiting for vsim"));
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGTERM);
    if (is_returned) {
        REQUIRE(calls(server).size() == scenes.size());
        CHECK(calls(server).back() == "/return");
    }
    const bool is_said = run.err().find("vsim: cannot leave the queue") != std::string::npos;
    CHECK(is_said == !is_returned);
}
