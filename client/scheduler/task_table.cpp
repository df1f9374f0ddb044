#include "client/scheduler/task_table.hpp"

#include <algorithm>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// When a task times out of whose lease the server says that so many whole seconds are left. A fraction may be
// left beside them: no task times out before its time.
Moment deadline_of(const SeenTask& task, Moment now) {
    return now + std::chrono::seconds(task.expires_in) + 1s - task.mark.margin();
}

}  // namespace

void TaskTable::adopt(const std::string& name, const std::optional<Left>& left) {
    names_.insert(name);
    if (!left) return;
    std::erase_if(others_, [&](const SeenTask& task) { return task.mark.by == name; });
    others_.insert(others_.end(), left->begin(), left->end());
}

TaskTable::Left TaskTable::left() const {
    Left left;
    for (const auto& [id, record] : records_) {
        if (record.phase == Phase::running || record.phase == Phase::busy)
            left.push_back({.mark = record.mark, .position = record.position, .fence = record.fence});
    }
    return left;
}

bool TaskTable::disown(const std::string& name) {
    const bool has_records = std::any_of(records_.begin(), records_.end(),
                                         [&](const auto& entry) { return entry.second.mark.by == name; });
    if (has_records || idle_.count(name) == 0) return false;
    names_.erase(name);
    return true;
}

void TaskTable::add(Record record) {
    const std::string id = record.mark.id;
    records_.insert_or_assign(id, std::move(record));
}

bool TaskTable::take_in(const SeenTask& task, Moment now, Due& due) {
    Record* record = find(task.mark.id, task.fence);
    if (record == nullptr) {
        // One of that id and of an earlier lease ends first.
        if (records_.count(task.mark.id) != 0 || !task.is_started()) return false;
        if (!instance_.empty() && task.mark.instance == instance_) return false;
        // Of one that is handed on nobody knows when it was kept alive last.
        add({.mark = task.mark,
             .lease = lease_of_task(pool_, task.mark.id),
             .position = task.position,
             .fence = task.fence,
             .phase = Phase::running,
             .deadline = task.mark.is_handed_on ? now + task.mark.timeout : deadline_of(task, now),
             .expires_at_unix = task.expires_at_unix});
        return true;
    }
    record->position = task.position;
    record->is_over = false;
    const bool runs = record->phase == Phase::running || record->phase == Phase::busy;
    if (runs && !task.mark.is_handed_on && record->expires_at_unix == 0) {
        // Whether the last renewal by this program worked is not known, nor whether another one came since.
        record->expires_at_unix = task.expires_at_unix;
        if (task.is_started()) record->deadline = deadline_of(task, now);
    }
    const bool is_news = record->renewals == 0 && task.expires_at_unix > record->expires_at_unix;
    if (runs && !task.mark.is_handed_on && is_news) {
        record->deadline = deadline_of(task, now);
        record->expires_at_unix = task.expires_at_unix;
        note_keepalive(*record, due);
    }
    return true;
}

void TaskTable::note_keepalive(Record& record, Due& due) {
    if (record.phase == Phase::busy) {
        record.is_to_call_again = true;
        return;
    }
    record.phase = Phase::busy;
    due.kept_alive.push_back(record);
}

void TaskTable::take_in(const TaskAsk& ask, Moment now, Due& due) {
    Record* record = find(ask.id, ask.fence);
    // One that was ended here has its slot until what ran it has returned it, or its ttl is over.
    if (record == nullptr && gone_.count(ask.fence) != 0 && ask.what == TaskAsk::What::stop)
        due.asks.push_back(ask);
    if (record == nullptr || !record->mark.is_handed_on) return;
    if (record->phase == Phase::starting) return;
    due.asks.push_back(ask);
    if (!record->taken_up.insert(ask.key).second || record->phase == Phase::ending) return;
    if (ask.what == TaskAsk::What::keepalive) {
        record->deadline = now + record->mark.timeout;
        note_keepalive(*record, due);
    } else if (record->phase == Phase::running) {
        record->phase = Phase::ending;
        due.to_end.push_back(*record);
    } else {
        // Once the function has returned that is called.
        record->taken_up.erase(ask.key);
        due.asks.pop_back();
    }
}

