#include "common/ids.hpp"
#include "tests/e2e/receivers.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scripted_server.hpp"

#include <nlohmann/json.hpp>

#include <fstream>
#include <iterator>

// The receivers of docs/callbacks, and what they make of requests that semad sends, and of others.

using namespace sema::test;
using Json = nlohmann::json;

namespace {

std::string body_with(const std::string& lease) {
    return R"({"lease":")" + lease +
           R"(","position":1,"expires_at_unix":4000000600,"expires_in":600,"positions":[1],"fence":7,)"
           R"("slots":["licence-1"],"granted_at_unix":4000000000,"body":{"job":812}})";
}

std::string content(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A receiver whose job notes its lease.
struct World {
    explicit World(Receiver::Kind kind)
        : receiver(kind, secret, "echo \"$SEMA_LEASE ${HOOK_SECRET:-none}\" >> jobs") {}

    std::string jobs() const { return content(receiver.folder() / "jobs"); }
    // Once another job has been started after all that were before.
    std::string jobs_so_far() const {
        const std::string last = sema::LeaseId::random().str();
        CHECK(SignedCallback::make("msg_" + last, body_with(last), {secret}).send_to(receiver.url()).status ==
              202);
        CHECK(eventually([&] { return jobs().find(last) != std::string::npos; }));
        return jobs();
    }

    std::string secret = new_secret();
    std::string lease = sema::LeaseId::random().str();
    Receiver receiver;
};

}  // namespace

TEST_CASE("a receiver starts one job for a callback, however often that comes") {
    for (const auto kind : Receiver::kinds) {
        const World world(kind);
        const auto callback = SignedCallback::make("msg_1", body_with(world.lease), {world.secret});
        CHECK(callback.send_to(world.receiver.url()).status == 202);
        const Answered again = callback.send_to(world.receiver.url());
        CHECK(again.status == 200);
        CHECK_THAT(again.body, has_text("started before"));
        // The job does not get the secret.
        CHECK(eventually([&] { return world.jobs() == world.lease + " none\n"; }));
        CHECK_THAT(world.jobs_so_far(), Catch::Matchers::StartsWith(world.lease + " none\n") &&
                                            !has_text(world.lease + " none\n" + world.lease));
    }
}

TEST_CASE("a receiver starts nothing for what was not signed for it, lately") {
    for (const auto kind : Receiver::kinds) {
        const World world(kind);
        const std::string url = world.receiver.url();
        const std::string body = body_with(world.lease);
        const auto refused = [&](SignedCallback callback, const std::string& why) {
            const Answered answer = callback.send_to(url);
            CHECK(answer.status == 401);
            CHECK_THAT(answer.body, has_text(why));
        };
        refused(SignedCallback::make("msg_1", body, {new_secret()}), "webhook-signature");
        auto changed = SignedCallback::make("msg_1", body, {world.secret});
        changed.body.back() = ' ';
        refused(changed, "webhook-signature");
        auto other_id = SignedCallback::make("msg_1", body, {world.secret});
        other_id.headers["webhook-id"] = "msg_2";
        refused(other_id, "webhook-signature");
        refused(SignedCallback::make("msg_1", body, {world.secret}, 360), "webhook-timestamp");
        refused(SignedCallback::make("msg_1", body, {world.secret}, -360), "webhook-timestamp");
        for (const char* header : {"webhook-id", "webhook-timestamp", "webhook-signature"}) {
            auto without = SignedCallback::make("msg_1", body, {world.secret});
            without.headers.erase(header);
            refused(without, header);
        }
        auto nonsense = SignedCallback::make("msg_1", body, {world.secret});
        nonsense.headers["webhook-signature"] = "v1,";
        refused(nonsense, "webhook-signature");
        CHECK_THAT(world.jobs_so_far(), !has_text(world.lease));
    }
}

TEST_CASE("a receiver takes one of several signatures, and has several secrets while one is replaced") {
    for (const auto kind : Receiver::kinds) {
        const World world(kind);
        const auto both = SignedCallback::make("msg_1", body_with(world.lease), {new_secret(), world.secret});
        CHECK(both.send_to(world.receiver.url()).status == 202);

        const std::string secret = new_secret();
        const Receiver other(kind, new_secret() + " " + secret, "true");
        CHECK(SignedCallback::make("msg_1", body_with(world.lease), {secret}).send_to(other.url()).status ==
              202);
    }
}

TEST_CASE("a receiver says what is wrong with a request") {
    for (const auto kind : Receiver::kinds) {
        const World world(kind);
        const std::string url = world.receiver.url();
        CHECK(SignedCallback::make("msg_1", "{}", {world.secret}).send_to(url).status == 400);
        CHECK(SignedCallback::make("msg_1", "nonsense", {world.secret}).send_to(url).status == 400);
        // Of which nothing is sent: the answer comes first.
        const SignedCallback large{"", {{"content-length", std::to_string(1024 * 1024 + 1)}}};
        CHECK(large.send_to(url).status == 413);
        CHECK(world.jobs().empty());
    }
}

