#pragma once

#include "client/backoff.hpp"
#include "client/scheduler/lease_source.hpp"
#include "client/scheduler/task_table.hpp"
#include "client/scheduler/wake.hpp"

#include <sema/scheduler.hpp>

#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace sema {

/// What sema::scheduler does, on whatever lends the leases.
///
/// One pass at a time looks at the server, and decides; the functions of backends are called on threads of
/// their own, which end with the function. `mutex_` guards the table and what threads leave for a pass, and
/// is never held over a call to the server or to a backend.
class SchedulerCore {
  public:
    using Backends = std::vector<std::shared_ptr<backend>>;

    struct Options {
        unsigned slots = 1;
        Duration timeout{};
        Duration limit{};
        Duration poll_patience{};
        Duration patience{};
        /// How long the backends are left alone once they had no work, unless a slot was freed since; and a
        /// task, after its start, before it is started again. With 0 each pass asks, and none is due because
        /// of that. What poll() answered while the pool was full counts for that long, 3 s at least, and then
        /// until poll() has answered again; with 0 until a slot is free.
        Duration interval{};
        /// Called with trouble, and with what happens. From any thread, one call at a time.
        std::function<void(const std::string&)> on_trouble;
        std::function<void(const std::string&)> on_detail{};
        /// The start of the task with that fence is over, and its lease is renewed, or returned, or lost.
        std::function<void(std::uint64_t)> on_settled{};
        /// Throws where there is none to be had.
        std::function<std::thread(std::function<void()>)> make_thread = [](std::function<void()> work) {
            return std::thread(std::move(work));
        };
    };

    /// `name` is the scheduler's.
    SchedulerCore(std::unique_ptr<LeaseSource> leases, const PoolId& pool, std::string name,
                  Backends backends, Options options);
    /// Waits for the functions that run, and for calls to the server that are under way. None is made again
    /// because the server is away. Leaves the queue first, where it has a place.
    ~SchedulerCore();
    SchedulerCore(const SchedulerCore&) = delete;
    SchedulerCore& operator=(const SchedulerCore&) = delete;

    /// Where the server lends no slot for long enough the trouble is that it is unsuitable; where the system
    /// has no descriptors or memory for a pass, that it is unavailable. What takes a thread that is not to be
    /// had is done in a later pass.
    LeaseOutcome<void> schedule();
    LeaseOutcome<bool> stop(const std::string& id);
    LeaseOutcome<bool> keepalive(const std::string& id);
    LeaseOutcome<std::vector<task_state>> inspect();

    /// When schedule() has something to do, if nothing changes.
    Moment next_deadline() const;
    /// Whether a backend named a task when it was asked last that had been started just before, and a slot is
    /// free: it may name another one once that is taken out of the source.
    bool expects_more() const;
    /// Rung when it has.
    const Wake& bell() const { return bell_; }

    /// Other backends and options, from the next pass on. Tasks go on with the backend that they have.
    void replace(Backends backends, Options options);
    /// From then on no task is started, and the next pass leaves the queue.
    void close();
    /// What was started for a task that hands its lease on has ended: its slot is free, whether or not it is
    /// returned already.
    void note_end(std::uint64_t fence);
    /// Goes on with the tasks of a scheduler that has ended. False in forget_name(): it has tasks.
    void adopt_name(const std::string& name, const std::optional<TaskTable::Left>& left);
    bool forget_name(const std::string& name);
    /// What another scheduler needs to know that goes on with the tasks of this one.
    TaskTable::Left left() const;
    /// How many tasks there are that hand their lease on, and of which a function is being called.
    std::size_t unsettled() const;
    /// Begins to end all tasks that hand their lease on. Those of which a function is being called are left.
    void end_handed_on();

  private:
    using Record = TaskTable::Record;

    /// One backend, and its poll() that is under way, or was answered and not used yet. While it is asked
    /// again, what it named before counts for as long as that keeps its place in the queue.
    struct Source {
        std::string name;
        std::shared_ptr<backend> from;
        bool is_polled = false;
        /// Not to be asked again in this pass.
        bool rests = false;
        /// A pass did not wait for its answer any longer.
        bool is_late = false;
        /// This pass has waited for it in vain.
        bool was_waited_for = false;
        bool is_answered = false;
        std::optional<std::string> found{};
        Moment answered_at{};
        /// Used since it was asked, so that its answer may be older than that.
        std::optional<std::string> used{};
        /// How many starts had returned when it was asked.
        std::uint64_t returned_starts = 0;
        /// Its last starts failed, one after the other. It is left alone until then: others have their turn.
        Moment rests_until{};
        Backoff failed_starts{};
    };
    struct Call {
        std::thread thread;
        std::shared_ptr<bool> is_done;
    };
    /// `over`: what its lease was handed on to has ended by itself.
    enum class Ending { timed_out, asked, over, gone };
    enum class Turn { started, nothing, full };

    static constexpr Duration return_patience = std::chrono::seconds(30);

    using Work = std::function<void()>;

    /// What says when it is done; or why there is no thread.
    tl::expected<std::shared_ptr<bool>, std::string> launch(const Work& work);
    /// Null where it is left to the next pass.
    std::shared_ptr<bool> launch_or_postpone(const Record& record, const Work& work);
    void launch_postponed();
    LeaseOutcome<void> make_pass();
    void reap();
    void await(const std::vector<std::shared_ptr<bool>>& calls, Duration limit);

