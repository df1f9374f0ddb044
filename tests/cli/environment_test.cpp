#include "cli/run/environment.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/program.hpp"

#include <algorithm>

using Words = std::vector<std::string>;

namespace {

const auto own_lease = *sema::LeaseId::parse("3a7d0b14-9e2c-4f6a-8b1d-0c5e2f9a7b34");
const auto own_variables = sema::lease_variables({own_lease, 3, 1781337630, 30});
const Words own = {"SEMA_POSITION=3", "SEMA_LEASE=" + own_lease.str(), "SEMA_EXPIRES_AT=1781337630"};

// What is left of an environment beside the variables of a lease of the pool VSIM.
Words inherited_of(std::vector<const char*> inherited) {
    inherited.push_back(nullptr);
    Words all = sema::environment_with(own_variables, {"VSIM"}, inherited.data());
    REQUIRE(all.size() >= own.size());
    CHECK(std::equal(own.begin(), own.end(), all.end() - 3));
    all.resize(all.size() - own.size());
    return all;
}

}  // namespace

TEST_CASE("a command's environment holds its lease, and nothing of an outer one's") {
    CHECK(inherited_of({"PATH=/bin", "SEMA_POSITION=9", "SEMA_LEASE=x", "SEMA_EXPIRES_AT=1", "SEMA_FENCE=7",
                        "SEMA_SLOT=x", "SEMA_POSITIONS=9 10", "SEMA_VSIM_LEASE=x", "SEMA_VSIM_SLOT=x"}) ==
          Words{"PATH=/bin"});
    CHECK(sema::environment_with(own_variables, {"VSIM"}, nullptr) == own);
}

TEST_CASE("a command's environment keeps what an outer run exported of other pools, and what is nobody's") {
    for (const char* kept :
         {"SEMA_BOARD_SLOT=/dev/ttyUSB0", "SEMA_VSIM_B_LEASE=x", "SEMA_VSIM=x", "SEMA_OWN=x",
          "SEMA_A_POSITIONAL=x", "SEMA_POSITIONAL=x", "SEMACTL_POOL=vsim", "MY_SEMA_SLOT=x"})
        CHECK(inherited_of({kept}) == Words{kept});
}

TEST_CASE("the marks of pools that are held tell these from others, and tell nothing else") {
    const auto a = *sema::PoolId::parse("9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01");
    const auto b = *sema::PoolId::parse("9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a02");
    CHECK_FALSE(sema::is_held("", a));
    const std::string held = sema::held_with("", a);
    CHECK(held.size() == 8);
    CHECK(sema::is_held(held, a));
    CHECK_FALSE(sema::is_held(held, b));
    CHECK_FALSE(sema::is_held(held + "0", a));
    const std::string both = sema::held_with(held, b);
    CHECK(sema::is_held(both, a));
    CHECK(sema::is_held(both, b));
    CHECK(sema::held_with(both, a) == both);
    CHECK(sema::count_held("") == 0);
    CHECK(sema::count_held(held) == 1);
    CHECK(sema::count_held(" " + both + "  ") == 2);
}

namespace {

sema::wire::LeaseGrant lease_with(std::vector<unsigned> positions, std::vector<sema::wire::Payload> slots) {
    sema::wire::LeaseGrant lease{sema::LeaseId::random(), positions.front(), 1781337630, 30};
    lease.details = {std::move(positions), 17, std::move(slots), 1781337600};
    return lease;
}

std::string value_of(const sema::wire::LeaseGrant& lease, const std::string& name) {
    for (const auto& [variable, value] : sema::lease_variables(lease)) {
        if (variable == name) return value;
    }
    return "(none)";
}

}  // namespace

TEST_CASE("the holder of several slots is told all positions, the fence and the first slot's payload") {
    const auto lease = lease_with({3, 5}, {R"("/dev/ttyUSB0")", R"({"a":1})"});
    CHECK(value_of(lease, "SEMA_POSITION") == "3");
    CHECK(value_of(lease, "SEMA_POSITIONS") == "3 5");
    CHECK(value_of(lease, "SEMA_FENCE") == "17");
    CHECK(value_of(lease, "SEMA_SLOT") == "/dev/ttyUSB0");
    CHECK(value_of(lease_with({0}, {R"({"a":1})"}), "SEMA_SLOT") == R"({"a":1})");
    CHECK(value_of(lease_with({0}, {"null"}), "SEMA_SLOT").empty());
    CHECK(value_of(lease_with({0}, {R"("a\u0000b")"}), "SEMA_SLOT") == "ab");
}

TEST_CASE("the variables of one of several pools are called after it") {
    CHECK(sema::variable_part("vsim", 1) == "VSIM");
    CHECK(sema::variable_part("gpu-a100_b", 1) == "GPU_A100_B");
    CHECK(sema::variable_part("env:DB_POOL", 2) == "DB_POOL");
    // A path makes no name, and a UUID must not become one.
    CHECK(sema::variable_part("file:/run/pool", 2) == "POOL2");
    CHECK(sema::variable_part("the pool", 3) == "POOL3");

    const auto variables = sema::pool_variables("VSIM", lease_with({3, 5}, {R"("x")", R"("y")"}));
    CHECK(variables.front() == std::pair<std::string, std::string>("SEMA_VSIM_POSITION", "3"));
    CHECK(variables.size() == 6);
}

TEST_CASE("a shell reads any text back as it was, and runs nothing of it") {
    CHECK(sema::shell_word("/dev/ttyUSB0") == "/dev/ttyUSB0");
    CHECK(sema::shell_word("") == "''");
    CHECK(sema::shell_word("it's") == "'it'\\''s'");
    for (const std::string text :
         {"", "plain", "two words", "'", "''", "\"$HOME\"", "$(echo run) `echo run`", "a\nb\n", "\\",
          "\\'; echo run #", "*", "~", "a;b&c|d", "!x", "-n", "\x1b[2J", "\xc3\xa9", "x=y", "#c"}) {
        CAPTURE(text);
        for (const std::string shell : {"sh", "bash"}) {
            const auto read = sema::test::run_program(
                {shell, "-c", "eval \"$1\"; printf %s \"$X\"", "sh", "export X=" + sema::shell_word(text)});
            CHECK(read.out == text);
        }
    }
}
