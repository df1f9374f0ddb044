#include "server/http/call_kind.hpp"
#include "server/settings.hpp"
#include "tests/server/parsing.hpp"

#include <chrono>
#include <cstdlib>
#include <regex>
#include <set>
#include <sstream>

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

// The long flags at the beginning of the help's lines.
std::set<std::string> flags(const std::vector<std::string>& command = {}) {
    std::vector<std::string> words = command;
    words.emplace_back("--help");
    const std::string help = std::get<Printed>(*parse(words)).text;
    const std::regex flag("\n  (?:-h,)?(--[a-z-]+)");
    std::set<std::string> all;
    for (std::sregex_iterator match(help.begin(), help.end(), flag), end; match != end; ++match) {
        all.insert((*match)[1]);
    }
    return all;
}

}  // namespace

TEST_CASE("help fits a terminal of 80 columns") {
    for (const std::string command : {"", "check", "pools", "backup", "migrate"}) {
        std::vector<std::string> words = {command, "--help"};
        if (command.empty()) words.erase(words.begin());
        std::istringstream help(std::get<Printed>(*parse(words)).text);
        for (std::string line; std::getline(help, line);) {
            CAPTURE(command, line);
            CHECK((line.size() <= 80 || line.rfind("  semad ", 0) == 0));
        }
    }
}

TEST_CASE("without options semad listens on the loopback port and keeps its data in the state folder") {
    setenv("XDG_STATE_HOME", "/x/state", 1);
    unsetenv("STATE_DIRECTORY");
    const Options defaults = options({});
    REQUIRE(defaults.listen.size() == 1);
    CHECK(std::get<http::TcpAddress>(defaults.listen[0]).host == "127.0.0.1");
    CHECK(std::get<http::TcpAddress>(defaults.listen[0]).port == "7717");
    CHECK(describe(defaults.store) == "sqlite:/x/state/semad/semad.db");
    CHECK(defaults.limits.max_ttl == 24h);
    CHECK(defaults.limits.max_wait == 300s);
    CHECK(defaults.limits.max_count == 1000);
    setenv("STATE_DIRECTORY", "/var/lib/semad:/other", 1);
    CHECK(describe(options({}).store) == "sqlite:/var/lib/semad/semad.db");
    unsetenv("STATE_DIRECTORY");
    unsetenv("XDG_STATE_HOME");
    setenv("HOME", "/home/me", 1);
    CHECK(describe(options({}).store) == "sqlite:/home/me/.local/state/semad/semad.db");
}

TEST_CASE("semad listens on as many addresses as it is told") {
    const Options many =
        options({"--listen", "0.0.0.0:80", "--listen", "[::1]:7717", "--listen", "unix:/run/s"});
    REQUIRE(many.listen.size() == 3);
    CHECK(std::get<http::TcpAddress>(many.listen[1]).host == "::1");
    CHECK(std::get<http::UnixAddress>(many.listen[2]).path == "/run/s");
}

TEST_CASE("there is an administrator where a file is named") {
    CHECK(options({}).admin_token_file.empty());
    CHECK(options({"--admin-token-file", "/etc/semad/token"}).admin_token_file == "/etc/semad/token");
}

TEST_CASE("limits are read with their units") {
    const Options limits =
        options({"--max-ttl", "2h", "--max-wait", "1.5", "--max-hold=12h", "--rejoin=2", "--max-count=7",
                 "--max-pools=8", "--max-waiters=9", "--max-connections=10", "--threads=3"});
    CHECK(limits.limits.max_ttl == 2h);
    CHECK(limits.limits.max_wait == 1500ms);
    CHECK(limits.limits.pool.max_hold == 12h);
    CHECK(limits.limits.pool.rejoin == 2s);
    CHECK(limits.limits.max_count == 7);
    CHECK(limits.limits.max_pools == 8);
    CHECK(limits.limits.max_waiters == 9);
    CHECK(limits.max_connections == 10);
    CHECK(limits.threads == 3);
}

TEST_CASE("what semad does not understand is refused in one line") {
    for (const std::vector<std::string>& arguments :
         std::vector<std::vector<std::string>>{{"--nonsense"},
                                               {"stray"},
                                               {"--listen", "7717"},
                                               {"--listen", "::1:7717"},
                                               {"--listen", "h:70000"},
                                               {"--listen", "unix:"},
                                               {"--listen", ":80"},
                                               {"--store", "redis:x"},
                                               {"--store", "sqlite:"},
                                               {"--max-ttl", "0"},
                                               {"--max-ttl", "soon"},
                                               {"--max-count", "-1"},
                                               {"--max-count", "x"},
                                               {"--max-pools", "-1"},
                                               {"--max-waiters", "99999999999999999999"},
                                               {"--max-connections", "-1"},
                                               {"--log-format", "xml"},
                                               {"--log-level", "loud"},
                                               {"--admin-token-file"},
                                               {"--admin-token-file", ""},
                                               {"--threads"}}) {
        CAPTURE(arguments.front());
        CHECK_FALSE(refusal(arguments).empty());
    }
}

