#include "tests/e2e/history.hpp"

#include "tests/support/catch.hpp"

#include <utility>

using namespace sema::test;
using namespace std::chrono_literals;
using Catch::Matchers::StartsWith;
using Outcome = ReturnAttempt::Outcome;

namespace {

/// A lease of 10 s on position 0 of pool 0: asked for at `asked`, there 10 ms later.
Holding held(std::string lease, Moment asked, int position = 0) {
    return {0, position, std::move(lease), 10s, asked, asked + 10ms, {}};
}

/// The same, with one return that takes 10 ms.
Holding returned(Holding holding, Moment asked, Outcome outcome) {
    holding.returns.push_back({asked, asked + 10ms, outcome});
    return holding;
}

History of(std::vector<Holding> holdings, int count = 4) {
    return {{count}, std::move(holdings)};
}

void check_clean(const History& history) {
    const auto found = breaches(history);
    CAPTURE(found);
    CHECK(found.empty());
}

void check_breach(const History& history, const std::string& kind) {
    const auto found = breaches(history);
    CAPTURE(found);
    REQUIRE(found.size() == 1);
    CHECK_THAT(found.front(), StartsWith(kind));
}

}  // namespace

TEST_CASE("a history of leases that follow each other is clean") {
    check_clean(of({}));
    check_clean(of({held("a", 0s), held("b", 0s, 1)}));
    check_clean(of({returned(held("a", 0s), 5s, Outcome::yes), held("b", 5s)}));
    check_clean(of({held("b", 10s), held("a", 0s)}));
}

TEST_CASE("two holders of a position at the same time are found") {
    check_breach(of({held("a", 0s), held("b", 5s)}), "two holders");
    check_breach(of({held("b", 5s), held("a", 0s)}), "two holders");
    check_breach(of({returned(held("a", 0s), 6s, Outcome::yes), held("b", 5s)}), "two holders");
}

TEST_CASE("two holders overlap up to the last moment that is certain, and not from there on") {
    Holding later = held("b", 9s);
    later.answered = 10s - 1us;
    check_breach(of({held("a", 0s), later}), "two holders");
    later.answered = 10s;
    check_clean(of({held("a", 0s), later}));

    const Holding ended = returned(held("a", 0s), 9s, Outcome::yes);
    later.asked = 8s;
    later.answered = 9s - 1us;
    check_breach(of({ended, later}), "two holders");
    later.answered = 9s;
    check_clean(of({ended, later}));
}

TEST_CASE("a holder that is overlapped by several is found with each of them") {
    const Holding one = returned(held("b", 1s), 2s, Outcome::yes);
    const Holding other = returned(held("c", 3s), 4s, Outcome::yes);
    CHECK(breaches(of({held("a", 0s), one, other})).size() == 2);
}

TEST_CASE("a position may be lent again once its return was asked for, whatever came of that") {
    check_clean(of({returned(held("a", 0s), 5s, Outcome::unknown), held("b", 5s)}));
    check_clean(of({returned(held("a", 0s), 5s, Outcome::yes), held("b", 5s - 5ms)}));
}

TEST_CASE("a lease that was over when its answer came held nothing for certain") {
    Holding late = held("a", 0s);
    late.answered = 11s;
    check_clean(of({late, held("b", 10s)}));
}

TEST_CASE("a lease that was lost before its time is found") {
    check_breach(of({returned(held("a", 0s), 5s, Outcome::no)}), "lost before its time");
    check_breach(of({returned(held("a", 0s), 10s - 11ms, Outcome::no)}), "lost before its time");
    check_clean(of({returned(held("a", 0s), 10s - 10ms, Outcome::no)}));
    check_clean(of({returned(held("a", 0s), 11s, Outcome::no)}));
}

TEST_CASE("a lease is not lost where an earlier return may have ended it") {
    check_clean(of({returned(returned(held("a", 0s), 3s, Outcome::unknown), 5s, Outcome::no)}));
    check_clean(of({returned(returned(held("a", 0s), 3s, Outcome::yes), 5s, Outcome::no)}));
    check_clean(of({returned(returned(held("a", 0s), 3s, Outcome::unknown), 5s, Outcome::yes)}));
}

TEST_CASE("a lease that is returned twice, or after its time, is found") {
    check_breach(of({returned(returned(held("a", 0s), 3s, Outcome::yes), 5s, Outcome::yes)}),
                 "returned twice");
    check_breach(of({returned(held("a", 0s), 10s + 10ms + 1us, Outcome::yes)}), "returned after its time");
    check_clean(of({returned(held("a", 0s), 10s + 10ms, Outcome::yes)}));
}

TEST_CASE("more holders than slots are found") {
    const auto found = breaches(of({held("a", 0s), held("b", 0s, 1), held("c", 0s, 2)}, 2));
    REQUIRE(found.size() == 2);
    CHECK_THAT(found[0], StartsWith("no such position"));
    CHECK(found[1] == "pool 0 had 3 holders of its 2 slots");
}

TEST_CASE("pools do not count for each other") {
    Holding elsewhere = held("b", 0s);
    elsewhere.pool = 1;
    check_clean({{1, 1}, {held("a", 0s), elsewhere}});
}

TEST_CASE("two leases of one name are found") {
    check_breach(of({held("a", 0s), held("a", 20s)}), "two leases of one name");
}
