#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scripted_server.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

using namespace sema::test;

namespace {

using Words = std::vector<std::string>;
using Json = nlohmann::json;

const std::string lease = "3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34";

std::string queued(const std::string& eta = "540") {
    return http("202 Accepted", R"({"lease":")" + lease + R"(","rank":3,"queue":4,"eta":)" + eta + "}");
}

Json body_of(const std::string& request) {
    return Json::parse(request.substr(request.find("\r\n\r\n") + 4));
}

// Which borrows with these words, from a server that gives these answers.
struct Borrowing {
    Borrowing(const std::vector<std::string>& answers, Words words,
              std::map<std::string, std::string> environment = {})
        : server(scenes(answers)) {
        const Semactl semactl(server.url());
        words.insert(words.begin(), {"borrow", "vsim", "--ttl", "30m"});
        ProgramOptions options;
        options.environment = std::move(environment);
        options.directory = semactl.folder();
        run = semactl(words, options);
    }

    static std::vector<Scene> scenes(const std::vector<std::string>& answers) {
        std::vector<Scene> all;
        for (const std::string& answer : answers)
            all.push_back({.answer = answer});
        return all;
    }
    Json asked() const { return body_of(server.requests().at(0)); }

    ScriptedServer server;
    Finished run;
};

}  // namespace

TEST_CASE("borrow --callback asks that somebody is called, and prints the place in the queue") {
    const Borrowing borrowing({queued()}, {"--callback", "https://ci.example.com/start?x=1", "--lease", lease,
                                           "--holder", "nightly", "--wait", "2h", "--slots", "2"});
    CHECK(borrowing.run.status == 0);
    CHECK(borrowing.run.err.empty());
    CHECK(borrowing.run.out == "lease  " + lease + "\nrank   3\nqueue  4\neta    540\n");
    const Json asked = borrowing.asked();
    CHECK(asked.at("callback") == Json({{"url", "https://ci.example.com/start?x=1"}}));
    CHECK(asked.at("lease") == lease);
    CHECK(asked.at("ttl") == 1800);
    CHECK(asked.at("wait") == 7200);
    CHECK(asked.at("slots") == 2);
    CHECK(asked.at("holder").at("name") == "nightly");
}

TEST_CASE("borrow --callback waits for as long as the server allows, where no wait is named") {
    const Borrowing borrowing({queued("null")}, {"--callback", "https://ci.example.com/"});
    CHECK(borrowing.run.status == 0);
    CHECK_THAT(borrowing.run.out, has_text("eta    unknown\n"));
    const Json asked = borrowing.asked();
    CHECK(asked.value("wait", 0) == 0);
    // It can be asked for again.
    CHECK(sema::LeaseId::parse(asked.at("lease").get<std::string>()).has_value());
}

TEST_CASE("borrow --callback keeps secrets off the command line") {
    const Semactl elsewhere("http://127.0.0.1:9");
    const std::string file = elsewhere.folder() / "secret";
    std::ofstream(file) << "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0\n";
    const Borrowing borrowing({queued()},
                              {"--output", "json", "--callback", "env:START_SIM", "--callback-header",
                               "token: env:SIM_TOKEN", "--callback-header", "X-Plain:a: b", "--callback-body",
                               R"({"job":[1,2]})", "--callback-secret", "file:" + file},
                              {{"START_SIM", "https://gitlab.example.com/?token=t"}, {"SIM_TOKEN", "hush"}});
    CHECK(borrowing.run.status == 0);
    CHECK(Json::parse(borrowing.run.out) ==
          Json({{"lease", lease}, {"rank", 3}, {"queue", 4}, {"eta", 540}}));
    CHECK(borrowing.asked().at("callback") ==
          Json({{"url", "https://gitlab.example.com/?token=t"},
                {"headers", {{"token", "hush"}, {"X-Plain", "a: b"}}},
                {"body", {{"job", {1, 2}}}},
                {"secret", "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0"}}));
}

