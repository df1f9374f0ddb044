#pragma once

#include "server/store/postgresql/connection.hpp"
#include "server/store/shared/guards.hpp"
#include "server/store/shared/interrupt.hpp"
#include "server/sync.hpp"

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace sema::postgresql {

class PostgresqlEngine final : public shared::Engine {
  public:
    explicit PostgresqlEngine(const PostgresqlStoreOptions& options) : options_(options) {}

    std::string name() const override { return describe(options_.address); }
    void wake() override { woken_.raise(); }
    void abandon() override { abandoned_.raise(); }

    // The watch's: watching.cpp
    Result<void> connect() override;
    Result<shared::Pulse> beat(const shared::Beat& beat) override;
    Result<void> correct_clock(std::uint64_t epoch, Duration timeline, std::uint64_t next) override;
    Result<void> subscribe(const std::vector<PoolId>& pools) override;
    void follow(const PoolId& pool) override { followed_.insert(pool); }
    void unfollow(const PoolId& pool) override { followed_.erase(pool); }
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
    bool pass_on(std::string_view notification, shared::Announcements& to);

    Result<std::vector<Rows>> ask(const std::vector<Statement>& statements);
    Result<void> add_states(const std::vector<PoolChange>& batch, std::vector<CommitResult>& results);
    LoadResult read(const PoolId& pool, const Rows& rows, std::size_t from, std::size_t to, int column);
    void announce(const std::vector<std::string>& messages);

    const PostgresqlStoreOptions options_;
    shared::Interrupt woken_;
    shared::Interrupt abandoned_;

    // The watch's.
    Connection main_{abandoned_.descriptor()};
    bool subscribed_ = false;
    std::set<PoolId> followed_;

    // The committer's.
    Connection connection_;
    Connection announcer_;
    shared::Guards guards_;
};

/// Whether the schema is there.
inline constexpr const char* has_schema_sql = "SELECT to_regclass('sema.format') IS NOT NULL";

/// How long one attempt to connect may take, the login included.
inline constexpr std::chrono::milliseconds connect_limit{400};

std::string text_of(ServerId server);
std::optional<ServerId> parse_server(std::string_view text);
/// A version as PostgreSQL has it: with a sign.
std::string text_of_version(Version version);
std::optional<Version> parse_version(std::string_view text);

/// The pool that these rows of sema.state() describe, whose columns begin with the version at `column`.
/// `guard` is set to its guard.
LoadResult read_pool(const Rows& rows, std::size_t from, std::size_t to, int column, std::string& guard);

}  // namespace sema::postgresql
