#include "tests/e2e/history.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

using namespace sema::test;
using namespace std::chrono_literals;
using Catch::Matchers::StartsWith;

namespace {

/// A lease of 10 s on position 0 of pool 0: asked for at `asked`, there 10 ms later.
Holding held(std::string lease, Moment asked, int position = 0) {
    Holding holding;
    holding.positions = {position};
    holding.lease = std::move(lease);
    holding.ttl = 10s;
    holding.asked = asked;
    holding.answered = asked + 10ms;
    return holding;
}

/// The same, with one return that takes 10 ms.
Holding returned(Holding holding, Moment asked, Outcome outcome) {
    holding.attempts.push_back({asked, asked + 10ms, outcome});
    return holding;
}

/// The same, with one keepalive that takes 10 ms.
Holding kept(Holding holding, Moment asked, Outcome outcome, Moment ttl = 10s) {
    holding.attempts.push_back({asked, asked + 10ms, outcome, Attempt::Kind::keep_alive, ttl});
    return holding;
}

/// The same, of several slots.
Holding on(Holding holding, std::vector<int> positions) {
    holding.positions = std::move(positions);
    return holding;
}

Holding fenced(Holding holding, std::int64_t fence) {
    holding.fence = fence;
    return holding;
}

/// The same, with an id that its borrower chose.
Holding chosen(Holding holding) {
    holding.chosen = true;
    return holding;
}

/// The same with its borrow repeated, which takes 10 ms.
Holding repeated(Holding holding, Moment asked, std::vector<int> positions, std::int64_t fence) {
    holding.repeats.push_back({asked, asked + 10ms, std::move(positions), fence});
    return holding;
}

/// A revocation that takes 10 ms.
Revocation revoked(int position, Moment asked, Outcome outcome) {
    return {0, position, asked, asked + 10ms, outcome};
}

History of(std::vector<Holding> holdings, int count = 4) {
    return {{{{count}}}, std::move(holdings)};
}

History with(History history, std::vector<Revocation> revocations) {
    history.revocations = std::move(revocations);
    return history;
}

/// A pool of 1 slot, of 3 from `from` on, and of 1 again from `until` on, each within 10 ms.
History changing(std::vector<Holding> holdings, Moment from, Moment until) {
    return {{{{1, Moment::min(), from + 10ms}, {3, from, until + 10ms}, {1, until, Moment::max()}}},
            std::move(holdings)};
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
                 "returned after its end");
    check_breach(of({returned(held("a", 0s), 10s + 10ms + 1us, Outcome::yes)}), "returned after its time");
    check_clean(of({returned(held("a", 0s), 10s + 10ms, Outcome::yes)}));
}

TEST_CASE("more holders than slots are found") {
    const auto found = breaches(of({held("a", 0s), held("b", 0s, 1), held("c", 0s, 2)}, 2));
    REQUIRE(found.size() == 2);
    CHECK_THAT(found[0], StartsWith("no such position"));
    CHECK(found[1] == "pool 0 had holders of 3 slots of its 2");
}

TEST_CASE("pools do not count for each other") {
    Holding elsewhere = held("b", 0s);
    elsewhere.pool = 1;
    check_clean({{{{1}}, {{1}}}, {held("a", 0s), elsewhere}});
}

TEST_CASE("two leases of one name are found") {
    check_breach(of({held("a", 0s), held("a", 20s)}), "two leases of one name");
}

TEST_CASE("leases of one name that the borrower chose may follow each other, not overlap") {
    check_clean(of({chosen(held("a", 0s)), chosen(held("a", 20s))}));
    check_clean(of({chosen(returned(held("a", 0s), 5s, Outcome::yes)), chosen(held("a", 5s, 1))}));
    check_breach(of({chosen(held("a", 0s)), chosen(held("a", 5s, 1))}), "two leases of one name");
}

TEST_CASE("a lease of several slots holds each of them") {
    check_clean(of({on(held("a", 0s), {0, 2}), held("b", 0s, 1)}));
    check_breach(of({on(held("a", 0s), {0, 2}), held("b", 5s, 2)}), "two holders");
    check_breach(of({on(held("a", 0s), {0, 4})}), "no such position");
    CHECK_THAT(breaches(of({on(held("a", 0s), {2, 2})})).front(), StartsWith("no such positions"));
    check_breach(of({on(held("a", 0s), {2, 1})}), "no such positions");
    check_breach(of({on(held("a", 0s), {})}), "no such positions");
}

