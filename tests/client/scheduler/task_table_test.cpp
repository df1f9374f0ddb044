#include "client/scheduler/task_table.hpp"

#include "tests/support/catch.hpp"

#include <string>

using namespace sema;
using namespace std::chrono_literals;

namespace {

using Phase = TaskTable::Phase;

/// A table, the time, and the tasks that the server shows.
class Table {
  public:
    Table() : table(pool_, "me") {}

    TaskTable::Due take_in() {
        return table.take_in(view, now, [](const std::string& backend) { return backend == "b"; });
    }

    TaskTable::Due timed_out() {
        TaskTable::Due due;
        table.take_timed_out(now, due);
        return due;
    }

    static TaskMark mark(const std::string& id, bool is_handed_on = false) {
        return {.id = id,
                .backend = "b",
                .by = "me",
                .is_handed_on = is_handed_on,
                .timeout = 100s,
                .hold = hold_ttl(100s, 30s)};
    }

    // A started task, whose lease was renewed `ago`.
    SeenTask& show(const std::string& id, std::uint64_t fence, std::chrono::seconds ago = 0s) {
        const std::int64_t hold = whole_seconds(hold_ttl(100s, 30s));
        view.tasks.push_back({.mark = mark(id),
                              .fence = fence,
                              .granted_at_unix = 1000,
                              .expires_at_unix = 1000 + hold,
                              .expires_in = hold - ago.count()});
        return view.tasks.back();
    }

    TaskTable::Record start(const std::string& id, std::uint64_t fence, bool is_handed_on = false) {
        TaskTable::Record record{.mark = mark(id, is_handed_on), .lease = LeaseId::random(), .fence = fence};
        table.add(record);
        return record;
    }

    TaskTable::Record run(const std::string& id, std::uint64_t fence, bool is_handed_on = false) {
        const auto record = start(id, fence, is_handed_on);
        table.set_running(record, now + 100s, 1000 + whole_seconds(hold_ttl(100s, 30s)));
        return record;
    }

    TaskView view;
    Moment now{1h};

  private:
    const PoolId pool_ = PoolId::random();

  public:
    TaskTable table;
};

}  // namespace

TEST_CASE("a scheduler goes on with the tasks of an earlier one of its name") {
    Table t;
    t.show("ours", 1);
    t.show("anothers", 2).mark.by = "you";
    t.show("unknown", 3).mark.backend = "c";
    SeenTask& unfinished = t.show("unfinished", 4);
    unfinished.expires_at_unix = unfinished.granted_at_unix + 10;
    const auto due = t.take_in();
    CHECK(due.ended.empty());
    CHECK(due.kept_alive.empty());
    REQUIRE(t.table.records().size() == 1);
    const auto* ours = t.table.find("ours");
    CHECK(ours->phase == Phase::running);
    CHECK(ours->deadline == t.now + 101s);
}

TEST_CASE("it takes on another name, and gives it up once that has neither a task nor a place") {
    Table t;
    t.show("theirs", 1).mark.by = "you";
    CHECK_FALSE(t.table.disown("you"));
    t.table.adopt("you", {});
    t.take_in();
    CHECK(t.table.find("theirs") != nullptr);
    CHECK_FALSE(t.table.disown("you"));
    t.view.tasks.clear();
    const auto due = t.take_in();
    REQUIRE(due.ended.size() == 1);
    CHECK_FALSE(t.table.disown("you"));
    t.table.remove(due.ended.front());
    CHECK(t.table.has_name("you"));
    t.view.queued.push_back({.mark = Table::mark("waiting")});
    t.view.queued.back().mark.by = "you";
    t.take_in();
    CHECK_FALSE(t.table.disown("you"));
    t.view.queued.clear();
    t.take_in();
    CHECK(t.table.disown("you"));
    CHECK_FALSE(t.table.has_name("you"));
}

