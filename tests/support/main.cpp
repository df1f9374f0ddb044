#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_RUNNER
#endif
#include "tests/support/catch.hpp"
#include "tests/support/engines.hpp"

#include <csignal>
#include <cstdlib>
#include <iostream>

namespace {

/// What ctest takes for a test that was left out.
constexpr int left_out = 77;

bool is_store_missing() {
    const char* store = std::getenv("SEMA_TEST_STORE");
    if (store == nullptr || *store == '\0') return false;
    if (std::string(store) == "postgresql") return !sema::test::find_postgresql();
    return !sema::test::find_engine(store);
}

}  // namespace

int main(int argc, char** argv) {
    // The list of tests is made without the variable.
    if (is_store_missing()) {
        std::cout << "left out: no server of " << std::getenv("SEMA_TEST_STORE") << " is on this machine\n";
        return left_out;
    }
    // A test that writes to a connection which its peer has closed wants the error, not the signal.
    std::signal(SIGPIPE, SIG_IGN);
    return Catch::Session().run(argc, argv);
}
