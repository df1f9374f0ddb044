#include "cli/run/upkeep.hpp"

#include "tests/support/catch.hpp"

#include <algorithm>
#include <limits>
#include <optional>

using namespace sema;
using namespace std::chrono_literals;

namespace {

constexpr Moment start{1000s};

// For how long a grant is safe that was asked for at `start` and whose answer came after `queued`.
Duration safe_for(Duration queued, Duration ttl) {
    const Grant grant{{LeaseId::random(), 0, 1781337630, 60}, ttl, start, start + queued};
    return term_of(grant).safe_until - start;
}

}  // namespace

TEST_CASE("a lease that came at once lasts its ttl from the asking") {
    CHECK(safe_for(0ms, 60s) == 60s);
    CHECK(safe_for(3ms, 60s) == 60s);
    CHECK(safe_for(1s, 60s) == 60s);
}

TEST_CASE("a lease that came after queueing lasts its ttl from shortly before there was an answer") {
    CHECK(safe_for(300s, 60s) == 300s - 1s + 60s);
    CHECK(safe_for(300s, 2s) == 300s - 200ms + 2s);
    CHECK(safe_for(1s + 1us, 60s) == 1us + 60s);
}

TEST_CASE("a fraction of a second that the server rounded away is not lost") {
    CHECK(granted_ttl(1, 1500ms) == 1500ms);
    CHECK(granted_ttl(0, 700ms) == 700ms);
    CHECK(granted_ttl(59, 60s) == 59s);
    CHECK(granted_ttl(60, 60s) == 60s);
}

TEST_CASE("a ttl that the server's limit cut is the cut one") {
    CHECK(granted_ttl(10, 60s) == 10s);
    CHECK(granted_ttl(0, 60s) == 0s);
    CHECK(granted_ttl(-5, 60s) == 0s);
    CHECK(granted_ttl(std::numeric_limits<std::int64_t>::max(), 60s) == 60s);
}

TEST_CASE("a lease is useful while half of it is left") {
    const LeaseTerm term{start + 60s, 60s};
    CHECK(is_useful(term, start));
    CHECK(is_useful(term, start + 30s));
    CHECK_FALSE(is_useful(term, start + 30s + 1us));
    CHECK_FALSE(is_useful(term, start + 24h));
    CHECK_FALSE(is_useful({start, 0s}, start));
}

namespace {

// Of a lease that lasts `ttl` from `start` on, and is not renewed.
Upkeep fixed(Duration ttl, Duration grace) {
    return Upkeep(LeaseTerm{start + ttl, ttl}, {grace, std::nullopt}, start);
}

// Of one that is.
Upkeep renewed_each(Duration ttl) {
    return Upkeep(LeaseTerm{start + ttl, ttl}, {5s, ttl}, start);
}

// When the next keepalive is due.
Moment next_keepalive(const Upkeep& upkeep, Moment now) {
    const Moment next = upkeep.next_deadline(now);
    CHECK_FALSE(upkeep.is_keepalive_due(next - 1us));
    CHECK(upkeep.is_keepalive_due(next));
    return next;
}

}  // namespace

TEST_CASE("a command is told to go early enough, and killed before the lease ends") {
    const Upkeep upkeep = fixed(60s, 5s);
    CHECK(upkeep.kill_at() == start + 60s - 1s);
    CHECK(upkeep.terminate_at() == start + 60s - 1s - 5s);

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
    const Upkeep upkeep = fixed(3s, 5s);
    CHECK(upkeep.kill_at() == start + 3s - 300ms);
    CHECK(upkeep.terminate_at() == start + 3s - 300ms - 1s);
    const Upkeep none = fixed(3s, 0s);
    CHECK(none.terminate_at() == none.kill_at());
}

TEST_CASE("a lease that is not to be renewed never is") {
    Upkeep upkeep = fixed(60s, 5s);
    CHECK_FALSE(upkeep.is_keepalive_due(start + 59s));
    Upkeep forbidden = renewed_each(60s);
    REQUIRE(forbidden.is_keepalive_due(start + 30s));
    forbidden.begin_keepalive(start + 30s);
    forbidden.stop_renewing();
    CHECK_FALSE(forbidden.is_keepalive_due(start + 50s));
    CHECK(forbidden.next_deadline(start + 30s) == forbidden.terminate_at());
}

