#pragma once

#include "server/store/shared/clock_estimate.hpp"
#include "server/store/store.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sema::shared {

/// Why an engine did not do what it was asked for.
struct Trouble {
    enum class Kind {
        /// The store cannot be used at the moment.
        away,
        /// Nor will it be by itself: somebody has to change a setting.
        lasting,
        /// It can be reached, but has too few replicas to be used.
        unsafe,
        /// It is well, and refused this. Nothing of it was applied, nor will be.
        refused,
    };

    std::string why;
    Kind kind = Kind::away;
};

template <class T>
using Result = tl::expected<T, Trouble>;

inline tl::unexpected<Trouble> trouble(std::string why, Trouble::Kind kind = Trouble::Kind::away) {
    return tl::unexpected<Trouble>(Trouble{std::move(why), kind});
}

/// For so long a beat() shows that a server lives.
inline constexpr std::chrono::milliseconds heartbeat_life{1000};

/// When a change that is Stale asks for a turn, and for how long at the most.
struct Turn {
    /// The attempts that do not ask.
    unsigned after = 0;
    Duration time{};
};

/// What the watch says and asks four times a second.
struct Beat {
    /// What the store's timeline should show now, in microseconds, if that is known. Where it is off by less
    /// than half a second and the epoch is right, the store's wall clock counts as seen.
    std::optional<Duration> expected{};
    /// How often the timeline was corrected, as far as is known.
    std::uint64_t epoch = 0;
    /// The servers that are asked about.
    std::vector<ServerId> neighbours{};
};

struct Pulse {
    /// `sent` and `received` are not the engine's.
    ClockSample clock;
    /// Of each neighbour, in their order: whether its heartbeat is there.
    std::vector<bool> alive{};
    /// Why the store must not be used, although its clock can be read.
    std::optional<Trouble> shortage{};
};

/// What comes from the other servers. The engine calls it within wait().
class Announcements {
  public:
    /// A pool that is followed was changed by that server, which may be this one; 0: it is gone.
    virtual void changed(const PoolId& pool, Version version, ServerId by) = 0;
    /// A server has ended.
    virtual void ended(ServerId server) = 0;
    /// This server has the turn that it waits for; the pool is like that.
    virtual void handed(const PoolId& pool, const LoadResult& state) = 0;

  protected:
    ~Announcements() = default;
};

/// A kind of store that several servers use at once, without what all kinds have in common: that is
/// SharedStoreCore's. It reads and writes; which servers live, what time it is, and what to do when it fails
/// is decided elsewhere.
///
/// Two threads use it at the same time, over connections of their own: the *watch*, which has the calls from
/// connect() to wait(), and the *committer*, which has those from open() on. Neither calls while a call of
/// its own is under way. Each call but wait() ends within a second or so, also where the store hangs. A
/// Trouble of another kind than `refused` means that the connection it came over is closed.
class Engine {
  public:
    Engine();
    virtual ~Engine() = default;
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    // --- Any thread ---

    /// This run of this server: a random number.
    ServerId self() const { return self_; }
    /// Of the store, for people, without a password.
    virtual std::string name() const = 0;
    /// CLOCK_BOOTTIME: unlike the steady clock, it does not stand still while the machine sleeps. Only tests
    /// have another one.
    virtual Duration boot_time() const;
    /// Ends the wait() that is under way, or the next one.
    virtual void wake() = 0;
    /// Ends what the watch waits for, now and from now on.
    virtual void abandon() = 0;

    // --- The watch; before there is one, the thread that opens the store ---

