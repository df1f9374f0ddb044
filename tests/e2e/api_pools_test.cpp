#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

// The administrator's list of pools.

using namespace sema::test;
namespace fs = std::filesystem;

namespace {

const std::string token = "s3cret-admin-token==";

/// A file with the token in it.
class TokenFile {
  public:
    TokenFile() {
        std::ofstream(path()) << token << "\n";
        fs::permissions(path(), fs::perms(0600));
    }
    std::string path() const { return (folder_.path() / "admin-token").string(); }

  private:
    TempDir folder_;
};

/// A server with an administrator.
struct World {
    explicit World(std::vector<std::string> options = {})
        : server([&] {
              options.insert(options.end(), {"--admin-token-file", file.path()});
              return options;
          }()) {}

    HttpResponse list(const std::string& method = "GET") const {
        return call(server.port(), method, "/pools", "", "Authorization: Bearer " + token + "\r\n");
    }
    Json pools() const {
        const HttpResponse response = list();
        REQUIRE(response.status == 200);
        return Json::parse(response.body).at("pools");
    }
    /// The same but for how long somebody has waited, which time alone changes.
    Json lasting() const {
        Json all = pools();
        for (Json& pool : all) {
            if (pool.contains("oldest_wait")) pool["oldest_wait"] = "some time";
        }
        return all;
    }

    TokenFile file;
    RunningServer server;
};

std::string entry(const TestPool& pool, const std::string& rest) {
    return R"({"id":")" + pool.id() + R"(",)" + rest + "}";
}

}  // namespace

TEST_CASE("the administrator sees all pools, by their ids") {
    const World world;
    CHECK(world.list().body == R"({"pools":[]})");
    TestPool first(world.server, 3);
    TestPool second(world.server, 1);
    if (second.id() < first.id()) std::swap(first, second);
    first.set({{"count", 3}, {"name", "boards \"A\" \U0001f512"}});
    second.set_count(1);
    first.take();
    second.take();
    const RawClient waiter = second.queue_up();
    REQUIRE(eventually([&] { return second.waiting() == 1; }));
    const HttpResponse list = world.list();
    CHECK(list.status == 200);
    CHECK(list.header("content-type") == "application/json");
    const std::string begin = R"({"pools":[)" +
                              entry(first,
                                    "\"name\":\"boards \\\"A\\\" \U0001f512\",\"count\":3,\"in_use\":1,"
                                    "\"available\":2,\"queue\":0") +
                              R"(,{"id":")" + second.id() +
                              R"(","name":null,"count":1,"in_use":1,"available":0,"queue":1,"oldest_wait":)";
    CHECK(list.body.rfind(begin, 0) == 0);
    second.remove();
    CHECK(world.pools().size() == 1);
    const HttpResponse head = world.list("HEAD");
    CHECK(head.status == 200);
    CHECK(head.header("content-length") == std::to_string(world.list().body.size()));
}

TEST_CASE("pools are listed after a restart as before it, used or not") {
    World world({"--rejoin", "10m"});
    std::vector<TestPool> pools;
    for (int i = 0; i < 230; ++i)
        pools.emplace_back(world.server, i % 5);
    for (int i = 4; i < 230; i += 10)
        pools[static_cast<std::size_t>(i)].take(600);
    REQUIRE(pools[0].borrow(R"({"ttl":60,"wait":0.01,"lease":")" + new_lease() + "\"}").status == 409);
    const Json before = world.lasting();
    CHECK(before.size() == 230);
    CHECK(std::is_sorted(before.begin(), before.end(),
                         [](const Json& a, const Json& b) { return a["id"] < b["id"]; }));
    for (const End end : {End::kill, End::term}) {
        restart(world.server, end);
        CHECK(world.lasting() == before);
        pools[7].get();
        CHECK(world.lasting() == before);
    }
}

