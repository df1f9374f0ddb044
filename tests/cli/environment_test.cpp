#include "cli/run/environment.hpp"

#include "tests/support/catch.hpp"

using Words = std::vector<std::string>;

TEST_CASE("a command's environment holds its lease, and nothing of an outer one") {
    const auto lease = *sema::LeaseId::parse("3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34");
    const char* inherited[] = {
        "PATH=/bin",     "SEMA_POSITION=9",   "SEMA_LEASE=x",         "SEMA_EXPIRES_AT=1",
        "SEMA_OWN=kept", "SEMACTL_POOL=vsim", "SEMA_POSITIONAL=kept", nullptr};
    CHECK(sema::environment_with({lease, 3, 1781337630, 30}, inherited) ==
          Words{"PATH=/bin", "SEMA_OWN=kept", "SEMACTL_POOL=vsim", "SEMA_POSITIONAL=kept", "SEMA_POSITION=3",
                "SEMA_LEASE=3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34", "SEMA_EXPIRES_AT=1781337630"});
    CHECK(sema::environment_with({lease, 3, 1781337630, 30}, nullptr).size() == 3);
}
