#include "client/upkeep.hpp"

#include "tests/support/catch.hpp"

#include <algorithm>
#include <limits>
#include <optional>

using namespace sema;
using namespace std::chrono_literals;

namespace {

constexpr Moment start{1000s};

}  // namespace

TEST_CASE("a lease lasts its ttl from the moment on at which it was asked for") {
    const Grant grant{{LeaseId::random(), 0, 1781337630, 60}, 60s, start};
    CHECK(term_of(grant).safe_until == start + 60s);
    CHECK(term_of(grant).ttl == 60s);
}

TEST_CASE("no more is believed to be granted than the server says, which rounds seconds down") {
    CHECK(granted_ttl(3, 3900ms) == 3s);
    CHECK(granted_ttl(0, 700ms) == 0s);
    CHECK(granted_ttl(59, 60s) == 59s);
    CHECK(granted_ttl(60, 60s) == 60s);
}

TEST_CASE("a ttl that the server's limit cut is the cut one") {
    CHECK(granted_ttl(10, 60s) == 10s);
    CHECK(granted_ttl(0, 60s) == 0s);
    CHECK(granted_ttl(-5, 60s) == 0s);
    CHECK(granted_ttl(std::numeric_limits<std::int64_t>::max(), 60s) == 60s);
}

TEST_CASE("a lease is as good as new until a renewal of it is due") {
    const LeaseTerm term{start + 60s, 60s};
    CHECK(is_fresh(term, start));
    CHECK(is_fresh(term, start + 12s));
    CHECK_FALSE(is_fresh(term, start + 12s + 1us));
    CHECK_FALSE(is_fresh({start, 0s}, start));
}

TEST_CASE("a lease is whole for as long as a call may take") {
    CHECK(is_whole({start + 60s, 60s}, start + 1s));
    CHECK_FALSE(is_whole({start + 60s, 60s}, start + 1s + 1us));
    CHECK(is_whole({start + 3s, 3s}, start + 300ms));
    CHECK_FALSE(is_whole({start + 3s, 3s}, start + 300ms + 1us));
    CHECK_FALSE(is_whole({start, 0s}, start));
}

