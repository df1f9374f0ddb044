#include "server/service/wakeups.hpp"

#include <algorithm>
#include <chrono>

namespace sema {
namespace {

// Nobody sleeps longer than this, since a thread's sleep does not count the time for which the machine was
// suspended, and the timeline does.
constexpr Duration longest_sleep = std::chrono::seconds(1);

}  // namespace

void Wakeups::wake_committer() {
    if (committer_wanted_.exchange(1) == 0) committer_wanted_.notify_one();
}

void Wakeups::wait_for_committer_call() {
    committer_wanted_.wait(0);
    committer_wanted_ = 0;
}

void Wakeups::schedule(TimePoint deadline) {
    const MutexLock lock(mutex_);
    if (deadline >= due_) return;
    due_ = deadline;
    changed_.notify_one();
}

bool Wakeups::wait_until_due(const Clock& clock) {
    const MutexLock lock(mutex_);
    const TimePoint now = clock.now();
    if (due_ > now && !stopping_) {
        changed_.wait_for(mutex_, std::min(due_ - now, longest_sleep));
        if (due_ > clock.now()) return false;
    }
    due_ = Timeline::never;
    return true;
}

void Wakeups::stop() {
    stopping_ = true;
    {
        const MutexLock lock(mutex_);
        due_ = Timeline::long_ago;
    }
    changed_.notify_all();
    wake_committer();
}

}  // namespace sema
