#include "server/store/shared/neighbours.hpp"

#include "tests/support/catch.hpp"

using namespace std::chrono_literals;
using namespace sema;
using shared::Neighbours;

namespace {

constexpr ServerId one{1};
constexpr ServerId two{2};

}  // namespace

TEST_CASE("a server is lost once its heartbeat was missing for a second and a half, and no sooner") {
    Neighbours neighbours;
    CHECK_FALSE(neighbours.is_lost(one, 10s));
    CHECK(neighbours.watched() == std::vector{one});
    CHECK_FALSE(neighbours.next_loss());
    CHECK(neighbours.take({one}, {false}, 10s).empty());
    CHECK(neighbours.next_loss() == 11500ms);
    CHECK(neighbours.take({one}, {false}, 11500ms - 1us).empty());
    CHECK_FALSE(neighbours.is_lost(one, 11s));
    CHECK(neighbours.take({one}, {false}, 11500ms) == std::vector{one});
    CHECK(neighbours.is_lost(one, 12s));
    CHECK_FALSE(neighbours.next_loss());
    // That is said once.
    CHECK(neighbours.take({one}, {false}, 13s).empty());
}

TEST_CASE("a heartbeat makes good what was missing, and a server that was lost is back") {
    Neighbours neighbours;
    neighbours.is_lost(one, 10s);
    neighbours.take({one}, {false}, 10s);
    neighbours.take({one}, {true}, 11s);
    CHECK(neighbours.take({one}, {false}, 12s).empty());
    CHECK(neighbours.next_loss() == 13500ms);
    CHECK(neighbours.take({one}, {false}, 14s).size() == 1);
    neighbours.take({one}, {true}, 15s);
    CHECK_FALSE(neighbours.is_lost(one, 15s));
}

TEST_CASE("the next to be lost is whoever is missing for longest") {
    Neighbours neighbours;
    neighbours.is_lost(one, 10s);
    neighbours.is_lost(two, 10s);
    neighbours.take({one, two}, {true, false}, 10s);
    neighbours.take({one, two}, {false, false}, 11s);
    CHECK(neighbours.next_loss() == 11500ms);
    neighbours.forgive();
    CHECK_FALSE(neighbours.next_loss());
    CHECK(neighbours.take({one, two}, {false, false}, 12s).empty());
    CHECK(neighbours.next_loss() == 13500ms);
}

TEST_CASE("who says that it ends is lost, if somebody asked about it") {
    Neighbours neighbours;
    CHECK_FALSE(neighbours.end(one));
    neighbours.is_lost(one, 10s);
    CHECK(neighbours.end(one));
    CHECK_FALSE(neighbours.end(one));
    CHECK(neighbours.is_lost(one, 10s));
    neighbours.bury(two);
    CHECK(neighbours.is_lost(two, 10s));
}

TEST_CASE("who is lost and was not asked about for long is forgotten, and who lives is not") {
    Neighbours neighbours;
    neighbours.is_lost(one, 10s);
    neighbours.is_lost(two, 10s);
    neighbours.end(one);
    neighbours.take({one, two}, {false, true}, 10s + Neighbours::memory);
    CHECK(neighbours.watched().size() == 2);
    neighbours.take({one, two}, {false, true}, 10s + Neighbours::memory + 1us);
    CHECK(neighbours.watched() == std::vector{two});
}