TEST_CASE("what is wrong with the options of a callback is said before the server is asked") {
    const Semactl semactl("http://127.0.0.1:9");
    const auto refused = [&](Words words, const std::string& why) {
        INFO(words.at(0) << " " << words.at(1));
        words.insert(words.begin(), {"borrow", "vsim", "--ttl", "30m"});
        const Finished run = semactl(words);
        CHECK(run.status == 2);
        CHECK(run.out.empty());
        CHECK_THAT(run.err, has_text(why));
    };
    const std::string url = "https://ci.example.com/";
    refused({"--callback-header", "a: b"}, "--callback-header is of no use without --callback");
    refused({"--callback-body", "1"}, "--callback-body is of no use without --callback");
    refused({"--callback-secret", "env:HOME"}, "--callback-secret is of no use without --callback");
    refused({"--callback", url, "--callback-header", "nonsense"}, "--callback-header takes 'NAME: VALUE'");
    refused({"--callback", url, "--callback-header", "a: env:NO_SUCH"}, "the variable NO_SUCH is not set");
    refused({"--callback", url, "--callback-body", "{job"}, "--callback-body takes JSON");
    refused({"--callback", url, "--callback-secret", "whsec_AAAA"},
            "--callback-secret takes env:NAME or file:PATH: a secret on a command line can be read by every "
            "user");
    refused({"--callback", url, "--callback-secret", "env:NO_SUCH"}, "the variable NO_SUCH is not set");
    refused({"--callback", "env:NO_SUCH", "-q"}, "--callback: the variable NO_SUCH is not set");
    refused({"--callback", url, "--wait", "0"}, "--callback waits for a slot");
    CHECK(semactl({"borrow", "vsim", "--callback", url}).status == 2);
    const Finished shell = semactl({"borrow", "vsim", "--ttl", "9", "--callback", url, "--shell"});
    CHECK(shell.status == 2);
    CHECK(shell.out == "(exit 2)\n");
    CHECK_THAT(shell.err, has_text("--shell has nothing to export with --callback"));
}

TEST_CASE("a server that calls nobody is refused with what its configuration lacks") {
    const std::string off =
        http("400 Bad Request", R"({"error":"callback is not allowed on this server: use wait"})");
    const Borrowing borrowing({off}, {"--callback", "https://ci.example.com:8443/start?token=hush"});
    CHECK(borrowing.run.status == 125);
    CHECK_THAT(borrowing.run.err, has_text("callback is not allowed on this server") &&
                                      has_text("--callback-allow 'ci.example.com'") &&
                                      has_text("allow = [\"ci.example.com\"] under [callbacks]") &&
                                      has_text("--wait waits here") && !has_text("hush"));

    const std::string other = http(
        "400 Bad Request",
        R"({"error":"callback.url names a private address, which this server may not call: whoever runs it can )"
        R"(allow it with --callback-allow"})");
    const Borrowing local({other}, {"--callback", "http://[::1]/start"});
    CHECK(local.run.status == 125);
    CHECK_THAT(local.run.err, has_text("allow = [\"[::1]\"] under [callbacks]"));

    const Borrowing wrong({http("400 Bad Request", R"({"error":"callback.url must name a host"})")},
                          {"--callback", "https://?"});
    CHECK(wrong.run.status == 125);
    CHECK_THAT(wrong.run.err, has_text("callback.url must name a host") && !has_text("--callback-allow"));
}

TEST_CASE("a callback is asked for again under the same lease while the server is in trouble") {
    const std::string stops = http("503 Service Unavailable", R"({"error":"shutting down"})");
    const Borrowing borrowing({stops, queued()}, {"--callback", "https://ci.example.com/"});
    CHECK(borrowing.run.status == 0);
    const auto requests = borrowing.server.requests();
    REQUIRE(requests.size() == 2);
    CHECK(body_of(requests[0]) == body_of(requests[1]));
}

