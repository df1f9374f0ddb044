#include "server/admin_token.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

#include <filesystem>
#include <fstream>

using namespace sema;
using sema::test::has_text;
namespace fs = std::filesystem;

namespace {

class File {
  public:
    explicit File(const std::string& text, int mode = 0600) {
        std::ofstream(path()) << text;
        fs::permissions(path(), fs::perms(mode));
    }
    std::string path() const { return (folder_.path() / "admin-token").string(); }

  private:
    test::TempDir folder_;
};

std::string refusal(const std::string& path) {
    const auto token = read_admin_token(path);
    REQUIRE_FALSE(token);
    CHECK(token.error().message.find('\n') == std::string::npos);
    return token.error().message;
}

}  // namespace

TEST_CASE("the admin token is the first line of its file, without what an editor puts around it") {
    for (const char* text : {"s3cret", "s3cret\n", "s3cret\r\n", " \ts3cret \nmore\n\n", "\ns3cret\n",
                             "\xEF\xBB\xBFs3cret\r\n", "\"s3cret\"\n"}) {
        CAPTURE(text);
        CHECK(read_admin_token(File(text).path())->token == "s3cret");
    }
    CHECK(read_admin_token(File(std::string(4096, 'x') + "\n").path())->token == std::string(4096, 'x'));
}

TEST_CASE("without a file there is no administrator") {
    const auto none = read_admin_token("");
    REQUIRE(none);
    CHECK(none->token.empty());
    CHECK_FALSE(none->exposed);
}

TEST_CASE("a file without a token in it is refused, and not quoted") {
    CHECK(refusal("/no/such/file") ==
          "cannot take the admin token from /no/such/file: No such file or directory");
    CHECK_THAT(refusal(test::TempDir().path().parent_path().string()), has_text("Is a directory"));
    for (const char* text : {"", "\n", " \t\r\n", "\xEF\xBB\xBF\n"}) {
        CAPTURE(text);
        CHECK_THAT(refusal(File(text).path()), has_text("it is empty"));
    }
    for (const std::string& text :
         {std::string("s3 cret"), std::string("s3cret\0", 7), std::string("s3cret:"), std::string(4097, 'x'),
          std::string(20'000, 'x')}) {
        const File file(text);
        // The folder's random name may hold anything.
        std::string message = refusal(file.path());
        message.erase(message.find(file.path()), file.path().size());
        CHECK_THAT(message, has_text("its first line must be") && !has_text("s3") && !has_text("xx"));
    }
    CHECK_THAT(refusal("/dev/zero"), has_text("it is not a regular file"));
}

TEST_CASE("a token's file is exposed where others can read it, or the group of one's own file") {
    CHECK_FALSE(read_admin_token(File("t", 0600).path())->exposed);
    CHECK_FALSE(read_admin_token(File("t", 0400).path())->exposed);
    CHECK(read_admin_token(File("t", 0640).path())->exposed);
    CHECK(read_admin_token(File("t", 0604).path())->exposed);
}
