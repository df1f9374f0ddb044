#include "server/service/history.hpp"

#include "common/wire_history.hpp"
#include "server/history/replay.hpp"
#include "server/history/statistics.hpp"
#include "server/shared_text.hpp"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

// What is lost where the process is killed.
constexpr auto write_interval = 1s;
constexpr auto retry_interval = 5s;
constexpr auto prune_interval = 1min;
constexpr auto report_interval = 1min;
// While the store is away or slow.
constexpr std::size_t most_unwritten = 100'000;
// The rest of that is for what matters more, of whatever pool.
constexpr std::size_t most_unwritten_refusals = most_unwritten / 2;
// Each of them has a view of its pool.
constexpr std::size_t most_questions = 16;
// Behind the threads that serve connections and those that commit.
constexpr int niceness = 10;

// An answer that took long to make is cached for twenty times as long, so that a client that asks again and
// again takes no more than a twentieth of a processor; but never for longer than this.
constexpr Duration small_effort = 100ms;
constexpr int cached_per_effort = 20;
constexpr steady_clock::duration longest_cached = 1min;

constexpr int fewest_more = -2;
constexpr int most_more = 4;

// For all counts together, of a processor's time. It is enough for the longest history.
constexpr Duration longest_replay = 5s;

// Before there is anything to show.
constexpr Duration shortest_span = 1s;
constexpr Duration empty_span = 1h;

constexpr std::array<const char*, 4> how_names = {"returned", "expired", "revoked", "deleted"};

Duration processor_time() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) +
           std::chrono::duration_cast<Duration>(std::chrono::nanoseconds(time.tv_nsec));
}

std::string name_of(const PoolView& view) {
    return view.settings ? view.settings->name : "";
}

wire::WaitTimes to_wire(const WaitTimes& waits) {
    return {waits.p50, waits.p95, waits.max};
}

bool is_refusal(const HistoryEntry& entry) {
    return entry.what == HistoryEntry::What::refused;
}

/// Whether the pool has slots only since `first`, the first that is known of it: it was made then, as a rule.
/// `rest`: as of Past.
bool had_no_slots_before(TimePoint first, const std::vector<HistoryEntry>& rest) {
    const auto resized = std::find_if(rest.begin(), rest.end(), [](const HistoryEntry& entry) {
        return entry.what == HistoryEntry::What::resized;
    });
    return resized != rest.end() && resized->at == first && resized->count_before == 0;
}

std::size_t refusals_in(const std::vector<PoolPast>& past) {
    std::size_t refusals = 0;
    for (const PoolPast& pool : past)
        refusals +=
            static_cast<std::size_t>(std::count_if(pool.entries.begin(), pool.entries.end(), is_refusal));
    return refusals;
}

std::size_t entries_in(const std::vector<PoolPast>& past) {
    std::size_t entries = 0;
    for (const PoolPast& pool : past)
        entries += pool.entries.size();
    return entries;
}

void drop_refusals(std::vector<PoolPast>& past) {
    for (PoolPast& pool : past)
        std::erase_if(pool.entries, is_refusal);
    std::erase_if(past, [](const PoolPast& pool) { return pool.entries.empty(); });
}

/// The same for each entry of one lease.
std::uint64_t key_of(std::uint64_t fence, TimePoint granted_at) {
    // Fences begin anew in a store that was emptied.
    return fence * 0x9e37'79b9'7f4a'7c15U ^ static_cast<std::uint64_t>(granted_at.time_since_epoch().count());
}

}  // namespace

History::History(std::unique_ptr<HistoryStore> store, const Clock& clock, Duration age,
                 std::function<void(const std::string&)> on_trouble)
    : store_(std::move(store)),
      clock_(clock),
      on_trouble_(std::move(on_trouble)),
      age_(age),
      clears_(!is_kept()) {}

History::~History() {
    stop();
}

void History::start() {
    thread_ = std::thread([this] { run(); });
}

void History::set_age(Duration age) {
    const MutexLock lock(mutex_);
    age_ = age;
    if (is_kept()) return;
    // Also where it is kept again before the thread has come to that.
    clears_ = true;
    next_prune_ = {};
    changed_.notify_one();
}

