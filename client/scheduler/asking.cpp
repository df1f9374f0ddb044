#include "client/scheduler/asking.hpp"

#include "client/boot_clock.hpp"
#include "client/scheduler/wake.hpp"

#include <algorithm>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// How long a task may take to end that was asked to: a command has 4 s between TERM and KILL.
constexpr auto end_patience = 15s;
constexpr auto between_looks = 100ms;

class ToTheEnd : public WaitControl {
  public:
    int wake_fd() const override { return never_.fd(); }
    bool keep_waiting() override { return true; }

  private:
    const Wake never_;
};

tl::unexpected<LeaseTrouble> unanswered(const SeenTask& task) {
    return tl::unexpected(
        LeaseTrouble{LeaseTrouble::Kind::unavailable,
                     "the dispatcher that runs " + task.mark.id + " does not answer (is it still running?)"});
}

// As where what ran it was killed, which returns no slot.
tl::unexpected<LeaseTrouble> not_free(const SeenTask& task) {
    return tl::unexpected(
        LeaseTrouble{LeaseTrouble::Kind::unavailable,
                     "the dispatcher that runs " + task.mark.id +
                         " was asked to end it, but the slot is not free yet (where what ran it was killed, "
                         "it is once the ttl of its lease has ended)"});
}

// Whether the task's scheduler took it up.
LeaseOutcome<bool> ask(LeaseSource& leases, const SeenTask& task, TaskAsk::What what) {
    const auto details = leases.view();
    if (!details) return tl::unexpected(details.error());
    const LeaseId key = LeaseId::random();
    wire::BorrowRequest request{1s, ask_patience};
    request.lease = key;
    // More than there are: a place that is passed over holds up nobody.
    request.slots = details->count + 1;
    // Only those of this priority wait behind one that is not passed over.
    request.priority = -100;
    request.holder = std::make_shared<const Holder>(
        holder_of(TaskAsk{.what = what, .id = task.mark.id, .fence = task.fence, .key = key.str()}));
    request.extended = true;
    ToTheEnd control;
    auto answer = leases.borrow(request, control);
    if (!answer && answer.error().kind == LeaseTrouble::Kind::rejected) {
        // A server takes no number beyond its --max-count, which the pool may have. Nor are all of the pool's
        // slots free while the task has one.
        request.slots = details->count;
        answer = leases.borrow(request, control);
    }
    if (!answer) return tl::unexpected(answer.error());
    // The pool has grown meanwhile, or the task has ended.
    if (answer->lease && answer->lease->details)
        static_cast<void>(leases.give_back(key, answer->lease->details->fence));
    if (!answer->is_cancelled) static_cast<void>(leases.cancel(key));
    return answer->is_cancelled;
}

LeaseOutcome<bool> is_gone(LeaseSource& leases, const SeenTask& task) {
    const auto seen = find_task(leases, task.mark.id);
    if (!seen) return tl::unexpected(seen.error());
    return !*seen || (*seen)->fence != task.fence;
}

}  // namespace

LeaseOutcome<std::optional<SeenTask>> find_task(LeaseSource& leases, const std::string& id) {
    const auto details = leases.view();
    if (!details) return tl::unexpected(details.error());
    for (SeenTask& task : view_tasks(*details).tasks) {
        if (task.mark.id == id) return std::move(task);
    }
    return std::nullopt;
}

LeaseOutcome<bool> stop_task(LeaseSource& leases, const PoolId& pool, const SeenTask& task) {
    if (!task.mark.is_handed_on) {
        // A try before, of which no answer came, may have done it.
        return leases.give_back(lease_of_task(pool, task.mark.id), task.fence).map([](bool) { return true; });
    }
    const auto is_taken_up = ask(leases, task, TaskAsk::What::stop);
    if (!is_taken_up) return is_taken_up;
    const Wake never;
    for (const Moment end = BootClock::now() + (*is_taken_up ? end_patience : 0s);;) {
        const auto gone = is_gone(leases, task);
        if (!gone || *gone) return gone;
        if (BootClock::now() >= end) return *is_taken_up ? not_free(task) : unanswered(task);
        never.wait(between_looks);
    }
}

LeaseOutcome<bool> keep_task_alive(LeaseSource& leases, const PoolId& pool, const SeenTask& task) {
    if (!task.mark.is_handed_on) {
        const auto renewed = leases.renew(lease_of_task(pool, task.mark.id), task.fence, task.mark.hold);
        if (!renewed) return tl::unexpected(renewed.error());
        return renewed->has_value();
    }
    const auto is_taken_up = ask(leases, task, TaskAsk::What::keepalive);
    if (!is_taken_up) return is_taken_up;
    if (*is_taken_up) return true;
    const auto gone = is_gone(leases, task);
    if (!gone) return gone;
    if (*gone) return false;
    return unanswered(task);
}

}  // namespace sema