    LeaseOutcome<void> look();
    void see(const wire::PoolDetails& details);
    bool is_unheard(const SeenTask& task) const;
    void leave_queue(const TaskView& view);
    LeaseOutcome<void> fill();
    LeaseOutcome<Turn> try_task(Source& source, const std::string& id);
    std::optional<std::string> poll(const std::shared_ptr<Source>& source, bool asks_all);
    void ask_backend(Source& source);
    void use(Source& source, const std::string& id);
    Moment counts_until(const Source& source) const;
    bool asks_again();
    std::size_t room() const;
    bool is_due(Moment now) const;
    bool is_to_ask(Moment now) const;
    bool is_taken(const Source& source, const std::string& id);
    bool has_free_slot() const;
    bool is_own(const TaskMark& mark) const;
    void leave_old_places(const TaskMark& mark);
    bool is_queued(const std::string& id) const;
    bool keeps_place(const std::string& id) const;
    bool has_place() const;
    LeaseOutcome<bool> look_for_place(const std::string& id);
    void ask_again_at(Moment at);
    wire::BorrowRequest request_for(const TaskMark& mark) const;

    tl::expected<std::shared_ptr<bool>, std::string> begin_start(const Record& record);
    std::shared_ptr<bool> begin_end(const Record& record, Ending why);
    std::shared_ptr<bool> begin_keepalive(const Record& record);
    /// False where it is not known whether the lease is renewed for the task.
    bool start(const Record& record, backend& from);
    bool claim(const Record& record, Duration limit);
    void note_start(const Record& record, bool has_failed);
    void settle(const Record& record, bool is_known);
    void end(const Record& record, backend& from, Ending why);
    void keep_alive(const Record& record, backend& from);
    enum class Called { done, failed_and_frees, failed_and_keeps };
    Called call(const Record& record, backend& from, backend_call which, bool holds_slot = true);
    LeaseOutcome<std::optional<LeaseSource::Renewal>> renew(const Record& record, Duration ttl, Moment until);
    bool keep_running(const Record& record, backend& from, Moment until);
    Moment patience_until(Moment latest, Moment begin) const;
    /// Whether the slot is still lent for this start of the task, as far as the server can be asked.
    bool may_be_held(const Record& record);
    /// Tries it once. Whether it was held.
    LeaseOutcome<bool> return_now(const Record& record);
    /// Tries it for that long: a lease ends by itself.
    void give_back(const Record& record, Duration patience = return_patience);
    /// Whether the slot is returned here once the task was ended.
    static bool is_to_return(const Record& record, Ending why);
    void forget(const Record& record);
    /// The task as it is known here; none where its slot was granted to another scheduler.
    std::optional<Record> own_record(const std::string& id, std::uint64_t fence) const;
    LeaseOutcome<bool> stop_own(const Record& record);
    std::shared_ptr<backend> backend_of(const Record& record) const;
    Options options() const;
    void say(const std::string& message);
    void say_detail(const std::string& message);

    const std::unique_ptr<LeaseSource> leases_;
    const PoolId pool_;
    const std::string name_;
    /// TaskMark::instance of its tasks. A name may be in use twice: in copies of a folder that has it, or
    /// where a program gives it to two schedulers.
    const std::string instance_ = LeaseId::random().str();
    const Wake bell_;
    /// Rung by the destructor.
    const Wake over_;
    const Wake never_;

    /// Held for a pass, which has the next ones.
    std::mutex pass_;
    std::vector<std::shared_ptr<bool>> begun_;
    /// Tasks that may have a place in the queue, or a slot of whose grant no answer came.
    std::set<std::string> places_;
    /// When it was seen last what the queue has of them.
    Moment looked_at_{};
    /// Whether there was no answer to the last look.
    bool is_server_away_ = false;

    mutable std::mutex mutex_;
    /// As of this pass, which alone changes it.
    TaskView view_;
    /// How many slots in it were granted here to calls of which no answer came.
    std::size_t unheard_ = 0;
    std::condition_variable changed_;
    /// None while tasks are started.
    std::optional<Moment> closed_at_;
    Options options_;
    std::vector<std::shared_ptr<Source>> sources_;
    TaskTable table_;
    /// Of the tasks in the table, by their ids.
    std::map<std::string, std::shared_ptr<backend>> backends_;
    /// When the backends are asked again, if no slot is freed before. And how many more tasks there was room
    /// for when they had been asked last.
    Moment again_at_ = Moment::min();
    std::size_t last_room_ = 0;
    /// How many starts have returned. Until then a source may go on naming a task; so it is asked again when
    /// the start of one returns that was passed over.
    std::uint64_t returned_starts_ = 0;
    std::set<std::string> passed_over_;
    bool asks_again_ = false;
    bool expects_more_ = false;
    /// No task is started before, as there was no thread for one.
    Moment rests_until_ = Moment::min();
    /// Whether the server is known to lend slots for long enough; and what is said where it does not.
    bool is_ttl_checked_ = false;
    std::string refusal_;
    /// When tasks were started, of late.
    std::map<std::string, Moment> started_at_;
    /// Fences of those that ended by themselves.
    std::set<std::uint64_t> ended_;
    std::list<Call> calls_;
    /// What is called of tasks as soon as there are threads for it, and when that is tried.
    std::vector<Work> postponed_;
    Moment postponed_to_ = BootClock::never;

    std::mutex saying_;
};

}  // namespace sema
