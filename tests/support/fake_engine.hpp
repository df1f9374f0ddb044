#pragma once

#include "server/store/memory/memory_store.hpp"
#include "server/store/shared/engine.hpp"
#include "server/store/shared/guards.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace sema::test {

class FakeEngine;

/// What fake engines have in common: a store in memory, its clock, and the time of all, which goes on only by
/// advance(). Any thread may call, but advance() and settle() are for one at a time.
class FakeStore {
  public:
    /// Time goes on. Each watch does what is due meanwhile when it is due; on return each has done all of it.
    void advance(Duration by);
    /// Each watch has done what is due by now.
    void settle();

    /// The wall clock of the store is set, by so much from what it shows.
    void step_clock(Duration by);
    Duration wall();
    /// How often the timeline was corrected.
    std::uint64_t corrections();
    /// All that is known of the time is lost, as with FLUSHALL.
    void forget_clock();

    bool has_heartbeat(ServerId server);
    /// Announcements vanish on their way, or they do no more.
    void lose_announcements(bool lost = true);
    /// The store can be reached, and must not be used; or it may again.
    void be_unsafe(bool unsafe = true);

  private:
    friend class FakeEngine;
    friend struct FakeServer;

    struct Turns {
        /// Whose turn it is, if any.
        ServerId server{};
        Duration ends{};
        /// Who waits, and how long its turn is to be.
        std::vector<std::pair<ServerId, Duration>> waiting{};
    };

    std::mutex mutex_;
    std::condition_variable moved_;
    Duration now_ = std::chrono::hours(1);
    std::set<FakeEngine*> engines_;

    std::shared_ptr<MemoryData> data_ = make_memory_data();
    std::map<PoolId, std::string> guards_;
    std::map<PoolId, Turns> turns_;
    std::map<ServerId, Duration> heartbeats_;
    std::map<std::string, ServerId> places_;
    bool announcements_lost_ = false;
    bool unsafe_ = false;

    /// From now_ to the wall clock.
    Duration ahead_ = std::chrono::hours(24 * 365);
    Duration offset_{};
    std::uint64_t epoch_ = 0;
    std::optional<Duration> seen_;
};

/// An engine each of whose failures a test can place. It is made in the thread that opens the store.
class FakeEngine final : public shared::Engine {
  public:
    enum class Call {
        connect,
        beat,
        correct,
        subscribe,
        open,
        load,
        reload,
        commit,
        count,
        list,
        callbacks,
        place,
        bury,
        others,
        seed
    };

    explicit FakeEngine(FakeStore& store);
    ~FakeEngine() override;

    // --- What a test does. Any thread. ---

    /// The next calls of that kind do nothing, and fail like this; `spared` come before them.
    void fail(Call call, shared::Trouble::Kind kind = shared::Trouble::Kind::away, unsigned times = 1,
              unsigned spared = 0);
    /// Every call fails, until heal().
    void cut_off();
    void heal();
    /// The next call of that kind does what it should, and fails.
    void lose_answer(Call call);
    /// The next commit fails, and stays under way until deliver().
    void hold_commit() { hold_commit_ = true; }
    /// What was held arrives at the store. Returns what nobody is told.
    std::vector<CommitResult> deliver();
    /// The other side closes the committer's connection, which is noticed by has_hung_up() only.
    void hang_up() { hung_up_ = true; }
    /// The subscription ends.
    void end_subscription();
    /// Its beats leave no heartbeat, or they do again: it counts as dead, and does not know.
    void be_mute(bool mute = true) { mute_ = mute; }
    /// This machine stands still for so long, its clock with it.
    void halt(Duration time);
    /// This process does not run for so long.
    void stop(Duration time);
    /// Is called within the next commit, before that is done.
    void before_commit(std::function<void()> act) { before_commit_ = std::move(act); }

    unsigned times(Call call);
    bool follows(const PoolId& pool);
    /// That of the last commit.
    shared::Turn turn_asked_for() { return turn_; }

    // --- The engine ---

