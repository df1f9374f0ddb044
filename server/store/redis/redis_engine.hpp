#pragma once

#include "server/store/redis/master.hpp"
#include "server/store/shared/guards.hpp"
#include "server/store/shared/interrupt.hpp"
#include "server/store/shared/numbers.hpp"
#include "server/sync.hpp"

#include <string>
#include <vector>

namespace sema::redis {

using shared::hex;
using shared::parse_number;

// What a pool's hash holds beside its fields (server/store/shared/fields.hpp); v and b are there if and only
// if the pool is:
//
//     v  the version
//     b  the index's mark of it: see `sema:pools` in committing.cpp
//     g  the guard that reload.lua left
//     r  whose turn it is: the script's own

class RedisEngine final : public shared::Engine {
  public:
    explicit RedisEngine(const RedisStoreOptions& options) : options_(options) {}

    std::string name() const override { return describe(options_.address); }
    void wake() override { woken_.raise(); }
    void abandon() override { abandoned_.raise(); }

    // The watch's: watching.cpp
    Result<void> connect() override;
    Result<shared::Pulse> beat(const shared::Beat& beat) override;
    Result<void> correct_clock(std::uint64_t epoch, Duration timeline, std::uint64_t next) override;
    Result<void> subscribe(const std::vector<PoolId>& pools) override;
    void follow(const PoolId& pool) override;
    void unfollow(const PoolId& pool) override;
    bool wait(Duration until, shared::Announcements& to) override;

    // The committer's: committing.cpp
    Result<void> open() override;
    bool has_hung_up() override { return connection_.was_closed(); }
    Result<std::vector<LoadResult>> load(const std::vector<PoolId>& pools) override;
    Result<LoadResult> reload(const PoolId& pool, std::uint64_t step) override;
    Result<std::vector<CommitResult>> commit(const std::vector<PoolChange>& batch, TimePoint now,
                                             const shared::Turn& turn) override;
    Result<std::size_t> pool_count() override;
    Result<std::vector<PoolId>> pools_after(const std::optional<PoolId>& after, std::size_t most) override;
    Result<std::vector<PoolWithCallbacks>> pools_with_callbacks() override;
    Result<std::optional<ServerId>> take_place(const std::string& place) override;
    Result<void> bury(ServerId server) override;
    Result<std::optional<std::string>> seed() override;
    Result<std::string> keep_seed(const std::string& seed) override;
    Result<bool> has_others() override;

  private:
    Result<void> prepare();
    Result<std::vector<Reply>> ask(const Commands& commands);
    void send_to_subscriber(std::initializer_list<std::string_view> words);

    Result<std::vector<Reply>> exchange();
    Result<Reply> ask_one(std::initializer_list<std::string_view> words);
    void add_wait();
    Result<void> check_replicas(const Reply& reply);
    template <class Add>
    Result<std::vector<Reply>> run_scripts(const Add& add, bool waits);
    Commands& begin_script(std::size_t script, const PoolId& pool, std::size_t words);
    LoadResult read(const PoolId& pool, const Reply& reply, std::string* born = nullptr);
    void add(const PoolChange& change, const std::string& now, const std::string& turn);
    CommitResult result_of(const PoolChange& change, const Reply& reply, std::vector<std::string>& gone);

    const RedisStoreOptions options_;
    shared::Interrupt woken_;
    shared::Interrupt abandoned_;

    mutable Mutex mutex_;
    /// Where connect() found the store.
    Endpoint endpoint_ GUARDED_BY(mutex_);

    // The watch's.
    MasterFinder finder_{options_, abandoned_.descriptor()};
    Connection main_{abandoned_.descriptor()};
    Connection subscriber_{abandoned_.descriptor()};
    bool subscribed_ = false;
    unsigned silent_beats_ = 0;
    bool is_registered_ = false;

    // The committer's.
    Connection connection_;
    /// By which EVALSHA knows them.
    std::vector<std::string> script_names_;
    shared::Guards guards_;
    /// Empty but while an exchange is prepared.
    Commands commands_;
    std::vector<std::size_t> scripts_at_;
};

/// The key and the channel of a pool.
std::string key_of(const PoolId& pool);
/// The key of a server's heartbeat.
std::string key_of(ServerId server);
/// By what it is named in keys and messages.
inline std::string text_of(ServerId server) {
    return hex(static_cast<std::uint64_t>(server));
}
std::optional<ServerId> parse_server(std::string_view text);
/// Names a server that ends.
inline constexpr std::string_view servers_channel = "sema:servers";

}  // namespace sema::redis
