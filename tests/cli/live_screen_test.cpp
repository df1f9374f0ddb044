#include "cli/live_screen.hpp"

#include "tests/support/catch.hpp"

using sema::LiveScreen;

TEST_CASE("lines are drawn over those before, and the terminal gets its cursor back") {
    LiveScreen screen;
    CHECK(screen.draw({"a", "b", "c"}) == "\x1b[?25l\x1b[?7l\r\x1b[Ka\r\n\x1b[Kb\r\n\x1b[Jc");
    CHECK(screen.draw({"d"}) == "\r\x1b[2A\x1b[Jd");
    CHECK(screen.draw({"e", "f"}) == "\r\x1b[Ke\r\n\x1b[Jf");
    CHECK(screen.leave() == "\r\n\x1b[?7h\x1b[?25h");
    CHECK(screen.leave().empty());
}

TEST_CASE("wiped lines are gone, and the next are drawn where they were") {
    LiveScreen screen;
    CHECK(screen.wipe().empty());
    screen.draw({"a", "b"});
    CHECK(screen.wipe() == "\r\x1b[1A\x1b[J");
    CHECK(screen.wipe().empty());
    CHECK(screen.draw({"c"}) == "\r\x1b[Jc");
    CHECK(screen.wipe_all() == "\x1b[H\x1b[2J");
    CHECK(screen.leave() == "\x1b[?7h\x1b[?25h");
}

TEST_CASE("a terminal that nothing was drawn on is left alone") {
    LiveScreen screen;
    CHECK(screen.wipe_all().empty());
    CHECK(screen.leave().empty());
}
