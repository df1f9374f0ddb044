#include "server/service.hpp"

#include <algorithm>
#include <random>
#include <utility>

namespace sema {
namespace {

// Pools of different shards do not wait for each other's lock. More than a machine's cores, so that a
// few busy pools seldom meet in one.
constexpr std::size_t shard_count = 16;

// The timer thread never sleeps longer than this, since a thread's sleep does not count the time for
// which the machine was suspended, and the timeline does.
constexpr Duration longest_sleep = std::chrono::seconds(1);

// A refusal is due within 20 ms of the end of its wait, and needs no commit: a commit may delay it by no more
// than this, unless the store became slow just now.
constexpr std::chrono::milliseconds slow_commit(10);
constexpr std::chrono::seconds slow_for(1);

// A store in trouble is told of this often, and that it works again once it was well for this long: with a
// full disk each call may fail, or every other one.
constexpr Duration trouble_interval = std::chrono::minutes(1);
constexpr Duration calm = std::chrono::seconds(1);

Version fresh_version() {
    thread_local std::mt19937_64 generate{std::random_device{}()};
    Version version = 0;
    while (version == 0)
        version = generate();
    return version;
}

PoolCounts counts(const Pool& pool) {
    return {pool.count(), pool.in_use(), pool.available()};
}

struct Answered {
    Reply reply;
    Answer answer;
};

}  // namespace

/// Answers to give once no lock is held any more.
class Service::Ready {
  public:
    Ready() = default;
    Ready(const Ready&) = delete;
    Ready& operator=(const Ready&) = delete;
    ~Ready() {
        for (const auto& [reply, answer] : answers_)
            reply(answer);
    }

    void add(const Reply& reply, const Answer& answer) { answers_.push_back({reply, answer}); }
    void add(std::vector<Answered>&& answers) {
        std::move(answers.begin(), answers.end(), std::back_inserter(answers_));
    }

  private:
    std::vector<Answered> answers_;
};

/// A pool, or the knowledge that there is none, with what goes on around it.
struct Service::Entry {
    struct Deferred {
        Ticket ticket{};
        Reply reply;
        Act act;
        /// The borrower has left: it takes what is free, and does not wait.
        bool left = false;
    };

    /// False until the store was read, and again after a failed commit until it was read anew: calls
    /// are deferred meanwhile.
    bool loaded = false;
    /// Whether the pool is counted among `pools_`; unknown until it was loaded once.
    std::optional<bool> present;
    std::optional<Pool> pool;
    std::unordered_map<Ticket, Reply> waiters;
    std::vector<Deferred> deferred;

    /// The version after every change that was taken into a batch.
    Version version = 0;
    /// The last batch that took changes from here.
    std::uint64_t batch = 0;
    /// Changes that no batch has taken yet, and the answers that rest on them or on a batch under way.
    Changes changes;
    std::vector<Answered> answers;
    bool dirty = false;
    std::optional<TimePoint> scheduled;