TEST_CASE("a lease that is held already is printed, and takes no place in the queue") {
    const Borrowing borrowing(
        {http("200 OK", R"({"lease":")" + lease +
                            R"(","position":1,"expires_at_unix":4000000600,"expires_in":600,"positions":[1],)"
                            R"("fence":7,"slots":[null],"granted_at_unix":4000000000})")},
        {"--callback", "https://ci.example.com/", "--lease", lease});
    CHECK(borrowing.run.status == 0);
    CHECK_THAT(borrowing.run.out, has_text("position         1"));
    CHECK_THAT(borrowing.run.err, has_text("that lease is held already, and takes no place in the queue"));
}

TEST_CASE("a callback of a pool that is not there is 66") {
    const Borrowing borrowing({http("404 Not Found", R"({"error":"no such pool"})")},
                              {"--callback", "https://ci.example.com/"});
    CHECK(borrowing.run.status == 66);
}

namespace {

const std::string list =
    R"({"callbacks":[)"
    R"({"state":"delivering","rank":null,"holder":{"name":"nightly","url":"https://ci/1"},)"
    R"("url":"https://ci.example.com/...","attempts":3,"last_error":"status 503\u001b[31m","next_attempt_in":40,)"
    R"("waiting_for":65,"expires_in":900},)"
    R"({"state":"waiting","rank":1,"holder":null,"url":"https://hooks.example.com","attempts":0,"last_error":null,)"
    R"("next_attempt_in":null,"waiting_for":10,"expires_in":3600}]})";

Finished callbacks(const std::string& answer, Words words = {}) {
    const ScriptedServer server({{.answer = answer}});
    const Semactl semactl(server.url());
    words.insert(words.end(), {"callbacks", "vsim"});
    return semactl(words);
}

}  // namespace

TEST_CASE("callbacks shows who waits to be called, and who is being called with what success") {
    const Finished shown = callbacks(http("200 OK", list));
    CHECK(shown.status == 0);
    CHECK_THAT(shown.out, Catch::Matchers::StartsWith("vsim: 1 callback waits, 1 being delivered\n\nRANK "));
    CHECK_THAT(shown.out, has_text("called  nightly") && has_text("https://ci.example.com/...") &&
                              has_text("status 503") && has_text("40s") && has_text("15m") &&
                              has_text("https://hooks.example.com") && !has_text("\x1b"));
}

TEST_CASE("callbacks prints the server's list as JSON, and says when it is empty") {
    const Finished json = callbacks(http("200 OK", list), {"--output", "json"});
    CHECK(json.status == 0);
    CHECK(Json::parse(json.out) == Json::parse(list));
    const Finished none = callbacks(http("200 OK", R"({"callbacks":[]})"));
    CHECK(none.status == 0);
    CHECK(none.out == "vsim: 0 callbacks wait, 0 being delivered\n");
    CHECK(callbacks(http("404 Not Found", R"({"error":"no such pool"})")).status == 66);
}

TEST_CASE("callbacks --cancel leaves the queue, by the lease") {
    const auto cancel = [](const std::string& answer, Words words) {
        const ScriptedServer server({{.answer = answer}});
        const Semactl semactl(server.url());
        words.insert(words.begin(), {"callbacks", "vsim", "--cancel", "env:LEASE"});
        ProgramOptions options;
        options.environment["LEASE"] = lease;
        const Finished run = semactl(words, options);
        CHECK_THAT(server.requests().at(0), Catch::Matchers::StartsWith("DELETE /l/" + semactl.pool().str() +
                                                                        "/queue/" + lease + " HTTP"));
        return run;
    };
    const Finished done = cancel(http("200 OK", R"({"cancelled":true})"), {});
    CHECK(done.status == 0);
    CHECK(done.out.empty());
    const Finished late = cancel(http("200 OK", R"({"cancelled":false})"), {"--output", "json"});
    CHECK(late.status == 1);
    CHECK(Json::parse(late.out) == Json({{"cancelled", false}}));
    CHECK_THAT(late.err, has_text("not cancelled: nobody waits for that lease") && !has_text(lease));
}