    /// Finds the store anew, connects the watch with it, and sees to it that it is one that can be used: of
    /// the right format and version, writable. open() leads to it from then on. What was connected before is
    /// closed, and there is no subscription.
    virtual Result<void> connect() = 0;
    /// REQUIRES, like the calls that follow: no trouble since connect().
    /// One exchange: shows that this server lives, for heartbeat_life; reads the clock; leaves a mark if the
    /// clock is as expected; and asks for the heartbeats of others. The clock is read after the call began,
    /// and before it ends. Reports trouble where changes would not be taken.
    virtual Result<Pulse> beat(const Beat& beat) = 0;
    /// If the epoch is still `epoch`: makes the timeline show `timeline` now, by the store's clock as it is
    /// when that arrives, in the epoch `next`; and marks the clock as seen.
    virtual Result<void> correct_clock(std::uint64_t epoch, Duration timeline, std::uint64_t next) = 0;
    /// From its return on, wait() passes on what other servers do to these pools, and which of them end.
    virtual Result<void> subscribe(const std::vector<PoolId>& pools) = 0;
    /// Adds a pool to the subscription, or takes it out. Takes effect a little later; where there is none,
    /// not.
    virtual void follow(const PoolId& pool) = 0;
    virtual void unfollow(const PoolId& pool) = 0;
    /// Waits until then (of boot_time(), or until that goes back) or until wake(), and passes on what arrives
    /// meanwhile. False, at once and once, where the subscription has ended: from then on nothing arrives. An
    /// announcement may be lost without that; a connection that is dead without that is noticed within two
    /// seconds or so, if there are beats.
    virtual bool wait(Duration until, Announcements& to) = 0;

    // --- The committer ---

    /// Connects it with the store that connect() found last. What was connected before is closed.
    virtual Result<void> open() = 0;
    /// Whether the other side has hung up, as far as is known without waiting.
    virtual bool has_hung_up() = 0;

    /// REQUIRES, like the calls that follow: no trouble since open(), but that something was refused.
    /// As Store::load() says, each pool; a StoreFailure where that one cannot be read.
    virtual Result<std::vector<LoadResult>> load(const std::vector<PoolId>& pools) = 0;
    /// As SharedStore::reload() says. A pool that is there gets the version that is `step` ahead, and is
    /// announced as changed. One that is not there is guarded by a new word, which the server that makes it
    /// has to know: see Guards.
    virtual Result<LoadResult> reload(const PoolId& pool, std::uint64_t step) = 0;
    /// As Store::commit() says, each change on its own; a StoreFailure where that one is not applied, nor
    /// will be. A Stale says what the pool is now. `now` is the time on the timeline: the
    /// store refuses changes if that is off by more than a second. What is changed is announced.
    ///
    /// A change (but no mere question) that is Stale has a turn, if it is a later attempt than `turn.after`:
    /// until its server's next commit or question to that pool, but no longer than `turn.time`, changes of
    /// others are Stale. Those that ask for a turn meanwhile leave their server's name, once, and wait.
    /// A server that ends its turn by a commit or a question gives it to the first name, with the pool as it
    /// is then, by an announcement to that server alone; a name that no server answers to is passed over.
    /// Turns need not outlive anything.
    virtual Result<std::vector<CommitResult>> commit(const std::vector<PoolChange>& batch, TimePoint now,
                                                     const Turn& turn) = 0;
    virtual Result<std::size_t> pool_count() = 0;
    virtual Result<std::vector<PoolId>> pools_after(const std::optional<PoolId>& after, std::size_t most) = 0;
    /// The pools that have a keeper.
    virtual Result<std::vector<PoolWithCallbacks>> pools_with_callbacks() = 0;
    /// Notes that this server serves there, and returns the one that did before.
    virtual Result<std::optional<ServerId>> take_place(const std::string& place) = 0;
    /// Takes away the heartbeat of a server that has ended, this one or another, and announces its end.
    virtual Result<void> bury(ServerId server) = 0;
    /// As Store::seed() and Store::keep_seed() say.
    virtual Result<std::optional<std::string>> seed() = 0;
    virtual Result<std::string> keep_seed(const std::string& seed) = 0;
    /// Whether another server has a heartbeat.
    virtual Result<bool> has_others() = 0;

  private:
    const ServerId self_;
};

}  // namespace sema::shared