TEST_CASE("a keepalive moves what is certain of a lease's end") {
    // From when it was asked for, be that later or earlier than before.
    CHECK(held("a", 0s).certain_until() == 10s);
    CHECK(kept(held("a", 0s), 5s, Outcome::yes).certain_until() == 15s);
    CHECK(kept(held("a", 0s), 5s, Outcome::yes, 1s).certain_until() == 6s);
    CHECK(kept(held("a", 0s), 5s, Outcome::unknown).certain_until() == 10s);
    CHECK(kept(held("a", 0s), 5s, Outcome::unknown, 1s).certain_until() == 6s);
    CHECK(kept(held("a", 0s), 5s, Outcome::no).certain_until() == 10s);
    CHECK(kept(returned(held("a", 0s), 5s, Outcome::unknown), 6s, Outcome::yes).certain_until() == 5s);
}

TEST_CASE("two holders are found while a lease is kept alive") {
    check_breach(of({kept(held("a", 0s), 5s, Outcome::yes), held("b", 12s)}), "two holders");
    check_clean(of({kept(held("a", 0s), 5s, Outcome::yes), held("b", 15s)}));
    check_clean(of({kept(held("a", 0s), 5s, Outcome::yes, 1s), held("b", 6s)}));
    check_clean(of({kept(held("a", 0s), 5s, Outcome::unknown), held("b", 12s)}));
}

TEST_CASE("a lease that was lost before the end that a keepalive gave it is found") {
    check_breach(of({kept(held("a", 0s), 5s, Outcome::no)}), "lost before its time");
    const Holding longer = kept(held("a", 0s), 5s, Outcome::yes);
    check_breach(of({returned(longer, 15s - 11ms, Outcome::no)}), "lost before its time");
    check_clean(of({returned(longer, 15s - 10ms, Outcome::no)}));
    check_breach(of({kept(longer, 14s, Outcome::no)}), "lost before its time");
    check_clean(of({returned(kept(held("a", 0s), 5s, Outcome::yes, 1s), 6s, Outcome::no)}));
    check_clean(of({returned(kept(held("a", 0s), 5s, Outcome::unknown), 11s, Outcome::no)}));
    check_clean(of({returned(kept(held("a", 0s), 5s, Outcome::unknown, 1s), 7s, Outcome::no)}));
}

TEST_CASE("a lease that is kept alive after its time, or after its end, is found") {
    check_breach(of({kept(held("a", 0s), 10s + 10ms + 1us, Outcome::yes)}), "kept alive after its time");
    check_clean(of({kept(held("a", 0s), 10s + 10ms, Outcome::yes)}));
    check_breach(of({kept(returned(held("a", 0s), 3s, Outcome::yes), 4s, Outcome::yes)}),
                 "kept alive after its end");
    check_breach(of({returned(kept(held("a", 0s), 10s - 10ms, Outcome::no), 10s, Outcome::yes)}),
                 "returned after its end");
    const Holding longer = kept(held("a", 0s), 5s, Outcome::yes);
    check_clean(of({returned(longer, 15s + 10ms, Outcome::yes)}));
    check_breach(of({returned(longer, 15s + 10ms + 1us, Outcome::yes)}), "returned after its time");
    check_clean(of({returned(kept(held("a", 0s), 5s, Outcome::unknown), 15s, Outcome::yes)}));
}

TEST_CASE("a revocation may end what holds its position, and nothing else") {
    const auto lost = returned(held("a", 0s), 5s, Outcome::no);
    check_clean(with(of({lost}), {revoked(0, 4s, Outcome::yes)}));
    check_clean(with(of({lost}), {revoked(0, 4s, Outcome::unknown)}));
    check_clean(with(of({on(lost, {0, 3})}), {revoked(3, 4s, Outcome::yes)}));
    check_breach(with(of({lost}), {revoked(1, 4s, Outcome::yes)}), "lost before its time");
    check_breach(with(of({lost}), {revoked(0, 6s, Outcome::yes)}), "lost before its time");
    History elsewhere = with({{{{4}}, {{4}}}, {lost}}, {revoked(0, 4s, Outcome::yes)});
    elsewhere.revocations[0].pool = 1;
    check_breach(elsewhere, "lost before its time");
    check_clean(with(of({held("a", 0s), held("b", 4s)}), {revoked(0, 4s, Outcome::yes)}));
}

