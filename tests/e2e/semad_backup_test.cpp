#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

// A backup of a store takes its place.

using namespace sema::test;
using sema::test::has_text;
namespace fs = std::filesystem;

namespace {

std::string content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// A server whose store can be copied, and be put back.
struct World {
    World()
        : server([&] {
              std::ofstream(folder.path() / "token") << "s3cret\n";
              fs::permissions(folder.path() / "token", fs::perms(0600));
              return std::vector<std::string>{"--admin-token-file", (folder.path() / "token").string()};
          }()) {}

    fs::path copy() const { return folder.path() / "copy.db"; }

    void back_up() const {
        const HttpResponse response =
            call(server.port(), "GET", "/backup", "", "Authorization: Bearer s3cret\r\n");
        REQUIRE(response.status == 200);
        std::ofstream(copy(), std::ios::binary) << response.body;
    }

    /// As the manual says.
    void restore() {
        server.kill9();
        for (const char* suffix : {"", "-wal"})
            fs::remove(server.store().string() + suffix);
        fs::copy_file(copy(), server.store());
        server.start();
    }

    Finished semad(std::vector<std::string> words) const {
        words.insert(words.begin(), SEMAD);
        return run_program(words);
    }

    TempDir folder;
    RunningServer server;
};

}  // namespace

TEST_CASE("a restored backup has the leases of its time with what is left of them, and no fence again") {
    World world;
    const TestPool pool(world.server, 3);
    pool.set({{"count", 3}, {"name", "boards"}, {"slots", {"a", "b", "c"}}});
    const Grant kept = pool.take_with({{"slots", 1}, {"ttl", 600}});
    const std::string out = R"({"out":true,"reason":"fan"})";
    REQUIRE(call(world.server.port(), "PUT", pool.path() + "/slots/2", out).status == 200);
    world.back_up();
    const Grant lost = pool.take_with({{"slots", 1}, {"ttl", 600}});
    const TestPool later(world.server, 1);
    const Grant of_later = later.take_with({{"slots", 1}, {"ttl", 600}});

    std::int64_t highest = lost.fence;
    for (int time = 0; time < 2; ++time) {
        world.restore();
        CHECK(world.server.program().warns("the store was restored from a backup"));
        const Json view = pool.view();
        CHECK(view["name"] == "boards");
        REQUIRE(view["out"].size() == 1);
        CHECK(view["out"][0]["reason"] == "fan");
        REQUIRE(view["holders"].size() == 1);
        CHECK(view["holders"][0]["fence"] == kept.fence);
        CHECK(std::abs(view["holders"][0]["expires_at_unix"].get<std::int64_t>() - kept.expires_at_unix) <=
              1);
        CHECK_FALSE(pool.renews(lost, 600));
        CHECK(pool.renews(kept, 600));
        const Grant next = pool.take_with({{"slots", 1}, {"ttl", 600}});
        CHECK(next.position == lost.position);
        CHECK(next.fence > highest);
        highest = next.fence;
        CHECK(later.get().status == 404);
        later.set_count(1);
        CHECK(later.take_with({{"slots", 1}, {"ttl", 600}}).fence > of_later.fence);
    }
    world.server.terminate();
    world.server.start();
    CHECK_THAT(world.server.log(), !has_text("restored"));
}

TEST_CASE("a backup beside the log of another store is refused, and neither is touched") {
    World world;
    const TestPool pool(world.server, 1);
    world.back_up();
    world.server.kill9();
    fs::remove(world.server.store());
    fs::copy_file(world.copy(), world.server.store());
    const Finished refused =
        world.semad({"--listen", "127.0.0.1:0", "--store", "sqlite:" + world.server.store().string()});
    CHECK(refused.status == 2);
    CHECK_THAT(refused.err, has_text("-wal is of the store that was there before: remove it"));
    fs::remove(world.server.store().string() + "-wal");
    world.server.start();
    CHECK(pool.count() == 1);
}

TEST_CASE(
    "the commands of the README restore a backup, whether there is a log or not, and keep the history") {
    for (const End how : {End::kill, End::term}) {
        World world;
        const TestPool pool(world.server, 1);
        pool.returns(pool.take());
        const auto has_history = [&] {
            return call(world.server.port(), "GET", pool.path() + "/history").body.find("\"returned\"") !=
                   std::string::npos;
        };
        REQUIRE(eventually(has_history));
        world.back_up();
        pool.set_count(5);
        stop(world.server, how);
        const std::string readme = content(fs::path(PROJECT_FOLDER) / "README.md");
        const auto begin = readme.find("cd /var/lib/semad\n");
        REQUIRE(begin != readme.npos);
        std::string commands = readme.substr(begin, readme.find("systemctl start", begin) - begin);
        for (const auto& [documented, own] :
             {std::pair<std::string, fs::path>("/var/lib/semad", world.server.folder()),
              {"/var/backups/semad.db", world.copy()}})
            commands.replace(commands.find(documented), documented.size(), own.string());
        const Finished run = run_program({"/bin/sh", "-ec", commands});
        CHECK(run.err.empty());
        REQUIRE(run.status == 0);
        world.server.start();
        CHECK(pool.count() == 1);
        CHECK(has_history());
    }
}

