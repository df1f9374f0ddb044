#include "cli/run/command.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

#include <filesystem>
#include <fstream>

using namespace sema;
using Words = std::vector<std::string>;

namespace {

class Folder {
  public:
    explicit Folder(const std::string& name) : path_(root_.path() / name) {
        std::filesystem::create_directories(path_);
    }
    void add(const std::string& name, int mode) const {
        std::ofstream(path_ / name) << "#!/bin/sh\n";
        std::filesystem::permissions(path_ / name, std::filesystem::perms(mode));
    }
    std::string path() const { return path_.string(); }

  private:
    test::TempDir root_;
    std::filesystem::path path_;
};

}  // namespace

TEST_CASE("a command is the first executable file of its name in the search path") {
    const Folder first("first");
    const Folder second("second");
    first.add("plain", 0600);
    second.add("plain", 0700);
    second.add("tool", 0700);
    std::filesystem::create_directory(first.path() + "/tool");
    const std::string path = first.path() + ":" + second.path();
    CHECK(std::get<std::string>(resolve_command("tool", path)) == second.path() + "/tool");
    CHECK(std::get<std::string>(resolve_command("plain", path)) == second.path() + "/plain");
    CHECK(std::get<CommandNotExecutable>(resolve_command("plain", first.path())).reason ==
          first.path() + "/plain: Permission denied");
    CHECK(std::get<CommandNotFound>(resolve_command("none", path)).reason == "none: command not found");
    CHECK(std::holds_alternative<CommandNotFound>(resolve_command("tool", first.path())));
    CHECK(std::holds_alternative<CommandNotFound>(resolve_command("", path)));
    CHECK(std::holds_alternative<CommandNotFound>(resolve_command("tool", "")));
}

TEST_CASE("a name with a slash is not searched for") {
    const Folder folder("folder");
    folder.add("tool", 0700);
    folder.add("plain", 0600);
    CHECK(std::get<std::string>(resolve_command(folder.path() + "/tool", "")) == folder.path() + "/tool");
    CHECK(std::holds_alternative<CommandNotExecutable>(resolve_command(folder.path() + "/plain", "")));
    CHECK(std::holds_alternative<CommandNotExecutable>(resolve_command(folder.path(), "")));
    CHECK(std::holds_alternative<CommandNotFound>(resolve_command(folder.path() + "/none", "")));
    CHECK(std::holds_alternative<CommandNotFound>(resolve_command(folder.path() + "/tool/none", "")));
}

TEST_CASE("a token is replaced wherever it stands in the arguments") {
    CHECK(replace_token({"{}", "a{}b{}", "", "{ }"}, "{}", "17") == Words{"{}", "a17b17", "", "{ }"});
    CHECK(replace_token({"x", "%%%"}, "%", "%%") == Words{"x", "%%%%%%"});
    CHECK(replace_token({"x", "{}"}, "", "17") == Words{"x", "{}"});
    CHECK(replace_tokens({"{a}", "{a}-{b}{c}"}, {{"{a}", "{b}"}, {"{b}", "{a}"}}) ==
          Words{"{a}", "{b}-{a}{c}"});
}
