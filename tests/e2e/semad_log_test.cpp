#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

using namespace sema::test;
using sema::test::has_text;

namespace {

const std::string admin_token = "s3cret-admin-token";

/// Gives semad something to say: all calls, good and bad, failures of its store, and its end. Returns what
/// it said.
std::string log_of_a_troubled_life(std::vector<std::string> options) {
    const TempDir folder;
    const std::string file = (folder.path() / "admin-token").string();
    // Readable by others, as there is something to say then.
    std::ofstream(file) << admin_token << "\n";
    std::filesystem::permissions(file, std::filesystem::perms(0644));
    options.insert(options.end(), {"--admin-token-file", file});
    RunningServer server(options);
    const TestPool pool(server, 2);
    const Slot slot = pool.take();
    for (const std::string& value : {"Bearer " + admin_token, "Bearer x" + admin_token, admin_token})
        call(server.port(), "GET", "/pools", "", "Authorization: " + value + "\r\n");
    RawClient client(server.port());
    client.send("nonsense /l/" + pool.id() + "\r\n\r\n");
    client.receive();
    call(server.port(), "POST", "/" + pool.id(), R"({"lease":")" + slot.lease + "\"");
    pool.give_back(R"({"lease":")" + slot.lease + R"(","lease")");
    pool.give_back(R"({"lease":"{)" + slot.lease + R"("})");
    {
        const FullDisk full(server);
        CHECK(pool.give_back(R"({"lease":")" + slot.lease + R"("})").status == 502);
        CHECK(pool.remove().status == 502);
    }
    CHECK(pool.returns(slot));
    pool.take();
    const RawClient waiter = pool.queue_up();
    pool.remove();
    CHECK(server.terminate() == 0);
    return server.log();
}

}  // namespace

TEST_CASE("no UUID and no admin token is ever logged") {
    const std::string log = log_of_a_troubled_life({"--log-level", "debug"});
    CHECK_THAT(log, has_text("could not commit") && has_text("stopped"));
    const std::regex uuid("[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}");
    CAPTURE(log);
    CHECK_FALSE(std::regex_search(log, uuid));
    CHECK_THAT(log, has_text("admin token") && !has_text("s3cret"));
}

TEST_CASE("a log in JSON is one object a line") {
    std::istringstream log(log_of_a_troubled_life({"--log-format", "json"}));
    std::string line;
    int lines = 0;
    int errors = 0;
    while (std::getline(log, line)) {
        CAPTURE(line);
        const auto object = nlohmann::json::parse(line);
        CHECK(object.size() == 3);
        CHECK(std::regex_match(object.at("time").get<std::string>(),
                               std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z)")));
        if (lines++ == 0) CHECK_THAT(object.at("message").get<std::string>(), has_text(" listening on "));
        if (object.at("level") == "error") ++errors;
    }
    CHECK(lines >= 4);
    CHECK(errors >= 1);
}
