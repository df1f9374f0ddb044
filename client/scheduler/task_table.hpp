#pragma once

#include "client/boot_clock.hpp"
#include "client/scheduler/task_mark.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace sema {

/// The tasks that one scheduler looks after, and what becomes of them. Knows no clock, no server and no
/// backend: it is given the time and what the server says, and says which functions have come due.
class TaskTable {
  public:
    enum class Phase {
        starting,  ///< its start is under way
        running,
        busy,    ///< running, while a function is called that goes with a keepalive
        ending,  ///< the functions are called that come at its end
    };

    struct Record {
        TaskMark mark;
        LeaseId lease;
        unsigned position = 0;
        /// The slot's payload, as a text; empty where another program started the task.
        std::string slot{};
        std::uint64_t fence = 0;
        Phase phase = Phase::starting;
        /// When it times out.
        Moment deadline = BootClock::never;
        /// The end of its lease as last seen. A later one shows that a keepalive came.
        std::int64_t expires_at_unix = 0;
        /// A keepalive came while it was busy.
        bool is_to_call_again = false;
        /// Renewals by this program that are under way: a later end of the lease is not news then.
        unsigned renewals = 0;
        /// Asks that have been taken up, by their keys.
        std::set<std::string> taken_up{};
        /// Its slot is free, as was seen last, though a function may yet be called at its end.
        bool is_over = false;
    };

    /// What has come due: of each, a copy of the record.
    struct Due {
        /// The lease has ended, so the task has.
        std::vector<Record> ended;
        std::vector<Record> kept_alive;
        std::vector<Record> timed_out;
        /// They have ended by themselves, though their lease may be held.
        std::vector<Record> over;
        /// Somebody asked for their end, and the lease is held.
        std::vector<Record> to_end;
        /// To be answered.
        std::vector<TaskAsk> asks;
    };

    /// `name` is the scheduler's, and `instance` as in its marks. What it started itself was added: a lease
    /// of its own that is not here was granted to a call of which no answer came.
    TaskTable(PoolId pool, std::string name, std::string instance = "")
        : pool_(pool), instance_(std::move(instance)), names_{std::move(name)} {}

    /// What a scheduler left when it exited.
    using Left = std::vector<SeenTask>;

    /// Goes on with the tasks of another scheduler, which has ended, or of an earlier one of this name: also
    /// with those whose leases have ended since, as the functions for that were not called. Where the other
    /// one exited `left` says which ones that may be; where it was killed, those that take_in() saw last.
    void adopt(const std::string& name, const std::optional<Left>& left);
    /// What is left for another one to go on with.
    Left left() const;
    /// No more: false where the server showed tasks of that name, or a place in the queue, when it was asked
    /// last, or was not asked yet.
    bool disown(const std::string& name);
    /// Whether it is this scheduler's, or one that it goes on with.
    bool has_name(const std::string& name) const { return names_.count(name) != 0; }

    /// A lease was granted for the task, which is to be started.
    void add(Record record);

    /// What the server says of all tasks. REQUIRES: it was asked after the last add(). Tasks of this
    /// scheduler's name that are not in the table come in: an earlier one started them. Those whose start it
    /// did not finish are left to the end of their lease.
    /// `knows` says whether there is a backend of that name.
    template <class Knows>
    Due take_in(const TaskView& view, Moment now, Knows knows) {
        Due due;
        std::set<std::string_view> seen;
        std::set<std::uint64_t> shown;
        std::set<std::string_view> held;
        std::vector<SeenTask> others;
        idle_ = names_;
        for (const SeenTask& task : view.tasks) {
            idle_.erase(task.mark.by);
            held.insert(task.mark.id);
            if (names_.count(task.mark.by) == 0) others.push_back(task);
            // A task here goes on also where its backend is not named any more.
            const bool is_own = names_.count(task.mark.by) != 0 &&
                                (knows(task.mark.backend) || find(task.mark.id, task.fence) != nullptr);
            if (gone_.count(task.fence) != 0)
                shown.insert(task.fence);
            else if (is_own && take_in(task, now, due))
                seen.insert(task.mark.id);
        }
        gone_ = std::move(shown);
        for (const QueuedTask& task : view.queued)
            idle_.erase(task.mark.by);
        for (const SeenTask& task : others_) {
            const bool is_own = names_.count(task.mark.by) != 0 && knows(task.mark.backend);
            // One that was started anew since is not to be disturbed.
            if (is_own && held.count(task.mark.id) == 0) take_in(task, now, due);
        }
        others_ = std::move(others);
        end_unseen(seen, due);
        for (const TaskAsk& ask : view.asks)
            take_in(ask, now, due);
        return due;
    }

    /// Those of `fences` that run are over. They are taken out of `fences`; so are those that are gone.
    void take_ended(std::set<std::uint64_t>& fences, Due& due);

    /// Those that have timed out by now. Their end begins.
    void take_timed_out(Moment now, Due& due);

    /// The start is over: from then on the task runs, and times out at `deadline`. The same once a function
    /// failed that was called because of its timeout, and the slot is kept. False where it is gone.
    bool set_running(const Record& record, Moment deadline, std::int64_t expires_at_unix);

    /// The function that goes with a keepalive returned. True where it is to be called again.
    bool end_keepalive(const Record& record);

    /// The lease is renewed by way of this program, and once that is done, or failed: what came of it.
    void begin_renewal(const Record& record);
    void end_renewal(const Record& record);
    void note_renewal(const Record& record, Moment deadline, std::int64_t expires_at_unix);

    /// A keepalive came by way of this program: the record, where the function is to be called now.
    bool begin_keepalive(const Record& record);

    /// The end of the task begins, unless it has: then false.
    bool begin_end(const std::string& id, std::uint64_t fence);

    /// It is gone.
    void remove(const Record& record);

    const Record* find(const std::string& id) const;
    /// How many may have a slot.
    std::size_t holders() const;
    /// By id.
    const std::map<std::string, Record>& records() const { return records_; }

    /// When the next one times out.
    Moment next_deadline() const;

  private:
    bool take_in(const SeenTask& task, Moment now, Due& due);
    void take_in(const TaskAsk& ask, Moment now, Due& due);
    void end_unseen(const std::set<std::string_view>& seen, Due& due);
    void note_keepalive(Record& record, Due& due);
    Record* find(const std::string& id, std::uint64_t fence);

    PoolId pool_;
    std::string instance_;
    std::set<std::string> names_;
    /// Those of which the server shows neither a task nor a place.
    std::set<std::string> idle_;
    /// Tasks of other names, as seen last.
    std::vector<SeenTask> others_;
    std::map<std::string, Record> records_;
    /// The fences of those that were removed, as long as the server may have been asked before that.
    std::set<std::uint64_t> gone_;
};

}  // namespace sema
