#include "cli/admin_token.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

#include <cstdlib>
#include <fstream>

using namespace sema;
using sema::test::has_text;

namespace {

constexpr const char* variable = "SEMACTL_ADMIN_TOKEN";

Config config_with(const std::string& token) {
    Config config;
    config.path = "/home/me/.config/semactl/config.toml";
    if (!token.empty()) config.admin_token = token;
    return config;
}

std::string source(const std::string& option, const std::string& configured = "") {
    const auto token = resolve_admin_token(option, config_with(configured));
    REQUIRE(token);
    CHECK(token->token == "s3cret==");
    return token->source;
}

std::string refusal(const std::string& option, const std::string& configured = "") {
    const auto token = resolve_admin_token(option, config_with(configured));
    REQUIRE_FALSE(token);
    CHECK_THAT(token.error().message, !has_text("s3cret"));
    return token.error().message;
}

}  // namespace

TEST_CASE("an admin token is fetched from where it is, and messages call that by its name") {
    const test::TempDir folder;
    const std::string file = "file:" + (folder.path() / "token").string();
    std::ofstream(folder.path() / "token") << " s3cret==\r\nmore\n";
    setenv("SEMA_TEST_TOKEN", " s3cret== ", 1);
    unsetenv(variable);
    CHECK(source("env:SEMA_TEST_TOKEN") == "env:SEMA_TEST_TOKEN");
    CHECK(source(file) == file);
    CHECK(source("", "s3cret==") == "admin_token of /home/me/.config/semactl/config.toml");
    CHECK(source("", file) == file);
    setenv(variable, "\xEF\xBB\xBF's3cret=='\n", 1);
    CHECK(source("", "other") == "the variable SEMACTL_ADMIN_TOKEN");
    CHECK(source(file, "other") == file);
    setenv(variable, "env:SEMA_TEST_TOKEN", 1);
    CHECK(source("", "other") == "env:SEMA_TEST_TOKEN");
    unsetenv(variable);
}

TEST_CASE("what is no admin token is refused without repeating it") {
    unsetenv(variable);
    CHECK_THAT(refusal("s3cret=="), has_text("--admin-token takes env:NAME or file:PATH"));
    CHECK_THAT(refusal(""), has_text("there is no admin token") && has_text("config.toml"));
    CHECK(refusal("env:SEMA_TEST_NONE") == "--admin-token: the variable SEMA_TEST_NONE is not set");
    CHECK(refusal("file:/no/such/file") ==
          "--admin-token: cannot read /no/such/file: No such file or directory");
    CHECK(refusal("", "env:SEMA_TEST_NONE") ==
          "admin_token of /home/me/.config/semactl/config.toml: the variable SEMA_TEST_NONE is not set");
    setenv("SEMA_TEST_TOKEN", "s3cret and more", 1);
    CHECK(refusal("env:SEMA_TEST_TOKEN") == "what env:SEMA_TEST_TOKEN holds is not an admin token");
    setenv(variable, " \n", 1);
    CHECK(refusal("", "s3cret==") == "the variable SEMACTL_ADMIN_TOKEN is empty");
    setenv(variable, "s3cret\nX-Header: 1", 1);
    CHECK(refusal("") == "what the variable SEMACTL_ADMIN_TOKEN holds is not an admin token");
    unsetenv(variable);
}
