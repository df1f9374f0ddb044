#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

// The administrator's copy of the store.

using namespace sema::test;
using sema::test::has_text;
namespace fs = std::filesystem;

namespace {

const std::string authorization = "Authorization: Bearer s3cret\r\n";

/// A server with an administrator.
struct World {
    explicit World(std::vector<std::string> options = {})
        : server([&] {
              const fs::path file = folder.path() / "admin-token";
              std::ofstream(file) << "s3cret\n";
              fs::permissions(file, fs::perms(0600));
              options.insert(options.end(), {"--admin-token-file", file.string()});
              return options;
          }()) {}

    HttpResponse try_backup(const std::string& method = "GET",
                            const std::string& headers = authorization) const {
        return call(server.port(), method, "/backup", "", headers);
    }
    /// The same once the last one is out, which the server may not have noticed yet.
    HttpResponse backup(const std::string& method = "GET", const std::string& headers = authorization) const {
        HttpResponse response;
        REQUIRE(eventually([&] {
            response = try_backup(method, headers);
            return response.status != 503;
        }));
        return response;
    }

    TempDir folder;
    RunningServer server;
};

}  // namespace

TEST_CASE("a backup is a database with what was answered", "[sqlite]") {
    const World world;
    const TestPool pool(world.server, 2);
    pool.take(600);
    const HttpResponse copy = world.backup();
    CHECK(copy.status == 200);
    CHECK(copy.header("content-type") == "application/vnd.sqlite3");
    CHECK(copy.body.substr(0, 15) == "SQLite format 3");
    CHECK(copy.header("content-length") == std::to_string(copy.body.size()));
    const HttpResponse head = world.backup("HEAD");
    CHECK(head.status == 200);
    CHECK(head.header("content-length") == std::to_string(copy.body.size()));
    // Nothing is left of it beside the store, and the history, which is written a little later.
    for (const auto& entry : fs::directory_iterator(world.server.folder())) {
        const std::string name = entry.path().filename().string();
        CAPTURE(name);
        CHECK((name == "semad.db" || name == "semad.db-wal" || name.rfind("semad.db-history", 0) == 0));
    }
}

TEST_CASE("only the administrator gets a backup") {
    const World world;
    CHECK(world.backup("GET", "").status == 401);
    CHECK(world.backup("GET", "").header("www-authenticate") == "Bearer");
    CHECK(world.backup("GET", "Authorization: Bearer guess\r\n").body == error_body("wrong admin token"));
    CHECK(world.backup("POST").status == 405);
    CHECK(world.backup("POST").header("allow") == "GET, HEAD");
    const RunningServer without;
    CHECK(call(without.port(), "GET", "/backup", "", authorization).body == error_body("no such path"));
}

TEST_CASE("pools that are kept elsewhere are backed up there") {
    const World world({"--store", "memory:"});
    CHECK(world.backup().status == 409);
    CHECK_THAT(world.backup().body, has_text("memory: is gone when semad ends"));
}

TEST_CASE("a backup that cannot be written is an error, and all else goes on", "[sqlite]") {
    const World world;
    const TestPool pool(world.server, 2);
    const Slot slot = pool.take(600);
    {
        const FullDisk full(world.server);
        CHECK(world.backup().status == 502);
        CHECK_THAT(world.backup().body, has_text("check the disk"));
    }
    CHECK(world.backup().status == 200);
    CHECK(pool.returns(slot));
}

TEST_CASE("a backup that is taken slowly is whole, and holds up nobody", "[sqlite]") {
    const World world({"--threads", "1"});
    const std::string name(256, 'x');
    // More than a connection holds whose client does not read.
    RawClient maker(world.server.port());
    std::string requests;
    constexpr int pools = 20'000;
    for (int i = 0; i < pools; ++i)
        requests += http_request("PUT", "/l/" + sema::PoolId::random().str(),
                                 R"({"count":1,"name":")" + name + "\"}");
    std::thread sender([&] { maker.send(requests); });
    for (int i = 0; i < pools; ++i)
        REQUIRE(maker.receive().status == 200);
    sender.join();
    RawClient reader(world.server.port());
    reader.receive_at_most(64 * 1024);
    reader.send(http_request("GET", "/backup", "", authorization));
    REQUIRE(eventually([&] { return reader.has_answer(); }));
    const HttpResponse refused = world.try_backup();
    CHECK(refused.status == 503);
    CHECK(refused.body == error_body("a backup is under way"));
    CHECK(refused.header("retry-after") == "1");
    const TestPool pool(world.server, 1);
    pool.take(600);
    const HttpResponse copy = reader.receive();
    CHECK(copy.status == 200);
    CHECK(copy.body.size() > std::size_t{6'000'000});
    CHECK(copy.header("content-length") == std::to_string(copy.body.size()));
    CHECK(world.backup("HEAD").status == 200);
}
