#include "tests/e2e/waits.hpp"

#include "tests/support/catch.hpp"

using namespace sema::test;
using namespace std::chrono_literals;
using Catch::Matchers::StartsWith;

namespace {

/// Three servers on which nothing is out of order.
Account all_well() {
    Account account;
    account.unanswering.resize(3);
    account.cut_off.resize(3);
    return account;
}

/// A borrow through server 0 that waits up to 10 s.
Wait waiting(std::string name, Moment asked, Moment answered, Answer answer, std::int64_t fence = 0) {
    Wait wait;
    wait.asked = asked;
    wait.answered = answered;
    wait.answer = answer;
    wait.allowed = 10s;
    wait.name = std::move(name);
    wait.fence = fence;
    return wait;
}

Wait granted(std::string name, Moment asked, Moment answered, std::int64_t fence) {
    return waiting(std::move(name), asked, answered, Answer::yes, fence);
}

Wait through(Wait wait, std::size_t server) {
    wait.server = server;
    return wait;
}

Wait urgent(Wait wait, int priority) {
    wait.priority = priority;
    return wait;
}

/// What server 1 tells within 10 ms.
Sighting seen(Moment asked, std::vector<std::string> queue, std::vector<std::string> holders = {},
              int available = 0) {
    return {1, 0, asked, asked + 10ms, available, std::move(queue), std::move(holders)};
}

void check_lapse(const Account& account, const std::string& beginning) {
    const auto found = lapses(account);
    CAPTURE(found);
    REQUIRE(found.size() == 1);
    CHECK_THAT(found.front(), StartsWith(beginning));
}

void check_clean(const Account& account) {
    const auto found = lapses(account);
    CAPTURE(found);
    CHECK(found.empty());
}

/// Early was seen in the queue at 110 ms; Late asked after that and was granted first.
Account overtaking() {
    Account account = all_well();
    account.waits = {granted("early", 0s, 5s, 8), through(granted("late", 200ms, 4s, 7), 2)};
    account.sightings = {seen(100ms, {"early"})};
    return account;
}

/// A borrow that was told of a failure at 1 s, and has a slot at 6 s.
Account undead() {
    Account account = all_well();
    account.waits = {waiting("x", 0s, 1s, Answer::failed)};
    account.sightings = {seen(6s, {}, {"x"})};
    return account;
}

/// A slot is free from 1 s on for a borrower that waits all the time.
Account idle() {
    Account account = all_well();
    account.waits = {waiting("x", 0s, 10s, Answer::no)};
    account.sightings = {seen(1s, {"x"}, {}, 1), seen(2s, {"x"}, {}, 1), seen(4s, {"x"}, {}, 1)};
    return account;
}

}  // namespace

TEST_CASE("an account of an orderly service has no lapse") {
    Account account = all_well();
    account.calls = {{0, 0s, 10ms, Answer::yes, 0s}, {1, 0s, 1s, Answer::failed, 0s}};
    account.waits = {granted("early", 0s, 4s, 7), granted("late", 200ms, 5s, 8),
                     waiting("refused", 0s, 10s, Answer::no)};
    account.sightings = {seen(100ms, {"early"}), seen(4500ms, {"late"}, {"early"})};
    check_clean(account);
}

TEST_CASE("who asks again for a lease may have the place that it got the first time") {
    Account account = overtaking();
    account.waits[1].first_asked = 50ms;
    check_clean(account);
    account.waits[1].first_asked = account.waits[1].asked;
    check_lapse(account, "overtaken");
}

TEST_CASE("a call that is answered later than a second and the tolerance is a lapse") {
    Account account = all_well();
    account.calls = {{0, 0s, 2500ms, Answer::failed, 0s}};
    check_clean(account);
    account.calls = {{0, 0s, 2501ms, Answer::failed, 0s}};
    check_lapse(account, "answered too late");
}

TEST_CASE("a borrow that is answered later than its wait and the tolerance is a lapse") {
    Account account = all_well();
    account.waits = {waiting("x", 0s, 11500ms, Answer::no)};
    check_clean(account);
    account.waits = {waiting("x", 0s, 11501ms, Answer::no)};
    check_lapse(account, "answered too late");
}

TEST_CASE("a call without an answer is a lapse where its server was well") {
    Account account = all_well();
    account.calls = {{0, 2s, 3s, Answer::none, 0s}};
    check_lapse(account, "not answered at all");
    account.unanswering[1] = {{2s, 3s}};
    account.cut_off[0] = {{2s, 3s}};
    account.store_away = {{2s, 3s}};
    check_lapse(account, "not answered at all");
    account.unanswering[0] = {{2500ms, 2600ms}};
    check_clean(account);
}

