#include "client/semad_errors.hpp"

#include "common/wire.hpp"
#include "tests/support/catch.hpp"

#include <fstream>
#include <regex>
#include <string>

using namespace sema;

TEST_CASE("all that a semad refuses a body for is known for a semad's") {
    const auto refused = [](const auto& parsed) {
        REQUIRE_FALSE(parsed);
        CAPTURE(parsed.error().message);
        CHECK(is_semads_error(400, parsed.error().message));
    };
    for (const char* body :
         {"", "[]", "{}", R"({"ttl":"x"})", R"({"ttl":0})", R"({"ttl":1,"wait":-1})",
          R"({"ttl":1,"wait":"x"})", R"({"ttl":1,"lease":"x"})", R"({"ttl":1,"lease":1})",
          R"({"ttl":1,"slots":0})", R"({"ttl":1,"slots":1.5})", R"({"ttl":1,"priority":101})",
          R"({"ttl":1,"holder":1})", R"({"ttl":1,"holder":{"name":1}})", R"({"ttl":1,"callback":1})",
          R"({"ttl":1,"callback":{"url":1}})"})
        refused(wire::parse_borrow_request(body, 10));
    for (const char* body :
         {"", "{}", R"({"count":-1})", R"({"count":1,"slots":1})", R"({"count":1,"slots":[1]})",
          R"({"count":1,"name":1})", R"({"count":1,"renewable":1})", R"({"count":1,"cooldown":-1})",
          R"({"count":1,"cooldown":1e9})", R"({"count":1,"pick":"first"})"})
        refused(wire::parse_register_request(body, 10));
    refused(wire::parse_return_request("{}"));
    refused(wire::parse_keepalive_request(R"({"lease":"x","ttl":1})"));
    refused(wire::parse_resize_request("{}"));
    refused(wire::parse_revoke_request(R"({"position":-1})"));
    refused(wire::parse_revoke_request(R"({"position":1,"fence":-1})"));
    refused(wire::parse_slot_request("{}"));
    refused(wire::parse_slot_request(R"({"out":true,"reason":1})"));
    CHECK(is_semads_error(400, "position must be an integer from 0 to count - 1"));
    CHECK(is_semads_error(400, "id must be a UUID"));
    CHECK(is_semads_error(400, "lease must be a UUID"));
}

TEST_CASE("all errors that the interface's description names are known for a semad's") {
    std::ifstream file(PROJECT_FOLDER "/docs/http-api.md");
    const std::regex row(R"(\| (40[1349]) \| (.*) \|[^|]*\|)");
    const std::regex quoted("`([^`]+)`");
    int found = 0;
    for (std::string line; std::getline(file, line);) {
        std::smatch parts;
        if (!std::regex_match(line, parts, row)) continue;
        const std::string text = parts[2];
        for (std::sregex_iterator it(text.begin(), text.end(), quoted); it != std::sregex_iterator(); ++it) {
            const std::string reason = (*it)[1];
            // What is said of an answer beside its reason.
            if (reason == "lease" || reason.rfind("WWW-", 0) == 0) continue;
            CAPTURE(reason);
            CHECK(is_semads_error(std::stol(parts[1]), reason.substr(0, reason.find(": ..."))));
            ++found;
        }
    }
    CHECK(found == 10);
}

TEST_CASE("what an ingress refuses is not taken for a semad's word") {
    for (const auto& [status, reason] :
         std::initializer_list<std::pair<long, const char*>>{{400, "bad request"},
                                                             {401, "unauthorized"},
                                                             {403, "forbidden"},
                                                             {404, "API not found"},
                                                             {404, "Not Found"},
                                                             {405, "method not allowed"},
                                                             {409, "conflict"},
                                                             {413, "too large"},
                                                             {501, "not implemented"}})
        CHECK_FALSE(is_semads_error(status, reason));
}
