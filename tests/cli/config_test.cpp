#include "cli/config.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

#include <fstream>
#include <iterator>

using namespace sema;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

const std::string id = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";

class File {
  public:
    explicit File(const std::string& text) {
        std::ofstream(path()) << text;
        fs::permissions(path(), fs::perms(0600));
    }
    fs::path path() const { return folder_.path() / "config.toml"; }
    std::string content() const {
        std::ifstream file(path());
        return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    }

  private:
    test::TempDir folder_;
};

std::string refusal(const std::string& text) {
    const File file(text);
    const auto config = load_config(file.path());
    if (config) return "accepted";
    const std::string before = file.path().string() + ":";
    const std::string& message = config.error().message;
    return message.rfind(before, 0) == 0 ? message.substr(before.size()) : message;
}

// The file's content after an alias `gpu` was saved in it.
std::string saved_in(const std::string& text) {
    const File file(text);
    const auto saved = save_alias(file.path(), "gpu", id);
    if (!saved) return "refused";
    CHECK(load_config(file.path())->pools.at("gpu").id == id);
    return file.content();
}

// The file's content after the alias `gpu` was taken out of it.
std::string left_of(const std::string& text) {
    const File file(text);
    const auto forgotten = forget_alias(file.path(), "gpu");
    if (!forgotten) {
        CHECK(file.content() == text);
        return "refused";
    }
    CHECK(load_config(file.path())->pools.count("gpu") == 0);
    return file.content();
}

}  // namespace

TEST_CASE("a configuration file names a server, and pools with their defaults") {
    const File file(
        "server = 'http://build:7717'\n[pools]\nvsim = '" + id +
        "'\ngpu = { id = 'file:/etc/gpu', ttl = '10m', wait = 1.5 }\n[pools.port]\nid = 'env:PORT'\n");
    const auto config = load_config(file.path());
    REQUIRE(config);
    CHECK(config->path == file.path());
    CHECK(config->server == "http://build:7717");
    REQUIRE(config->pools.size() == 3);
    CHECK(config->pools.at("vsim").id == id);
    CHECK_FALSE(config->pools.at("vsim").ttl);
    CHECK(config->pools.at("gpu").ttl == Duration(10min));
    CHECK(config->pools.at("gpu").wait == Duration(1500ms));
    CHECK(config->pools.at("port").id == "env:PORT");
}

TEST_CASE("a configuration file may name several servers, and files for https beside it") {
    const File file(
        "server = ['https://one', 'https://other']\ncacert = 'ca.pem'\ncert = '/etc/me.pem'\n"
        "key = ' sub/me.key'\n");
    const auto config = load_config(file.path());
    REQUIRE(config);
    CHECK(config->server == "https://one,https://other");
    CHECK(config->cacert == (file.path().parent_path() / "ca.pem").string());
    CHECK(config->cert == "/etc/me.pem");
    CHECK(config->key == (file.path().parent_path() / "sub/me.key").string());
    CHECK(config->places.at("key") == file.path().string() + ":4");
    CHECK(refusal("server = [7]\n") == "1: each server must be a text in quotes");
    CHECK(refusal("\ncacert = ''\n") == "2: cacert needs the path of a file");
    CHECK(refusal("cert = 7\n") == "1: cert must be a text in quotes");
}

TEST_CASE("a configuration file holds the admin token, or says where it is") {
    for (const std::string token : {"s3cret==", "env:TOKEN", "file:/etc/token"}) {
        const File file("admin_token = '" + token + "'\n");
        CHECK(load_config(file.path())->admin_token == token);
    }
    CHECK_FALSE(load_config(File("server = 'x'\n").path())->admin_token);
    CHECK(refusal("\nadmin_token = 's3 cret'\n") == "2: admin_token needs a token, env:NAME or file:PATH");
    CHECK(refusal("admin_token = ''\n") == "1: admin_token needs a token, env:NAME or file:PATH");
    CHECK(refusal("admin_token = 7\n") == "1: admin_token must be a text in quotes");
}

TEST_CASE("without a file there is an empty configuration") {
    const test::TempDir folder;
    const auto config = load_config(folder.path() / "none/config.toml");
    REQUIRE(config);
    CHECK(config->pools.empty());
    CHECK_FALSE(config->server);
    CHECK(load_config(""));
    CHECK(config->unreadable.empty());
}

