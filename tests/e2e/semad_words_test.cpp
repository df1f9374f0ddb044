#include "tests/support/catch.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temp_dir.hpp"

// What semad says where the system does not let it start.

using namespace sema::test;

// A sanitizer's own looks at memory take descriptors.
#if !SANITIZED
TEST_CASE("no message has a place in a library") {
    const TempDir folder;
    const std::string store = " --store sqlite:" + (folder.path() / "semad.db").string();
    for (const char* descriptors : {"5", "7", "9", "10", "11", "12", "13"}) {
        const Finished refused =
            run_program({"sh", "-c",
                         std::string("ulimit -n ") + descriptors +
                             "; exec timeout 10 " SEMAD " --listen 127.0.0.1:0" + store});
        CAPTURE(descriptors, refused.err);
        CHECK_THAT(refused.err, !has_text("/include/") && !has_text("[system"));
    }
}
#endif

TEST_CASE("a name that is none is refused in plain words") {
    const Finished refused =
        run_program({SEMAD, "--listen", "no-such-host.invalid:7717", "--store", "memory:"});
    CHECK(refused.status == 2);
    CHECK_THAT(refused.err,
               Catch::Matchers::StartsWith("semad: cannot listen on no-such-host.invalid:7717: ") &&
                   !has_text("authoritative"));
}

TEST_CASE("a socket file's name that something else has is told as that") {
    const TempDir folder;
    const std::string address = "unix:" + folder.path().string();
    const Finished refused = run_program({SEMAD, "--listen", address, "--store", "memory:"});
    CHECK(refused.status == 2);
    CHECK(refused.err ==
          "semad: cannot listen on " + address +
              ": Address already in use (what has that name is no socket: choose another one)\n");
}