TEST_CASE("whoever is not the administrator sees nothing, and is told so") {
    const World world;
    const TestPool pool(world.server, 1);
    const auto with = [&](const std::string& headers, const std::string& method = "GET") {
        const HttpResponse response = call(world.server.port(), method, "/pools", "", headers);
        CHECK(response.header("content-type") == "application/json");
        return response;
    };
    const std::string good = "Authorization: Bearer " + token + "\r\n";
    for (const std::string& headers : std::vector<std::string>{
             "", "Authorization:\r\n", "Authorization: Bearer\r\n", "Authorization: " + token + "\r\n",
             "Authorization: Basic " + token + "\r\n", "Authorization: Bearer " + token + " x\r\n",
             "X-" + good, good + good}) {
        CAPTURE(headers);
        const HttpResponse response = with(headers);
        CHECK(response.status == 401);
        CHECK(response.header("www-authenticate") == "Bearer");
        CHECK(response.body == error_body("admin token required: send Authorization: Bearer TOKEN"));
    }
    for (const std::string& wrong : {token + "=", token.substr(1), token.substr(0, token.size() - 1),
                                     std::string("x"), "S" + token.substr(1), "x" + token}) {
        CAPTURE(wrong);
        const HttpResponse response = with("Authorization: Bearer " + wrong + "\r\n");
        CHECK(response.status == 403);
        CHECK_FALSE(response.has("www-authenticate"));
        CHECK(response.body == error_body("wrong admin token"));
    }
    CHECK(with("authorization: bEARER  " + token + " \r\n").status == 200);
    for (const std::string method : {"PUT", "POST", "DELETE", "PATCH"}) {
        const HttpResponse response = with(good, method);
        CHECK(response.status == 405);
        CHECK(response.header("allow") == "GET, HEAD");
    }
    // It opens nothing else, and is in nobody's way there.
    CHECK(call(world.server.port(), "GET", pool.path(), "", good + good).status == 200);
    CHECK(call(world.server.port(), "GET", "/pools/", "", good).status == 404);
    CHECK(world.server.log().find("s3cret") == std::string::npos);
}

TEST_CASE("without an administrator the path is like any that there is not") {
    const RunningServer server;
    for (const std::string method : {"GET", "HEAD", "PUT", "POST", "DELETE"}) {
        for (const std::string& headers : {std::string(), "Authorization: Bearer " + token + "\r\n"}) {
            RawClient client(server.port());
            client.send(http_request(method, "/pools", "", headers));
            const HttpResponse response = client.receive(method == "HEAD");
            CHECK(response.status == 404);
            CHECK_FALSE(response.has("allow"));
            CHECK_FALSE(response.has("www-authenticate"));
            if (method != "HEAD") CHECK(response.body == error_body("no such path"));
        }
    }
}

TEST_CASE("a few lists at a time are under way, and one more when one of them is over", "[sqlite]") {
    const World world({"--threads", "1"});
    const std::string name(256, 'x');
    std::vector<RawClient> makers;
    // Together more than a connection holds whose client does not read.
    for (int i = 0; i < 40; ++i) {
        RawClient client(world.server.port());
        std::string requests;
        for (int j = 0; j < 500; ++j)
            requests += http_request("PUT", "/l/" + sema::PoolId::random().str(),
                                     R"({"count":1,"name":")" + name + "\"}");
        client.send(requests);
        for (int j = 0; j < 500; ++j)
            REQUIRE(client.receive().status == 200);
    }
    const std::string request = http_request("GET", "/pools", "", "Authorization: Bearer " + token + "\r\n");
    std::vector<RawClient> readers;
    for (int i = 0; i < 4; ++i) {
        readers.emplace_back(world.server.port());
        readers.back().receive_at_most(4096);
        readers.back().send(request);
    }
    RawClient other(world.server.port());
    const auto answer = [&] {
        other.send(request);
        return other.receive();
    };
    REQUIRE(eventually([&] { return answer().status == 503; }));
    const HttpResponse refused = answer();
    CHECK(refused.body == error_body("too many lists of pools at a time"));
    CHECK(refused.header("retry-after") == "1");
    // Nobody else is kept waiting.
    CHECK(call(world.server.port(), "GET", "/healthz").status == 200);
    readers.front().abort();
    REQUIRE(eventually([&] { return answer().status == 200; }));
    CHECK(Json::parse(answer().body).at("pools").size() == 20'000);
}