TEST_CASE("what semad does not understand is named as it was typed, with what is taken") {
    CHECK(refusal({"--lisen", "x"}) == "unknown option '--lisen' (did you mean '--listen'?)");
    CHECK(refusal({"--frobnicate"}) == "unknown option '--frobnicate' (semad --help lists the options)");
    CHECK(refusal({"migrat", "a", "b"}) == "unknown command 'migrat' (did you mean 'migrate'?)");
    CHECK(refusal({"migrate", "a", "b", "c"}) ==
          "migrate: 'c' is one argument too many (semad migrate --help shows what it takes)");
    CHECK(refusal({"--listen"}) == "--listen: its value is missing");
    CHECK(refusal({"--max-ttl", "1d", "--max-ttl", "2d"}) == "--max-ttl: it is given more than once");
    CHECK(refusal({"--threads", "5000"}) == "--threads: 5000 is out of range (0 to 1024)");
    CHECK(refusal({"--max-count", "2000000"}) == "--max-count: 2000000 is out of range (0 to 1000000)");
    CHECK(refusal({"--max-pools", "many"}) == "--max-pools: 'many' is not a whole number (0 to 1000000000)");
    CHECK(refusal({"--log-format", "xml"}) == "--log-format: 'xml' is not text or json");
    CHECK_THAT(refusal({"--listen", "7717"}), Catch::Matchers::StartsWith("--listen: "));
    CHECK_THAT(refusal({"--store", "x"}), Catch::Matchers::StartsWith("--store: "));
    CHECK_THAT(refusal({"migrate", "memory:", "x"}), Catch::Matchers::StartsWith("TO: "));
}

TEST_CASE("help and version are text for stdout") {
    CHECK(std::get<Printed>(*parse({"--version"})).text.rfind("semad ", 0) == 0);
    const std::string help = std::get<Printed>(*parse({"--help"})).text;
    CHECK(help.find("Example:") != std::string::npos);
    CHECK(flags().count("--listen") == 1);
    // Beside the settings: --config, --help, --version.
    CHECK(flags().size() == server_settings().size() + 3);
}

TEST_CASE("a paragraph of the help goes on to the end of its lines") {
    const std::string help = std::get<Printed>(*parse({"--help"})).text;
    CHECK_THAT(help, has_text("\nenvironment, as SEMAD_MAX_TTL for --max-ttl, "));
    CHECK_THAT(
        help, has_text("\n\nExample: serve this machine's network, with leases of four hours at the most\n"));
}

TEST_CASE("every call that metrics count is in the page about them") {
    const std::string page = content("docs/monitoring.md");
    for (const std::string_view call : http::call_names)
        CHECK_THAT(page, has_text('`' + std::string(call) + '`'));
}

TEST_CASE("every flag of semad is in its man page and in the completions") {
    const std::string man = content("man/semad.8");
    const std::string bash = content("completions/semad.bash");
    const std::string zsh = content("completions/semad.zsh");
    const std::string fish = content("completions/semad.fish");
    const auto has = [](const std::string& text, const std::string& word) {
        return std::regex_search(text, std::regex("(^|[^a-zA-Z-])" + word + "($|[^a-zA-Z-])"));
    };
    for (const std::string& flag : flags()) {
        CAPTURE(flag);
        CHECK(has(man, "Fl " + flag.substr(1)));
        CHECK(has(bash, flag));
        CHECK(has(zsh, flag));
        CHECK(has(fish, "-l " + flag.substr(2)));
    }
}