TEST_CASE(
    "a configuration file that cannot be read is told from one that is not there, and from an empty one") {
    const test::TempDir folder;
    const fs::path loop = folder.path() / "loop";
    fs::create_symlink(loop, loop);
    const auto trouble = [](const fs::path& path) {
        const auto config = load_config(path);
        REQUIRE(config);
        CHECK(config->path == path);
        CHECK_FALSE(config->server);
        return config->unreadable;
    };
    CHECK(trouble(folder.path()) == "cannot read " + folder.path().string() + ": Is a directory");
    CHECK(trouble(loop) == "cannot read " + loop.string() + ": Too many levels of symbolic links");
    CHECK(trouble(folder.path() / "none") == "");
    CHECK(trouble(File("").path()) == "");
}

TEST_CASE("texts of a configuration file are taken without white space and quotes around them") {
    const File file("server = ' http://x:1 '\nadmin_token = '\"s3cret\"'\n[pools]\nvsim = ' " + id +
                    "\t'\ngpu = { id = ' env:X', wait = ' 5m ' }\n");
    const auto config = load_config(file.path());
    REQUIRE(config);
    CHECK(config->server == "http://x:1");
    CHECK(config->admin_token == "s3cret");
    CHECK(config->pools.at("vsim").id == id);
    CHECK(config->pools.at("gpu").id == "env:X");
    CHECK(config->pools.at("gpu").wait == Duration(5min));
}

TEST_CASE("what a configuration file says wrong is refused with its line") {
    CHECK(refusal("\n\nsevrer = 'x'\n") ==
          "3: there is no setting 'sevrer' (there are: server, cacert, cert, key, "
          "admin_token, pools)");
    CHECK(refusal("\nserver" + std::string(50, '.') + " = 1\n") == "2: a key has more than 32 parts");
    CHECK(refusal("server = 1\n") == "1: server must be a text in quotes");
    CHECK(refusal("pools = 1\n") == "1: pools must be a table");
    CHECK(refusal("[pools]\nvsim = 'x'\n") == "2: pools.vsim needs a UUID, env:NAME or file:PATH");
    CHECK(refusal("[pools]\nvsim = {}\n") == "2: pools.vsim needs a UUID, env:NAME or file:PATH");
    CHECK(refusal("[pools.vsim]\nid = 'env:X'\nttl = 0\n") == "3: ttl must be more than 0");
    CHECK(refusal("[pools.vsim]\nid = 'env:X'\nwait = -1\n") == "3: wait must not be negative");
    CHECK(refusal("[pools.vsim]\nid = 'env:X'\nwait = true\n") ==
          "3: wait must be a number of seconds or a duration like \"5m\"");
    CHECK(refusal("[pools.vsim]\nid = 'env:X'\nttl = 'x'\n") ==
          "3: ttl: 'x' is not a duration: write 90, 1.5, 30s, 5m, 1h30m or 1d");
    CHECK(refusal("[pools.vsim]\nidd = 'env:X'\n") ==
          "2: a pool has no setting 'idd' (there are: id, ttl, wait)");
    CHECK(refusal("server = \n").rfind("1: ", 0) == 0);
}

TEST_CASE("a file is exposed where others can read a secret in it") {
    const auto exposed = [](const std::string& text, int mode) {
        const File file(text);
        fs::permissions(file.path(), fs::perms(mode));
        return load_config(file.path())->exposed;
    };
    const std::string secret = "pools.vsim = '" + id + "'\n";
    CHECK_FALSE(exposed(secret, 0600));
    CHECK(exposed(secret, 0640));
    CHECK(exposed(secret, 0604));
    CHECK(exposed("admin_token = 's3cret'\n", 0644));
    CHECK_FALSE(exposed("admin_token = 's3cret'\n", 0600));
    CHECK_FALSE(exposed("admin_token = 'env:TOKEN'\n", 0644));
    CHECK_FALSE(exposed("pools.vsim = 'env:VSIM'\n", 0644));
    CHECK_FALSE(exposed("server = 'x'\n", 0644));
}

