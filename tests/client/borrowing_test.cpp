#include "client/borrowing.hpp"

#include "client/upkeep.hpp"
#include "tests/support/catch.hpp"

using namespace sema;
using namespace std::chrono_literals;

namespace {

using Stale = Borrowing::Stale;

const Moment start = Moment(1000s);

wire::BorrowRequest request(Duration ttl = 60s, Duration wait = 100s) {
    wire::BorrowRequest request;
    request.ttl = ttl;
    request.wait = wait;
    request.lease = LeaseId::random();
    request.extended = true;
    return request;
}

Borrowing borrowing(Stale stale = Stale::renew) {
    return Borrowing(request(), stale, {}, start);
}

Grant grant(Moment asked, Duration ttl = 60s) {
    Grant grant;
    grant.lease.expires_in = whole_seconds(ttl);
    grant.lease.details = wire::LeaseGrant::Details();
    grant.ttl = ttl;
    grant.asked = asked;
    return grant;
}

NoSlot placed() {
    NoSlot none;
    none.keeps_place = true;
    return none;
}

}  // namespace

TEST_CASE("a wait is made of calls that grow up to what proxies let pass, and never exceed what is left") {
    Borrowing rules = borrowing();
    CHECK(rules.next_call(start).wait == 1s);
    CHECK(rules.next_call(start + 1s).wait == 5s);
    CHECK(rules.next_call(start + 6s).wait == 10s);
    CHECK(rules.next_call(start + 16s).wait == 10s);
    CHECK(rules.next_call(start + 92s).wait == 8s);
    CHECK(rules.next_call(start + 200s).wait == 1ms);
}

TEST_CASE("a trial does not wait, and a wait does not end with one") {
    Borrowing trial(request(60s, 0s), Stale::renew, {}, start);
    CHECK(trial.next_call(start + 1s).wait == 0s);
    Borrowing short_wait(request(60s, 5ms), Stale::renew, {}, start);
    CHECK(short_wait.next_call(start + 1s).wait == 1ms);
}

TEST_CASE("who has not named its lease waits in one call") {
    wire::BorrowRequest unnamed = request();
    unnamed.lease.reset();
    Borrowing rules(unnamed, Stale::renew, {}, start);
    CHECK(rules.next_call(start).wait == 100s);
}

TEST_CASE("a server that answers sooner than asked is not asked without a pause") {
    Borrowing rules = borrowing();
    CHECK(rules.next_try(placed(), start, start + 10ms) == start + 250ms);
    CHECK(rules.next_try(placed(), start, start + 1s) == start + 250ms);
}

TEST_CASE("trouble is tried again after pauses that grow, and are a third of what is left at most") {
    Borrowing rules = borrowing();
    Duration longest{};
    for (int i = 0; i < 12; ++i)
        longest = std::max(longest, rules.next_try(Unreachable{"gone"}, start, start) - start);
    CHECK(longest > 2s);
    CHECK(longest <= 5s);
    CHECK(rules.next_try(Unreachable{"gone"}, start, start + 97s) <= start + 98s);
    CHECK(rules.next_call(start).wait == 1s);
    CHECK(rules.may_be_older());
    rules.next_try(placed(), start, start);
    CHECK_FALSE(rules.may_be_older());
}

TEST_CASE("only what asking again would not better is final") {
    Borrowing rules = borrowing();
    CHECK(rules.is_final(NoSuchPool{}, start));
    CHECK(rules.is_final(Rejected{"refused: no"}, start));
    CHECK_FALSE(rules.is_final(placed(), start));
    CHECK_FALSE(rules.is_final(Busy{"overloaded"}, start));
    CHECK_FALSE(rules.is_final(Unreachable{"gone"}, start));
    const Rejected foreign{.reason = "gave an answer that no semad gives", .is_foreign = true};
    CHECK_FALSE(rules.is_final(foreign, start + 30s - 1us));
    CHECK(rules.is_final(foreign, start + 30s));
    CHECK_FALSE(rules.is_final(Rejected{.reason = "taken over", .is_taken_over = true}, start));
}