void History::add(std::vector<PoolPast>&& past) {
    if (past.empty() || !is_kept()) return;
    std::size_t refusals = refusals_in(past);
    std::size_t entries = entries_in(past);
    const MutexLock lock(mutex_);
    if (added_refusals_ + refusals > most_unwritten_refusals) {
        drop_refusals(past);
        dropped_ += refusals;
        entries -= std::exchange(refusals, 0);
    }
    if (past.empty()) return;
    if (added_entries_ + entries > most_unwritten) {
        dropped_ += entries;
        return;
    }
    if (added_.empty()) {
        added_at_ = steady_clock::now();
        changed_.notify_one();
        added_ = std::move(past);
    } else {
        std::move(past.begin(), past.end(), std::back_inserter(added_));
    }
    added_entries_ += entries;
    added_refusals_ += refusals;
}

void History::ask(const PoolId& pool, std::shared_ptr<const PoolView> now, const HistoryQuery& query,
                  Reply reply) {
    Refusal refusal = Refusal::shutting_down;
    {
        const MutexLock lock(mutex_);
        if (!is_draining_ && questions_.size() < most_questions) {
            questions_.push_back({pool, std::move(now), query, std::move(reply)});
            changed_.notify_one();
            return;
        }
        if (!is_draining_) refusal = Refusal::too_many_questions;
    }
    reply(refusal);
}

void History::drain() {
    std::deque<Question> left;
    gives_up_ = true;
    {
        const MutexLock lock(mutex_);
        is_draining_ = true;
        left.swap(questions_);
    }
    for (const Question& question : left)
        question.reply(Refusal::shutting_down);
}

void History::stop() {
    drain();
    {
        const MutexLock lock(mutex_);
        is_stopping_ = true;
    }
    changed_.notify_one();
    if (thread_.joinable()) thread_.join();
    next_try_ = {};
    write();
}

void History::run() {
    // To Linux, a thread has a priority of its own. A filter of system calls may leave it as it is, as that
    // of the unit in packaging/ does.
    (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), niceness);
    while (wait())
        go_on();
}

/// Until there is something to do. False: it is time to end.
bool History::wait() {
    const MutexLock lock(mutex_);
    for (;;) {
        if (is_stopping_) return false;
        Time due = next_prune_;
        if (!added_.empty()) due = std::min(due, added_at_ + write_interval);
        if (!unwritten_.empty()) due = std::min(due, next_try_);
        if (!questions_.empty() || due <= steady_clock::now()) return true;
        changed_.wait_until(mutex_, due);
    }
}

bool History::go_on() {
    // What was added before it was asked is written by then.
    const auto question = next_question();
    write();
    if (question) question->reply(answer(*question));
    prune();
    const MutexLock lock(mutex_);
    return !questions_.empty() || next_prune_ <= steady_clock::now();
}

std::optional<History::Question> History::next_question() {
    const MutexLock lock(mutex_);
    if (questions_.empty()) return std::nullopt;
    Question next = std::move(questions_.front());
    questions_.pop_front();
    return next;
}

HistoryBounds History::bounds() const {
    const Duration age = age_;
    return {.oldest = clock_.now() - age, .age = age, .most = most_of_pool};
}

std::int64_t History::kept_for() const {
    return std::chrono::ceil<std::chrono::seconds>(age_.load()).count();
}

void History::write() {
    {
        const MutexLock lock(mutex_);
        std::move(added_.begin(), added_.end(), std::back_inserter(unwritten_));
        added_.clear();
    }
    if (unwritten_.empty() || steady_clock::now() < next_try_) return;
    if (auto written = store_->append(unwritten_, bounds()); !written) {
        next_try_ = steady_clock::now() + retry_interval;
        return report(written.error().message);
    }
    const std::size_t entries = entries_in(unwritten_);
    const std::size_t refusals = refusals_in(unwritten_);
    unwritten_.clear();
    std::size_t dropped = 0;
    {
        const MutexLock lock(mutex_);
        added_entries_ -= entries;
        added_refusals_ -= refusals;
        dropped = std::exchange(dropped_, 0);
    }
    if (dropped > 0)
        report("the history lacks " + std::to_string(dropped) +
               " entries: they came faster than it was written");
    report("");
}

