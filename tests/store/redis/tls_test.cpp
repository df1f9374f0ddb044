#include "tests/store/redis/redis_stores.hpp"
#include "tests/support/program.hpp"
#include "tests/support/redis_server.hpp"
#include "tests/support/reserved_port.hpp"
#include "tests/support/temp_dir.hpp"

#include <sys/stat.h>

#include <fstream>

using namespace sema;
using namespace sema::test;

namespace {

/// An authority of the test's own, and a certificate from it for `localhost`.
class Authority {
  public:
    Authority() {
        std::ofstream(path("names")) << "subjectAltName=DNS:localhost\n";
        openssl({"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Test authority",
                 "-keyout", path("ca.key"), "-out", path("ca.pem")});
        openssl({"req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout",
                 path("redis.key"), "-out", path("redis.csr")});
        openssl({"x509", "-req", "-days", "2", "-in", path("redis.csr"), "-CA", path("ca.pem"), "-CAkey",
                 path("ca.key"), "-CAcreateserial", "-extfile", path("names"), "-out", path("redis.pem")});
    }

    std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

  private:
    static void openssl(std::vector<std::string> command) {
        command.insert(command.begin(), "openssl");
        const Finished finished = run_program(command);
        if (finished.status != 0) throw std::runtime_error(finished.err);
    }

    TempDir folder_;
};

/// Speaks TLS on a port of its own beside the plain one.
class TlsRedis {
  public:
    explicit TlsRedis(const Authority& authority)
        : redis_({"redis",
                  {"tls-port " + std::to_string(port_.number()), "tls-auth-clients no",
                   "tls-cert-file " + authority.path("redis.pem"),
                   "tls-key-file " + authority.path("redis.key")},
                  {},
                  "127.0.0.1",
                  0}) {}

    std::string url(const std::string& host, const std::string& rest) const {
        return "rediss://" + host + ":" + std::to_string(port_.number()) + rest;
    }

  private:
    ReservedPort port_;
    RedisServer redis_;
};

std::string refusal(const std::string& url) {
    const auto store = open_redis_store(options_for(url));
    REQUIRE_FALSE(store);
    return store.error().message;
}

}  // namespace

TEST_CASE("over TLS, only who has a certificate for the name from a trusted authority is believed") {
    const Authority authority;
    const TlsRedis redis(authority);
    const std::string trusted = "/1?ca=" + authority.path("ca.pem");
    const PoolId pool = PoolId::random();
    {
        const auto store = open_patiently(redis.url("localhost", trusted));
        auto change_of_many = change(pool).to(1).count(3000);
        for (Position position = 0; position < 3000; ++position)
            change_of_many.put(some_slot(position));
        REQUIRE(committed(commit(*store, {change_of_many})));
        CHECK(loaded(*store, pool).slots.size() == 3000);
        CHECK(redis_store_warnings(options_for(redis.url("localhost", trusted))).empty());
    }
    CHECK_THAT(refusal(redis.url("127.0.0.1", trusted)), has_text("certificate verify failed"));
    CHECK_THAT(refusal(redis.url("localhost", "")), has_text("certificate verify failed"));
    CHECK_THAT(refusal(redis.url("localhost", "?ca=/nowhere.pem")), has_text("/nowhere.pem"));
    CHECK_THAT(refusal(redis.url("localhost", "?ca=" + authority.path("names"))), has_text("names"));
    const std::string pipe = authority.path("pipe");
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    CHECK_THAT(refusal(redis.url("localhost", "?ca=" + pipe)),
               has_text("cannot read the certificates of " + pipe + ": it is not a regular file"));
}
