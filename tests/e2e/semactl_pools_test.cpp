#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scripted_server.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

using namespace sema::test;
using Json = nlohmann::json;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

const std::string token = "s3cret-admin-token";

/// A server with an administrator and a pool, and the administrator's semactl.
struct World {
    World() { REQUIRE(semactl({"register", "vsim", "--count", "2", "--name", "Questa"}).status == 0); }

    Finished pools(const Words& words, const std::map<std::string, std::string>& environment = {}) const {
        ProgramOptions options;
        options.environment = environment;
        options.environment.emplace("SEMACTL_ADMIN_TOKEN", "");
        Words all = {"pools"};
        all.insert(all.end(), words.begin(), words.end());
        Finished answer = semactl(all, options);
        CHECK(answer.err.find("s3cret") == std::string::npos);
        return answer;
    }
    void configure(const std::string& line, int mode = 0600) const {
        const auto config = semactl.folder() / "semactl/config.toml";
        std::ofstream(config) << line << "\n[pools]\nvsim = \"" << semactl.pool().str() << "\"\n";
        fs::permissions(config, fs::perms(mode));
    }

    TempDir folder;
    std::string file = [this] {
        const auto path = folder.path() / "admin-token";
        std::ofstream(path) << token << "\n";
        fs::permissions(path, fs::perms(0600));
        return path.string();
    }();
    RunningServer server{{"--admin-token-file", file}};
    Semactl semactl{server.url()};
};

}  // namespace

TEST_CASE("pools lists the server's pools, to people and to programs") {
    const World world;
    const std::string id = world.semactl.pool().str();
    const Finished table = world.pools({"--admin-token", "file:" + world.file});
    CHECK(table.status == 0);
    CHECK(table.err.empty());
    CHECK(table.out ==
          "NAME    COUNT  IN USE  AVAILABLE  WAITING  ID\n"
          "Questa  2      0       2          0        " +
              id + "\n");
    const Finished json = world.pools({"--output", "json", "--admin-token", "file:" + world.file});
    CHECK(json.out.find('\n') == json.out.size() - 1);
    CHECK(Json::parse(json.out) == Json{{"pools",
                                         {{{"id", id},
                                           {"name", "Questa"},
                                           {"count", 2},
                                           {"in_use", 0},
                                           {"available", 2},
                                           {"queue", 0}}}}});
    REQUIRE(world.semactl({"delete", "vsim"}).status == 0);
    CHECK(world.pools({"--admin-token", "file:" + world.file}).out ==
          "NAME  COUNT  IN USE  AVAILABLE  WAITING  ID\n");
}

TEST_CASE("the admin token comes from an option, the environment or the configuration file") {
    const World world;
    CHECK(world.pools({"--admin-token", "env:MY_TOKEN"}, {{"MY_TOKEN", token}}).status == 0);
    CHECK(world.pools({}, {{"SEMACTL_ADMIN_TOKEN", token}}).status == 0);
    CHECK(world.pools({}, {{"SEMACTL_ADMIN_TOKEN", "file:" + world.file}}).status == 0);
    // The option before the variable, and that before the file.
    CHECK(world.pools({"--admin-token", "file:" + world.file}, {{"SEMACTL_ADMIN_TOKEN", "wrong"}}).status ==
          0);
    world.configure("admin_token = 'wrong'");
    CHECK(world.pools({}, {{"SEMACTL_ADMIN_TOKEN", token}}).status == 0);
    world.configure("admin_token = '" + token + "'");
    CHECK(world.pools({}).status == 0);
    world.configure("admin_token = 'env:MY_TOKEN'");
    CHECK(world.pools({}, {{"MY_TOKEN", token}}).status == 0);
    world.configure("admin_token = 'file:" + world.file + "'");
    CHECK(world.pools({}).status == 0);
}

TEST_CASE("a configuration file with an admin token that others can read is warned of") {
    const World world;
    world.configure("admin_token = '" + token + "'", 0644);
    CHECK_THAT(world.pools({}).err, has_text(" holds secrets and others can read it (chmod 600 it)\n"));
}

TEST_CASE("an admin token on the command line is refused, and not repeated") {
    const World world;
    const Finished literal = world.pools({"--admin-token", token});
    CHECK(literal.status == 2);
    CHECK(literal.out.empty());
    CHECK(literal.err ==
          "semactl: cannot list the pools: --admin-token takes env:NAME or file:PATH: a token on a command "
          "line can be read by every user of the machine\n");
    CHECK(world.pools({"--admin-token=" + token}).status == 2);
    CHECK(world.pools({"--admin-token", ""}).status == 2);
    CHECK(world.pools({"--admin-token"}).status == 2);
}

TEST_CASE("who has no admin token is told where one can be put") {
    const World world;
    const Finished none = world.pools({});
    CHECK(none.status == 2);
    CHECK_THAT(none.err, has_text("there is no admin token") && has_text("--admin-token") &&
                             has_text("SEMACTL_ADMIN_TOKEN") && has_text("config.toml"));
    CHECK(world.pools({"--admin-token", "env:SEMA_TEST_NONE"}).err ==
          "semactl: cannot list the pools: --admin-token: the variable SEMA_TEST_NONE is not set\n");
    const Finished bad = world.pools({"--admin-token", "env:MY_TOKEN"}, {{"MY_TOKEN", "s3cret with spaces"}});
    CHECK(bad.status == 2);
    CHECK(bad.err == "semactl: cannot list the pools: what env:MY_TOKEN holds is not an admin token\n");
}

TEST_CASE("a server that does not take the token says which one to look at") {
    const World world;
    const Finished wrong = world.pools({"--admin-token", "env:MY_TOKEN"}, {{"MY_TOKEN", "other"}});
    CHECK(wrong.status == 125);
    CHECK(wrong.out.empty());
    CHECK(wrong.err == "semactl: cannot list the pools: " + world.server.url() +
                           " does not take the admin token of env:MY_TOKEN (it has to be the one in the file "
                           "that semad was given with --admin-token-file)\n");
    CHECK_THAT(world.pools({}, {{"SEMACTL_ADMIN_TOKEN", "other"}}).err,
               has_text("the admin token of the variable SEMACTL_ADMIN_TOKEN "));

    ScriptedServer stripped(
        {{Scene::Wait::for_request, http("401 Unauthorized", R"({"error":"admin token required"})")}});
    const Finished lost = world.pools({"--server", stripped.url(), "--admin-token", "file:" + world.file});
    CHECK(lost.status == 125);
    CHECK_THAT(lost.err,
               has_text("no admin token came") && has_text("file:" + world.file) && has_text("a proxy"));
    CHECK_THAT(stripped.requests().at(0), has_text("\r\nAuthorization: Bearer " + token + "\r\n"));
}

TEST_CASE("a server without an administrator lists its pools for nobody") {
    const World world;
    const RunningServer other({"--store", "memory:"});
    const Finished refused = world.pools({"--server", other.url(), "--admin-token", "file:" + world.file});
    CHECK(refused.status == 125);
    CHECK(refused.err == "semactl: cannot list the pools: " + other.url() +
                             " lists its pools for nobody (start semad with --admin-token-file FILE)\n");
}

TEST_CASE("a server that cannot be reached has no pools to list") {
    const World world;
    CHECK(world.pools({"--server", "http://127.0.0.1:9", "--admin-token", "file:" + world.file}).status ==
          69);
}