void History::prune() {
    bool clears = false;
    {
        const MutexLock lock(mutex_);
        if (steady_clock::now() < next_prune_) return;
        next_prune_ = steady_clock::now() + prune_interval;
        clears = clears_;
    }
    if (!clears && !is_kept()) return;
    const auto is_more = clears ? store_->clear() : store_->prune(bounds());
    if (!is_more) return report(is_more.error().message);
    if (clears) {
        cached_.clear();
        report("");
    }
    const MutexLock lock(mutex_);
    if (*is_more) {
        next_prune_ = {};
    } else if (clears) {
        clears_ = false;
    }
}

void History::report(const std::string& trouble) {
    const Time now = steady_clock::now();
    const bool is_due = trouble.empty() ? in_trouble_ : !in_trouble_ || now - reported_at_ >= report_interval;
    in_trouble_ = !trouble.empty();
    if (!is_due) return;
    reported_at_ = now;
    if (on_trouble_) on_trouble_(trouble);
}

Answer History::answer(const Question& question) {
    const bool is_list = question.query.what == HistoryQuery::What::leases;
    if (!is_list) {
        if (const auto cached = cached_answer(question)) return HistoryListed{cached};
    }
    const Duration begun = processor_time();
    auto text = is_list ? list_leases(question) : make_statistics(question);
    if (gives_up_) return Refusal::shutting_down;
    if (!text) {
        report(text.error().message);
        return Refusal::store_failed;
    }
    const auto made = shared_text(*std::move(text));
    if (!is_list) cache(question, processor_time() - begun, made);
    return HistoryListed{made};
}

std::shared_ptr<const std::string_view> History::cached_answer(const Question& question) {
    const Time now = steady_clock::now();
    std::erase_if(cached_, [&](const CachedAnswer& cached) { return cached.until <= now; });
    for (const CachedAnswer& cached : cached_) {
        const HistoryQuery& query = question.query;
        const auto far = std::chrono::abs(query.since.value_or(Duration::zero()) -
                                          cached.query.since.value_or(Duration::zero()));
        if (cached.pool == question.pool && cached.query.what_if == query.what_if &&
            cached.query.since.has_value() == query.since.has_value() && far <= cached.until - cached.made)
            return cached.text;
    }
    return nullptr;
}

void History::cache(const Question& question, Duration effort,
                    const std::shared_ptr<const std::string_view>& text) {
    if (effort < small_effort) return;
    const Time now = steady_clock::now();
    const auto time = std::min<Time::duration>(cached_per_effort * effort, longest_cached);
    cached_.push_back({question.pool, question.query, text, now, now + time});
}

Expected<std::vector<HistoryEntry>> History::leases_of(const Question& question, TimePoint since,
                                                       std::size_t most) {
    std::vector<HistoryEntry> leases;
    if (!is_kept()) return leases;
    // An end may have been written more than once, and that of a lease which another server kept alive.
    std::unordered_set<std::uint64_t> seen;
    for (const Lease& lease : question.now->leases)
        seen.insert(key_of(lease.fence, lease.granted_at));
    const auto position = question.query.position;
    const auto read = store_->read(
        question.pool, HistoryPart::leases, std::max(since, bounds().oldest), [&](HistoryEntry&& lease) {
            if (position && !std::binary_search(lease.positions.begin(), lease.positions.end(), *position))
                return true;
            if (!seen.insert(key_of(lease.fence, lease.granted_at())).second) return true;
            leases.push_back(std::move(lease));
            return leases.size() < most;
        });
    if (!read) return tl::unexpected(read.error());
    std::stable_sort(leases.begin(), leases.end(),
                     [](const HistoryEntry& a, const HistoryEntry& b) { return a.at > b.at; });
    return leases;
}

TimePoint History::since_of(const HistoryQuery& query) const {
    if (!query.since) return Timeline::long_ago;
    const TimePoint now = clock_.now();
    return now + (*query.since - clock_.unix_time(now));
}

