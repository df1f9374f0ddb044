#include "tests/e2e/semad.hpp"
#include "tests/support/catch.hpp"

#include <cerrno>
#include <string>

// Where semad keeps its SQLite store.

using namespace sema::test;
using sema::test::has_text;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> semad(const fs::path& file) {
    return {SEMAD, "--listen", "127.0.0.1:0", "--store", "sqlite:" + file.string()};
}

std::string refusal(const fs::path& file, const ProgramOptions& options = {}) {
    const Finished run = run_program(semad(file), options);
    CHECK(run.status == 2);
    CHECK(run.err.find('\n') == run.err.size() - 1);
    return run.err;
}

}  // namespace

TEST_CASE("a store that was made just now is said to be new") {
    const TempDir folder;
    const std::string option = "sqlite:" + (folder.path() / "semad.db").string();
    const std::string news = "the store is new: it has no pools yet\n";
    RunningServer server({"--store", option});
    CHECK(server.program().warns(news));
    const TestPool pool(server, 1);
    CHECK(server.terminate() == 0);
    server.start();
    CHECK(server.terminate() == 0);
    CHECK_THAT(server.log(), !has_text(news));
    RunningServer forgetful({"--store", "memory:"});
    CHECK(forgetful.terminate() == 0);
    CHECK_THAT(forgetful.log(), !has_text(news));
}

TEST_CASE("a folder that somebody named and that is not there is not made") {
    const TempDir folder;
    const fs::path typo = folder.path() / "semda";
    CHECK_THAT(refusal(typo / "semad.db"),
               has_text("there is no folder " + typo.string() + ": make it, or name another file"));
    CHECK_THAT(refusal(typo / "deeper/semad.db"), has_text("there is no folder"));
    CHECK_FALSE(fs::exists(typo));
    CHECK_THAT(
        run_program({SEMAD, "migrate", "sqlite:" + typo.string(), "sqlite:" + typo.string() + "/x"}).err,
        has_text("there is no"));
    CHECK_FALSE(fs::exists(typo));
}

// A sanitizer's library wants to be loaded before any other.
#if !SANITIZED
namespace {

ProgramOptions on_disk(const std::string& type, int lock_error = 0) {
    ProgramOptions options;
    options.environment["LD_PRELOAD"] = NETWORK_DISK;
    options.environment["DISK_TYPE"] = type;
    if (lock_error != 0) options.environment["LOCK_ERROR"] = std::to_string(lock_error);
    return options;
}

constexpr const char* nfs = "0x6969";
constexpr const char* cifs = "0xFF534D42";
constexpr const char* ext4 = "0xEF53";

}  // namespace

TEST_CASE("a store on a network file system is warned of") {
    const TempDir folder;
    const auto log_on = [&](const char* type) {
        RunningServer server({"--store", "sqlite:" + (folder.path() / "semad.db").string()}, on_disk(type));
        CHECK(server.terminate() == 0);
        return server.log();
    };
    CHECK_THAT(log_on(nfs), has_text("the store is on a network file system (NFS)"));
    CHECK_THAT(log_on(cifs), has_text("the store is on a network file system (CIFS)"));
    CHECK_THAT(log_on(ext4), !has_text("network"));
}

TEST_CASE("a file system that gives no lock is named as the reason, and no other process") {
    const TempDir folder;
    const fs::path file = folder.path() / "semad.db";
    for (const int error : {ENOLCK, EACCES, EPERM, EOPNOTSUPP, EINVAL, EIO}) {
        for (const char* type : {nfs, ext4}) {
            const std::string message = refusal(file, on_disk(type, error));
            CAPTURE(error, type, message);
            CHECK_THAT(message, has_text(std::generic_category().message(error)) && has_text("NFS or CIFS") &&
                                    has_text("keep the store on a disk of this machine") &&
                                    !has_text("another process has it open"));
        }
    }
}

TEST_CASE("a lock that somebody has on a network file system may be another machine's, or nobody's") {
    const TempDir folder;
    const fs::path file = folder.path() / "semad.db";
    CHECK_THAT(refusal(file, on_disk(nfs, EAGAIN)),
               has_text("it is locked, and on a network file system (NFS)") &&
                   has_text("on another machine has it open"));
    CHECK_THAT(refusal(file, on_disk(ext4, EAGAIN)), has_text("another process has it open"));
}

TEST_CASE("a store that another semad has open is that semad's, whatever the file system") {
    const TempDir folder;
    const fs::path file = folder.path() / "semad.db";
    const RunningServer server({"--store", "sqlite:" + file.string()});
    CHECK_THAT(refusal(file), has_text("another process has it open: stop that one or name another file"));
    CHECK_THAT(refusal(file, on_disk(nfs)), has_text("another machine has it open"));
}
#endif