    std::string name() const override { return "fake:"; }
    Duration boot_time() const override;
    void wake() override;
    void abandon() override;

    shared::Result<void> connect() override;
    shared::Result<shared::Pulse> beat(const shared::Beat& beat) override;
    shared::Result<void> correct_clock(std::uint64_t epoch, Duration timeline, std::uint64_t next) override;
    shared::Result<void> subscribe(const std::vector<PoolId>& pools) override;
    void follow(const PoolId& pool) override;
    void unfollow(const PoolId& pool) override;
    bool wait(Duration until, shared::Announcements& to) override;

    shared::Result<void> open() override;
    bool has_hung_up() override;
    shared::Result<std::vector<LoadResult>> load(const std::vector<PoolId>& pools) override;
    shared::Result<LoadResult> reload(const PoolId& pool, std::uint64_t step) override;
    shared::Result<std::vector<CommitResult>> commit(const std::vector<PoolChange>& batch, TimePoint now,
                                                     const shared::Turn& turn) override;
    shared::Result<std::size_t> pool_count() override;
    shared::Result<std::vector<PoolId>> pools_after(const std::optional<PoolId>& after,
                                                    std::size_t most) override;
    shared::Result<std::vector<PoolWithCallbacks>> pools_with_callbacks() override;
    shared::Result<std::optional<ServerId>> take_place(const std::string& place) override;
    shared::Result<void> bury(ServerId server) override;
    shared::Result<bool> has_others() override;
    shared::Result<std::optional<std::string>> seed() override;
    shared::Result<std::string> keep_seed(const std::string& seed) override;

  private:
    friend class FakeStore;
    friend struct FakeServer;
    using Lock = std::unique_lock<std::mutex>;

    struct Fault {
        shared::Trouble::Kind kind{};
        unsigned times = 0;
        bool is_applied = false;
        unsigned spared = 0;
    };
    struct Message {
        std::optional<PoolId> pool;
        Version version = 0;
        ServerId server{};
        /// The pool, where the turn is this server's.
        std::optional<LoadResult> state{};
    };

    template <class Act>
    auto call(Call call, const Act& act) -> decltype(act());
    LoadResult read(const PoolId& pool);
    std::vector<CommitResult> apply(const std::vector<PoolChange>& batch, TimePoint now,
                                    const shared::Turn& turn);
    CommitResult apply(const PoolChange& change, TimePoint now, const shared::Turn& turn);
    CommitResult refuse(const PoolChange& change, bool is_there, const shared::Turn& turn);
    void pass_on(const PoolId& pool);
    void announce(const Message& message);

    Duration own_time() const { return store_.now_ - halted_; }
    bool is_settled() const;

    FakeStore& store_;
    const std::thread::id opener_ = std::this_thread::get_id();
    const std::unique_ptr<Store> inner_;

    // All that follows is under the store's mutex, unless it is atomic.

    /// The watch is within wait(), until then.
    bool rests_ = false;
    Duration until_{};
    bool woken_ = false;
    bool has_watch_ = false;
    bool abandoned_ = false;
    bool frozen_ = false;
    Duration halted_{};

    bool cut_off_ = false;
    std::map<Call, Fault> faults_;
    std::map<Call, unsigned> times_;
    bool subscribed_ = false;
    bool subscription_ended_ = false;
    std::set<PoolId> followed_;
    std::deque<Message> messages_;
    shared::Guards guards_;

    std::atomic<bool> mute_{false};
    std::atomic<bool> hung_up_{false};
    std::atomic<bool> hold_commit_{false};
    std::function<void()> before_commit_;
    std::optional<std::pair<std::vector<PoolChange>, TimePoint>> held_;
    shared::Turn turn_;
};

/// A server's store on a FakeStore.
struct FakeServer {
    /// Throws where it cannot be opened.
    explicit FakeServer(FakeStore& store);

    /// Owned by the store.
    FakeEngine* engine;
    std::unique_ptr<SharedStore> store;
};

}  // namespace sema::test