Expected<std::string> History::list_leases(const Question& question) {
    const auto leases = leases_of(question, since_of(question.query), question.query.limit);
    if (!leases) return tl::unexpected(leases.error());
    wire::PoolHistory history{.id = question.pool, .name = name_of(*question.now), .kept_for = kept_for()};
    for (const HistoryEntry& lease : *leases) {
        history.history.push_back({.position = lease.positions.empty() ? 0 : lease.positions.front(),
                                   .positions = {lease.positions.begin(), lease.positions.end()},
                                   .holder = lease.holder,
                                   .fence = lease.fence,
                                   .waited = lease.waited,
                                   .granted_at_unix = whole_seconds(clock_.unix_time(lease.granted_at())),
                                   .ended_at_unix = whole_seconds(clock_.unix_time(lease.at)),
                                   .how = how_names[static_cast<std::size_t>(lease.what)]});
    }
    return wire::to_json(history);
}

Expected<Past> History::past_of(const Question& question) {
    const PoolView& now = *question.now;
    const TimePoint from = std::max(since_of(question.query), bounds().oldest);
    auto leases = leases_of(question, from, most_of_pool);
    if (!leases) return tl::unexpected(leases.error());
    Past past{.since = from, .leases = *std::move(leases), .now = question.now};
    for (const HistoryPart part : {HistoryPart::refusals, HistoryPart::counts}) {
        if (!is_kept()) break;
        std::size_t left = most_of_pool;
        const auto read = store_->read(question.pool, part, from, [&](HistoryEntry&& entry) {
            past.rest.push_back(std::move(entry));
            return --left > 0;
        });
        if (!read) return tl::unexpected(read.error());
    }
    std::reverse(past.leases.begin(), past.leases.end());
    std::reverse(past.rest.begin(), past.rest.end());
    std::stable_sort(past.rest.begin(), past.rest.end(),
                     [](const HistoryEntry& a, const HistoryEntry& b) { return a.at < b.at; });
    TimePoint first = now.at;
    const auto take = [&](TimePoint asked_at) { first = std::min(first, asked_at); };
    for (const HistoryEntry& lease : past.leases)
        take(lease.asked_at());
    for (const HistoryEntry& entry : past.rest)
        take(entry.asked_at());
    for (const Lease& lease : now.leases)
        take(lease.granted_at - lease.waited);
    for (const Waiter& waiter : now.queue)
        take(waiter.queued_at);
    if (!question.query.since) {
        past.since = first == now.at ? now.at - empty_span : std::max(first, from);
    } else if (had_no_slots_before(first, past.rest)) {
        past.since = first;
    }
    // Of the leases before, some are gone. That refusals are says nothing of leases.
    if (past.leases.size() >= most_of_pool) past.since = std::max(past.since, past.leases.front().at);
    past.since = std::min(past.since, now.at - shortest_span);
    return past;
}

Expected<std::string> History::make_statistics(const Question& question) {
    const auto past = past_of(question);
    if (!past) return tl::unexpected(past.error());
    const PoolView& now = *past->now;
    const Duration offset = clock_.unix_time(now.at) - now.at.time_since_epoch();
    const auto unix_time = [&](TimePoint time) { return time.time_since_epoch() + offset; };
    const Statistics statistics = statistics_of(*past, offset);
    wire::PoolStatistics made{.id = question.pool,
                              .name = name_of(now),
                              .kept_for = kept_for(),
                              .count = now.count,
                              .since_unix = whole_seconds(unix_time(past->since)),
                              .until_unix = whole_seconds(unix_time(now.at)),
                              .step = whole_seconds(statistics.step),
                              .granted = statistics.granted,
                              .waits = to_wire(statistics.waits),
                              .refusals = statistics.refusals};
    for (const Statistics::Step& step : statistics.use)
        made.use.push_back({whole_seconds(unix_time(step.at)), step.count, step.in_use, step.queue});
    for (const Statistics::ByHolder& holder : statistics.holders)
        made.holders.push_back({holder.name, holder.leases, holder.held});
    if (!question.query.what_if) return wire::to_json(made);
    const Replay replay(*past);
    const Duration end = processor_time() + longest_replay;
    const auto gives_up = [&] { return gives_up_ || processor_time() > end; };
    for (int by = fewest_more; by <= most_more; ++by) {
        if (std::int64_t{now.count} + by < 1) continue;
        const auto count = static_cast<unsigned>(std::int64_t{now.count} + by);
        const auto replayed = replay.with(count, gives_up);
        if (!replayed) break;
        made.what_if.push_back({count, to_wire(times_of(replayed->waits)), replayed->refusals});
        // That took a while.
        write();
    }
    return wire::to_json(made);
}

}  // namespace sema