TEST_CASE("a copy that is write-protected can be checked, and a store that is so is called that") {
    World world;
    const TestPool pool(world.server, 1);
    world.back_up();
    CHECK(world.server.terminate() == 0);
    fs::permissions(world.copy(), fs::perms(0400));
    fs::permissions(world.server.store(), fs::perms(0400));
    const auto run = [](std::vector<std::string> command) {
        command.insert(command.begin(), SEMAD);
        // Root may write what nobody may.
        if (::geteuid() == 0)
            command.insert(command.begin(),
                           {"setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override"});
        return run_program(command);
    };
    const Finished copy = run({"check", "--store", "sqlite:" + world.copy().string()});
    CHECK(copy.status == 0);
    CHECK(copy.err == "semad: warning: the copy " + world.copy().string() +
                          " is write-protected: make it writable before semad is to use it\n");
    CHECK_THAT(copy.out, has_text("can be used, and has 1 pool"));
    const std::string store = "sqlite:" + world.server.store().string();
    const std::string other = "sqlite:" + (world.server.folder() / "other.db").string();
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"check", "--store", store}, {"migrate", store, other}}) {
        const Finished refused = run(command);
        CHECK(refused.status == 2);
        CHECK(refused.err == "semad: cannot use " + world.server.store().string() +
                                 " as a store: it is write-protected, and to lock it takes the right to "
                                 "write: make it writable for this user, or run this as its owner; what is "
                                 "in it is left as it is\n");
    }
}

TEST_CASE("semad backup copies a store that no semad uses") {
    World world;
    const TestPool pool(world.server, 2);
    pool.take(600);
    const std::string store = "sqlite:" + world.server.store().string();
    const Finished busy = world.semad({"backup", "--store", store, world.copy().string()});
    CHECK(busy.status == 2);
    CHECK_THAT(busy.err, has_text("another process has it open"));
    CHECK_FALSE(fs::exists(world.copy()));
    world.server.kill9();
    const Finished done = world.semad({"backup", "--store", store, world.copy().string()});
    CHECK(done.err.empty());
    CHECK(done.out == "copied 1 pool and 1 live lease of " + store + " to " + world.copy().string() + "\n");
    CHECK(done.status == 0);
    CHECK(fs::status(world.copy()).permissions() == fs::perms(0600));
    const std::string before = content(world.copy());
    const std::string copy = "sqlite:" + world.copy().string();
    const Finished checked = world.semad({"check", "--store", copy});
    CHECK(checked.status == 0);
    CHECK(checked.out == "the store " + copy + " can be used, and has 1 pool and 1 live lease\n");
    CHECK(content(world.copy()) == before);
    world.server.start();
    world.restore();
    CHECK(pool.in_use() == 1);
    CHECK_THAT(world.semad({"backup", "--store", "memory:", world.copy().string()}).err,
               has_text("semad backup copies a store that is a file"));
}

TEST_CASE("a migration leaves a backup one, and neither store that comes of it gives a fence again") {
    World world;
    const TestPool pool(world.server, 3);
    pool.take(600);
    world.back_up();
    const Grant later = pool.take_with({{"slots", 1}});
    CHECK(world.server.terminate() == 0);
    const std::string before = content(world.copy());
    const std::string copy = "sqlite:" + world.copy().string();
    const std::string moved = "sqlite:" + (world.folder.path() / "moved.db").string();
    const Finished done = world.semad({"migrate", copy, moved});
    CHECK(done.status == 0);
    CHECK_THAT(done.out, has_text("copied 1 pool and 1 live lease"));
    CHECK_THAT(done.err,
               has_text("semad: warning: about " + copy + ": the store was restored from a backup"));
    CHECK(content(world.copy()) == before);
    const auto next_fence = [&](const RunningServer& server) {
        return TestPool(server, pool.id()).take_with({{"slots", 1}}).fence;
    };
    std::int64_t of_moved = 0;
    {
        RunningServer server({"--store", moved});
        of_moved = next_fence(server);
        CHECK(server.terminate() == 0);
    }
    CHECK(of_moved > later.fence);
    world.server.start();
    world.restore();
    CHECK(world.server.program().warns("the store was restored from a backup"));
    CHECK(next_fence(world.server) > of_moved);
}
