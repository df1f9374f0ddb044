#include "cli/run/identity.hpp"

#include "tests/support/catch.hpp"

#include <map>

using namespace sema;
using Catch::Matchers::StartsWith;

namespace {

using Variables = std::map<std::string, std::string>;

Holder who(const Variables& variables) {
    return identity("/usr/bin/make", [&](const char* name) {
        const auto found = variables.find(name);
        return found == variables.end() ? "" : found->second;
    });
}

const Variables actions = {{"GITHUB_RUN_ID", "1234"},
                           {"GITHUB_RUN_NUMBER", "17"},
                           {"GITHUB_JOB", "build"},
                           {"GITHUB_REPOSITORY", "me/chip"},
                           {"GITHUB_SERVER_URL", "https://git.example/"}};

}  // namespace

TEST_CASE("without a CI system the holder is the process, and has no link") {
    const Holder holder = who({});
    CHECK_THAT(*holder.name, Catch::Matchers::EndsWith(" make"));
    CHECK_FALSE(holder.url);
}

TEST_CASE("a job of GitHub Actions is linked by its run's id") {
    const Holder holder = who(actions);
    CHECK_THAT(*holder.name, StartsWith("build 1234 ("));
    CHECK(holder.url == "https://git.example/me/chip/actions/runs/1234");
}

TEST_CASE("a job of Gitea's or Forgejo's Actions is linked by its run's number") {
    for (const char* mark : {"GITEA_ACTIONS", "FORGEJO_ACTIONS"}) {
        Variables variables = actions;
        variables[mark] = "true";
        const Holder holder = who(variables);
        CHECK_THAT(*holder.name, StartsWith("build 17 ("));
        CHECK(holder.url == "https://git.example/me/chip/actions/runs/17");
        variables.erase("GITHUB_RUN_NUMBER");
        CHECK_FALSE(who(variables).url);
    }
}

TEST_CASE("a job of another CI system has the link that this gives") {
    const Holder holder =
        who({{"CI_JOB_URL", "https://lab.example/-/jobs/9"}, {"CI_JOB_NAME", "sim"}, {"CI_JOB_ID", "9"}});
    CHECK_THAT(*holder.name, StartsWith("sim 9 ("));
    CHECK(holder.url == "https://lab.example/-/jobs/9");
    CHECK_FALSE(who({{"BUILD_URL", "javascript:alert()"}, {"JOB_NAME", "x"}}).url);
}