TEST_CASE("it goes on with what it saw last of one that was killed, or what one left that exited") {
    Table t;
    t.show("theirs", 1).mark.by = "you";
    t.show("anew", 2).mark.by = "you";
    SeenTask& unfinished = t.show("unfinished", 3);
    unfinished.mark.by = "you";
    unfinished.expires_at_unix = unfinished.granted_at_unix + 10;
    t.take_in();
    REQUIRE(t.table.records().empty());
    t.view.tasks.clear();
    t.show("anew", 4).mark.by = "another";
    SECTION("it was killed") {
        t.table.adopt("you", {});
        const auto due = t.take_in();
        REQUIRE(due.ended.size() == 1);
        CHECK(due.ended.front().mark.id == "theirs");
        CHECK(t.table.records().size() == 1);
    }
    SECTION("it exited") {
        const bool has_left_it = GENERATE(true, false);
        TaskTable::Left left;
        if (has_left_it) {
            // Not seen here.
            left.push_back(t.show("unseen", 7));
            left.back().mark.by = "you";
            t.view.tasks.pop_back();
        }
        t.table.adopt("you", left);
        const auto due = t.take_in();
        REQUIRE(due.ended.size() == left.size());
        if (has_left_it) CHECK(due.ended.front().mark.id == "unseen");
    }
    SECTION("it was killed after they had ended") {
        t.take_in();
        t.table.adopt("you", {});
        CHECK(t.take_in().ended.empty());
    }
}

TEST_CASE("what it leaves are the tasks whose end has not begun") {
    Table t;
    t.run("goes on", 1);
    t.run("ends", 2);
    REQUIRE(t.table.begin_end("ends", 2));
    REQUIRE(t.table.left().size() == 1);
    CHECK(t.table.left().front().fence == 1);
}

TEST_CASE("a task times out at its deadline and not before") {
    Table t;
    t.run("42", 1);
    t.now += 100s - 1ms;
    CHECK(t.timed_out().timed_out.empty());
    CHECK(t.table.next_deadline() == t.now + 1ms);
    t.now += 1ms;
    CHECK(t.timed_out().timed_out.size() == 1);
    CHECK(t.table.find("42")->phase == Phase::ending);
    CHECK(t.timed_out().timed_out.empty());
    CHECK(t.table.next_deadline() == BootClock::never);
}

TEST_CASE("a later end of the lease is a keepalive, and moves the deadline") {
    Table t;
    const auto record = t.run("42", 1);
    SeenTask& seen = t.show("42", 1);
    CHECK(t.take_in().kept_alive.empty());
    t.now += 50s;
    seen.expires_at_unix += 50;
    CHECK(t.take_in().kept_alive.size() == 1);
    CHECK(t.table.find("42")->deadline == t.now + 101s);
    SECTION("another one while the function runs is answered after it") {
        ++seen.expires_at_unix;
        CHECK(t.take_in().kept_alive.empty());
        CHECK(t.table.end_keepalive(record));
        CHECK_FALSE(t.table.end_keepalive(record));
        CHECK(t.table.find("42")->phase == Phase::running);
    }
    SECTION("one whose function runs does not end, or time out, before that returns") {
        t.view.tasks.clear();
        t.now += 1h;
        CHECK(t.take_in().ended.empty());
        CHECK(t.timed_out().timed_out.empty());
        CHECK_FALSE(t.table.end_keepalive(record));
        CHECK(t.take_in().ended.size() == 1);
    }
}

TEST_CASE("a renewal of the scheduler's own is no news") {
    Table t;
    const auto record = t.run("42", 1);
    SeenTask& seen = t.show("42", 1);
    t.table.begin_renewal(record);
    seen.expires_at_unix += 50;
    CHECK(t.take_in().kept_alive.empty());
    t.table.end_renewal(record);
    t.table.note_renewal(record, t.now + 150s, seen.expires_at_unix);
    CHECK(t.take_in().kept_alive.empty());
    CHECK(t.table.find("42")->deadline == t.now + 150s);
}

