#include "client/scheduler/scheduler_core.hpp"

#include "client/backoff.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

// The passes. What is asked from outside is in scheduler_requests.cpp, and what is done on the threads of
// calls in scheduler_calls.cpp.

namespace sema {
namespace {

using namespace std::chrono_literals;

// How long a task waits in the queue behind others in one pass: until something changes, mostly.
constexpr auto longest_place = 10s;
constexpr auto shortest_place = 1s;
// How long a backend's answer counts at least: one that comes late is taken up once the place of another
// one's task is left.
constexpr auto shortest_count = 3s;
// When the backends are asked again after one named a task that another scheduler was quicker to start, or
// one that was started here a moment ago.
constexpr auto soon = 200ms;
// How long no backend is asked, and no task started, once there was no thread for that. To borrow a slot and
// to return it are changes of the pool, which everybody sees.
constexpr auto thread_pause = 1s;
// Of so many tasks whose slots are free already the ends may be under way, or of as many as there are slots.
// While there are more, none is started: what is called at the end of each hangs.
constexpr std::size_t most_ending = 64;
// A pass starts a task for each slot that was free when it began, or that many. The rest is for the next one,
// where tasks end as soon as they were started: there is more to do than that.
constexpr std::size_t starts_in_pass = 16;
// For how long a task counts as started of late, or for the interval where that is longer.
constexpr auto of_late = 10s;

/// Leaves a queue once there is something else to do. Not at once: to enter and to leave it are changes of
/// the pool, which ring the bell as well.
class UntilRung : public WaitControl {
  public:
    UntilRung(const Wake& bell, const Wake& never, Moment latest)
        : bell_(bell), never_(never), latest_(latest) {}
    int wake_fd() const override { return never_.fd(); }
    bool keep_waiting() override {
        const Moment now = BootClock::now();
        return now < latest_ && (now < begin_ + shortest_place || !bell_.was_rung());
    }
    Duration longest_round() const override { return 200ms; }

