#include "cli/run/upkeep.hpp"

#include "tests/support/catch.hpp"

#include <limits>

using namespace sema;
using namespace std::chrono_literals;

namespace {

constexpr Moment start{1000s};

// A grant that was asked for at `start` and whose answer came after `queued`, with what the server said of
// its length.
Grant grant(Duration queued, std::int64_t expires_in) {
    return {{LeaseId::random(), 0, 1781337630, expires_in}, start, start + queued};
}

Duration safe_for(Duration queued, std::int64_t expires_in, Duration asked_ttl) {
    return term_of(grant(queued, expires_in), asked_ttl).safe_until - start;
}

}  // namespace

TEST_CASE("a lease that came at once lasts its ttl from the asking") {
    CHECK(safe_for(0ms, 60, 60s) == 60s);
    CHECK(safe_for(3ms, 60, 60s) == 60s);
    CHECK(safe_for(1s, 60, 60s) == 60s);
}

TEST_CASE("a lease that came after queueing lasts its ttl from shortly before there was an answer") {
    CHECK(safe_for(300s, 60, 60s) == 300s - 1s + 60s);
    CHECK(safe_for(300s, 2, 2s) == 300s - 200ms + 2s);
    CHECK(safe_for(1s + 1us, 60, 60s) == 1us + 60s);
}

TEST_CASE("a fraction of a second that the server rounded away is not lost") {
    CHECK(safe_for(0s, 1, 1500ms) == 1500ms);
    CHECK(safe_for(0s, 0, 700ms) == 700ms);
    CHECK(safe_for(0s, 59, 60s) == 59s);
}

TEST_CASE("a ttl that the server's limit cut is the cut one") {
    CHECK(safe_for(0s, 10, 60s) == 10s);
    CHECK(safe_for(0s, 0, 60s) == 0s);
    CHECK(safe_for(0s, -5, 60s) == 0s);
    CHECK(safe_for(0s, std::numeric_limits<std::int64_t>::max(), 60s) == 60s);
}

TEST_CASE("a lease is useful while half of it is left") {
    const LeaseTerm term{start + 60s, 60s};
    CHECK(is_useful(term, start));
    CHECK(is_useful(term, start + 30s));
    CHECK_FALSE(is_useful(term, start + 30s + 1us));
    CHECK_FALSE(is_useful(term, start + 24h));
    CHECK_FALSE(is_useful({start, 0s}, start));
}

TEST_CASE("a command is told to go early enough, and killed before the lease ends") {
    const Upkeep upkeep(LeaseTerm{start + 60s, 60s}, 5s);
    CHECK(upkeep.kill_at() == start + 60s - 500ms);
    CHECK(upkeep.terminate_at() == start + 60s - 500ms - 5s);

    CHECK(upkeep.due(start) == Upkeep::Step::none);
    CHECK(upkeep.due(upkeep.terminate_at() - 1us) == Upkeep::Step::none);
    CHECK(upkeep.due(upkeep.terminate_at()) == Upkeep::Step::terminate);
    CHECK(upkeep.due(upkeep.kill_at() - 1us) == Upkeep::Step::terminate);
    CHECK(upkeep.due(upkeep.kill_at()) == Upkeep::Step::kill);
    CHECK(upkeep.due(start + 24h) == Upkeep::Step::kill);

    CHECK(upkeep.next_deadline(start) == upkeep.terminate_at());
    CHECK(upkeep.next_deadline(upkeep.terminate_at()) == upkeep.kill_at());
    CHECK(upkeep.next_deadline(upkeep.kill_at()) == Moment::max());
}

TEST_CASE("a grace takes at most a third of the ttl") {
    const Upkeep upkeep(LeaseTerm{start + 3s, 3s}, 5s);
    CHECK(upkeep.kill_at() == start + 3s - 150ms);
    CHECK(upkeep.terminate_at() == start + 3s - 150ms - 1s);
    const Upkeep none(LeaseTerm{start + 3s, 3s}, 0s);
    CHECK(none.terminate_at() == none.kill_at());
}
