#include "server/store/shared/watch.hpp"

#include <algorithm>

namespace sema::shared {
namespace {

using namespace std::chrono_literals;

// A server counts as lost at most 2.8 s after its death: its heartbeat lasts for 1 s, is looked for 4 times a
// second, and has to be missing for 1.5 s.
constexpr Duration tick_time = 250ms;
// Somebody else may have taken us for missing after that, and messages may be lost.
constexpr Duration own_gap_limit = 900ms;
// Where nobody has seen the store's clock right for so long, there is nobody else, or somebody is about to
// take a step of it back: within four ticks or so.
constexpr Duration doubt_limit = 1s;
constexpr Duration doubt_time = ClockEstimate::doubt_time + 700ms;
constexpr Duration look_time = 150ms;
// A server whose time was ahead by more has it stand still, and cannot change anything.
constexpr Duration most_ahead = 1s;
constexpr Duration first_look_limit = 3s;

}  // namespace

Result<void> Watch::start() {
    const Duration end = engine_.boot_time() + first_look_limit;
    for (;;) {
        const auto looked = look();
        if (looked || looked.error().kind == Trouble::Kind::unsafe) break;
        const bool is_lasting = looked.error().kind == Trouble::Kind::lasting;
        if (is_lasting || engine_.boot_time() + look_time >= end) return looked;
        sleep(look_time);
    }
    if (clock_is_doubtful_) {
        sleep(doubt_time);
        clock_ = {};
    }
    // The second time leaves a mark for later servers that the clock was right. The connection may have gone
    // meanwhile; where it stays away, the thread goes on with that.
    const Duration limit = engine_.boot_time() + first_look_limit;
    while (!(subscribed_ && tick()) && engine_.boot_time() + look_time < limit) {
        const auto found = look();
        if (found) continue;
        went_away(found.error().why);
        sleep(look_time);
    }
    thread_ = std::thread([this] { run(); });
    return {};
}

void Watch::stop() {
    if (!thread_.joinable()) return;
    stopping_ = true;
    engine_.abandon();
    engine_.wake();
    thread_.join();
}

void Watch::listen(StoreListener* listener) {
    const MutexLock lock(listener_mutex_);
    listener_ = listener;
}

void Watch::follow(const PoolId& pool) {
    {
        const MutexLock lock(mutex_);
        if (!followed_.insert(pool).second) return;
        unsaid_.emplace_back(pool, true);
    }
    engine_.wake();
}

void Watch::unfollow(const PoolId& pool) {
    {
        const MutexLock lock(mutex_);
        if (followed_.erase(pool) == 0) return;
        unsaid_.emplace_back(pool, false);
    }
    engine_.wake();
}

bool Watch::is_lost(ServerId server) {
    if (server == ServerId{}) return true;
    return server != engine_.self() && neighbours_.is_lost(server, engine_.boot_time());
}

TimePoint Watch::now() const {
    const Duration::rep now = (engine_.boot_time() + Duration(lead_)).count();
    Duration::rep latest = latest_now_;
    while (now > latest && !latest_now_.compare_exchange_weak(latest, now)) {
    }
    return TimePoint(Duration(std::max(now, latest)));
}

Duration Watch::unix_time(TimePoint point) const {
    return point.time_since_epoch() - Duration(offset_);
}

std::string Watch::reason() const {
    const MutexLock lock(mutex_);
    return reason_;
}

void Watch::went_away(const std::string& why) {
    {
        const MutexLock lock(mutex_);
        reason_ = why;
        look_again_ = true;
        reachable_ = false;
        ++generation_;
    }
    engine_.wake();
}

template <class Call>
void Watch::notify(const Call& call) {
    const MutexLock lock(listener_mutex_);
    if (listener_) call(*listener_);
}

void Watch::run() {
    while (!stopping_) {
        if (is_to_look()) {
            const bool found = look().has_value();
            if (!found && !stopping_) rest(engine_.boot_time() + look_time);
            if (found) notify([](StoreListener& listener) { listener.reached(); });
            continue;
        }
        const Duration due = next_tick();
        if (subscribed_ && engine_.boot_time() < due) {
            rest(due);
            continue;
        }
        Result<void> done;
        if (!subscribed_) {
            done = subscribe();
            if (done) notify([](StoreListener& listener) { listener.reached(); });
        }
        if (done) done = tick();
        if (!done && !stopping_) went_away(done.error().why);
    }
}

Duration Watch::next_tick() const {
    // A machine that goes on from a checkpoint may find an earlier time.
    const Duration now = engine_.boot_time();
    if (now < last_tick_) return now;
    const Duration regular = last_tick_ + tick_time;
    return std::min(regular, neighbours_.next_loss().value_or(regular));
}

// Hears what comes in meanwhile. Returns early when there is something to do.
void Watch::rest(Duration until) {
    std::vector<std::pair<PoolId, bool>> unsaid;
    {
        const MutexLock lock(mutex_);
        unsaid.swap(unsaid_);
    }
    for (const auto& [pool, is_followed] : unsaid)
        is_followed ? engine_.follow(pool) : engine_.unfollow(pool);
    if (!engine_.wait(until, *this)) subscribed_ = false;
}

void Watch::sleep(Duration time) {
    const Duration until = engine_.boot_time() + time;
    while (engine_.boot_time() < until)
        rest(until);
}

bool Watch::is_to_look() const {
    const MutexLock lock(mutex_);
    return look_again_;
}

Result<void> Watch::look() {
    {
        const MutexLock lock(mutex_);
        look_again_ = false;
    }
    auto found = look_further();
    const MutexLock lock(mutex_);
    // Somebody's connection failed once more meanwhile.
    if (found && look_again_) found = trouble(reason_);
    if (found) {
        subscribed_at_ = ++generation_;
        reachable_ = true;
    } else {
        reason_ = found.error().why;
        look_again_ = true;
    }
    return found;
}

Result<void> Watch::look_further() {
    subscribed_ = false;
    auto done = engine_.connect();
    if (done) done = subscribe();
    // Heartbeats that were missed while the store was away prove nothing of the others.
    last_heartbeat_.reset();
    if (done) done = tick();
    return done;
}

Result<void> Watch::subscribe() {
    std::vector<PoolId> pools;
    {
        const MutexLock lock(mutex_);
        pools.assign(followed_.begin(), followed_.end());
        unsaid_.clear();
    }
    subscribed_at_ = generation_;
    auto done = engine_.subscribe(pools);
    subscribed_ = done.has_value();
    return done;
}

Result<void> Watch::tick() {
    const Duration sent = last_tick_ = engine_.boot_time();
    Beat beat{.expected = {}, .epoch = clock_.epoch(), .neighbours = neighbours_.watched()};
    // Only a server that knows the time is a witness for servers that come after a step of the clock.
    if (!clock_.is_empty() && !clock_.is_in_doubt()) beat.expected = sent + clock_.lead();
    auto pulse = engine_.beat(beat);
    const Duration received = engine_.boot_time();
    if (!pulse) return tl::unexpected(pulse.error());
    pulse->clock.sent = sent;
    pulse->clock.received = received;
    if (auto taken = take_clock(pulse->clock); !taken) return taken;
    if (pulse->shortage) return tl::unexpected(*pulse->shortage);

    const bool first = !last_heartbeat_;
    const bool gap = !first && received - *last_heartbeat_ > own_gap_limit;
    last_heartbeat_ = received;
    if (first || gap) neighbours_.forgive();
    for (const ServerId server : neighbours_.take(beat.neighbours, pulse->alive, received))
        notify([&](StoreListener& listener) { listener.lost(server); });
    if (gap) notify([](StoreListener& listener) { listener.reached(); });
    return {};
}

Result<void> Watch::take_clock(const ClockSample& sample) {
    if (clock_.is_empty())
        clock_is_doubtful_ = sample.seen && std::chrono::abs(sample.wall - *sample.seen) > doubt_limit;
    const auto correction = clock_.take(sample);
    lead_ = clock_.lead().count();
    offset_ = clock_.offset().count();
    // Whether it is ours or another server's that comes about, the next sample brings it. It says not by how
    // much the clock is off, since that may be another by the time that it arrives.
    if (correction)
        return engine_.correct_clock(sample.epoch, engine_.boot_time() + clock_.lead(), *correction);
    const Duration ahead = Duration(latest_now_) - (engine_.boot_time() + clock_.lead());
    if (ahead > most_ahead) {
        return trouble("this server took it to be " + std::to_string(ahead.count() / 1'000'000) +
                       " s later than it is, and waits for that to pass: start it again");
    }
    return {};
}

void Watch::changed(const PoolId& pool, Version version, ServerId by) {
    if (by == engine_.self()) return;
    {
        const MutexLock lock(mutex_);
        if (!followed_.contains(pool)) return;
    }
    notify([&](StoreListener& listener) { listener.changed(pool, version); });
}

void Watch::handed(const PoolId& pool, const LoadResult& state) {
    // What it says may be older than the store as it was found last.
    if (subscribed_at_ != generation_) {
        subscribed_ = false;
        engine_.wake();
    } else {
        notify([&](StoreListener& listener) { listener.handed(pool, state, subscribed_at_); });
    }
}

void Watch::ended(ServerId server) {
    if (server == engine_.self() || !neighbours_.end(server)) return;
    notify([&](StoreListener& listener) { listener.lost(server); });
}

}  // namespace sema::shared
