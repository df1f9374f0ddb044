#include "client/scheduler/task_mark.hpp"

#include "tests/support/catch.hpp"

#include <string>

using namespace sema;
using namespace std::chrono_literals;

namespace {

TaskMark sample(const std::string& id) {
    return {
        .id = id, .backend = "nightly", .by = "host-1", .instance = "4711", .timeout = 8h, .hold = 8h + 55s};
}

SeenTask seen(std::int64_t granted_at, std::int64_t expires_at, std::int64_t expires_in) {
    return {.mark = {.id = "42", .backend = "b", .by = "me", .timeout = 2s, .hold = hold_ttl(2s, 30s)},
            .fence = 1,
            .granted_at_unix = granted_at,
            .expires_at_unix = expires_at,
            .expires_in = expires_in};
}

}  // namespace

TEST_CASE("a task's lease is the UUID of version 5 of the pool's and the task's id") {
    const auto pool = PoolId::parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    // The one of Python's uuid.uuid5(uuid.NAMESPACE_DNS, "python.org").
    CHECK(lease_of_task(*pool, "python.org").str() == "886313e1-3b8a-5372-9b90-0c9aee199e5d");
    CHECK(lease_of_task(*pool, "a").str() != lease_of_task(PoolId::random(), "a").str());
}

TEST_CASE("what is known of a task comes back from its lease's holder") {
    for (const std::string& id : {std::string("42"), std::string("a/b c?d=e&f%g"),
                                  std::string("\xc3\xa4\xe2\x82\xac"), std::string(200, 'x')}) {
        CAPTURE(id);
        TaskMark mark = sample(id);
        mark.is_handed_on = id == "42";
        const Holder holder = holder_of(mark);
        CHECK(mark_of_task(holder) == mark);
        CHECK(holder.name->size() <= 256);
        CHECK(holder.url->size() <= 2048);
    }
}

TEST_CASE("what an earlier release wrote of a task is read, and written as it was") {
    const std::string url = "sema-task:42?backend=nightly&by=host-1&lease=run&timeout_ms=1000&hold_ms=56000";
    const auto mark = mark_of_task({.name = {}, .url = url});
    REQUIRE(mark);
    CHECK(mark->by == "host-1");
    CHECK(mark->instance.empty());
    CHECK(mark->is_handed_on);
    CHECK(mark->hold == 56s);
    CHECK(holder_of(*mark).url == url);
}

TEST_CASE("a holder's name is cut between characters") {
    TaskMark mark = sample("");
    while (mark.id.size() + 2 <= 200)
        mark.id += "\xc3\xa4";
    mark.backend = std::string(63, 'b');
    const std::string name = *holder_of(mark).name;
    CHECK(name.size() <= 256);
    CHECK_FALSE(fault_of_task_id(name.substr(65)));
}

TEST_CASE("a holder that is no task is none") {
    for (const char* url :
         {"", "https://ci.example.com/1", "sema-task:", "sema-task:42", "sema-task:42?timeout_ms=1",
          "sema-task:42?backend=b&timeout_ms=5&hold_ms=4", "sema-task:4%zz?timeout_ms=1&hold_ms=2",
          "sema-task:42?timeout_ms=1&hold_ms=99999999999999999999"}) {
        CAPTURE(url);
        CHECK_FALSE(mark_of_task({.name = "42", .url = url}));
    }
    CHECK_FALSE(mark_of_task({}));
}

TEST_CASE("a task that is left is known again from a line of text") {
    const SeenTask task{.mark = sample("a b"), .position = 3, .fence = 7};
    const auto left = left_task(line_of(task));
    REQUIRE(left);
    CHECK(left->mark == task.mark);
    CHECK(left->position == 3);
    CHECK(left->fence == 7);
    CHECK(left->is_started());
    for (const char* line : {"", "7", "7 3", "7 3 https://example.com", "x 3 sema-task:42"})
        CHECK_FALSE(left_task(line));
}

TEST_CASE("times that no lease can have are cut off, and their task is known again") {
    for (const Duration limit : {Duration(30s), longest_duration}) {
        TaskMark mark = sample("42");
        mark.timeout = bounded_timeout(longest_duration, limit);
        mark.hold = hold_ttl(longest_duration, limit);
        CHECK(mark.timeout > longest_duration / 2);
        CHECK(mark.margin() == hold_margin(limit));
        CHECK(mark_of_task(holder_of(mark)) == mark);
    }
}

