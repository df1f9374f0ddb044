#include "tests/support/fake_engine.hpp"

#include "server/store/shared/shared_store.hpp"
#include "tests/support/eventually.hpp"

#include <algorithm>
#include <stdexcept>

namespace sema::test {

using shared::Result;
using shared::Trouble;
using shared::trouble;

void FakeStore::settle() {
    std::unique_lock lock(mutex_);
    const auto all_rest = [&] {
        return std::all_of(engines_.begin(), engines_.end(),
                           [](const FakeEngine* engine) { return engine->is_settled(); });
    };
    if (!moved_.wait_for(lock, patience, all_rest)) throw std::runtime_error("a watch does not come to rest");
}

void FakeStore::advance(Duration by) {
    settle();
    std::unique_lock lock(mutex_);
    const Duration target = now_ + by;
    while (now_ < target) {
        Duration next = target;
        for (const FakeEngine* engine : engines_) {
            const bool counts = engine->has_watch_ && !engine->abandoned_ && !engine->frozen_;
            if (counts) next = std::min(next, engine->until_ + engine->halted_);
        }
        now_ = std::max(now_, next);
        moved_.notify_all();
        lock.unlock();
        settle();
        lock.lock();
    }
}

void FakeStore::step_clock(Duration by) {
    const std::lock_guard lock(mutex_);
    ahead_ += by;
}

Duration FakeStore::wall() {
    const std::lock_guard lock(mutex_);
    return now_ + ahead_;
}

std::uint64_t FakeStore::corrections() {
    const std::lock_guard lock(mutex_);
    return epoch_;
}

void FakeStore::forget_clock() {
    const std::lock_guard lock(mutex_);
    offset_ = {};
    epoch_ = 0;
    seen_.reset();
}

bool FakeStore::has_heartbeat(ServerId server) {
    const std::lock_guard lock(mutex_);
    const auto found = heartbeats_.find(server);
    return found != heartbeats_.end() && found->second > now_;
}

void FakeStore::lose_announcements(bool lost) {
    const std::lock_guard lock(mutex_);
    announcements_lost_ = lost;
}

void FakeStore::be_unsafe(bool unsafe) {
    const std::lock_guard lock(mutex_);
    unsafe_ = unsafe;
}

FakeEngine::FakeEngine(FakeStore& store) : store_(store), inner_(make_memory_store(store.data_)) {
    const Lock lock(store_.mutex_);
    store_.engines_.insert(this);
}

FakeEngine::~FakeEngine() {
    const Lock lock(store_.mutex_);
    store_.engines_.erase(this);
}

// What wait() would return for is over.
bool FakeEngine::is_settled() const {
    if (!has_watch_ || abandoned_ || frozen_) return true;
    return rests_ && !woken_ && !subscription_ended_ && messages_.empty() && own_time() < until_;
}

void FakeEngine::fail(Call call, Trouble::Kind kind, unsigned times, unsigned spared) {
    const Lock lock(store_.mutex_);
    faults_[call] = {kind, times, false, spared};
}

void FakeEngine::lose_answer(Call call) {
    const Lock lock(store_.mutex_);
    faults_[call] = {Trouble::Kind::away, 1, true};
}

void FakeEngine::cut_off() {
    const Lock lock(store_.mutex_);
    cut_off_ = true;
}

void FakeEngine::heal() {
    const Lock lock(store_.mutex_);
    cut_off_ = false;
}

std::vector<CommitResult> FakeEngine::deliver() {
    const Lock lock(store_.mutex_);
    const auto [batch, now] = *std::exchange(held_, std::nullopt);
    return apply(batch, now, {});
}

void FakeEngine::end_subscription() {
    const Lock lock(store_.mutex_);
    subscribed_ = false;
    subscription_ended_ = true;
    store_.moved_.notify_all();
}

void FakeEngine::stop(Duration time) {
    store_.settle();
    {
        const Lock lock(store_.mutex_);
        frozen_ = true;
    }
    store_.advance(time);
    {
        const Lock lock(store_.mutex_);
        frozen_ = false;
        store_.moved_.notify_all();
    }
    store_.settle();
}

void FakeEngine::halt(Duration time) {
    {
        const Lock lock(store_.mutex_);
        halted_ += time;
    }
    stop(time);
}

unsigned FakeEngine::times(Call call) {
    const Lock lock(store_.mutex_);
    return times_[call];
}

bool FakeEngine::follows(const PoolId& pool) {
    const Lock lock(store_.mutex_);
    return followed_.contains(pool);
}

Duration FakeEngine::boot_time() const {
    const Lock lock(store_.mutex_);
    return own_time();
}

void FakeEngine::wake() {
    const Lock lock(store_.mutex_);
    woken_ = true;
    store_.moved_.notify_all();
}

void FakeEngine::abandon() {
    const Lock lock(store_.mutex_);
    abandoned_ = true;
    store_.moved_.notify_all();
}

template <class Act>
auto FakeEngine::call(Call call, const Act& act) -> decltype(act()) {
    const Lock lock(store_.mutex_);
    ++times_[call];
    const bool is_watch =
        call == Call::connect || call == Call::beat || call == Call::correct || call == Call::subscribe;
    if (cut_off_) return trouble("the test cut it off");
    if (!is_watch && call != Call::open && hung_up_) return trouble("it hung up");
    const auto found = faults_.find(call);
    if (found == faults_.end()) return act();
    if (found->second.spared > 0) {
        --found->second.spared;
        return act();
    }
    const Fault fault = found->second;
    if (--found->second.times == 0) faults_.erase(found);
    if (!fault.is_applied) return trouble("the test made it fail", fault.kind);
    (void)act();
    return trouble("the test lost the answer");
}

// --- The watch ---

Result<void> FakeEngine::connect() {
    return call(Call::connect, [&]() -> Result<void> {
        subscribed_ = false;
        subscription_ended_ = false;
        return {};
    });
}

Result<shared::Pulse> FakeEngine::beat(const shared::Beat& beat) {
    return call(Call::beat, [&]() -> Result<shared::Pulse> {
        if (!mute_) store_.heartbeats_[self()] = store_.now_ + shared::heartbeat_life;
        shared::Pulse pulse;
        const Duration wall = store_.now_ + store_.ahead_;
        pulse.clock.wall = wall;
        pulse.clock.offset = store_.offset_;
        pulse.clock.epoch = store_.epoch_;
        pulse.clock.seen = store_.seen_;
        const bool is_right =
            beat.expected && beat.epoch == store_.epoch_ &&
            std::chrono::abs(wall + store_.offset_ - *beat.expected) < std::chrono::milliseconds(500);
        if (is_right) store_.seen_ = wall;
        for (const ServerId server : beat.neighbours) {
            const auto found = store_.heartbeats_.find(server);
            pulse.alive.push_back(found != store_.heartbeats_.end() && found->second > store_.now_);
        }
        if (store_.unsafe_) pulse.shortage = Trouble{"the test made it unsafe", Trouble::Kind::unsafe};
        return pulse;
    });
}

Result<void> FakeEngine::correct_clock(std::uint64_t epoch, Duration timeline, std::uint64_t next) {
    return call(Call::correct, [&]() -> Result<void> {
        if (store_.epoch_ != epoch) return {};
        const Duration wall = store_.now_ + store_.ahead_;
        store_.offset_ = timeline - wall;
        store_.epoch_ = next;
        store_.seen_ = wall;
        return {};
    });
}

Result<void> FakeEngine::subscribe(const std::vector<PoolId>& pools) {
    return call(Call::subscribe, [&]() -> Result<void> {
        followed_ = {pools.begin(), pools.end()};
        messages_.clear();
        subscribed_ = true;
        subscription_ended_ = false;
        return {};
    });
}

void FakeEngine::follow(const PoolId& pool) {
    const Lock lock(store_.mutex_);
    if (subscribed_) followed_.insert(pool);
}

void FakeEngine::unfollow(const PoolId& pool) {
    const Lock lock(store_.mutex_);
    followed_.erase(pool);
}

bool FakeEngine::wait(Duration until, shared::Announcements& to) {
    if (std::this_thread::get_id() == opener_) {
        store_.advance(std::max(Duration::zero(), until - boot_time()));
        return true;
    }
    Lock lock(store_.mutex_);
    has_watch_ = true;
    until_ = until;
    const auto leave = [&](bool result) {
        rests_ = false;
        return result;
    };
    for (;;) {
        rests_ = true;
        store_.moved_.notify_all();
        if (abandoned_) return leave(true);
        if (frozen_) {
            store_.moved_.wait(lock);
        } else if (std::exchange(subscription_ended_, false)) {
            return leave(false);
        } else if (!messages_.empty()) {
            const Message message = messages_.front();
            messages_.pop_front();
            rests_ = false;
            lock.unlock();
            if (message.state) {
                to.handed(*message.pool, *message.state);
            } else if (message.pool) {
                to.changed(*message.pool, message.version, message.server);
            } else {
                to.ended(message.server);
            }
            lock.lock();
        } else if (std::exchange(woken_, false) || own_time() >= until_) {
            return leave(true);
        } else {
            store_.moved_.wait(lock);
        }
    }
}

// --- The committer ---

Result<void> FakeEngine::open() {
    return call(Call::open, [&]() -> Result<void> {
        hung_up_ = false;
        return {};
    });
}

bool FakeEngine::has_hung_up() {
    return hung_up_;
}

Result<std::vector<LoadResult>> FakeEngine::load(const std::vector<PoolId>& pools) {
    return call(Call::load, [&]() -> Result<std::vector<LoadResult>> {
        std::vector<LoadResult> found;
        for (const PoolId& pool : pools)
            found.push_back(read(pool));
        return found;
    });
}

Result<LoadResult> FakeEngine::reload(const PoolId& pool, std::uint64_t step) {
    return call(Call::reload, [&]() -> Result<LoadResult> {
        const LoadResult found = inner_->load(pool);
        if (const auto* record = std::get_if<PoolRecord>(&found)) {
            const Version next = record->version + step;
            inner_->commit({{pool, record->version, next, {}}}, std::nullopt);
            announce({pool, next, self()});
        }
        store_.guards_[pool] = LeaseId::random().str();
        return read(pool);
    });
}

Result<std::vector<CommitResult>> FakeEngine::commit(const std::vector<PoolChange>& batch, TimePoint now,
                                                     const shared::Turn& turn) {
    if (const auto act = std::exchange(before_commit_, {})) act();
    turn_ = turn;
    return call(Call::commit, [&]() -> Result<std::vector<CommitResult>> {
        if (!hold_commit_.exchange(false)) return apply(batch, now, turn);
        held_ = {batch, now};
        return trouble("the test holds it");
    });
}

Result<std::size_t> FakeEngine::pool_count() {
    return call(Call::count, [&]() -> Result<std::size_t> { return inner_->pool_count().value(); });
}

Result<std::vector<PoolId>> FakeEngine::pools_after(const std::optional<PoolId>& after, std::size_t most) {
    return call(Call::list,
                [&]() -> Result<std::vector<PoolId>> { return inner_->pools_after(after, most).value(); });
}

Result<std::vector<PoolWithCallbacks>> FakeEngine::pools_with_callbacks() {
    return call(Call::callbacks, [&]() -> Result<std::vector<PoolWithCallbacks>> {
        return inner_->pools_with_callbacks().value();
    });
}

Result<std::optional<ServerId>> FakeEngine::take_place(const std::string& place) {
    return call(Call::place, [&]() -> Result<std::optional<ServerId>> {
        const auto [found, is_new] = store_.places_.try_emplace(place, self());
        if (is_new) return std::nullopt;
        return std::exchange(found->second, self());
    });
}

Result<void> FakeEngine::bury(ServerId server) {
    return call(Call::bury, [&]() -> Result<void> {
        store_.heartbeats_.erase(server);
        announce({std::nullopt, 0, server});
        return {};
    });
}

Result<bool> FakeEngine::has_others() {
    return call(Call::others, [&]() -> Result<bool> {
        return std::any_of(store_.heartbeats_.begin(), store_.heartbeats_.end(), [&](const auto& heartbeat) {
            return heartbeat.first != self() && heartbeat.second > store_.now_;
        });
    });
}

Result<std::optional<std::string>> FakeEngine::seed() {
    return call(Call::seed, [&]() -> Result<std::optional<std::string>> { return inner_->seed().value(); });
}

Result<std::string> FakeEngine::keep_seed(const std::string& seed) {
    return call(Call::seed, [&]() -> Result<std::string> { return inner_->keep_seed(seed).value(); });
}

LoadResult FakeEngine::read(const PoolId& pool) {
    LoadResult found = inner_->load(pool);
    const auto guard = store_.guards_.find(pool);
    guards_.keep(pool, found, guard == store_.guards_.end() ? "" : guard->second);
    return found;
}

std::vector<CommitResult> FakeEngine::apply(const std::vector<PoolChange>& batch, TimePoint now,
                                            const shared::Turn& turn) {
    std::vector<CommitResult> results;
    for (const PoolChange& change : batch)
        results.push_back(apply(change, now, turn));
    return results;
}

CommitResult FakeEngine::apply(const PoolChange& change, TimePoint now, const shared::Turn& turn) {
    const LoadResult before = inner_->load(change.pool);
    const auto* record = std::get_if<PoolRecord>(&before);
    const auto guard = store_.guards_.find(change.pool);
    const bool is_guarded =
        !record && guard != store_.guards_.end() && guards_.of(change.pool) != guard->second;
    const FakeStore::Turns turns = store_.turns_[change.pool];
    const bool is_others_turn = turns.server != self() && turns.ends > store_.now_;
    const bool is_stale = (record ? record->version : 0) != change.base || is_guarded;
    const bool is_question = change.next == change.base && change.base != 0;
    if (is_stale || (is_others_turn && !is_question)) return refuse(change, record != nullptr, turn);
    if (is_question) {
        if (turns.server == self()) pass_on(change.pool);
        return Committed{};
    }
    const Duration timeline = store_.now_ + store_.ahead_ + store_.offset_;
    if (std::chrono::abs(timeline - now.time_since_epoch()) > std::chrono::seconds(1))
        return StoreFailure{"this server has to set its clock first"};
    CommitResult result = inner_->commit({change}, std::nullopt).front();
    guards_.forget(change.pool);
    announce({change.pool, change.next, self()});
    if (change.next != 0) pass_on(change.pool);
    return result;
}

CommitResult FakeEngine::refuse(const PoolChange& change, bool is_there, const shared::Turn& turn) {
    const bool asks = is_there && change.next != change.base && change.attempt > turn.after;
    if (!asks) return Stale{read(change.pool)};
    FakeStore::Turns& turns = store_.turns_[change.pool];
    const auto is_mine = [&](const auto& name) { return name.first == self(); };
    if (turns.server != self() && turns.ends > store_.now_) {
        if (std::none_of(turns.waiting.begin(), turns.waiting.end(), is_mine))
            turns.waiting.emplace_back(self(), turn.time);
        return Stale{.waits_for_turn = true};
    }
    std::erase_if(turns.waiting, is_mine);
    turns.server = self();
    turns.ends = store_.now_ + turn.time;
    return Stale{read(change.pool)};
}

// To the first who waits and can be reached.
void FakeEngine::pass_on(const PoolId& pool) {
    FakeStore::Turns& turns = store_.turns_[pool];
    turns.ends = {};
    std::erase_if(turns.waiting, [&](const auto& name) { return name.first == self(); });
    while (!turns.waiting.empty() && turns.ends == Duration{}) {
        const auto [server, time] = turns.waiting.front();
        turns.waiting.erase(turns.waiting.begin());
        for (FakeEngine* engine : store_.engines_) {
            if (engine->self() != server || !engine->subscribed_ || engine->cut_off_) continue;
            turns.server = server;
            turns.ends = store_.now_ + time;
            if (store_.announcements_lost_) continue;
            engine->messages_.push_back({.pool = pool, .state = inner_->load(pool)});
        }
    }
    store_.moved_.notify_all();
}

void FakeEngine::announce(const Message& message) {
    if (store_.announcements_lost_) return;
    for (FakeEngine* engine : store_.engines_) {
        const bool hears = engine->subscribed_ && !engine->cut_off_;
        if (hears && (!message.pool || engine->followed_.contains(*message.pool)))
            engine->messages_.push_back(message);
    }
    store_.moved_.notify_all();
}

FakeServer::FakeServer(FakeStore& fake) {
    auto made = std::make_unique<FakeEngine>(fake);
    engine = made.get();
    auto opened = open_shared_store(std::move(made));
    if (!opened) throw std::runtime_error(opened.error().message);
    store = *std::move(opened);
    std::unique_lock lock(fake.mutex_);
    fake.moved_.wait_for(lock, patience, [&] { return engine->has_watch_; });
}

}  // namespace sema::test