TEST_CASE("a keepalive is due at a third of the ttl, give or take a tenth of that") {
    Moment first = Moment::max();
    Moment last = Moment::min();
    for (int i = 0; i < 200; ++i) {
        const Moment due = next_keepalive(renewed_each(60s), start);
        first = std::min(first, due);
        last = std::max(last, due);
    }
    CHECK(first >= start + 18s);
    CHECK(last <= start + 22s);
    CHECK(last - first > 2s);
}

TEST_CASE("a keepalive moves the end of the lease, counted from the moment at which it went out") {
    Upkeep upkeep = renewed_each(60s);
    upkeep.begin_keepalive(start + 20s);
    CHECK_FALSE(upkeep.is_keepalive_due(start + 25s));
    CHECK(upkeep.kill_at() == start + 60s - 1s);
    upkeep.renewed(start + 22s, 60);
    CHECK(upkeep.kill_at() == start + 20s + 60s - 1s);
    CHECK(upkeep.terminate_at() == start + 20s + 60s - 1s - 5s);
    const Moment next = next_keepalive(upkeep, start + 22s);
    CHECK(next >= start + 22s + 18s);
    CHECK(next <= start + 22s + 22s);
}

TEST_CASE("a server that cuts a renewal is believed, and the command keeps its time to stop") {
    Upkeep upkeep = renewed_each(60s);
    upkeep.begin_keepalive(start + 20s);
    upkeep.renewed(start + 20s, 8);
    CHECK(upkeep.kill_at() == start + 28s - 1s);
    CHECK(upkeep.terminate_at() == start + 28s - 1s - 5s);
}

TEST_CASE("a failed keepalive is tried again with growing pauses, and the end of the lease stays") {
    Upkeep upkeep = renewed_each(60s);
    Moment now = start + 20s;
    int tries = 0;
    Duration longest_pause{};
    while (upkeep.due(now) == Upkeep::Step::none && tries < 100) {
        const Duration limit = upkeep.begin_keepalive(now);
        CHECK(limit == 10s);
        ++tries;
        upkeep.failed(now);
        const Moment next = upkeep.next_deadline(now);
        longest_pause = std::max(longest_pause, next - now);
        REQUIRE(next > now);
        now = next;
    }
    CHECK(upkeep.kill_at() == start + 60s - 1s);
    CHECK(tries > 5);
    CHECK(tries < 40);
    CHECK(longest_pause <= 5s);
}

TEST_CASE("who slept until shortly before the lease's end asks once before the command is stopped") {
    Upkeep upkeep = renewed_each(60s);
    const Moment woken = upkeep.terminate_at() + 1s;
    CHECK(upkeep.due(woken) == Upkeep::Step::none);
    REQUIRE(upkeep.is_keepalive_due(woken));
    upkeep.begin_keepalive(woken);
    CHECK(upkeep.due(woken + 499ms) == Upkeep::Step::none);
    CHECK(upkeep.next_deadline(woken) == woken + 500ms);
    CHECK(upkeep.due(woken + 500ms) == Upkeep::Step::terminate);
    CHECK(upkeep.next_deadline(woken + 500ms) == upkeep.kill_at());

    Upkeep refused = renewed_each(60s);
    refused.begin_keepalive(woken);
    refused.failed(woken + 1ms);
    CHECK(refused.due(woken + 1ms) == Upkeep::Step::terminate);

    Upkeep late = renewed_each(60s);
    CHECK(late.due(late.kill_at()) == Upkeep::Step::kill);
}

TEST_CASE("a keepalive that is on its way since before is no reason to stop the command later") {
    Upkeep upkeep = renewed_each(60s);
    upkeep.begin_keepalive(upkeep.terminate_at() - 1us);
    CHECK(upkeep.due(upkeep.terminate_at()) == Upkeep::Step::terminate);
}

TEST_CASE("renewals go on while the command is being stopped, until it must be dead") {
    Upkeep upkeep = renewed_each(60s);
    CHECK(upkeep.is_keepalive_due(upkeep.kill_at() - 1us));
    CHECK_FALSE(upkeep.is_keepalive_due(upkeep.kill_at()));
    upkeep.ended();
    CHECK(upkeep.due(start + 24h) == Upkeep::Step::none);
    CHECK(upkeep.next_deadline(start) == Moment::max());
}