TEST_CASE("a saved alias leaves the rest of the file as it was") {
    const std::string line = "gpu = \"" + id + "\"\n";
    CHECK(saved_in("") == "[pools]\n" + line);
    CHECK(saved_in("# mine\nserver = 'x'") == "# mine\nserver = 'x'\n\n[pools]\n" + line);
    CHECK(saved_in("# a\n[pools] # b\n\n# c\nvsim = '" + id + "'\n") ==
          "# a\n[pools] # b\n" + line + "\n# c\nvsim = '" + id + "'\n");
    CHECK(saved_in("[pools]") == "[pools]\n" + line);
    CHECK(saved_in("[pools.vsim]\nid = 'env:X'\n") == "[pools.vsim]\nid = 'env:X'\n\n[pools]\n" + line);
}

TEST_CASE("a file that a line cannot be added to is left alone") {
    const File file("pools = { vsim = 'env:X' }\n");
    CHECK_FALSE(save_alias(file.path(), "gpu", id));
    CHECK(file.content() == "pools = { vsim = 'env:X' }\n");
    CHECK(std::distance(fs::directory_iterator(file.path().parent_path()), {}) == 1);
}

TEST_CASE("a saved file is its owner's alone, and its folder is made") {
    const test::TempDir folder;
    const fs::path path = folder.path() / "a/b/config.toml";
    REQUIRE(save_alias(path, "gpu", id));
    CHECK(fs::status(path).permissions() == fs::perms(0600));
    CHECK(fs::status(path.parent_path()).permissions() == fs::perms(0700));
    CHECK(std::distance(fs::directory_iterator(path.parent_path()), {}) == 1);
}

TEST_CASE("a configuration file that is a link stays one") {
    const File file("# mine\n");
    const fs::path link = file.path().parent_path() / "link.toml";
    fs::create_symlink(file.path(), link);
    REQUIRE(save_alias(link, "gpu", id));
    CHECK(fs::is_symlink(link));
    CHECK(file.content() == "# mine\n\n[pools]\ngpu = \"" + id + "\"\n");
}

TEST_CASE("a link whose file is not there yet stays one") {
    const test::TempDir folder;
    const fs::path link = folder.path() / "link.toml";
    fs::create_symlink("sub/config.toml", link);
    REQUIRE(save_alias(link, "gpu", id));
    CHECK(fs::is_symlink(link));
    CHECK(load_config(folder.path() / "sub/config.toml")->pools.count("gpu") == 1);
}

TEST_CASE("an alias that is there already is not saved again") {
    const File file("[pools]\nvsim = 'env:X'\n");
    const auto saved = save_alias(file.path(), "vsim", id);
    REQUIRE_FALSE(saved);
    CHECK(saved.error().message == "vsim: " + file.path().string() + " has a pool of that name already");
    CHECK(file.content() == "[pools]\nvsim = 'env:X'\n");
}

TEST_CASE("an alias is forgotten with its lines, and all else stays") {
    const std::string pool = "'" + id + "'";
    CHECK(left_of("[pools]\ngpu = " + pool + "\n") == "[pools]\n");
    CHECK(left_of("# a\n[pools] # b\n# c\nvsim = " + pool + "\n  gpu = " + pool + " # d\n# e\n") ==
          "# a\n[pools] # b\n# c\nvsim = " + pool + "\n# e\n");
    CHECK(left_of("[pools]\ngpu = { id = " + pool + ", ttl = '5m' }\nvsim = " + pool) ==
          "[pools]\nvsim = " + pool);
    CHECK(left_of("[pools]\nvsim = " + pool + "\ngpu = " + pool) == "[pools]\nvsim = " + pool + "\n");
    CHECK(left_of("[pools.gpu]\nid = " + pool + "\nttl = 5\n\n# boards\n[pools.vsim]\nid = " + pool + "\n") ==
          "\n# boards\n[pools.vsim]\nid = " + pool + "\n");
    CHECK(left_of("server = 'x'\r\npools.gpu = " + pool + "\r\n") == "server = 'x'\r\n");
    CHECK(left_of("[pools]\ngpu = \"\"\"\\\n  " + id + "\"\"\"\nvsim = " + pool + "\n") ==
          "[pools]\nvsim = " + pool + "\n");
}

TEST_CASE("an alias that stands among others on a line, or nowhere, is not forgotten") {
    const std::string pool = "'" + id + "'";
    CHECK(left_of("pools = { gpu = " + pool + ", vsim = " + pool + " }\n") == "refused");
    CHECK(left_of("[pools]\nvsim = " + pool + "\n") == "refused");
    CHECK(left_of("") == "refused");
}