TEST_CASE("a receiver that cannot note what it starts starts nothing, and is called again") {
    for (const auto kind : Receiver::kinds) {
        const World world(kind);
        const auto callback = SignedCallback::make("msg_1", body_with(world.lease), {world.secret});
        const auto started = world.receiver.folder() / "started";
        std::filesystem::remove_all(started);
        std::ofstream(started) << "none\n";
        const Answered refused = callback.send_to(world.receiver.url());
        CHECK(refused.status == 503);
        CHECK_THAT(refused.body, has_text("cannot note"));
        std::filesystem::remove(started);
        std::filesystem::create_directory(started);
        CHECK(callback.send_to(world.receiver.url()).status == 202);
        CHECK(eventually([&] { return world.jobs() == world.lease + " none\n"; }));
    }
}

TEST_CASE("a receiver without a secret does not start") {
    ProgramOptions options;
    options.environment["HOOK_SECRET"] = " ";
    const Finished run = run_program(
        {"python3", PROJECT_FOLDER "/docs/callbacks/receiver.py", "--listen", "127.0.0.1:0", "--", "true"},
        options);
    CHECK(run.status == 1);
    CHECK_THAT(run.err, has_text("HOOK_SECRET is not set"));
}

TEST_CASE("a job that cannot be started is tried again") {
    const std::string secret = new_secret();
    ProgramOptions options;
    options.environment["HOOK_SECRET"] = secret;
    const Receiver receiver({"python3", PROJECT_FOLDER "/docs/callbacks/receiver.py", "--listen",
                             "127.0.0.1:0", "--", "./no-such-job"},
                            options);
    const std::string lease = sema::LeaseId::random().str();
    const auto callback = SignedCallback::make("msg_1", body_with(lease), {secret});
    CHECK(callback.send_to(receiver.url()).status == 503);
    std::ofstream(receiver.folder() / "no-such-job") << "#! /bin/sh\necho \"$SEMA_LEASE\"; cat\n";
    std::filesystem::permissions(receiver.folder() / "no-such-job", std::filesystem::perms(0700));
    CHECK(callback.send_to(receiver.url()).status == 202);
}

namespace {

// The relay, and what stands in GitHub's place.
struct Relayed {
    explicit Relayed(std::vector<Scene> scenes, const std::string& api = "") : github(std::move(scenes)) {
        ProgramOptions options;
        options.environment = {{"HOOK_SECRET", secret},
                               {"GITHUB_TOKEN", "github_pat_1"},
                               {"GITHUB_API_URL", api.empty() ? github.url() + "/api/v3" : api},
                               {"http_proxy", ""}};
        receiver = std::make_unique<Receiver>(
            std::vector<std::string>{"python3", PROJECT_FOLDER "/docs/callbacks/github_relay.py",
                                     "--repository", "example/chip", "--event", "vsim-slot", "--listen",
                                     "127.0.0.1:0"},
            options);
    }
    Answered send(const std::string& id) const {
        return SignedCallback::make(id, body_with(lease), {secret}).send_to(receiver->url());
    }

    ScriptedServer github;
    std::string secret = new_secret();
    std::string lease = sema::LeaseId::random().str();
    std::unique_ptr<Receiver> receiver;
};

}  // namespace

TEST_CASE("the relay sends GitHub a repository_dispatch with the lease") {
    const Relayed relayed({{.answer = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"}});
    CHECK(relayed.send("msg_1").status == 202);
    // Once.
    CHECK(relayed.send("msg_1").status == 200);
    const auto requests = relayed.github.requests();
    REQUIRE(requests.size() == 1);
    CHECK_THAT(requests[0],
               Catch::Matchers::StartsWith("POST /api/v3/repos/example/chip/dispatches HTTP/1.1\r\n"));
    const auto end = requests[0].find("\r\n\r\n");
    std::string head = requests[0].substr(0, end);
    std::transform(head.begin(), head.end(), head.begin(), [](unsigned char c) { return std::tolower(c); });
    CHECK_THAT(head, has_text("\r\nauthorization: bearer github_pat_1") &&
                         has_text("\r\naccept: application/vnd.github+json") &&
                         has_text("\r\nx-github-api-version: 2022-11-28") &&
                         has_text("\r\ncontent-type: application/json") && has_text("\r\nuser-agent: sema-"));
    const Json body = Json::parse(requests[0].substr(end + 4));
    CHECK(body.size() == 2);
    CHECK(body.at("event_type") == "vsim-slot");
    const Json& payload = body.at("client_payload");
    CHECK(payload.size() <= 10);
    CHECK(payload.at("lease") == relayed.lease);
    CHECK(payload.at("fence") == 7);
    CHECK(payload.at("slots") == Json::parse(R"(["licence-1"])"));
    CHECK(payload.at("body") == Json::parse(R"({"job":812})"));
}

TEST_CASE("the relay has a callback tried again that GitHub does not take") {
    const Relayed relayed(
        {{.answer = http("403 Forbidden", R"({"message":"secondary rate limit"})", "Retry-After: 17\r\n")},
         {.answer = http("401 Unauthorized", R"({"message":"Bad credentials"})")},
         {.answer = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"}});
    const Answered limited = relayed.send("msg_1");
    CHECK(limited.status == 503);
    CHECK_THAT(limited.head, has_text("retry-after: 17"));
    const Answered refused = relayed.send("msg_1");
    CHECK(refused.status == 503);
    CHECK_THAT(refused.body, has_text("GitHub answers 401"));
    CHECK(relayed.send("msg_1").status == 202);
}

TEST_CASE("the relay has a callback tried again while GitHub is away") {
    const Relayed relayed({}, "http://127.0.0.1:9");
    CHECK(relayed.send("msg_1").status == 503);
}
