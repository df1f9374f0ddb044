#include "server/store/redis/address.hpp"

#include "tests/support/catch.hpp"

using namespace sema;
using namespace sema::test;

namespace {

using Way = RedisAddress::Way;

RedisAddress parsed(const std::string& url) {
    auto address = parse_redis_address(url);
    INFO(url);
    REQUIRE(address);
    return *std::move(address);
}

std::string refusal(const std::string& url) {
    const auto address = parse_redis_address(url);
    INFO(url);
    REQUIRE_FALSE(address);
    CHECK(address.error().message.find('\n') == std::string::npos);
    return address.error().message;
}

}  // namespace

TEST_CASE("a Redis is named by its host, and by port and database where they are not the usual ones") {
    const auto plain = parsed("redis://db.example");
    CHECK(plain.way == Way::tcp);
    CHECK(plain.hosts == std::vector<HostPort>{{"db.example", 6379}});
    CHECK(plain.database == 0);
    CHECK(plain.user.empty());
    CHECK(plain.password.empty());

    const auto full = parsed("redis://10.0.0.1:7000/12");
    CHECK(full.hosts == std::vector<HostPort>{{"10.0.0.1", 7000}});
    CHECK(full.database == 12);

    CHECK(parsed("redis://h/").database == 0);
    CHECK(parsed("redis://[::1]:7000").hosts == std::vector<HostPort>{{"::1", 7000}});
    CHECK(parsed("redis://[fe80::1]").hosts == std::vector<HostPort>{{"fe80::1", 6379}});
}

TEST_CASE("user and password are percent-decoded, and either may be left out") {
    const auto both = parsed("redis://me:p%40ss%2fw%3Ard@h");
    CHECK(both.user == "me");
    CHECK(both.password == "p@ss/w:rd");
    const auto password = parsed("redis://:secret@h:1");
    CHECK(password.user.empty());
    CHECK(password.password == "secret");
    CHECK(parsed("redis://u:a/b?c@d@h").password == "a/b?c@d");
    CHECK(parsed("redis://me@h").user == "me");
    CHECK(parsed("redis://me@h").password.empty());
}

TEST_CASE("TLS may be told whom to trust") {
    const auto address = parsed("rediss://:p@h:7001/3?ca=/etc/my%20ca.pem");
    CHECK(address.way == Way::tls);
    CHECK(address.ca_file == "/etc/my ca.pem");
    CHECK(address.database == 3);
    CHECK(parsed("rediss://h").ca_file.empty());
    const auto with_at = parsed("rediss://u:p@q?@h?ca=/etc/ca@home.pem");
    CHECK(with_at.ca_file == "/etc/ca@home.pem");
    CHECK(with_at.password == "p@q?");
    CHECK(with_at.hosts.at(0).host == "h");
}

TEST_CASE("a Unix socket is named by its path") {
    const auto address = parsed("redis+unix://u:p@/run/redis/redis.sock?db=2");
    CHECK(address.way == Way::unix_socket);
    CHECK(address.path == "/run/redis/redis.sock");
    CHECK(address.database == 2);
    CHECK(address.user == "u");
    CHECK(address.hosts.empty());
    CHECK(parsed("redis+unix:///a%3Fb").path == "/a?b");
    CHECK(parsed("redis+unix:///" + std::string(106, 'x')).path.size() == 107);
    CHECK_THAT(refusal("redis+unix:///" + std::string(107, 'x')), has_text("107 bytes"));
}

TEST_CASE("Sentinels are a list, and call the master by a name") {
    const auto address = parsed("redis+sentinel://:p@s1,s2:7000,[::1]:7001/main/4");
    CHECK(address.way == Way::sentinel);
    CHECK(address.hosts == std::vector<HostPort>{{"s1", 26379}, {"s2", 7000}, {"::1", 7001}});
    CHECK(address.master == "main");
    CHECK(address.database == 4);
    CHECK(address.password == "p");
    CHECK(parsed("redis+sentinel://s/m").database == 0);
}

TEST_CASE("a log shows the address without user, password and CA file") {
    CHECK(describe(parsed("redis://me:secret@h")) == "redis://h:6379");
    CHECK(describe(parsed("redis://me:secret@[::1]:7/2")) == "redis://[::1]:7/2");
    CHECK(describe(parsed("rediss://:secret@h?ca=/x")) == "rediss://h:6379");
    CHECK(describe(parsed("redis+unix://:secret@/run/a%20b?db=1")) == "redis+unix:///run/a%20b?db=1");
    CHECK(describe(parsed("redis+sentinel://:secret@a,b:1/m/1")) == "redis+sentinel://a:26379,b:1/m/1");
}

TEST_CASE("a wrong URL is refused with what to write, and without the password") {
    for (const std::string url : {"redis://u:sesame@",
                                  "redis://u:sesame@h:0",
                                  "redis://u:sesame@h:65536",
                                  "redis://u:sesame@h:x",
                                  "redis://u:sesame@h/x",
                                  "redis://u:sesame@h/1/2",
                                  "redis://u:sesame@h/-1",
                                  "redis://u:sesame@[::1",
                                  "redis://u:sesame@[::1]x",
                                  "redis://u:sesame@::1",
                                  "redis://u:sesame@h?ca=/x",
                                  "redis://u:%zzsesame@h",
                                  "redis://u:sesame%@h",
                                  "redis://u:sesame",
                                  "redis://h/99999999999",
                                  "rediss://u:sesame@h?ca=",
                                  "rediss://u:sesame@h?key=x",
                                  "redis+unix://u:sesame@",
                                  "redis+unix://sesame",
                                  "redis+unix://u:sesame@/a?db=x",
                                  "redis+unix:///a?ca=sesame",
                                  "redis+sentinel://u:sesame@h",
                                  "redis+sentinel://u:sesame@h/",
                                  "redis+sentinel://u:sesame@h,/m",
                                  "redis+sentinel://u:sesame@h/m/x"}) {
        const std::string message = refusal(url);
        CAPTURE(message);
        CHECK_THAT(message, has_text(": write redis"));
        CHECK(message.find("sesame") == std::string::npos);
    }
    for (const std::string url : {"redis:sesame", "redis", "http://sesame@h", "valkey://sesame", ""}) {
        const std::string message = refusal(url);
        CHECK_THAT(message, has_text("redis+sentinel://"));
        CHECK(message.find("sesame") == std::string::npos);
    }
}