namespace {

// Of a lease that lasts `ttl` from `start` on, and is not renewed.
Upkeep fixed(Duration ttl, Duration grace) {
    return Upkeep(LeaseTerm{start + ttl, ttl}, {grace, std::nullopt});
}

// Of one that is.
Upkeep renewed_each(Duration ttl) {
    return Upkeep(LeaseTerm{start + ttl, ttl}, {5s, ttl});
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

TEST_CASE("a grace takes at most a sixth of the ttl, and killing a twelfth") {
    const Upkeep upkeep = fixed(3s, 5s);
    CHECK(upkeep.ends_at() == start + 3s);
    CHECK(upkeep.kill_at() == start + 3s - 250ms);
    CHECK(upkeep.terminate_at() == start + 3s - 250ms - 500ms);
    CHECK(longest_grace(3s) == 500ms);
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

TEST_CASE("a keepalive is due at a fifth of the ttl, or up to a sixth of that sooner") {
    Moment first = Moment::max();
    Moment last = Moment::min();
    for (int i = 0; i < 200; ++i) {
        const Moment due = next_keepalive(renewed_each(60s), start);
        first = std::min(first, due);
        last = std::max(last, due);
    }
    CHECK(first >= start + 9800ms);
    CHECK(last <= start + 12s);
    CHECK(last - first > 1s);
}

TEST_CASE(
    "a keepalive is due by the time at which a lease may have begun, not by the one at which it was known") {
    const Upkeep upkeep(LeaseTerm{start + 50s, 60s}, {5s, 60s});
    CHECK(upkeep.next_deadline(start) <= start + 2s);
    const Upkeep late(LeaseTerm{start + 30s, 60s}, {5s, 60s});
    CHECK(late.is_keepalive_due(start));
}

TEST_CASE("a keepalive moves the end of the lease, counted from the moment at which it went out") {
    Upkeep upkeep = renewed_each(60s);
    upkeep.begin_keepalive(start + 20s);
    CHECK_FALSE(upkeep.is_keepalive_due(start + 25s));
    CHECK(upkeep.kill_at() == start + 60s - 1s);
    upkeep.renewed(60);
    CHECK(upkeep.kill_at() == start + 20s + 60s - 1s);
    CHECK(upkeep.terminate_at() == start + 20s + 60s - 1s - 5s);
    CHECK(upkeep.ends_at() == start + 20s + 60s);
    const Moment next = next_keepalive(upkeep, start + 22s);
    CHECK(next >= start + 20s + 9800ms);
    CHECK(next <= start + 20s + 12s);
}

TEST_CASE("a server that cuts a renewal is believed, and the command keeps its time to stop") {
    Upkeep upkeep = renewed_each(60s);
    upkeep.begin_keepalive(start + 50s);
    upkeep.renewed(10);
    CHECK(upkeep.kill_at() == start + 60s - 1s);
    CHECK(upkeep.terminate_at() == start + 60s - 1s - 5s);
}

TEST_CASE("a lease that a server renews for less than before is renewed as often, and the command goes on") {
    const int ttl = GENERATE(2, 6, 20, 47, 48, 49, 59);
    Upkeep upkeep = renewed_each(60s);
    Moment now = start;
    // From the third renewal on all is as if the command had begun with that.
    for (int i = 0; i < 50; ++i) {
        now = upkeep.next_deadline(now);
        REQUIRE(upkeep.due(now) == Upkeep::Step::none);
        REQUIRE(upkeep.is_keepalive_due(now));
        upkeep.begin_keepalive(now);
        upkeep.renewed(ttl);
    }
    const Duration whole = std::chrono::seconds(ttl);
    CHECK(upkeep.kill_at() == now + whole - upkeep.kill_time());
    CHECK(upkeep.kill_time() == std::min<Duration>(whole / 12, 1s));
    CHECK(upkeep.terminate_at() == upkeep.kill_at() - std::min<Duration>(longest_grace(whole), 5s));
}

TEST_CASE("a short lease that a server renews for less than before goes on, too") {
    Upkeep upkeep = renewed_each(3s);
    Moment now = start;
    for (int i = 0; i < 50; ++i) {
        now = upkeep.next_deadline(now);
        REQUIRE(upkeep.due(now) == Upkeep::Step::none);
        upkeep.begin_keepalive(now);
        upkeep.renewed(2);
    }
}

TEST_CASE(
    "a lease that the server renews no further is not asked for again when that could only cut its end") {
    Upkeep upkeep = renewed_each(6s);
    // Nearly six seconds from the grant on, whatever is asked for.
    upkeep.begin_keepalive(start + 1200ms);
    upkeep.renewed(4);
    CHECK(upkeep.is_cut());
    upkeep.begin_keepalive(start + 2400ms);
    upkeep.renewed(3);
    CHECK(upkeep.terminate_at() == start + 5400ms - 500ms - 1s);
    CHECK(upkeep.next_deadline(start + 2400ms) == upkeep.terminate_at());
    CHECK(upkeep.due(upkeep.terminate_at()) == Upkeep::Step::terminate);
}

TEST_CASE("a failed keepalive is tried again with growing pauses, and the end of the lease stays") {
    Upkeep upkeep = renewed_each(60s);
    Moment now = start + 20s;
    int tries = 0;
    Duration longest_pause{};
    while (upkeep.due(now) == Upkeep::Step::none && tries < 100) {
        const Duration limit = upkeep.begin_keepalive(now);
        CHECK(limit == std::clamp<Duration>((upkeep.terminate_at() - now) / 2, 1s, 10s));
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
    Upkeep failing = renewed_each(60s);
    int tries = 0;
    Moment now = start + 12s;
    for (; now < failing.kill_at(); now = failing.next_deadline(now)) {
        if (!failing.is_keepalive_due(now)) continue;
        if (failing.due(now) == Upkeep::Step::terminate) ++tries;
        failing.begin_keepalive(now);
        failing.failed(now);
    }
    CHECK(tries > 3);
    Upkeep upkeep = renewed_each(60s);
    CHECK(upkeep.is_keepalive_due(upkeep.kill_at() - 1us));
    CHECK_FALSE(upkeep.is_keepalive_due(upkeep.kill_at()));
    upkeep.ended();
    CHECK(upkeep.due(start + 24h) == Upkeep::Step::none);
    CHECK(upkeep.next_deadline(start) == Moment::max());
}
