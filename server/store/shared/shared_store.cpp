#include "server/store/shared/shared_store.hpp"

#include "server/store/shared/watch.hpp"

#include <algorithm>
#include <random>
#include <set>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;
using shared::Engine;
using shared::Result;
using shared::Trouble;
using shared::trouble;

// Whole pools are read in each.
constexpr std::size_t chosen_page = 100;
// A connection that was used less long ago is not looked at before it is used.
constexpr Duration fresh_time = 1s;
// A server whose way to the store takes longer is far away.
constexpr Duration near = 10ms;
// It asks for a turn once it was overtaken so often in a row; others do at once.
constexpr unsigned patience_of_far = 3;

void add_chosen(const PoolId& id, const PoolRecord& pool, std::vector<ChosenLease>& leases) {
    std::set<LeaseId> seen;
    for (const HeldSlot& slot : pool.slots) {
        if (slot.chosen && seen.insert(slot.lease).second)
            leases.push_back({slot.lease, id, slot.expires_at});
    }
}

class SharedStoreCore final : public SharedStore {
  public:
    explicit SharedStoreCore(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}

    /// Announces to the others that this server is gone. Where that fails, they find out by themselves.
    ~SharedStoreCore() override {
        watch_.stop();
        if (watch_.reachable()) (void)ask("say that this server ends", [&] { return engine_->bury(self()); });
    }

    Result<void> start() { return watch_.start(); }

    LoadResult load(const PoolId& pool) override {
        auto pools = load_all({pool});
        if (!pools) return pools.error();
        return std::move(pools->front());
    }

    LoadResult reload(const PoolId& pool) override {
        // A version must not come about twice: hence not always the next one.
        const std::uint64_t step = 1 + std::uint64_t{std::random_device()()};
        auto found = ask("read a pool", [&] { return engine_->reload(pool, step); });
        if (!found) return found.error();
        return explained("read a pool", *std::move(found));
    }

    std::vector<CommitResult> commit(const std::vector<PoolChange>& batch,
                                     const std::optional<ClockAnchor>&) override {
        if (batch.empty()) return {};
        auto results = ask("commit", [&] { return engine_->commit(batch, now(), turn()); });
        if (!results) return std::vector<CommitResult>(batch.size(), results.error());
        for (CommitResult& result : *results) {
            if (auto* failure = std::get_if<StoreFailure>(&result))
                *failure = failed_to("commit", failure->message);
            auto* stale = std::get_if<Stale>(&result);
            if (stale && stale->now) stale->now = explained("read a pool", *std::move(stale->now));
        }
        return *std::move(results);
    }

    Expected<std::size_t> pool_count() override {
        return ask("be asked", [&] { return engine_->pool_count(); });
    }

    Expected<std::vector<PoolId>> pools_after(const std::optional<PoolId>& after, std::size_t most) override {
        return ask("list the pools", [&] { return engine_->pools_after(after, most); });
    }

    Expected<std::vector<ChosenLease>> chosen_leases() override {
        std::vector<ChosenLease> leases;
        std::optional<PoolId> last;
        for (;;) {
            const auto ids = pools_after(last, chosen_page);
            if (!ids) return tl::unexpected(ids.error());
            if (ids->empty()) return leases;
            last = ids->back();
            const auto pools = load_all(*ids);
            if (!pools) return tl::unexpected(pools.error());
            for (std::size_t i = 0; i < ids->size(); ++i) {
                const LoadResult& pool = (*pools)[i];
                if (const auto* failure = std::get_if<StoreFailure>(&pool)) return tl::unexpected(*failure);
                if (const auto* record = std::get_if<PoolRecord>(&pool))
                    add_chosen((*ids)[i], *record, leases);
            }
        }
    }

    Expected<std::vector<PoolWithCallbacks>> pools_with_callbacks() override {
        return ask("list the callbacks", [&] { return engine_->pools_with_callbacks(); });
    }

    Expected<std::optional<ClockAnchor>> anchor() override { return std::nullopt; }

    Expected<std::optional<std::string>> seed() override {
        return ask("read the seed of pools' ids", [&] { return engine_->seed(); });
    }
    Expected<std::string> keep_seed(const std::string& seed) override {
        return ask("keep the seed of pools' ids", [&] { return engine_->keep_seed(seed); });
    }

