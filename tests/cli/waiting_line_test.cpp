#include "cli/run/waiting_line.hpp"

#include "tests/cli/captured_stderr.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>

using namespace sema;
using sema::test::CapturedStderr;
using namespace std::chrono_literals;

namespace {

constexpr Moment start{1000s};

struct Bench {
    // What is said when time goes on to this moment, as it is looked at all the time.
    std::string until(Moment end) {
        for (; now < end; now = std::min<Moment>(end, now + 500ms))
            line.update(now);
        line.update(end);
        return err.take();
    }
    static NoSlot place(std::size_t rank, unsigned count = 4, unsigned slots = 1) {
        return {wire::BorrowRefused{"no resource available", rank, 7, count, count, 240}, true, slots};
    }

    const bool is_utf8 = setenv("LC_ALL", "C.UTF-8", 1) == 0;
    CapturedStderr err;
    Console console{Verbosity::normal, Output::text};
    WaitingLine line{console, "vsim", 10min, start};
    Moment now = start;
};

}  // namespace

TEST_CASE("who waits without a terminal gives a sign of life every two minutes") {
    Bench bench;
    CHECK(bench.until(start + 400ms).empty());
    CHECK(bench.until(start + 1s) == "semactl: waiting for vsim, up to 10m\n");
    bench.line.place(Bench::place(3));
    bench.line.say_place(bench.now);
    CHECK(bench.err.take() == "semactl: waiting for vsim: 3rd of 7, ~4m \u00b7 4/4 in use\n");
    CHECK(bench.until(start + 1s + 2min - 500ms).empty());
    CHECK(bench.until(start + 1s + 2min) ==
          "semactl: still waiting for vsim, 2m 1s of 10m: 3rd of 7, ~4m \u00b7 4/4 in use\n");
    CHECK(bench.until(start + 1s + 4min - 500ms).empty());
    CHECK(bench.until(start + 1s + 4min) ==
          "semactl: still waiting for vsim, 4m 1s of 10m: 3rd of 7, ~4m \u00b7 4/4 in use\n");
}

TEST_CASE("who waits for a server that is away gives a sign of life too, and says why") {
    Bench bench;
    bench.line.trouble(start + 10s, "http://there", "is overloaded: too many waiters (status 503)");
    CHECK(bench.err.take() ==
          "semactl: http://there is overloaded: too many waiters (status 503) (trying again "
          "until --wait 10m is over)\n");
    bench.line.trouble(start + 20s, "http://there", "is overloaded: too many waiters (status 503)");
    CHECK(bench.until(start + 10s + 2min - 500ms).empty());
    CHECK(
        bench.until(start + 10s + 2min) ==
        "semactl: still waiting for vsim, 2m 10s of 10m: the server is overloaded: too many waiters (status "
        "503)\n");
}

TEST_CASE("the holders that a sign of life names are asked for shortly before it") {
    Bench bench;
    bench.until(start + 1s);
    bench.line.place(Bench::place(3));
    CHECK(bench.line.wants_holders(bench.now));
    bench.line.say_place(bench.now);
    CHECK_FALSE(bench.line.wants_holders(bench.now + 90s - 1ms));
    CHECK(bench.line.wants_holders(bench.now + 90s));
}

TEST_CASE("who waits is told that slots are out of service") {
    Bench bench;
    bench.until(start + 1s);
    bench.line.place(Bench::place(1));
    wire::PoolDetails view;
    view.out = {{2, wire::SlotState::Out{"fan", 1000}}};
    bench.line.holders(bench.now, view);
    bench.line.say_place(bench.now);
    CHECK(bench.err.take() ==
          "semactl: waiting for vsim: 1st of 7, ~4m \u00b7 4/4 in use, 1 out of service\n");
    bench.line.holders(bench.now, {});
    CHECK(bench.until(start + 1s + 2min).find("out of service") == std::string::npos);
}

TEST_CASE("any other line is a sign of life") {
    Bench bench;
    bench.until(start + 1s);
    for (std::size_t rank = 7; rank > 1; --rank) {
        bench.line.place(Bench::place(rank));
        bench.line.say_place(bench.now);
        CHECK(bench.err.take().find("still") == std::string::npos);
        CHECK(bench.until(bench.now + 90s).empty());
    }
}

TEST_CASE("what whoever waits should know is said once, and to no one else") {
    Bench bench;
    bench.line.hint("vsim: it is held above");
    CHECK(bench.until(start + 400ms).empty());
    CHECK(bench.until(start + 30s) ==
          "semactl: waiting for vsim, up to 10m\nsemactl: vsim: it is held above\n");
}

TEST_CASE(
    "who asks for more slots than the pool has is told so, again only where it has another number of them") {
    Bench bench;
    bench.until(start + 1s);
    bench.line.place(Bench::place(1, 2, 3));
    CHECK(bench.err.take() ==
          "semactl: vsim: the pool has only 2 slots, and 3 are asked for: waiting until it has "
          "as many (semactl resize)\n");
    bench.line.place(Bench::place(1, 2, 3));
    CHECK(bench.err.take().empty());
    bench.line.place(Bench::place(1, 1, 3));
    CHECK(bench.err.take().find("only 1 slot, and") != std::string::npos);
    bench.line.place(Bench::place(1, 0, 1));
    CHECK(bench.err.take().find("the pool has no slots, and 1 is asked for") != std::string::npos);
    bench.line.place(Bench::place(1, 3, 3));
    CHECK(bench.err.take().empty());
}

TEST_CASE("who does not wait is told nothing, however long the answer takes") {
    CapturedStderr err;
    Console console{Verbosity::normal, Output::text};
    WaitingLine line{console, "vsim", 0s, start};
    line.hint("vsim: it is held above");
    line.update(start + 2s);
    line.granted(start + 4s, 0);
    CHECK(err.take().empty());
}
