#include "tests/server/parsing.hpp"

#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <regex>

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

Options options_of(const std::string& text, std::vector<std::string> more = {}) {
    const ConfigText file(text);
    more.insert(more.begin(), {"--config", file.path()});
    return options(more);
}

// What is refused, without the file's path.
std::string refusal_of(const std::string& text, std::vector<std::string> more = {}) {
    const ConfigText file(text);
    more.insert(more.begin(), {"--config", file.path()});
    std::string message = refusal(more);
    if (message.starts_with(file.path())) message.erase(0, file.path().size());
    return message;
}

}  // namespace

TEST_CASE("a key of very many parts is refused") {
    std::string deep = "a";
    for (int i = 0; i < 100'000; ++i)
        deep += ".a";
    CHECK(refusal_of("threads = 1\n" + deep + " = 1\n") == ":2: a key has more than 32 parts");
    CHECK(refusal_of("[" + deep + "]\n") == ":1: a key has more than 32 parts");
}

TEST_CASE("the configuration file has every setting") {
    const Options read = options_of(R"(
listen = ["0.0.0.0:7717", "unix:/run/semad.sock"]
socket-mode = "0660"
socket-group = "0"
store = "redis://db/2"
redis-wait-replicas = 1
redis-password-file = "/etc/semad/redis"
admin-token-file = "/etc/semad/token"
threads = 3
[limits]
max-ttl = "2h"
max-wait = 1.5
max-hold = "12h"
rejoin = 2
max-count = 7
max-pools = 8
max-waiters = 9
max-connections = 10
[log]
format = "json"
level = "warn"
)");
    REQUIRE(read.listen.size() == 2);
    CHECK(std::get<http::TcpAddress>(read.listen[0]).host == "0.0.0.0");
    CHECK(std::get<http::UnixAddress>(read.listen[1]).path == "/run/semad.sock");
    CHECK(read.socket_access.mode == mode_t{0660});
    CHECK(read.socket_access.group == gid_t{0});
    const auto& redis = std::get<RedisStoreOption>(read.store);
    CHECK(redis.redis.address.database == 2);
    CHECK(redis.redis.wait_replicas == 1);
    CHECK(redis.password_file == "/etc/semad/redis");
    CHECK(read.admin_token_file == "/etc/semad/token");
    CHECK(read.threads == 3);
    CHECK(read.limits.max_ttl == 2h);
    CHECK(read.limits.max_wait == 1500ms);
    CHECK(read.limits.pool.max_hold == 12h);
    CHECK(read.limits.pool.rejoin == 2s);
    CHECK(read.limits.max_count == 7);
    CHECK(read.limits.max_pools == 8);
    CHECK(read.limits.max_waiters == 9);
    CHECK(read.max_connections == 10);
    CHECK(read.log_format == LogFormat::json);
    CHECK(read.log_level == "warn");
}

TEST_CASE("the example of a configuration file is right, with what is commented out and without") {
    const std::string example = content("docs/semad.toml");
    CHECK(options_of(example).pools.size() == 1);
    std::string all = std::regex_replace(example, std::regex("\nstore = [^\n]*"), "");
    all = std::regex_replace(all, std::regex("\n# ([a-z-]+ = |\\[\\[)"), "\n$1");
    all = std::regex_replace(all, std::regex("\"ci\""), "\"0\"");
    const ConfigText id("9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01\n");
    all = std::regex_replace(all, std::regex("/etc/semad/pools/boards"), id.path());
    const Options read = options_of(all);
    CHECK(read.pools.size() == 2);
    CHECK(std::get<RedisStoreOption>(read.store).redis.wait_replicas == 1);
}

TEST_CASE(
    "the packages' configuration names no secret that only root can read, but what systemd hands over") {
    const std::string packaged = content("packaging/semad.toml");
    CHECK_THAT(packaged, test::has_text("\n#admin-token-file = \"/run/credentials/semad.service/"));
    const Options read = options_of(std::regex_replace(packaged, std::regex("\n#([a-z-]+ = )"), "\n$1"));
    CHECK(read.admin_token_file == "/run/credentials/semad.service/admin-token");
}

TEST_CASE(
    "a relative name of a file begins in the folder of the configuration, given elsewhere it does not") {
    const TempDir folder;
    const std::string id = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";
    std::filesystem::create_directory(folder.path() / "pools");
    std::ofstream(folder.path() / "pools/vsim") << id;
    const std::string file = folder.path() / "semad.toml";
    std::ofstream(file)
        << "listen = ['unix:run/s', '127.0.0.1:7717']\nstore = 'sqlite:semad.db'\n"
           "admin-token-file = 'token'\n[tls]\ncertificate = 'tls.pem'\nkey = '/etc/tls.key'\n"
           "client-ca = '../ca.pem'\n[[pool]]\nname = 'a'\ncount = 1\nid-file = 'pools/vsim'\n";
    const Options read = options({"--config", file});
    const std::string at = folder.path().string() + "/";
    CHECK(std::get<http::UnixAddress>(read.listen[0]).path == at + "run/s");
    CHECK(std::get<http::TcpAddress>(read.listen[1]).host == "127.0.0.1");
    CHECK(describe(read.store) == "sqlite:" + at + "semad.db");
    CHECK(read.admin_token_file == at + "token");
    CHECK(read.tls.certificate == at + "tls.pem");
    CHECK(read.tls.key == "/etc/tls.key");
    CHECK(read.tls.client_ca == at + "../ca.pem");
    CHECK(read.pools.front().id->str() == id);
    const Variable token("SEMAD_ADMIN_TOKEN_FILE", "other");
    const Options overridden = options({"--config", file, "--store", "sqlite:here.db"});
    CHECK(overridden.admin_token_file == "other");
    CHECK(describe(overridden.store) == "sqlite:here.db");
}

TEST_CASE("a list with one entry may be that entry, and texts are trimmed") {
    const Options read = options_of("listen = ' unix:/run/s '\nstore = \"memory:\\n\"");
    REQUIRE(read.listen.size() == 1);
    CHECK(std::get<http::UnixAddress>(read.listen[0]).path == "/run/s");
    CHECK(describe(read.store) == "memory:");
    CHECK(options_of("# nothing\n").limits.max_ttl == 24h);
}

TEST_CASE("what is wrong in the file is named by file, line and key") {
    CHECK(refusal_of("\nlisen = \"x:1\"") == ":2: lisen: there is no such setting (did you mean 'listen'?)");
    CHECK(refusal_of("frobnicate = 1") ==
          ":1: frobnicate: there is no such setting (semad.toml(5) lists them)");
    CHECK(refusal_of("max-ttl = 1") ==
          ":1: max-ttl: there is no such setting (did you mean 'limits.max-ttl'?)");
    CHECK(refusal_of("[limits]\nttl = 1") ==
          ":2: limits.ttl: there is no such setting (semad.toml(5) lists them)");
    CHECK(refusal_of("[limit]\nmax-ttl = 1") ==
          ":1: limit: there is no such setting (did you mean 'limits'?)");
    CHECK(refusal_of("limits = 3") == ":1: limits: must be a table: write [limits]");
    CHECK(refusal_of("[store]\npath = 'x'") == ":1: store: must be a text in quotes");
    CHECK(refusal_of("store = 3") == ":1: store: must be a text in quotes");
    CHECK(refusal_of("store = 'x'") ==
          ":1: store: 'x' is not a store: write sqlite:PATH, memory:, redis://HOST or "
          "postgresql://HOST/DATABASE");
    CHECK(refusal_of("listen = [\"127.0.0.1:1\",\n 7717]") ==
          ":1: listen: must be a list of texts in quotes");
    CHECK(refusal_of("listen = []") == ":1: listen: it is empty");
    CHECK_THAT(refusal_of("\n\nlisten = ['7717']"), Catch::Matchers::StartsWith(":3: listen: "));
    CHECK(refusal_of("threads = '3'") == ":1: threads: must be a whole number, without quotes");
    CHECK(refusal_of("threads = 1.5") == ":1: threads: must be a whole number, without quotes");
    CHECK(refusal_of("threads = -1") == ":1: threads: -1 is out of range (0 to 1024)");
    CHECK(refusal_of("limits.max-count = 2000000") ==
          ":1: limits.max-count: 2000000 is out of range (0 to 1000000)");
    CHECK(refusal_of("[limits]\nmax-ttl = 0") == ":2: limits.max-ttl: must be longer than 0");
    CHECK(refusal_of("[limits]\nmax-ttl = true") ==
          ":2: limits.max-ttl: must be a duration such as \"5m\", or a number of seconds");
    CHECK_THAT(refusal_of("[limits]\nmax-wait = -1"), Catch::Matchers::StartsWith(":2: limits.max-wait: "));
    CHECK_THAT(refusal_of("[limits]\nmax-wait = inf"), Catch::Matchers::StartsWith(":2: limits.max-wait: "));
    CHECK_THAT(refusal_of("[limits]\nmax-wait = 'soon'"),
               Catch::Matchers::StartsWith(":2: limits.max-wait: "));
    CHECK(refusal_of("[log]\nformat = 'xml'") == ":2: log.format: 'xml' is not text or json");
    CHECK(refusal_of("socket-mode = '0660'") ==
          ":1: socket-mode is for a Unix socket: name one with --listen unix:/PATH");
    for (const std::string listener : {"metrics", "dashboard"}) {
        const Options read = options_of("socket-mode = '0660'\n[" + listener + "]\nlisten = 'unix:/run/s'");
        CHECK(read.socket_access.mode == 0660U);
    }
    CHECK(refusal_of("store = 'memory:'\nredis-wait-replicas = 1") ==
          ":2: redis-wait-replicas is for a store on Redis: name it with --store redis://HOST");
}

TEST_CASE("of several things that are wrong the first in the file is named") {
    CHECK_THAT(refusal_of("zebra = 1\napple = 2\n"), Catch::Matchers::StartsWith(":1: zebra: "));
}

TEST_CASE("a file that is not TOML is refused with the line") {
    CHECK_THAT(refusal_of("listen = [\"a:1\"]\nstore = sqlite\n"), Catch::Matchers::StartsWith(":2: "));
    CHECK_THAT(refusal_of("threads = 1\nthreads = 2\n"), Catch::Matchers::StartsWith(":2: "));
    CHECK_THAT(refusal_of(std::string("\x80\xFF\0x", 4)), Catch::Matchers::StartsWith(":1: "));
}

TEST_CASE("a file that cannot be read is refused") {
    CHECK(refusal({"--config", "/no/such/file"}) == "cannot read /no/such/file: No such file or directory");
    CHECK(refusal({"--config", "/tmp"}) == "cannot read /tmp: Is a directory");
    CHECK(refusal({"--config", "/dev/zero"}) == "cannot read /dev/zero: it is not a regular file");
    CHECK(refusal({"--config", ""}) == "--config: needs a file");
    const Variable variable("SEMAD_CONFIG", " ");
    CHECK(refusal({}) == "SEMAD_CONFIG: needs a file");
}

TEST_CASE("flags beat the environment, and the environment beats the file") {
    const ConfigText file("listen = ['a:1', 'b:2']\n[limits]\nmax-ttl = 1\nmax-wait = 1\nrejoin = 1\n");
    const Variable named("SEMAD_CONFIG", file.path());
    const Variable wait("SEMAD_MAX_WAIT", " 2s\n");
    const Variable rejoin("SEMAD_REJOIN", "2");
    const Variable listen("SEMAD_LISTEN", "c:3, d:4");
    const Options read = options({"--rejoin", "3"});
    CHECK(read.config_file == file.path());
    CHECK(read.limits.max_ttl == 1s);
    CHECK(read.limits.max_wait == 2s);
    CHECK(read.limits.pool.rejoin == 3s);
    REQUIRE(read.listen.size() == 2);
    CHECK(std::get<http::TcpAddress>(read.listen[1]).host == "d");
    CHECK(options({"--listen", "e:5"}).listen.size() == 1);
    CHECK(options({"--config", ConfigText("threads = 2").path()}).limits.max_ttl == 24h);
}

TEST_CASE("a variable that is wrong is named") {
    for (const auto& [name, value] : {std::pair("SEMAD_MAX_TTL", "soon"),
                                      {"SEMAD_MAX_TTL", ""},
                                      {"SEMAD_LISTEN", "a:1,"},
                                      {"SEMAD_LOG_LEVEL", "loud"},
                                      {"SEMAD_STORE", " "},
                                      {"SEMAD_ADMIN_TOKEN_FILE", ""}}) {
        const Variable variable(name, value);
        CHECK_THAT(refusal({}), Catch::Matchers::StartsWith(std::string(name) + ": "));
    }
}

TEST_CASE("a value that another one beats has to be right all the same") {
    CHECK(refusal_of("[limits]\nmax-ttl = 0", {"--max-ttl", "1d"}) ==
          ":2: limits.max-ttl: must be longer than 0");
}

TEST_CASE("what belongs to a setting that a flag overrides is passed over") {
    CHECK(
        describe(options_of("store = 'redis://db'\nredis-wait-replicas = 1", {"--store", "memory:"}).store) ==
        "memory:");
    CHECK(options_of("listen = 'unix:/run/s'\nsocket-mode = '600'", {"--listen", "a:1"}).listen.size() == 1);
    CHECK(refusal_of("store = 'redis://db'", {"--store", "memory:", "--redis-wait-replicas", "1"}) ==
          "--redis-wait-replicas is for a store on Redis: name it with --store redis://HOST");
}

TEST_CASE("a secret in a file that others can read is warned of") {
    const ConfigText file("store = 'redis://:sesame@db'");
    const ConfigText pool("[[pool]]\nname = 'a'\ncount = 1\nid = '9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01'");
    const ConfigText id("9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01\n");
    const ConfigText reference("[[pool]]\nname = 'a'\ncount = 1\nid-file = '" + id.path() + "'");
    for (const auto& [config, secret] : {std::pair(&file, &file), {&pool, &pool}, {&reference, &id}}) {
        CHECK(chmod(secret->path().c_str(), 0600) == 0);
        CHECK(options({"--config", config->path()}).warnings.empty());
        CHECK(chmod(secret->path().c_str(), 0644) == 0);
        const auto warnings = options({"--config", config->path()}).warnings;
        REQUIRE(warnings.size() == 1);
        CHECK_THAT(warnings[0], Catch::Matchers::StartsWith(secret->path() + " holds ") &&
                                    !test::has_text("9f1c") && !test::has_text("sesame") &&
                                    !test::has_text("chmod 640"));
    }
    CHECK(options({"--config", file.path(), "--store", "memory:"}).warnings.empty());
    CHECK_FALSE(std::get<RedisStoreOption>(options({"--config", file.path()}).store).password_shown);
    CHECK_THAT(refusal_of("store = 'redis://:sesame@db'\nredis-password-file = '/x'"),
               !test::has_text("sesame"));
}

TEST_CASE("what is wrong with two settings together is named by where it stands") {
    CHECK(refusal_of("\nstore = 'redis://me@db'") ==
          ":2: store names a user without a password: give that in --redis-password-file or "
          "SEMAD_REDIS_PASSWORD");
    CHECK(refusal_of("store = 'redis://:p@db'\nredis-password-file = '/x'").find(":2: redis-password-file") !=
          std::string::npos);
}

TEST_CASE("a migration reads no configuration file") {
    const ConfigText file("nonsense = 1");
    const Variable variable("SEMAD_CONFIG", file.path());
    CHECK(parse({"migrate", "sqlite:/x/a.db", "redis://h/1"}));
    CHECK(refusal({"migrate", "sqlite:/x/a.db", "redis://h/1", "--config", file.path()}) ==
          "semad migrate takes no --config");
}