TEST_CASE("an ask comes back from its holder") {
    for (const auto what : {TaskAsk::What::stop, TaskAsk::What::keepalive}) {
        const TaskAsk ask{.what = what, .id = "a b", .fence = 7, .key = LeaseId::random().str()};
        CHECK(ask_of(holder_of(ask)) == ask);
        CHECK_FALSE(mark_of_task(holder_of(ask)));
    }
    CHECK_FALSE(ask_of({.name = "x", .url = "sema-ask:42?what=dance&fence=1&key=2"}));
}

TEST_CASE("what is no task's id is told") {
    CHECK(fault_of_task_id("") == "it is empty");
    CHECK(fault_of_task_id("a\nb") == "it has several lines");
    CHECK(fault_of_task_id("a\tb") == "it has a control character");
    CHECK(fault_of_task_id("a\xc2\x85") == "it has a control character");
    CHECK_FALSE(fault_of_task_id("a\xc2\xa0"));
    CHECK(fault_of_task_id("\xff") == "it is not UTF-8");
    CHECK(fault_of_task_id("\xc3") == "it is not UTF-8");
    CHECK(fault_of_task_id("\xe0\x80\x80") == "it is not UTF-8");
    CHECK(fault_of_task_id("\xed\xa0\x80") == "it is not UTF-8");
    CHECK(fault_of_task_id(std::string(201, 'x')));
    CHECK_FALSE(fault_of_task_id(std::string(200, 'x')));
    CHECK_FALSE(fault_of_task_id("job 42: \xf0\x9f\x9a\x80"));
}

TEST_CASE("how long a lease lasts shows whether its task is started") {
    const std::int64_t granted = 1'000'000;
    // Claimed, and renewed for its start as late as can be.
    const std::int64_t longest_start = whole_seconds(claim_ttl + start_ttl(30s));
    CHECK_FALSE(seen(granted, granted + whole_seconds(claim_ttl), 10).is_started());
    CHECK_FALSE(seen(granted, granted + longest_start, 10).is_started());
    CHECK(seen(granted, granted + whole_seconds(hold_ttl(2s, 30s)), 10).is_started());
}

TEST_CASE("a task's times follow from its lease") {
    const std::int64_t hold = whole_seconds(hold_ttl(2s, 30s));
    const SeenTask task = seen(1'000'000, 1'000'100 + hold, hold - 1);
    CHECK(task.last_keepalive_unix() == 1'000'100);
    CHECK(task.times_out_in() == 1s);
    CHECK(seen(1'000'000, 1'000'100 + hold, 5).times_out_in() == 0s);
    SeenTask handed_on = task;
    handed_on.mark.is_handed_on = true;
    CHECK_FALSE(handed_on.last_keepalive_unix());
    CHECK_FALSE(handed_on.times_out_in());
}

TEST_CASE("a pool's view parts tasks, asks and others") {
    wire::PoolDetails details;
    details.count = 3;
    details.available = 1;
    const auto hold = [&](unsigned position, const Holder& holder) {
        details.holders.emplace_back();
        details.holders.back().position = position;
        details.holders.back().fence = 5;
        details.holders.back().holder = std::make_shared<const Holder>(holder);
    };
    const auto wait = [&](const Holder& holder) {
        details.queue.emplace_back();
        details.queue.back().holder = std::make_shared<const Holder>(holder);
    };
    hold(0, {.name = "somebody", .url = std::nullopt});
    hold(2, holder_of(sample("42")));
    wait(holder_of(TaskAsk{.what = TaskAsk::What::stop, .id = "42", .fence = 5, .key = "k"}));
    wait(holder_of(sample("43")));
    const TaskView view = view_tasks(details);
    REQUIRE(view.tasks.size() == 1);
    CHECK(view.tasks.front().position == 2);
    CHECK(view.tasks.front().fence == 5);
    CHECK(view.asks.size() == 1);
    REQUIRE(view.queued.size() == 1);
    CHECK(view.queued.front().mark.id == "43");
    CHECK_FALSE(view.queued.front().is_away);
    CHECK_FALSE(view.others_wait);
    details.queue.emplace_back();
    CHECK(view_tasks(details).others_wait);
    CHECK(view_tasks(details).others_are_ready);
    SECTION("one that is away is not ready") {
        details.queue.back().away = true;
    }
    SECTION("nor is one that asks for more slots than are in service") {
        details.queue.back().slots = 3;
        CHECK(view_tasks(details).others_are_ready);
        details.out.emplace_back();
    }
    CHECK(view_tasks(details).others_wait);
    CHECK_FALSE(view_tasks(details).others_are_ready);
}
