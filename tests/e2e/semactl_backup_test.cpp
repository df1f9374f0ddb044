#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

// semactl backup

using namespace sema::test;
using sema::test::has_text;
namespace fs = std::filesystem;

namespace {

std::string content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// The exit status of a backup. That the last one is out, the server may not have noticed yet.
int once_free(const std::function<int()>& back_up) {
    int status = 69;
    REQUIRE(eventually([&] { return (status = back_up()) != 69; }));
    return status;
}

struct World {
    explicit World(std::vector<std::string> options = {})
        : server([&] {
              std::ofstream(token()) << "s3cret\n";
              fs::permissions(token(), fs::perms(0600));
              options.insert(options.end(), {"--admin-token-file", token()});
              return options;
          }()),
          semactl(server.url()) {
        REQUIRE(semactl({"register", "vsim", "--count", "2"}).status == 0);
        fs::create_directory(target());
    }

    std::string token() const { return (folder.path() / "token").string(); }
    /// A folder for backups alone.
    fs::path target() const { return folder.path() / "backups"; }
    fs::path file() const { return target() / "semad.db"; }

    Finished backup(const std::string& to, const std::string& with = "") const {
        return semactl({"backup", "--admin-token", "file:" + (with.empty() ? token() : with), to});
    }
    std::size_t files() const {
        return static_cast<std::size_t>(std::distance(fs::directory_iterator(target()), {}));
    }

    TempDir folder;
    RunningServer server;
    Semactl semactl;
};

}  // namespace

TEST_CASE("semactl backup writes a file of its owner's alone, in the place of the one before", "[sqlite]") {
    const World world;
    for (int time = 0; time < 2; ++time) {
        Finished done;
        CHECK(once_free([&] { return (done = world.backup(world.file().string())).status; }) == 0);
        CHECK(done.out.empty());
        CHECK(done.err == "semactl: " + std::to_string(fs::file_size(world.file())) + " bytes are in " +
                              world.file().string() + "\n");
        CHECK(content(world.file()).rfind("SQLite format 3", 0) == 0);
        CHECK(fs::status(world.file()).permissions() == fs::perms(0600));
        CHECK(world.files() == 1);
        std::ofstream(world.file()) << "the one of yesterday";
    }
}

TEST_CASE("semactl backup - writes to the standard output", "[sqlite]") {
    const World world;
    const Finished done = world.backup("-");
    CHECK(done.status == 0);
    CHECK(done.out.rfind("SQLite format 3", 0) == 0);
    CHECK(done.out.size() > 10'000);
}

TEST_CASE("a backup that semactl cannot write leaves the one before, and nothing else", "[sqlite]") {
    const World world;
    std::ofstream(world.file()) << "the one of yesterday";
    // SQLite's smallest store is larger.
    const Finished full = run_program({"sh", "-c", "ulimit -f 8; exec \"$0\" \"$@\"", SEMACTL, "backup",
                                       "--admin-token", "file:" + world.token(), world.file().string()},
                                      world.semactl.options());
    CHECK(full.status == 125);
    CHECK_THAT(full.err,
               has_text("cannot make a backup: cannot write " + world.file().string() + ": File too large"));
    const Finished away = world.backup("/nonexistent/semad.db");
    CHECK(away.status == 125);
    CHECK_THAT(away.err, has_text("/nonexistent/semad.db: No such file or directory"));
    const auto to_full_disk = [&] {
        return run_program({"sh", "-c", "exec \"$0\" \"$@\" > /dev/full", SEMACTL, "backup", "--admin-token",
                            "file:" + world.token(), "-"},
                           world.semactl.options())
            .status;
    };
    CHECK(once_free(to_full_disk) == 125);
    for (const fs::path& place : {fs::path("/dev/null"), world.target()}) {
        const Finished refused = world.backup(place.string());
        CHECK(refused.status == 2);
        CHECK_THAT(refused.err, has_text("is not a regular file"));
    }
    CHECK(content(world.file()) == "the one of yesterday");
    CHECK(world.files() == 1);
}

TEST_CASE("a backup that semactl is not given leaves the one before") {
    const World world({"--store", "memory:"});
    std::ofstream(world.file()) << "the one of yesterday";
    const Finished elsewhere = world.backup(world.file().string());
    CHECK(elsewhere.status == 125);
    CHECK_THAT(elsewhere.err, has_text("refused: memory: is gone when semad ends"));
    const std::string wrong = (world.folder.path() / "wrong").string();
    std::ofstream(wrong) << "guess\n";
    fs::permissions(wrong, fs::perms(0600));
    const Finished denied = world.backup(world.file().string(), wrong);
    CHECK(denied.status == 125);
    CHECK_THAT(denied.err,
               has_text("cannot make a backup: " + world.server.url() + " does not take the admin token"));
    const RunningServer nobody({"--store", "memory:"});
    const Semactl other(nobody.url());
    const Finished none = other({"backup", "--admin-token", "file:" + world.token(), world.file().string()});
    CHECK(none.status == 125);
    CHECK_THAT(none.err, has_text("makes backups for nobody (start semad with --admin-token-file FILE)"));
    CHECK(content(world.file()) == "the one of yesterday");
    CHECK(world.files() == 1);
}
