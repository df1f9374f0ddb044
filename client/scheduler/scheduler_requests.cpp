#include "client/scheduler/asking.hpp"
#include "client/scheduler/scheduler_core.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

// What the program that has the scheduler asks of it, beside its passes.

namespace sema {

using namespace std::chrono_literals;

LeaseOutcome<bool> SchedulerCore::stop(const std::string& id) {
    const auto task = find_task(*leases_, id);
    if (!task) return tl::unexpected(task.error());
    if (!*task) return false;
    const std::optional<Record> own = own_record(id, (*task)->fence);
    return own ? stop_own(*own) : stop_task(*leases_, pool_, **task);
}

std::optional<SchedulerCore::Record> SchedulerCore::own_record(const std::string& id,
                                                               std::uint64_t fence) const {
    const std::lock_guard lock(mutex_);
    const Record* const record = table_.find(id);
    return record != nullptr && record->fence == fence ? std::optional(*record) : std::nullopt;
}

LeaseOutcome<bool> SchedulerCore::stop_own(const Record& record) {
    bool begins = false;
    {
        std::unique_lock lock(mutex_);
        const auto tries = [&] {
            begins = table_.begin_end(record.mark.id, record.fence);
            const Record* const own = table_.find(record.mark.id);
            const bool is_called = own != nullptr && own->fence == record.fence &&
                                   own->phase != TaskTable::Phase::running &&
                                   own->phase != TaskTable::Phase::ending;
            return begins || !is_called;
        };
        // Nothing but that function's end can be waited for, where the lease is not returned here.
        const Duration patience = record.mark.is_handed_on ? options_.limit : 0s;
        if (!changed_.wait_for(lock, patience, tries) && record.mark.is_handed_on)
            return tl::unexpected(LeaseTrouble{LeaseTrouble::Kind::unavailable,
                                               "a function is being called of " + record.mark.id});
    }
    LeaseOutcome<bool> returned = true;
    if (!record.mark.is_handed_on) returned = return_now(record);
    if (begins && !returned) {
        const std::lock_guard lock(mutex_);
        table_.set_running(record, record.deadline, record.expires_at_unix);
        return returned;
    }
    // Where it does not begin, it is under way, or comes once a function has returned.
    if (begins)
        await({begin_end(record, record.mark.is_handed_on ? Ending::asked : Ending::gone)}, options().limit);
    bell_.ring();
    return returned;
}

LeaseOutcome<bool> SchedulerCore::keepalive(const std::string& id) {
    const auto task = find_task(*leases_, id);
    if (!task) return tl::unexpected(task.error());
    if (!*task) return false;
    const std::optional<Record> own = own_record(id, (*task)->fence);
    if (!own) return keep_task_alive(*leases_, pool_, **task);
    const Moment now = BootClock::now();
    LeaseOutcome<std::optional<LeaseSource::Renewal>> renewed = LeaseSource::Renewal{};
    {
        const std::lock_guard lock(mutex_);
        table_.begin_renewal(*own);
    }
    if (!own->mark.is_handed_on) renewed = leases_->renew(own->lease, own->fence, own->mark.hold);
    bool is_to_call = false;
    {
        const std::lock_guard lock(mutex_);
        table_.end_renewal(*own);
        if (!renewed) return tl::unexpected(renewed.error());
        if (!*renewed) return false;
        table_.note_renewal(*own, now + own->mark.timeout, (*renewed)->expires_at_unix);
        is_to_call = table_.begin_keepalive(*own);
    }
    if (is_to_call) await({begin_keepalive(*own)}, options().limit);
    return true;
}

LeaseOutcome<std::vector<task_state>> SchedulerCore::inspect() {
    using std::chrono::system_clock;
    const auto details = leases_->view();
    if (!details) return tl::unexpected(details.error());
    std::vector<task_state> states;
    const Moment now = BootClock::now();
    for (const SeenTask& seen : view_tasks(*details).tasks) {
        task_state state;
        state.what.id = seen.mark.id;
        state.what.backend = seen.mark.backend;
        state.what.position = seen.position;
        state.what.fence = seen.fence;
        state.since = system_clock::from_time_t(seen.granted_at_unix);
        if (const auto last = seen.last_keepalive_unix())
            state.last_keepalive = system_clock::from_time_t(*last);
        if (const auto left = seen.times_out_in()) state.times_out_in = *left;
        const std::lock_guard lock(mutex_);
        if (const Record* const record = table_.find(seen.mark.id);
            record != nullptr && record->fence == seen.fence) {
            state.is_own = true;
            state.what.slot = record->slot;
            state.what.lease = record->lease.str();
            if (record->deadline != BootClock::never)
                state.times_out_in = std::max<Duration>(record->deadline - now, 0s);
        }
        states.push_back(std::move(state));
    }
    return states;
}

Moment SchedulerCore::next_deadline() const {
    const std::lock_guard lock(mutex_);
    const Moment ask_at = room() > 0 ? std::max(again_at_, rests_until_) : BootClock::never;
    return std::min({table_.next_deadline(), ask_at, postponed_to_});
}

bool SchedulerCore::expects_more() const {
    const std::lock_guard lock(mutex_);
    return expects_more_ && room() > 0;
}

void SchedulerCore::note_end(std::uint64_t fence) {
    const std::lock_guard lock(mutex_);
    ended_.insert(fence);
    bell_.ring();
}

void SchedulerCore::adopt_name(const std::string& name, const std::optional<TaskTable::Left>& left) {
    const std::lock_guard lock(mutex_);
    table_.adopt(name, left);
    bell_.ring();
}

TaskTable::Left SchedulerCore::left() const {
    const std::lock_guard lock(mutex_);
    return table_.left();
}

bool SchedulerCore::forget_name(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return table_.disown(name);
}

std::size_t SchedulerCore::unsettled() const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(
        std::count_if(table_.records().begin(), table_.records().end(), [](const auto& entry) {
            return entry.second.mark.is_handed_on || entry.second.phase != TaskTable::Phase::running;
        }));
}

void SchedulerCore::end_handed_on() {
    std::vector<Record> to_end;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& [id, record] : table_.records()) {
            if (record.mark.is_handed_on && record.phase == TaskTable::Phase::running)
                to_end.push_back(record);
        }
        for (const Record& record : to_end)
            table_.begin_end(record.mark.id, record.fence);
    }
    for (const Record& record : to_end)
        begin_end(record, Ending::asked);
}

}  // namespace sema