TEST_CASE("a task whose lease is gone has ended, once") {
    Table t;
    const auto record = t.run("42", 1);
    SECTION("nobody holds it") {}
    SECTION("another one has started it meanwhile") {
        t.show("42", 2).mark.by = "you";
    }
    CHECK(t.take_in().ended.size() == 1);
    CHECK(t.take_in().ended.empty());
    t.table.remove(record);
    CHECK(t.table.records().empty());
}

TEST_CASE("a task that is being started is left to what starts it") {
    Table t;
    t.start("42", 1);
    t.now += 1h;
    const auto due = t.take_in();
    CHECK(due.ended.empty());
    CHECK(t.timed_out().timed_out.empty());
    CHECK(t.table.find("42")->phase == Phase::starting);
}

TEST_CASE("a task that is gone does not come back with an answer from before") {
    Table t;
    const auto record = t.run("42", 1);
    t.show("42", 1);
    t.table.begin_end("42", 1);
    t.table.remove(record);
    t.take_in();
    CHECK(t.table.records().empty());
    t.view.tasks.clear();
    t.take_in();
    // A later lease of the same task is another matter.
    t.show("42", 2);
    t.take_in();
    CHECK(t.table.find("42") != nullptr);
}

TEST_CASE("asks are for tasks whose lease is handed on") {
    Table t;
    const auto run = t.run("run", 1, true);
    t.run("started", 2);
    t.show("run", 1).mark.is_handed_on = true;
    t.show("started", 2);
    using What = TaskAsk::What;
    SECTION("a stop ends one") {
        t.view.asks = {
            {What::stop, "run", 1, "k1"}, {What::stop, "started", 2, "k2"}, {What::stop, "run", 9, "k3"}};
        const auto due = t.take_in();
        REQUIRE(due.to_end.size() == 1);
        CHECK(due.to_end.front().mark.id == "run");
        CHECK(due.asks.size() == 1);
        CHECK(t.take_in().to_end.empty());
        SECTION("and is answered where that has ended, and not returned its slot yet") {
            t.table.remove(run);
            t.view.asks = {{What::stop, "run", 1, "k4"}, {What::keepalive, "run", 1, "k5"}};
            const auto later = t.take_in();
            REQUIRE(later.asks.size() == 1);
            CHECK(later.asks.front().key == "k4");
            CHECK(later.to_end.empty());
        }
    }
    SECTION("a keepalive moves the deadline, and is taken up once") {
        t.now += 50s;
        t.view.asks = {{What::keepalive, "run", 1, "k1"}};
        CHECK(t.take_in().kept_alive.size() == 1);
        CHECK(t.table.find("run")->deadline == t.now + 100s);
        CHECK_FALSE(t.table.end_keepalive(run));
        const auto due = t.take_in();
        CHECK(due.kept_alive.empty());
        CHECK(due.asks.size() == 1);
        SECTION("a stop meanwhile comes after the function") {
            t.view.asks = {{What::keepalive, "run", 1, "k2"}, {What::stop, "run", 1, "k3"}};
            CHECK(t.take_in().to_end.empty());
            CHECK_FALSE(t.table.end_keepalive(run));
            CHECK(t.take_in().to_end.size() == 1);
        }
    }
}

TEST_CASE("one that has ended by itself is ended once it runs") {
    Table t;
    const auto record = t.start("42", 1, true);
    std::set<std::uint64_t> ended{record.fence, record.fence + 1};
    TaskTable::Due due;
    t.table.take_ended(ended, due);
    CHECK(due.over.empty());
    CHECK(ended == std::set<std::uint64_t>{record.fence});
    t.table.set_running(record, t.now + 100s, 0);
    t.table.take_ended(ended, due);
    CHECK(due.over.size() == 1);
    CHECK(ended.empty());
}