TEST_CASE("a lease that outlived its revocation is found") {
    const auto returned_late = returned(held("a", 0s), 5s, Outcome::yes);
    check_breach(with(of({returned_late}), {revoked(0, 4s, Outcome::yes)}), "outlived its revocation");
    check_breach(with(of({kept(held("a", 0s), 5s, Outcome::yes)}), {revoked(0, 4s, Outcome::yes)}),
                 "outlived its revocation");
    check_clean(with(of({returned_late}), {revoked(0, 4s, Outcome::unknown)}));
    check_clean(with(of({returned_late}), {revoked(0, 5s - 10ms, Outcome::yes)}));
    // It may have met the one before.
    check_clean(with(of({returned_late}), {revoked(0, 5ms, Outcome::yes)}));
}

TEST_CASE("a revocation that does not find who holds the position is found") {
    check_breach(with(of({held("a", 0s)}), {revoked(0, 4s, Outcome::no)}), "not found to be revoked");
    check_clean(with(of({held("a", 0s)}), {revoked(1, 4s, Outcome::no)}));
    check_clean(with(of({held("a", 0s)}), {revoked(0, 10s - 9ms, Outcome::no)}));
    check_clean(with(of({held("a", 0s)}), {revoked(0, 9ms, Outcome::no)}));
    check_clean(with(of({held("a", 0s)}), {revoked(0, 4s, Outcome::yes), revoked(0, 5s, Outcome::no)}));
}

TEST_CASE("another lease for a repeated borrow is found") {
    const Holding first = fenced(held("a", 0s), 7);
    check_clean(of({repeated(first, 5s, {0}, 7)}));
    check_breach(of({repeated(first, 5s, {1}, 7)}), "another lease for a repeated borrow");
    check_breach(of({repeated(first, 5s, {0}, 8)}), "another lease for a repeated borrow");
    check_clean(of({repeated(first, 10s, {1}, 8)}));
    check_clean(of({repeated(returned(first, 4s, Outcome::unknown), 5s, {1}, 8)}));
}

TEST_CASE("a fence that is not above those before it is found") {
    const auto two = [](std::int64_t first, Moment asked, std::int64_t second) {
        return of({fenced(held("a", 0s), first), fenced(held("b", asked, 1), second)});
    };
    check_clean(two(1, 5s, 2));
    check_breach(two(2, 5s, 1), "a fence below an earlier one");
    check_breach(two(2, 5s, 2), "two leases of one fence");
    // Both were under way at the same time.
    check_clean(two(2, 10ms, 1));
    check_breach(two(2, 10ms, 2), "two leases of one fence");
    check_breach(two(2, 10ms + 1us, 1), "a fence below an earlier one");
    // Of one in between nothing is known.
    check_breach(of({fenced(held("a", 0s), 2), held("b", 1s, 1), fenced(held("c", 2s, 2), 1)}),
                 "a fence below an earlier one");
    Holding elsewhere = fenced(held("b", 5s), 1);
    elsewhere.pool = 1;
    check_clean({{{{4}}, {{4}}}, {fenced(held("a", 0s), 2), elsewhere}});
}

TEST_CASE("a pool that changes its size has at each grant what was its largest meanwhile") {
    check_clean(changing({held("a", 0s), held("b", 5s, 1)}, 5s, 8s));
    check_clean(changing({held("a", 0s), held("b", 8s, 2)}, 5s, 8s));
    // What was granted before it became smaller may stay.
    check_clean(changing({held("a", 6s), held("b", 7s, 1)}, 5s, 8s));
    const auto early = breaches(changing({held("a", 0s), held("b", 5s - 11ms, 1)}, 5s, 8s));
    REQUIRE(early.size() == 2);
    CHECK_THAT(early[0], StartsWith("no such position"));
    CHECK_THAT(early[1], StartsWith("granted beyond a count of 1"));
    check_breach(changing({held("a", 6s, 1), held("b", 9s, 0)}, 5s, 8s), "granted beyond a count of 1");
    check_breach(changing({on(held("a", 6s), {1, 2}), held("b", 9s, 0)}, 5s, 8s),
                 "granted beyond a count of 1");
    check_clean(changing({returned(held("a", 6s, 1), 9s, Outcome::unknown), held("b", 9s, 0)}, 5s, 8s));
}