TEST_CASE("a store on Redis has its password from one place, and shows it nowhere") {
    unsetenv("SEMAD_REDIS_PASSWORD");
    const auto redis = [](std::vector<std::string> arguments) {
        return std::get<RedisStoreOption>(options(std::move(arguments)).store);
    };
    const auto bare = redis({"--store", "redis://db/2", "--redis-wait-replicas", "1"});
    CHECK(bare.redis.address.password.empty());
    CHECK(bare.redis.wait_replicas == 1);
    CHECK_FALSE(bare.password_shown);
    CHECK(describe(StoreOption(bare)) == "redis://db:6379/2");

    const auto shown = redis({"--store", "redis://me:sesame@db"});
    CHECK(shown.redis.address.password == "sesame");
    CHECK(shown.password_shown);
    CHECK(describe(StoreOption(shown)) == "redis://db:6379");
    CHECK(redis({"--store", "redis://db", "--redis-password-file", "/x"}).password_file == "/x");

    setenv("SEMAD_REDIS_PASSWORD", "from-environment", 1);
    setenv("SEMAD_REDIS_SENTINEL_PASSWORD", "of-sentinels", 1);
    CHECK(redis({"--store", "redis://db"}).redis.address.password == "from-environment");
    CHECK_FALSE(redis({"--store", "redis://db"}).password_shown);
    CHECK(redis({"--store", "redis://me:sesame@db"}).redis.address.password == "sesame");
    CHECK(redis({"--store", "redis://db", "--redis-password-file", "/x"}).redis.address.password.empty());
    CHECK(redis({"--store", "redis+sentinel://s/m"}).redis.sentinel_password == "of-sentinels");
    setenv("SEMAD_REDIS_PASSWORD", "\xEF\xBB\xBF'from environment'\n", 1);
    CHECK(redis({"--store", "redis://db"}).redis.address.password == "from environment");
    setenv("SEMAD_REDIS_SENTINEL_PASSWORD", " of-sentinels\r\n", 1);
    CHECK(redis({"--store", "redis+sentinel://s/m"}).redis.sentinel_password == "of-sentinels");
    setenv("SEMAD_REDIS_PASSWORD", " \n", 1);
    setenv("SEMAD_REDIS_SENTINEL_PASSWORD", "", 1);
    CHECK(refusal({"--store", "redis://db"}) ==
          "the variable SEMAD_REDIS_PASSWORD is empty: it has to hold a password");
    CHECK(refusal({"--store", "redis+sentinel://:p@s/m"}).find("SEMAD_REDIS_SENTINEL_PASSWORD is empty") !=
          std::string::npos);
    // Where they are not looked at.
    CHECK(redis({"--store", "redis://:sesame@db"}).redis.address.password == "sesame");
    CHECK(describe(options({"--store", "memory:"}).store) == "memory:");
    unsetenv("SEMAD_REDIS_PASSWORD");
    unsetenv("SEMAD_REDIS_SENTINEL_PASSWORD");

    for (const std::vector<std::string>& wrong :
         {std::vector<std::string>{"--store", "redis://me:sesame@"},
          {"--store", "redis:sesame"},
          {"--store", "redis://me:sesame@db", "--redis-password-file", "/x"}}) {
        CHECK(refusal(wrong).find("sesame") == std::string::npos);
    }
    CHECK(refusal({"--store", "redis://me@db"}).find("SEMAD_REDIS_PASSWORD") != std::string::npos);
    CHECK(redis({"--store", "redis://me@db", "--redis-password-file", "/x"}).redis.address.user == "me");
    CHECK(refusal({"--redis-wait-replicas", "1"}).find("--store redis://") != std::string::npos);
    CHECK(refusal({"--store", "memory:", "--redis-password-file", "/x"}).find("--store redis://") !=
          std::string::npos);
}

TEST_CASE("migrate takes the store to read and the store to fill") {
    const auto parsed = parse({"migrate", "sqlite:/x/a.db", "redis://h/1", "--rejoin", "20s"});
    REQUIRE(parsed);
    const auto& migrate = std::get<MigrateOptions>(*parsed);
    CHECK(describe(migrate.from) == "sqlite:/x/a.db");
    CHECK(std::get<RedisStoreOption>(migrate.to).redis.address.database == 1);
    CHECK(migrate.rejoin == 20s);
    CHECK(refusal({"migrate", "sqlite:/x/a.db"}).find("TO is missing: the store to fill") !=
          std::string::npos);
    CHECK(refusal({"migrate", "sqlite:/x", "memory:"}).find("memory: is gone") != std::string::npos);
    CHECK(refusal({"--store", "Redis://:S3cret@host/0"}) ==
          "--store: 'Redis:...' is not a store: write sqlite:PATH, memory:, redis://HOST or "
          "postgresql://HOST/DATABASE");
    CHECK(refusal({"migrate", "redis://h:6379", "redis://h/0"}).find("both are redis://h") !=
          std::string::npos);
    const auto both = parse({"migrate", "redis://:p@h/1", "redis://h/2", "--redis-password-file", "/secret"});
    REQUIRE(both);
    CHECK(std::get<RedisStoreOption>(std::get<MigrateOptions>(*both).from).password_file.empty());
    CHECK(std::get<RedisStoreOption>(std::get<MigrateOptions>(*both).to).password_file == "/secret");
    const std::string stray = refusal({"redis://u:hunter2@h:1/2", "x"});
    CHECK(stray.find("redis://...@h:1/2") != std::string::npos);
    CHECK(stray.find("hunter2") == std::string::npos);
    CHECK(refusal({"migrate", "nonsense", "memory:"}).find("'nonsense' is not a store") != std::string::npos);
    CHECK(refusal({"--store", "memory:", "migrate", "sqlite:/x", "memory:"}).find("no --store") !=
          std::string::npos);
}

TEST_CASE("the help of a command lists the options that it heeds") {
    using Flags = std::set<std::string>;
    Flags all = flags();
    all.erase("--version");
    Flags of_check = all;
    of_check.insert("--reload");
    CHECK(flags({"check"}) == of_check);
    CHECK(flags({"pools"}) == Flags{"--help", "--config", "--store", "--redis-password-file"});
    CHECK(flags({"backup"}) == Flags{"--help", "--config", "--store"});
    CHECK(flags({"migrate"}) ==
          Flags{"--help", "--redis-wait-replicas", "--redis-password-file", "--rejoin"});
    for (const std::string command : {"check", "pools", "backup", "migrate"})
        CHECK_THAT(std::get<Printed>(*parse({command, "--help"})).text, has_text("Usage: semad " + command));
}