TEST_CASE(
    "a place that another one took is lost where the lease's id is the user's, but for an unread call") {
    Borrowing rules = borrowing(Stale::accept);
    const Rejected taken{.reason = "taken over", .is_taken_over = true};
    CHECK(rules.is_final(taken, start));
    rules.next_try(Unreachable{"gone"}, start, start);
    CHECK_FALSE(rules.is_final(taken, start));
    CHECK(rules.is_final(taken, start));
}

TEST_CASE(
    "a lease is as new while no renewal of it is overdue, or while it is whole where it is not renewed") {
    const Borrowing renewed = borrowing(Stale::renew);
    const auto offer = renewed.offer(grant(start));
    CHECK(renewed.is_as_new(offer, start + 12s));
    CHECK_FALSE(renewed.is_as_new(offer, start + 12s + 1us));
    for (const Stale stale : {Stale::replace, Stale::accept}) {
        const Borrowing kept = borrowing(stale);
        CHECK(kept.is_as_new(kept.offer(grant(start)), start + 1s));
        CHECK_FALSE(kept.is_as_new(kept.offer(grant(start)), start + 1s + 1us));
    }
}

TEST_CASE("what an earlier call may have been granted is worth what the server says is left") {
    Borrowing rules = borrowing();
    rules.left();
    Grant old = grant(start);
    old.lease.expires_in = 20;
    const auto offer = rules.offer(old);
    CHECK(offer.grant.ttl == 20s);
    CHECK(offer.whole == 60s);
    CHECK_FALSE(rules.is_as_new(offer, start));
    CHECK_FALSE(rules.is_enough(offer, Borrowing::Rest::unknown, start));
}

TEST_CASE("a renewal makes an old lease a new one, and half of a ttl is enough where there is none") {
    const Borrowing rules = borrowing();
    auto offer = rules.offer(grant(start));
    const Moment now = start + 40s;
    CHECK_FALSE(rules.is_enough(offer, Borrowing::Rest::unknown, now));
    CHECK(rules.is_enough(offer, Borrowing::Rest::unknown, start + 30s));
    CHECK_FALSE(rules.renewed(offer, now, NotRenewable{}));
    CHECK(rules.renewed(offer, now, Unreachable{"gone"}) == Borrowing::Rest::unknown);
    CHECK(rules.renewed(offer, now, wire::Renewed{}) == Borrowing::Rest::none);
    CHECK_FALSE(rules.is_enough(offer, Borrowing::Rest::none, start));
    wire::Renewed renewed;
    renewed.lease.emplace().expires_in = 60;
    CHECK(rules.renewed(offer, now, renewed) == Borrowing::Rest::known);
    CHECK(term_of(offer.grant).safe_until == now + 60s);
    CHECK(rules.is_enough(offer, Borrowing::Rest::known, now));
}

TEST_CASE("the lease after one that was given back has another id, but for one that the user named") {
    Borrowing own = borrowing();
    const auto before = *own.request().lease;
    own.gave_back(grant(start));
    CHECK_FALSE(*own.request().lease == before);
    Borrowing users = borrowing(Stale::accept);
    const auto named = *users.request().lease;
    users.gave_back(grant(start));
    CHECK(*users.request().lease == named);
}

TEST_CASE("who gives up leaves the queue where it may have a place, or a lease whose answer was lost") {
    const Borrowing rules = borrowing();
    CHECK(rules.leave_limit(placed()) == Borrowing::cancel_limit);
    CHECK(rules.leave_limit(Unreachable{"gone"}) == Borrowing::late_cancel_limit);
    CHECK_FALSE(rules.leave_limit(NoSlot{}));
    CHECK_FALSE(borrowing(Stale::accept).leave_limit(placed()));
}