namespace {

/// A lease that is revoked; its id is lent to a stray borrow that was sent first, and is kept alive for 2 s
/// from 3 s on; and then that is told to who repeats the borrow, and does not last for the ttl.
History with_a_late_grant() {
    const Holding first = repeated(kept(chosen(fenced(held("a", 1s), 6)), 3s, Outcome::yes, 2s), 4s, {0}, 9);
    const Holding second = returned(chosen(fenced(held("a", 4s), 9)), 6s, Outcome::no);
    return with(of({first, second}), {revoked(0, 2s, Outcome::yes)});
}

History strayed(History history, Moment asked, std::string lease = "a", std::size_t pool = 0) {
    history.strays.push_back({pool, std::move(lease), asked, Moment::max()});
    return history;
}

}  // namespace

TEST_CASE("a borrow without an answer may be taken in late, and make another lease of its id") {
    const auto found = breaches(with_a_late_grant());
    REQUIRE(found.size() == 2);
    CHECK_THAT(found[0], StartsWith("lost before its time"));
    CHECK_THAT(found[1], StartsWith("outlived its revocation"));
    check_clean(strayed(with_a_late_grant(), 0s));
    CHECK(breaches(strayed(with_a_late_grant(), 0s, "b")).size() == 2);
    CHECK(breaches(strayed(with_a_late_grant(), 0s, "a", 1)).size() == 2);
    // Sent after all that.
    CHECK(breaches(strayed(with_a_late_grant(), 7s)).size() == 2);
}

TEST_CASE("what is tried with an id after its lease's end may meet what a stray borrow was granted") {
    const auto twice = returned(returned(chosen(held("a", 1s)), 3s, Outcome::yes), 5s, Outcome::yes);
    check_breach(of({twice}), "returned after its end");
    check_clean(strayed(of({twice}), 0s));
    check_clean(strayed(of({twice}), 4s));
    History with_a_kill = strayed(of({twice}), 0s);
    with_a_kill.strays.front().until = 1s + 10ms;
    check_breach(with_a_kill, "returned after its end");
    with_a_kill.strays.front().until = 1s + 10ms + 1us;
    check_clean(with_a_kill);
    check_breach(strayed(of({twice}), 5s + 10ms), "returned after its end");
    // From its own end on the slot was free.
    const auto late = kept(chosen(held("a", 1s)), 14s, Outcome::yes);
    check_breach(of({late}), "kept alive after its time");
    check_clean(strayed(of({late, held("b", 11s)}), 0s));
    const auto twice_kept = returned(kept(chosen(held("a", 1s)), 5s, Outcome::yes), 13s, Outcome::no);
    check_breach(strayed(of({twice_kept}), 0s), "lost before its time");
}

TEST_CASE("a stray borrow takes nothing from a lease that lives") {
    check_breach(strayed(of({returned(chosen(held("a", 1s)), 5s, Outcome::no)}), 0s), "lost before its time");
    check_breach(strayed(of({chosen(held("a", 1s)), held("b", 5s)}), 0s), "two holders");
    check_breach(strayed(of({chosen(held("a", 1s)), chosen(held("a", 5s, 1))}), 0s),
                 "two leases of one name");
    check_breach(strayed(of({repeated(chosen(fenced(held("a", 1s), 7)), 5s, {0}, 8)}), 0s),
                 "another lease for a repeated borrow");
}

TEST_CASE("a history is kept as text, in the order of time") {
    const TempDir folder;
    setenv("SEMA_TEST_ARTIFACTS", (folder.path() / "new").c_str(), 1);
    const std::string path = keep("some.txt", to_text(strayed(with_a_late_grant(), 0s)));
    unsetenv("SEMA_TEST_ARTIFACTS");
    CHECK(path == (folder.path() / "new" / "some.txt").string());
    std::ifstream file(path);
    CHECK(std::string(std::istreambuf_iterator<char>(file), {}) ==
          "- ... count of pool 0 4\n"
          "0 ... borrow without an answer, id chosen a pool 0\n"
          "1000000 1010000 borrow, id chosen a ttl 10000000 pool 0 position 0 fence 6\n"
          "2000000 2010000 revoke pool 0 position 0 yes\n"
          "3000000 3010000 keepalive a ttl 2000000 yes\n"
          "4000000 4010000 borrow again a pool 0 position 0 fence 9\n"
          "4000000 4010000 borrow, id chosen a ttl 10000000 pool 0 position 0 fence 9\n"
          "6000000 6010000 return a no\n");
}