void TaskTable::end_unseen(const std::set<std::string_view>& seen, Due& due) {
    for (auto& [id, record] : records_) {
        if (seen.count(id) != 0) continue;
        record.is_over = record.phase != Phase::starting;
        if (record.phase != Phase::running) continue;
        record.phase = Phase::ending;
        due.ended.push_back(record);
    }
}

void TaskTable::take_ended(std::set<std::uint64_t>& fences, Due& due) {
    for (auto fence = fences.begin(); fence != fences.end();) {
        const auto found = std::find_if(records_.begin(), records_.end(),
                                        [&](const auto& entry) { return entry.second.fence == *fence; });
        const bool is_over = found == records_.end() || found->second.phase == Phase::ending;
        const bool runs = !is_over && found->second.phase == Phase::running;
        if (runs) {
            found->second.phase = Phase::ending;
            due.over.push_back(found->second);
        }
        fence = is_over || runs ? fences.erase(fence) : std::next(fence);
    }
}

void TaskTable::take_timed_out(Moment now, Due& due) {
    for (auto& [id, record] : records_) {
        if (record.phase != Phase::running || now < record.deadline) continue;
        record.phase = Phase::ending;
        due.timed_out.push_back(record);
    }
}

bool TaskTable::set_running(const Record& record, Moment deadline, std::int64_t expires_at_unix) {
    Record* const own = find(record.mark.id, record.fence);
    if (own == nullptr) return false;
    own->phase = Phase::running;
    own->deadline = deadline;
    own->expires_at_unix = expires_at_unix;
    return true;
}

void TaskTable::begin_renewal(const Record& record) {
    if (Record* const own = find(record.mark.id, record.fence)) ++own->renewals;
}

void TaskTable::end_renewal(const Record& record) {
    if (Record* const own = find(record.mark.id, record.fence)) --own->renewals;
}

void TaskTable::note_renewal(const Record& record, Moment deadline, std::int64_t expires_at_unix) {
    Record* const own = find(record.mark.id, record.fence);
    if (own == nullptr || own->phase == Phase::starting || own->phase == Phase::ending) return;
    own->deadline = deadline;
    own->expires_at_unix = std::max(own->expires_at_unix, expires_at_unix);
}

bool TaskTable::begin_keepalive(const Record& record) {
    Record* const own = find(record.mark.id, record.fence);
    if (own == nullptr || own->phase == Phase::starting || own->phase == Phase::ending) return false;
    if (own->phase == Phase::busy) {
        own->is_to_call_again = true;
        return false;
    }
    own->phase = Phase::busy;
    return true;
}

bool TaskTable::end_keepalive(const Record& record) {
    Record* const own = find(record.mark.id, record.fence);
    if (own == nullptr || own->phase != Phase::busy) return false;
    if (std::exchange(own->is_to_call_again, false) && !own->is_over) return true;
    own->phase = Phase::running;
    return false;
}

bool TaskTable::begin_end(const std::string& id, std::uint64_t fence) {
    Record* const own = find(id, fence);
    if (own == nullptr || own->phase != Phase::running) return false;
    own->phase = Phase::ending;
    return true;
}

std::size_t TaskTable::holders() const {
    return static_cast<std::size_t>(std::count_if(records_.begin(), records_.end(),
                                                  [](const auto& entry) { return !entry.second.is_over; }));
}

void TaskTable::remove(const Record& record) {
    if (find(record.mark.id, record.fence) == nullptr) return;
    gone_.insert(record.fence);
    records_.erase(record.mark.id);
}

const TaskTable::Record* TaskTable::find(const std::string& id) const {
    const auto found = records_.find(id);
    return found == records_.end() ? nullptr : &found->second;
}

TaskTable::Record* TaskTable::find(const std::string& id, std::uint64_t fence) {
    const auto found = records_.find(id);
    return found == records_.end() || found->second.fence != fence ? nullptr : &found->second;
}

Moment TaskTable::next_deadline() const {
    Moment next = BootClock::never;
    for (const auto& [id, record] : records_) {
        if (record.phase == Phase::running) next = std::min(next, record.deadline);
    }
    return next;
}

}  // namespace sema