  private:
    const Wake& bell_;
    const Wake& never_;
    const Moment begin_ = BootClock::now();
    const Moment latest_;
};

// Whether the server has the same text for both. A mark that comes back from it has whole milliseconds.
bool is_written_alike(const TaskMark& one, const TaskMark& other) {
    return holder_of(one).url == holder_of(other).url;
}

}  // namespace

SchedulerCore::SchedulerCore(std::unique_ptr<LeaseSource> leases, const PoolId& pool, std::string name,
                             Backends backends, Options options)
    : leases_(std::move(leases)), pool_(pool), name_(name), table_(pool, std::move(name), instance_) {
    replace(std::move(backends), std::move(options));
}

SchedulerCore::~SchedulerCore() {
    close();
    over_.ring();
    try {
        // A server that did not answer a moment ago is not waited for once more.
        if (!places_.empty() && !is_server_away_) {
            if (const auto details = leases_->view()) leave_queue(view_tasks(*details));
        }
    } catch (const std::exception&) {
        // What it would have left ends by itself.
    }
    for (Call& call : calls_)
        call.thread.join();
}

void SchedulerCore::replace(Backends backends, Options options) {
    const std::lock_guard lock(mutex_);
    options_ = std::move(options);
    std::vector<std::shared_ptr<Source>> sources;
    for (auto& from : backends) {
        sources.push_back(std::make_shared<Source>());
        sources.back()->name = from->name();
        sources.back()->from = std::move(from);
    }
    is_ttl_checked_ = false;
    // Tasks that this scheduler did not start have been found a backend by its name.
    for (const auto& [id, record] : table_.records()) {
        if (auto from = backend_of(record)) backends_.try_emplace(id, std::move(from));
    }
    // A poll() that is under way ends with the source that it was asked of.
    sources_ = std::move(sources);
}

void SchedulerCore::close() {
    const std::lock_guard lock(mutex_);
    if (!closed_at_) closed_at_ = BootClock::now();
}

LeaseOutcome<void> SchedulerCore::schedule() {
    const std::lock_guard pass(pass_);
    try {
        return make_pass();
    } catch (const std::exception& error) {
        const std::lock_guard lock(mutex_);
        ask_again_at(BootClock::now() + soon);
        return tl::unexpected(LeaseTrouble{LeaseTrouble::Kind::unavailable, error.what()});
    }
}

LeaseOutcome<void> SchedulerCore::make_pass() {
    bell_.clear();
    reap();
    begun_.clear();
    launch_postponed();
    {
        const std::lock_guard lock(mutex_);
        for (const auto& source : sources_)
            source->rests = source->was_waited_for = false;
        const Moment now = BootClock::now();
        const Duration kept = std::max<Duration>(options_.interval, of_late);
        std::erase_if(started_at_, [&](const auto& entry) { return entry.second + kept <= now; });
    }
    if (const auto done = look(); !done) return done;
    if (!begun_.empty()) {
        // Their slots are filled in this pass.
        await(begun_, options().patience);
        begun_.clear();
        if (const auto done = look(); !done) return done;
    }
    do {
        const auto filled = fill();
        await(begun_, options().patience);
        if (!filled) return filled;
    } while (asks_again());
    const std::lock_guard lock(mutex_);
    if (!refusal_.empty())
        return tl::unexpected(LeaseTrouble{LeaseTrouble::Kind::unsuitable, std::exchange(refusal_, "")});
    return {};
}

bool SchedulerCore::asks_again() {
    const std::lock_guard lock(mutex_);
    return asks_again_ && room() > 0 && refusal_.empty() && BootClock::now() >= rests_until_;
}

LeaseOutcome<void> SchedulerCore::look() {
    looked_at_ = BootClock::now();
    const auto details = leases_->view();
    is_server_away_ = !details;
    TaskTable::Due due;
    if (!details) {
        // Who stops does not wait for the server to return the slot of what has ended by itself.
        {
            const std::lock_guard lock(mutex_);
            if (closed_at_) table_.take_ended(ended_, due);
        }
        for (const Record& record : due.over)
            begin_end(record, Ending::over);
        return tl::unexpected(details.error());
    }
    const Moment now = BootClock::now();
    bool is_open = true;
    {
        const std::lock_guard lock(mutex_);
        is_open = !closed_at_;
        see(*details);
        due = table_.take_in(view_, now, [&](const std::string& backend) {
            return std::any_of(sources_.begin(), sources_.end(),
                               [&](const auto& source) { return source->name == backend; });
        });
        table_.take_ended(ended_, due);
        table_.take_timed_out(now, due);
    }
    for (const Record& record : due.kept_alive)
        begun_.push_back(begin_keepalive(record));
    for (const Record& record : due.ended)
        begun_.push_back(begin_end(record, Ending::gone));
    for (const Record& record : due.timed_out)
        begun_.push_back(begin_end(record, Ending::timed_out));
    for (const Record& record : due.over)
        begun_.push_back(begin_end(record, Ending::over));
    for (const Record& record : due.to_end)
        begun_.push_back(begin_end(record, Ending::asked));
    for (const TaskAsk& ask : due.asks) {
        // Where it fails the ask stands in the queue at the next look, and is answered then.
        if (const auto place = LeaseId::parse(ask.key)) static_cast<void>(leases_->cancel(*place));
    }
    std::erase_if(places_, [&](const std::string& id) { return !keeps_place(id); });
    if (!is_open) leave_queue(view_);
    return {};
}

// One that was granted to a borrow of which no answer came is there to be borrowed again.
void SchedulerCore::see(const wire::PoolDetails& details) {
    view_ = view_tasks(details);
    unheard_ = static_cast<std::size_t>(std::count_if(
        view_.tasks.begin(), view_.tasks.end(), [&](const SeenTask& task) { return is_unheard(task); }));
}

bool SchedulerCore::is_unheard(const SeenTask& task) const {
    return is_own(task.mark) && places_.count(task.mark.id) != 0 && table_.find(task.mark.id) == nullptr;
}

// No pass comes back to its places, nor to a slot of whose grant no answer came.
void SchedulerCore::leave_queue(const TaskView& view) {
    const std::set<std::string> places = std::exchange(places_, {});
    for (const QueuedTask& task : view.queued) {
        if (is_own(task.mark) && !leases_->cancel(lease_of_task(pool_, task.mark.id))) return;
    }
    for (const SeenTask& task : view.tasks) {
        const bool is_nobodys = is_own(task.mark) && places.count(task.mark.id) != 0;
        if (is_nobodys && !leases_->give_back(lease_of_task(pool_, task.mark.id), task.fence)) return;
    }
}

// How many more tasks could have a slot now, or ask for one.
std::size_t SchedulerCore::room() const {
    const std::size_t tasks = table_.holders();
    const bool too_many_end =
        table_.records().size() - tasks >= std::max<std::size_t>(most_ending, view_.count);
    if (closed_at_ || tasks >= options_.slots || too_many_end) return 0;
    // Behind others one task takes a place in the queue; where nobody waits, there is no slot to ask for.
    const std::size_t lent_again = view_.available + unheard_;
    const std::size_t available = lent_again > 0 ? lent_again : view_.others_wait ? 1 : 0;
    return std::min<std::size_t>(options_.slots - tasks, available);
}

// Whether sources are asked that have named no task, as when the one is asked again whose task is next. Until
// then that one is tried again.
bool SchedulerCore::is_due(Moment now) const {
    const auto next = std::find_if(sources_.begin(), sources_.end(),
                                   [](const auto& source) { return source->found.has_value(); });
    const bool is_next_asked = next != sources_.end() && now >= counts_until(**next);
    return room() > last_room_ || now >= again_at_ || asks_again_ || is_next_asked || options_.interval == 0s;
}

bool SchedulerCore::is_to_ask(Moment now) const {
    const bool has_answer = std::any_of(sources_.begin(), sources_.end(),
                                        [](const auto& source) { return source->found.has_value(); });
    return now >= rests_until_ && room() > 0 && (has_answer || is_due(now));
}

LeaseOutcome<void> SchedulerCore::fill() {
    std::vector<std::shared_ptr<Source>> sources;
    bool asks_all = false;
    {
        const std::lock_guard lock(mutex_);
        const Moment now = BootClock::now();
        if (!is_to_ask(now)) {
            last_room_ = std::min(last_room_, room());
            return {};
        }
        asks_all = is_due(now);
        if (asks_all) {
            // Also where this pass waits for longer in the queue.
            again_at_ = options_.interval > 0s ? now + std::max<Duration>(options_.interval, shortest_count)
                                               : BootClock::never;
            asks_again_ = false;
            expects_more_ = false;
        }
        sources = sources_;
    }
    std::size_t starts = 0;
    std::size_t most = 0;
    {
        const std::lock_guard lock(mutex_);
        most = std::max(room(), starts_in_pass);
    }
    LeaseOutcome<void> done;
    for (bool again = true; again;) {
        {
            const std::lock_guard lock(mutex_);
            if (room() == 0) break;
            if (starts == most) {
                ask_again_at(BootClock::now());
                expects_more_ = true;
                break;
            }
        }
        Turn turn = Turn::nothing;
        for (const auto& source : sources) {
            const auto id = poll(source, asks_all);
            if (!id) continue;
            const auto tried = try_task(*source, *id);
            if (!tried) {
                done = tl::unexpected(tried.error());
                break;
            }
            turn = *tried;
            if (turn != Turn::full) use(*source, *id);
            if (turn != Turn::nothing) break;
        }
        if (turn == Turn::started) ++starts;
        // There may be room for more; and where what was named is void, the others are asked as well.
        again = done && (turn == Turn::started || (turn == Turn::nothing && !asks_all));
        asks_all = asks_all || again;
    }
    const std::lock_guard lock(mutex_);
    if (asks_all && options_.interval > 0s) ask_again_at(BootClock::now() + options_.interval);
    last_room_ = room();
    return done;
}

void SchedulerCore::ask_again_at(Moment at) {
    again_at_ = std::min(again_at_, at);
}

std::optional<std::string> SchedulerCore::poll(const std::shared_ptr<Source>& source, bool asks_all) {
    std::unique_lock lock(mutex_);
    if (source->rests) return std::nullopt;
    if (BootClock::now() < source->rests_until) {
        ask_again_at(source->rests_until);
        return std::nullopt;
    }
    // The source may have taken it back.
    if (BootClock::now() >= counts_until(*source)) source->is_answered = false;
    // One that was too slow for an earlier pass is not waited for once more.
    Duration patience{};
    if (!source->is_polled && !source->is_answered) {
        if (!source->found && !asks_all) return std::nullopt;
        source->is_polled = true;
        source->is_late = false;
        source->used.reset();
        source->returned_starts = returned_starts_;
        // A place in the queue is lost where nobody comes back to it. But one that has named a task is waited
        // for, as it may have taken that back, and each is for a slot that nobody else waits for.
        const bool is_waited_for =
            source->found || (!source->was_waited_for && (has_free_slot() || !has_place()));
        patience = is_waited_for ? options_.poll_patience : 0s;
        lock.unlock();
        const auto call = launch([this, source] { ask_backend(*source); });
        if (!call) say(source->name + ": poll failed: " + call.error());
        lock.lock();
        if (!call) {
            source->is_polled = false;
            source->rests = true;
            source->found.reset();
            ask_again_at(BootClock::now() + thread_pause);
            return std::nullopt;
        }
    }
    if (!changed_.wait_for(lock, patience, [&] { return source->is_answered; })) {
        // Its answer counts when it comes: the bell is rung then.
        source->was_waited_for = source->was_waited_for || patience > 0s;
        source->rests = true;
        source->is_late = true;
        // Another scheduler may have started it.
        if (source->found && !keeps_place(*source->found)) source->found.reset();
    }
    source->is_answered = source->is_answered && source->found;
    return source->found;
}

void SchedulerCore::ask_backend(Source& source) {
    std::optional<std::string> id;
    bool has_failed = true;
    try {
        id = source.from->poll();
        const auto fault = id ? fault_of_task_id(*id) : std::nullopt;
        if (fault) {
            say(source.name + ": poll gave no task's id: " + *fault);
            id.reset();
        }
        has_failed = fault.has_value();
    } catch (const std::exception& error) {
        say(source.name + ": poll failed: " + error.what());
    } catch (...) {
        say(source.name + ": poll failed");
    }
    const std::lock_guard lock(mutex_);
    // An answer that came too late, and has no task, is not news, unless it takes one back, or is as old as a
    // task that was started meanwhile: then there may be others.
    const bool is_old = id && id == source.used;
    const bool is_news = id || source.found;
    if (is_old) id.reset();
    source.is_polled = false;
    // One that was late can be asked again once a task has started.
    source.rests = has_failed;
    source.is_answered = !source.is_late || id;
    source.found = std::move(id);
    source.answered_at = BootClock::now();
    changed_.notify_all();
    if (!source.is_late || !is_news) return;
    if (!id) ask_again_at(BootClock::now());
    bell_.ring();
}

// It was started, or is another one's.
void SchedulerCore::use(Source& source, const std::string& id) {
    const std::lock_guard lock(mutex_);
    source.used = id;
    if (source.found != id) return;
    source.found.reset();
    source.is_answered = false;
}

// When the source is asked again for what it named, which counts until it has answered.
Moment SchedulerCore::counts_until(const Source& source) const {
    if (options_.interval == 0s || source.is_polled) return BootClock::never;
    return source.answered_at + std::max<Duration>(options_.interval, shortest_count);
}

bool SchedulerCore::is_taken(const Source& source, const std::string& id) {
    // Not where the answer to the borrow was lost that was granted it: that is made again.
    const auto is_it = [&](const SeenTask& seen) { return seen.mark.id == id && !is_unheard(seen); };
    const auto waits_elsewhere = [&](const QueuedTask& task) {
        // One that is away is passed over. Its scheduler may come back to it, unless that has ended; but no
        // free slot waits for that.
        const bool is_left = task.is_away && (table_.has_name(task.mark.by) || has_free_slot());
        return task.mark.id == id && !is_own(task.mark) && !is_left;
    };
    const std::lock_guard lock(mutex_);
    const Moment now = BootClock::now();
    const Record* const own = table_.find(id);
    const auto started = started_at_.find(id);
    if (own != nullptr && own->phase == TaskTable::Phase::starting) passed_over_.insert(id);
    if (own != nullptr && started != started_at_.end()) {
        // What was started may not have come to take it out of the source: a command of which the start is
        // over once there is a process. The older it is, the less there is to hope for.
        ask_again_at(now + std::max<Duration>(now - started->second, soon));
        expects_more_ = true;
    }
    if (own != nullptr || (started != started_at_.end() && now < started->second + options_.interval)) {
        // It may have been named before its start took it out of the source.
        asks_again_ = asks_again_ || source.returned_starts != returned_starts_;
        return true;
    }
    return std::any_of(view_.tasks.begin(), view_.tasks.end(), is_it) ||
           std::any_of(view_.queued.begin(), view_.queued.end(), waits_elsewhere);
}

// Leaves a place that the task has in the queue under another mark, which would be that of what is granted to
// it: another scheduler left it, or it was taken here for another backend, or before the file was read again.
// And places of tasks that the backend named before this one, to which nobody comes back; and slots of whose
// grant no answer came, of tasks that no backend names any more.
void SchedulerCore::leave_old_places(const TaskMark& mark) {
    for (const QueuedTask& task : view_.queued) {
        const bool is_superseded =
            task.mark.id != mark.id && is_own(task.mark) && task.mark.backend == mark.backend;
        const bool is_marked_otherwise = task.mark.id == mark.id && !is_written_alike(task.mark, mark);
        if (is_superseded || is_marked_otherwise)
            static_cast<void>(leases_->cancel(lease_of_task(pool_, task.mark.id)));
    }
    for (const SeenTask& task : view_.tasks) {
        const bool is_nobodys = [&] {
            const std::lock_guard lock(mutex_);
            const bool is_named = std::any_of(sources_.begin(), sources_.end(), [&](const auto& source) {
                return source->name == task.mark.backend && source->found == task.mark.id;
            });
            return !is_named && is_unheard(task);
        }();
        if (is_nobodys) static_cast<void>(leases_->give_back(lease_of_task(pool_, task.mark.id), task.fence));
    }
}

bool SchedulerCore::is_queued(const std::string& id) const {
    return std::any_of(view_.queued.begin(), view_.queued.end(),
                       [&](const QueuedTask& task) { return task.mark.id == id && is_own(task.mark); });
}

// Whether it has a place here, or a slot.
bool SchedulerCore::keeps_place(const std::string& id) const {
    return is_queued(id) || std::any_of(view_.tasks.begin(), view_.tasks.end(), [&](const SeenTask& task) {
               return task.mark.id == id && is_own(task.mark);
           });
}

// Whether a task waits in the queue that a source names.
bool SchedulerCore::has_place() const {
    return std::any_of(sources_.begin(), sources_.end(),
                       [&](const auto& source) { return source->found && is_queued(*source->found); });
}

// False where it has lost its place since the last look: while a source is waited for, another scheduler may
// start the task in a slot that becomes free, and be done with it. The source is to name it again then, which
// one that is asked without an interval need not do.
LeaseOutcome<bool> SchedulerCore::look_for_place(const std::string& id) {
    const Moment now = BootClock::now();
    const bool may_be_lost = places_.count(id) != 0 && now >= looked_at_ + soon;
    if (!may_be_lost || options().interval == 0s) return true;
    const auto details = leases_->view();
    if (!details) return tl::unexpected(details.error());
    looked_at_ = now;
    const std::lock_guard lock(mutex_);
    see(*details);
    if (keeps_place(id)) return true;
    ask_again_at(now + soon);
    return false;
}

// One may be held back for somebody who waits for several.
bool SchedulerCore::has_free_slot() const {
    return view_.available > 0 && !view_.others_are_ready;
}

bool SchedulerCore::is_own(const TaskMark& mark) const {
    return mark.instance == instance_;
}

wire::BorrowRequest SchedulerCore::request_for(const TaskMark& mark) const {
    wire::BorrowRequest request{claim_ttl, has_free_slot() ? 0s : longest_place};
    request.lease = lease_of_task(pool_, mark.id);
    request.holder = std::make_shared<const Holder>(holder_of(mark));
    request.extended = true;
    return request;
}

LeaseOutcome<SchedulerCore::Turn> SchedulerCore::try_task(Source& source, const std::string& id) {
    const auto waits = look_for_place(id);
    if (!waits) return tl::unexpected(waits.error());
    if (!*waits || is_taken(source, id)) return Turn::nothing;
    const Options options = this->options();
    const TaskMark mark{.id = id,
                        .backend = source.name,
                        .by = name_,
                        .instance = instance_,
                        .is_handed_on = source.from->hands_lease_on(),
                        .timeout = bounded_timeout(options.timeout, options.limit),
                        .hold = hold_ttl(options.timeout, options.limit)};
    leave_old_places(mark);
    const Moment latest = [&] {
        const std::lock_guard lock(mutex_);
        const Moment others_asked = std::max(again_at_, BootClock::now() + shortest_place);
        return std::min({table_.next_deadline(), postponed_to_, others_asked, counts_until(source)});
    }();
    places_.insert(id);
    UntilRung control(bell_, never_, latest);
    const auto borrowed = leases_->borrow(request_for(mark), control);
    if (!borrowed) return tl::unexpected(borrowed.error());
    if (!borrowed->lease || !borrowed->lease->details) return Turn::full;
    // The answer is the same where the lease was held before: another scheduler's, most likely, which was
    // asked for the same task. Its holder says whose it is.
    const wire::LeaseGrant& lease = *borrowed->lease;
    const auto details = leases_->view();
    if (!details) {
        // It ends soon, and the task is named again.
        return tl::unexpected(details.error());
    }
    places_.erase(id);
    {
        const std::lock_guard lock(mutex_);
        see(*details);
    }
    const auto seen = std::find_if(view_.tasks.begin(), view_.tasks.end(), [&](const SeenTask& task) {
        return task.fence == lease.details->fence && is_own(task.mark);
    });
    if (seen == view_.tasks.end()) {
        const std::lock_guard lock(mutex_);
        ask_again_at(BootClock::now() + soon);
        return Turn::nothing;
    }
    if (!is_written_alike(seen->mark, mark)) {
        // The old place was granted before it could be left. Nothing was started under that mark, and the
        // task keeps its turn.
        static_cast<void>(leases_->give_back(lease.lease, lease.details->fence));
        const std::lock_guard lock(mutex_);
        ask_again_at(BootClock::now() + soon);
        return Turn::full;
    }
    Record record{
        .mark = mark, .lease = lease.lease, .position = lease.position, .fence = lease.details->fence};
    if (!lease.details->slots.empty()) record.slot = wire::payload_text(lease.details->slots.front());
    bool is_named = false;
    {
        const std::lock_guard lock(mutex_);
        is_named = source.found == id;
        if (is_named) {
            table_.add(record);
            backends_[id] = source.from;
            started_at_[id] = BootClock::now();
        }
    }
    if (!is_named) {
        // The source, which was being asked again, has answered otherwise.
        static_cast<void>(return_now(record));
        return Turn::nothing;
    }
    const auto call = begin_start(record);
    if (!call) {
        say(source.name + ": " + id + " is not started yet: " + call.error());
        // Where that fails it ends soon.
        static_cast<void>(return_now(record));
        forget(record);
        const std::lock_guard lock(mutex_);
        started_at_.erase(id);
        rests_until_ = BootClock::now() + thread_pause;
        ask_again_at(rests_until_);
        // What was seen of the pool has no free slot: a pass looks at it again.
        postponed_to_ = std::min(postponed_to_, rests_until_);
        return Turn::full;
    }
    begun_.push_back(*call);
    return Turn::started;
}

SchedulerCore::Options SchedulerCore::options() const {
    const std::lock_guard lock(mutex_);
    return options_;
}

void SchedulerCore::say(const std::string& message) {
    const auto take = options().on_trouble;
    const std::lock_guard lock(saying_);
    if (take) take(message);
}

void SchedulerCore::say_detail(const std::string& message) {
    const auto take = options().on_detail;
    const std::lock_guard lock(saying_);
    if (take) take(message);
}

}  // namespace sema