    ServerId self() const override { return engine_->self(); }
    Expected<void> serve_at(const std::string& place) override {
        constexpr const char* attempt = "tell the other servers";
        const auto before = ask(attempt, [&] { return engine_->take_place(place); });
        if (!before) return tl::unexpected(before.error());
        if (!*before || **before == self()) return {};
        watch_.count_as_lost(**before);
        return ask(attempt, [&] { return engine_->bury(**before); });
    }
    Expected<bool> is_in_use() override {
        return ask("look for other servers", [&] { return engine_->has_others(); });
    }
    void listen(StoreListener* listener) override { watch_.listen(listener); }
    void follow(const PoolId& pool) override { watch_.follow(pool); }
    void unfollow(const PoolId& pool) override { watch_.unfollow(pool); }
    bool is_lost(ServerId server) override { return watch_.is_lost(server); }
    bool reachable() const override { return watch_.reachable(); }
    std::uint64_t generation() const override { return watch_.generation(); }
    TimePoint now() const override { return watch_.now(); }
    Duration clock_error() const override { return 5ms; }
    Duration unix_time(TimePoint point) const override { return watch_.unix_time(point); }

  private:
    // Sees to it that there is a connection to the store as it was last found.
    Result<void> connect() {
        if (!watch_.reachable())
            return trouble("it cannot be reached (" + watch_.reason() + "; semad keeps trying)");
        const bool rested = engine_->boot_time() - used_at_ > fresh_time;
        if (rested && generation_ == watch_.generation() && engine_->has_hung_up()) watch_.connection_ended();
        const std::uint64_t generation = watch_.generation();
        if (generation == generation_) return {};
        auto opened = engine_->open();
        if (opened) {
            generation_ = generation;
        } else {
            watch_.went_away(opened.error().why);
        }
        return opened;
    }

    // Has the engine do it. `attempt` completes: the store could not ... Where the engine fails, the store
    // counts as away.
    template <class Call>
    auto ask(const char* attempt, const Call& call) -> Expected<typename decltype(call())::value_type> {
        if (const auto connected = connect(); !connected)
            return tl::unexpected(failed_to(attempt, connected.error().why));
        const Duration sent = engine_->boot_time();
        auto answer = call();
        if (answer || answer.error().kind == Trouble::Kind::refused) {
            used_at_ = engine_->boot_time();
            way_ = used_at_ - sent;
        } else {
            watch_.went_away(answer.error().why);
        }
        return std::move(answer).map_error([&](const Trouble& why) { return failed_to(attempt, why.why); });
    }

    Expected<std::vector<LoadResult>> load_all(const std::vector<PoolId>& ids) {
        auto pools = ask("read a pool", [&] { return engine_->load(ids); });
        if (!pools) return pools;
        for (LoadResult& pool : *pools)
            pool = explained("read a pool", std::move(pool));
        return pools;
    }

    LoadResult explained(const char* attempt, LoadResult found) const {
        if (auto* failure = std::get_if<StoreFailure>(&found))
            *failure = failed_to(attempt, failure->message);
        return found;
    }

    StoreFailure failed_to(const char* attempt, const std::string& why) const {
        return {"the store " + engine_->name() + " could not " + attempt + ": " + why};
    }

    // At the most until the next attempt is there. All wait for a server that is far away: so it asks only
    // when it is overtaken again and again.
    shared::Turn turn() const {
        return {.after = way_ <= near ? 0U : patience_of_far,
                .time = std::clamp<Duration>(2 * way_ + 10ms, 100ms, 1s)};
    }

    const std::unique_ptr<Engine> engine_;
    shared::Watch watch_{*engine_};
    /// That of the connection.
    std::uint64_t generation_ = 0;
    Duration used_at_{};
    /// What the last exchange took.
    Duration way_{};
};

}  // namespace

Expected<std::unique_ptr<SharedStore>> open_shared_store(std::unique_ptr<shared::Engine> engine) {
    const std::string name = engine->name();
    auto store = std::make_unique<SharedStoreCore>(std::move(engine));
    if (const auto started = store->start(); !started)
        return failure("cannot use " + name + " as a store: " + started.error().why);
    return store;
}

}  // namespace sema
