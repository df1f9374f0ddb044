#include "cli/dispatch/dispatch_file.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

#include <filesystem>
#include <fstream>
#include <string>

using namespace sema;
using namespace sema::test;
using namespace std::chrono_literals;

namespace {

class File {
  public:
    explicit File(const std::string& text) { std::ofstream(path()) << text; }
    std::filesystem::path path() const { return folder_.path() / "farm.toml"; }

    Expected<DispatchFile> load() const { return load_dispatch_file(path()); }

    // What is wrong, without the file's folder.
    std::string fault() const {
        const auto loaded = load();
        REQUIRE_FALSE(loaded);
        const std::string folder = folder_.path().string() + "/";
        const std::string& message = loaded.error().message;
        return message.rfind(folder, 0) == 0 ? message.substr(folder.size()) : message;
    }

  private:
    TempDir folder_;
};

const std::string backend = "[[backend]]\nname = \"b\"\npoll = [\"p\"]\nrun = [\"r\", \"{id}\"]\n";

std::string fault(const std::string& text) {
    return File(text).fault();
}

}  // namespace

TEST_CASE("a dispatch file is read in whole") {
    const File file(
        "pool = \"env:FARM_POOL\"\nslots = 4\ninterval = \"10s\"\ntimeout = \"8h\"\nlimit = 5\nttl = "
        "\"90s\"\n" +
        backend +
        "[[backend]]\nname = \"nightly\"\npoll = [\"./next-nightly\"]\nstart = [\"./launch\", \"{id}\"]\n"
        "stop = [\"./done\", \"{id}\"]\ntimeout_command = [\"./expired\", \"{id}\"]\n"
        "keepalive = [\"./alive\", \"{id}\"]\nerror = [\"./failed\", \"{id}\", \"{call}\"]\n");
    const auto loaded = file.load();
    REQUIRE(loaded);
    CHECK(loaded->pool.pool == "env:FARM_POOL");
    CHECK(loaded->pool.file == file.path());
    CHECK(loaded->slots == 4);
    CHECK(loaded->interval == 10s);
    CHECK(loaded->timeout == 8h);
    CHECK(loaded->limit == 5s);
    CHECK(loaded->ttl == 90s);
    REQUIRE(loaded->backends.size() == 2);
    CHECK(loaded->backends[0].run == CommandWords{"r", "{id}"});
    const BackendSettings& nightly = loaded->backends[1];
    CHECK(nightly.name == "nightly");
    CHECK(nightly.poll == CommandWords{"./next-nightly"});
    CHECK(nightly.run.empty());
    CHECK(nightly.start == CommandWords{"./launch", "{id}"});
    CHECK(nightly.stop == CommandWords{"./done", "{id}"});
    CHECK(nightly.timeout_command == CommandWords{"./expired", "{id}"});
    CHECK(nightly.keepalive == CommandWords{"./alive", "{id}"});
    CHECK(nightly.error == CommandWords{"./failed", "{id}", "{call}"});
}

TEST_CASE("what a dispatch file leaves out has defaults") {
    const auto loaded = File("pool = \"vsim\"\n" + backend).load();
    REQUIRE(loaded);
    CHECK_FALSE(loaded->slots);
    CHECK(loaded->interval == 10s);
    CHECK(loaded->timeout == 8h);
    CHECK(loaded->limit == 30s);
}

TEST_CASE("what is wrong in a dispatch file is named by its line and key") {
    CHECK(fault("slots = \n") != "");
    CHECK(fault(backend) ==
          "farm.toml: it names no pool (write pool = \"POOL\", or slots = N for a pool of its own)");
    CHECK(fault("pool = \"v\"\n").find("it has no [[backend]]") != std::string::npos);
    CHECK(fault("pool = \"v\"\npools = 3\n" + backend) ==
          "farm.toml:2: a dispatch file has no key 'pools' (did you mean 'pool'?)");
    CHECK(fault("pool = 3\n" + backend) == "farm.toml:1: pool must be a text in quotes");
    CHECK(fault("pool = \" \"\n" + backend) == "farm.toml:1: pool is empty");
    for (const char* slots : {"0", "-1", "\"4\"", "1.5"})
        CHECK(fault(std::string("slots = ") + slots + "\n" + backend) ==
              "farm.toml:1: slots must be a whole number from 1 on");
    CHECK(fault("pool = \"v\"\ninterval = \"0s\"\n" + backend) ==
          "farm.toml:2: interval must be at least 100ms");
    CHECK(fault("pool = \"v\"\ntimeout = \"soon\"\n" + backend).rfind("farm.toml:2: timeout: ", 0) == 0);
    CHECK(fault("pool = \"v\"\nttl = \"1s\"\n" + backend) == "farm.toml:2: ttl must be at least 3s");
    CHECK(fault("pool = \"v\"\nbackend = 3\n") == "farm.toml:2: backend must be written as [[backend]]");
    CHECK(fault("pool = \"v\"\n" + backend + "stop = \"x\"\n").rfind("farm.toml:6: stop must be a list", 0) ==
          0);
    CHECK(fault("pool = \"v\"\n" + backend + "stop = []\n").rfind("farm.toml:6: stop must be a list", 0) ==
          0);
    CHECK(fault("pool = \"v\"\n" + backend + "stop = [\"\"]\n") == "farm.toml:6: stop: the command is empty");
    CHECK(fault("pool = \"v\"\n" + backend + "stops = [\"x\"]\n") ==
          "farm.toml:6: a backend has no key 'stops' (did you mean 'stop'?)");
    CHECK(fault("pool = \"v\"\n" + backend + "start = [\"x\"]\n").find("the backend b has run and start") !=
          std::string::npos);
    CHECK(fault("pool = \"v\"\n[[backend]]\npoll = [\"p\"]\n") == "farm.toml:2: a backend needs a name");
    CHECK(fault("pool = \"v\"\n[[backend]]\nname = \"b\"\npoll = [\"p\"]\n") ==
          "farm.toml:2: the backend b needs run or start");
    CHECK(fault("pool = \"v\"\n" + backend + backend) == "farm.toml:6: there are two backends called b");
    CHECK(load_dispatch_file("/no/such/file").error().message ==
          "cannot read /no/such/file: No such file or directory");
    CHECK(load_dispatch_file("/").error().message == "cannot read /: Is a directory");
}

TEST_CASE("for what is done about one task only the pool of a dispatch file matters") {
    const File file("pool = \"vsim\"\nfuture = 1\n[[backend]]\n");
    const auto pool = load_dispatch_pool(file.path());
    REQUIRE(pool);
    CHECK(pool->pool == "vsim");
    CHECK_FALSE(pool->is_exposed);
    CHECK_FALSE(load_dispatch_pool(File("pool = 3\n").path()));
}

TEST_CASE("a pool's UUID in a file that others can read is noticed") {
    const File file("pool = \"9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01\"\n");
    using std::filesystem::perms;
    std::filesystem::permissions(file.path(), perms(0644));
    CHECK(load_dispatch_pool(file.path())->is_exposed);
    std::filesystem::permissions(file.path(), perms(0600));
    CHECK_FALSE(load_dispatch_pool(file.path())->is_exposed);
}