    bool idle() const {
        return loaded && !pool && !dirty && changes.empty() && answers.empty() && deferred.empty();
    }
};

struct Service::Shard {
    Mutex mutex;
    std::unordered_map<PoolId, Entry> entries GUARDED_BY(mutex);
    /// Entries with something for the next batch, each once.
    std::vector<PoolId> dirty GUARDED_BY(mutex);
    std::vector<PoolId> to_load GUARDED_BY(mutex);
    /// At most one deadline per entry: its `scheduled`, which is not later than the pool's next one.
    std::set<std::pair<TimePoint, PoolId>> deadlines GUARDED_BY(mutex);
};

struct Service::Batch {
    std::uint64_t number = 0;
    std::vector<PoolChange> changes;
    /// Per change, in the same order, the answers that rest on it.
    std::vector<std::vector<Answered>> answers;
    /// Answers that rested on an earlier batch.
    std::vector<Answered> settled;
    std::vector<PoolId> to_load;
};

Service::Service(Store& store, Clock& clock, const ServiceLimits& limits,
                 std::function<void(const std::string&)> on_store_trouble)
    : store_(store),
      clock_(clock),
      limits_(limits),
      on_store_trouble_(std::move(on_store_trouble)),
      pools_(store.pool_count().value_or(0)) {
    for (std::size_t i = 0; i < shard_count; ++i)
        shards_.push_back(std::make_unique<Shard>());
}

Service::~Service() {
    stop();
}

void Service::start() {
    committer_ = std::thread([this] { run_committer(); });
    timer_ = std::thread([this] { run_timer(); });
}

void Service::drain() {
    draining_ = true;
    for (const auto& shard : shards_) {
        Ready ready;
        const MutexLock lock(shard->mutex);
        for (auto& [id, entry] : shard->entries) {
            if (!entry.pool) continue;
            for (const Ticket ticket : entry.pool->cancel_all()) {
                const auto waiter = entry.waiters.extract(ticket);
                --waiters_;
                ready.add(waiter.mapped(), Refusal::shutting_down);
            }
        }
    }
}

void Service::stop() {
    stopping_ = true;
    {
        const MutexLock lock(timer_mutex_);
        wake_at_ = TimePoint::min();
    }
    timer_changed_.notify_all();
    if (timer_.joinable()) timer_.join();
    wake_committer();
    if (committer_.joinable()) committer_.join();
    while (flush()) {
    }
}

void Service::put(const PoolId& pool, unsigned count, Reply reply) {
    if (draining_) return reply(Refusal::shutting_down);
    perform(pool, Ticket{}, reply, [this, count](Entry& entry, const Reply& to, Ready& ready) {
        if (entry.pool) {
            Outcome outcome;
            entry.pool->set_count(clock_.now(), count, entry.changes, outcome);
            tell(entry, outcome, ready);
        } else {
            if (pools_ >= limits_.max_pools) return ready.add(to, Refusal::too_many_pools);
            entry.pool.emplace(PoolRecord{0, count, {}}, clock_.now());
            entry.changes.count = count;
            set_present(entry, true);
        }
        answer(entry, to, counts(*entry.pool), ready);
    });
}

void Service::inspect(const PoolId& pool, Reply reply) {
    if (draining_) return reply(Refusal::shutting_down);
    perform(pool, Ticket{}, reply, [this](Entry& entry, const Reply& to, Ready& ready) {
        if (!entry.pool) return answer(entry, to, Refusal::no_such_pool, ready);
        Outcome outcome;
        entry.pool->advance_to(clock_.now(), entry.changes, outcome);
        tell(entry, outcome, ready);
        answer(entry, to, counts(*entry.pool), ready);
    });
}

void Service::remove(const PoolId& pool, Reply reply) {
    if (draining_) return reply(Refusal::shutting_down);
    perform(pool, Ticket{}, reply, [this](Entry& entry, const Reply& to, Ready& ready) {
        if (!entry.pool) return answer(entry, to, PoolDeleted{false}, ready);
        for (const Ticket ticket : entry.pool->cancel_all()) {
            entry.answers.push_back(
                {std::move(entry.waiters.extract(ticket).mapped()), Refusal::no_such_pool});
            --waiters_;
        }
        entry.pool.reset();
        entry.changes = Changes{true, std::nullopt, {}};
        set_present(entry, false);
        answer(entry, to, PoolDeleted{true}, ready);
    });
}

void Service::borrow(const PoolId& pool, Ticket ticket, Duration ttl, Duration wait, Reply reply) {
    if (draining_) return reply(Refusal::shutting_down);
    const TimePoint asked_at = clock_.now();
    const Claim claim{ticket, LeaseId::random(), std::min(ttl, limits_.max_ttl),
                      asked_at + std::min(wait, limits_.max_wait)};
    perform(pool, ticket, reply, [this, claim](Entry& entry, const Reply& to, Ready& ready) {
        if (!entry.pool) return answer(entry, to, Refusal::no_such_pool, ready);
        Outcome outcome;
        const auto borrowed = entry.pool->borrow(clock_.now(), claim, entry.changes, outcome);
        tell(entry, outcome, ready);
        if (const auto* lease = std::get_if<Lease>(&borrowed)) {
            answer(entry, to, *lease, ready);
        } else if (std::holds_alternative<Pool::Unavailable>(borrowed)) {
            ready.add(to, Refusal::no_resource);
        } else if (draining_ || waiters_ >= limits_.max_waiters) {
            entry.pool->cancel(claim.ticket);
            ready.add(to, draining_ ? Refusal::shutting_down : Refusal::too_many_waiters);
        } else {
            entry.waiters.emplace(claim.ticket, to);
            ++waiters_;
        }
    });
}

void Service::give_back(const PoolId& pool, const LeaseId& lease, Reply reply) {
    perform(pool, Ticket{}, reply, [this, lease](Entry& entry, const Reply& to, Ready& ready) {
        bool returned = false;
        if (entry.pool) {
            Outcome outcome;
            returned = entry.pool->give_back(clock_.now(), lease, entry.changes, outcome);
            tell(entry, outcome, ready);
        }
        answer(entry, to, LeaseReturned{returned}, ready);
    });
}

bool Service::leave(const PoolId& pool, Ticket ticket) {
    Shard& shard = shard_of(pool);
    const MutexLock lock(shard.mutex);
    const auto found = shard.entries.find(pool);
    if (found == shard.entries.end()) return false;
    Entry& entry = found->second;
    if (entry.pool && entry.pool->cancel(ticket)) {
        entry.waiters.erase(ticket);
        --waiters_;
        return true;
    }
    for (auto& call : entry.deferred) {
        if (call.ticket == ticket) call.left = true;
    }
    return false;
}

std::optional<TimePoint> Service::advance() {
    std::optional<TimePoint> next;
    for (const auto& shard : shards_) {
        Ready ready;
        const MutexLock lock(shard->mutex);
        while (!shard->deadlines.empty() && shard->deadlines.begin()->first <= clock_.now()) {
            const PoolId id = shard->deadlines.begin()->second;
            shard->deadlines.erase(shard->deadlines.begin());
            Entry& entry = shard->entries.at(id);
            entry.scheduled.reset();
            // A pool that is being read anew is brought up to date once that is done.
            if (!entry.loaded || !entry.pool) continue;
            Outcome outcome;
            entry.pool->advance_to(clock_.now(), entry.changes, outcome);
            tell(entry, outcome, ready);
            finish(*shard, id, entry);
        }
        if (!shard->deadlines.empty()) {
            const TimePoint first = shard->deadlines.begin()->first;
            next = next ? std::min(*next, first) : first;
        }
    }
    return next;
}

bool Service::settle() {
    if (!slow_) return flush();
    if (work_) wake_committer();
    return false;
}

bool Service::flush() {
    // Whoever is turned away here left its work where the thread that is at it looks once more.
    if (!work_ || flushing_.exchange(true)) return false;
    work_ = false;
    Batch batch;
    batch.number = ++taken_;
    for (const auto& shard : shards_)
        take(*shard, batch);
    commit(batch);
    for (const PoolId& id : batch.to_load)
        load(id);
    flushing_ = false;
    return work_;
}

Service::Shard& Service::shard_of(const PoolId& pool) {
    return *shards_[std::hash<PoolId>()(pool) % shards_.size()];
}

template <class AnyAct>
void Service::perform(const PoolId& pool, Ticket ticket, const Reply& reply, AnyAct act) {
    Ready ready;
    Shard& shard = shard_of(pool);
    const MutexLock lock(shard.mutex);
    const auto [found, is_new] = shard.entries.try_emplace(pool);
    Entry& entry = found->second;
    if (is_new) {
        shard.to_load.push_back(pool);
        work_ = true;
    }
    if (!entry.loaded) {
        entry.deferred.push_back({ticket, reply, std::move(act)});
        return;
    }
    act(entry, reply, ready);
    finish(shard, pool, entry);
}

/// What follows from whatever was just done to `entry`, which may be gone afterwards.
void Service::finish(Shard& shard, const PoolId& pool, Entry& entry) REQUIRES(shard.mutex) {
    if (!entry.dirty && (!entry.changes.empty() || !entry.answers.empty())) {
        entry.dirty = true;
        shard.dirty.push_back(pool);
        work_ = true;
    }
    const auto next = entry.pool ? entry.pool->next_deadline() : std::nullopt;
    if (next && (!entry.scheduled || *next < *entry.scheduled)) {
        if (entry.scheduled) shard.deadlines.erase({*entry.scheduled, pool});
        entry.scheduled = next;
        const auto place = shard.deadlines.emplace(*next, pool).first;
        if (place == shard.deadlines.begin()) schedule(*next);
    }
    drop_if_gone(shard, pool, entry);
}

/// Nothing is kept for a pool that is not there.
void Service::drop_if_gone(Shard& shard, const PoolId& pool, Entry& entry) REQUIRES(shard.mutex) {
    if (!entry.idle() || uncommitted(entry)) return;
    if (entry.scheduled) shard.deadlines.erase({*entry.scheduled, pool});
    shard.entries.erase(pool);
}

/// Passes on what a call to the pool meant for its waiters.
void Service::tell(Entry& entry, Outcome& outcome, Ready& ready) {
    for (const Ticket ticket : outcome.gave_up) {
        ready.add(entry.waiters.extract(ticket).mapped(), Refusal::no_resource);
        --waiters_;
    }
    for (const auto& [ticket, lease] : outcome.granted) {
        entry.answers.push_back({std::move(entry.waiters.extract(ticket).mapped()), lease});
        --waiters_;
    }
}

/// Answers when everything done to the pool so far is committed.
void Service::answer(Entry& entry, const Reply& reply, const Answer& answer, Ready& ready) {
    if (uncommitted(entry)) {
        entry.answers.push_back({reply, answer});
    } else {
        ready.add(reply, answer);
    }
}

bool Service::uncommitted(const Entry& entry) const {
    return !entry.changes.empty() || entry.batch > committed_;
}

void Service::set_present(Entry& entry, bool present) {
    if (entry.present == present) return;
    present ? ++pools_ : --pools_;
    entry.present = present;
}

void Service::take(Shard& shard, Batch& batch) {
    const MutexLock lock(shard.mutex);
    for (const PoolId& id : shard.dirty) {
        Entry& entry = shard.entries.at(id);
        entry.dirty = false;
        const Version base = entry.version;
        const Version next = !entry.pool ? 0 : base == 0 ? fresh_version() : base + 1;
        if (entry.changes.empty() || (base == 0 && next == 0)) {
            // Nothing to store, or made and deleted again since the last batch.
            entry.changes = {};
            std::move(entry.answers.begin(), entry.answers.end(), std::back_inserter(batch.settled));
            entry.answers.clear();
            drop_if_gone(shard, id, entry);
            continue;
        }
        batch.changes.push_back({id, base, next, std::exchange(entry.changes, {})});
        batch.answers.push_back(std::exchange(entry.answers, {}));
        entry.version = next;
        entry.batch = batch.number;
    }
    shard.dirty.clear();
    batch.to_load.insert(batch.to_load.end(), shard.to_load.begin(), shard.to_load.end());
    shard.to_load.clear();
}

void Service::commit(Batch& batch) {
    Ready ready;
    ready.add(std::move(batch.settled));
    if (!batch.changes.empty()) {
        const auto anchor = clock_.anchor_to_store();
        const auto begun = std::chrono::steady_clock::now();
        const CommitResult result = store_.commit(batch.changes, anchor);
        const auto ended = std::chrono::steady_clock::now();
        if (ended - begun > slow_commit) last_slow_commit_ = ended;
        slow_ = ended - last_slow_commit_ < slow_for;
        if (!std::holds_alternative<Committed>(result)) {
            const auto* failure = std::get_if<StoreFailure>(&result);
            report(failure ? failure->message : "another server changed a pool at the same time");
            return roll_back(batch, ready);
        }
        if (anchor) clock_.anchor_stored(*anchor);
        report("");
    }
    committed_ = batch.number;
    for (auto& answers : batch.answers)
        ready.add(std::move(answers));
    forget_gone(batch);
}

/// The batch could not be stored: what it did, and what was done on top of it, did not happen.
void Service::roll_back(Batch& batch, Ready& ready) {
    std::vector<Answered> failed;
    for (std::size_t i = 0; i < batch.changes.size(); ++i) {
        const PoolId& id = batch.changes[i].pool;
        std::move(batch.answers[i].begin(), batch.answers[i].end(), std::back_inserter(failed));
        Shard& shard = shard_of(id);
        const MutexLock lock(shard.mutex);
        Entry& entry = shard.entries.at(id);
        std::move(entry.answers.begin(), entry.answers.end(), std::back_inserter(failed));
        entry.answers.clear();
        entry.changes = {};
        entry.loaded = false;
        set_present(entry, batch.changes[i].base != 0);
        batch.to_load.push_back(id);
    }
    committed_ = batch.number;
    for (auto& [reply, answer] : failed)
        ready.add(reply, Refusal::store_failed);
}

/// Drops what is left of pools that the batch deleted.
void Service::forget_gone(const Batch& batch) {
    for (const PoolChange& change : batch.changes) {
        if (change.next != 0) continue;
        Shard& shard = shard_of(change.pool);
        const MutexLock lock(shard.mutex);
        const auto found = shard.entries.find(change.pool);
        if (found != shard.entries.end()) drop_if_gone(shard, change.pool, found->second);
    }
}

void Service::load(const PoolId& pool) {
    const LoadResult result = store_.load(pool);
    Ready ready;
    Shard& shard = shard_of(pool);
    const MutexLock lock(shard.mutex);
    Entry& entry = shard.entries.at(pool);
    const auto* record = std::get_if<PoolRecord>(&result);

    if (!record) {
        // Whoever waits here was told of a pool that is not there, or that cannot be read.
        for (auto& [ticket, reply] : entry.waiters)
            ready.add(reply, Refusal::store_failed);
        waiters_ -= entry.waiters.size();
        entry.waiters.clear();
        entry.pool.reset();
        entry.version = 0;
    }
    if (const auto* failure = std::get_if<StoreFailure>(&result)) {
        report(failure->message);
        for (const auto& call : entry.deferred)
            ready.add(call.reply, Refusal::store_failed);
        if (entry.scheduled) shard.deadlines.erase({*entry.scheduled, pool});
        std::erase(shard.dirty, pool);
        shard.entries.erase(pool);
        return;
    }

    const TimePoint now = clock_.now();
    if (record && entry.pool) {
        entry.pool->restore(*record, now);
    } else if (record) {
        entry.pool.emplace(*record, now);
    }
    if (record) entry.version = record->version;
    if (!entry.present) entry.present = record != nullptr;
    set_present(entry, record != nullptr);
    entry.loaded = true;
    if (entry.pool) {
        Outcome outcome;
        entry.pool->advance_to(now, entry.changes, outcome);
        tell(entry, outcome, ready);
    }
    for (const auto& call : std::exchange(entry.deferred, {})) {
        call.act(entry, call.reply, ready);
        if (call.left && entry.pool && entry.pool->cancel(call.ticket)) {
            ready.add(entry.waiters.extract(call.ticket).mapped(), Refusal::no_resource);
            --waiters_;
        }
    }
    finish(shard, pool, entry);
}

void Service::report(const std::string& trouble) {
    const TimePoint now = clock_.now();
    if (!trouble.empty()) {
        const bool is_known = in_trouble_ && now < told_at_ + trouble_interval;
        in_trouble_ = true;
        if (is_known) return;
    } else if (in_trouble_ && now >= told_at_ + calm) {
        in_trouble_ = false;
    } else {
        return;
    }
    told_at_ = now;
    if (on_store_trouble_) on_store_trouble_(trouble);
}

void Service::wake_committer() {
    if (committer_wanted_.exchange(1) == 0) committer_wanted_.notify_one();
}

void Service::run_committer() {
    while (!stopping_) {
        committer_wanted_.wait(0);
        committer_wanted_ = 0;
        while (flush()) {
        }
    }
}

void Service::schedule(TimePoint deadline) {
    const MutexLock lock(timer_mutex_);
    if (deadline >= wake_at_) return;
    wake_at_ = deadline;
    timer_changed_.notify_one();
}

void Service::run_timer() {
    while (!stopping_) {
        {
            const MutexLock lock(timer_mutex_);
            const TimePoint now = clock_.now();
            if (wake_at_ > now && !stopping_) {
                timer_changed_.wait_for(timer_mutex_, std::min(wake_at_ - now, longest_sleep));
                if (wake_at_ > clock_.now()) continue;
            }
            wake_at_ = TimePoint::max();
        }
        if (const auto next = advance()) schedule(*next);
        while (settle()) {
        }
    }
}

}  // namespace sema