TEST_CASE("a server that has just come back may take a moment") {
    Account account = all_well();
    account.calls = {{0, 2s, 10s, Answer::yes, 0s}};
    account.unanswering[0] = {{500ms, 999ms}};
    check_lapse(account, "answered too late");
    account.unanswering[0] = {{500ms, 1s}};
    check_clean(account);
}

TEST_CASE("who was in the queue before another asked is granted first") {
    check_lapse(overtaking(), "overtaken: early");
    Account account = overtaking();
    account.waits[1].asked = 110ms;
    check_clean(account);
}

TEST_CASE("who was refused at its end may have been overtaken too") {
    Account account = overtaking();
    account.waits[0] = waiting("early", 0s, 10s, Answer::no);
    check_lapse(account, "overtaken: early");
    // It may have been gone by then.
    account.waits[1].answered = 10s;
    check_clean(account);
}

TEST_CASE("who asks again may lose its place to its own call of before") {
    Account account = overtaking();
    account.waits[0] = waiting("early", 0s, 2s, Answer::no);
    account.waits[0].allowed = 20s;
    check_lapse(account, "overtaken: early");
    account.waits[0].first_asked = -1s;
    check_clean(account);
    // Not where it was refused at the end of its wait.
    account.waits[0].answered = 20s;
    check_lapse(account, "overtaken: early");
}

TEST_CASE("who was told of a failure or of nothing is not overtaken") {
    for (const Answer answer : {Answer::failed, Answer::none}) {
        Account account = overtaking();
        account.waits[0].answer = answer;
        account.unanswering[0] = {{5s, 6s}};
        check_clean(account);
    }
}

TEST_CASE("a borrow of a higher priority may overtake, one of a lower may not") {
    Account account = overtaking();
    account.waits[1] = urgent(account.waits[1], 1);
    check_clean(account);
    account.waits[0] = urgent(account.waits[0], 2);
    check_lapse(account, "overtaken: early");
}

TEST_CASE("a borrower whose server is away may be overtaken") {
    for (const Fault fault : {Fault{1s, 2s}, Fault{3s, Moment::max()}, Fault{-2s, -1s}}) {
        Account account = overtaking();
        account.unanswering[0] = {fault};
        check_clean(account);
        account = overtaking();
        account.cut_off[0] = {fault};
        check_clean(account);
        account = overtaking();
        account.queue_lost = {fault};
        CHECK(lapses(account).empty() == (fault.from >= 0s));
        account = overtaking();
        account.unanswering[2] = {fault};
        account.store_away = {fault};
        CHECK(lapses(account).front().rfind("overtaken: early", 0) == 0);
    }
}

TEST_CASE("borrowers of different pools do not overtake each other") {
    Account account = overtaking();
    account.waits[1].pool = 1;
    check_clean(account);
}

TEST_CASE("a borrow that was told of a failure has no slot 2 s later") {
    check_lapse(undead(), "has a slot after it was told of a failure: x");
    Account account = undead();
    account.sightings = {seen(4500ms, {}, {"x"})};
    check_clean(account);
    account.sightings = {seen(4501ms, {}, {"x"})};
    check_lapse(account, "has a slot after it was told of a failure: x");
}

TEST_CASE("the 2 s begin when the store can be reached") {
    Account account = undead();
    account.store_away = {{0s, 2500ms}};
    check_clean(account);
    account.store_away = {{0s, 2499ms}};
    check_lapse(account, "has a slot after it was told of a failure: x");
}

TEST_CASE("who asked for the same lease again may have it") {
    Account account = undead();
    account.waits[0].repeated = true;
    check_clean(account);
}

TEST_CASE("no slot is free for long while somebody waits for it") {
    check_lapse(idle(), "a slot was free");
    Account account = idle();
    account.sightings[1].available = 0;
    check_clean(account);
    account = idle();
    account.sightings[1].queue.clear();
    check_clean(account);
    account = idle();
    account.sightings[2].asked = 3510ms;
    check_clean(account);
}

TEST_CASE("a slot may be free while the store or the borrower's server is away") {
    Account account = idle();
    account.store_away = {{1500ms, 1600ms}};
    check_clean(account);
    account = idle();
    account.cut_off[0] = {{1500ms, 1600ms}};
    check_clean(account);
}
