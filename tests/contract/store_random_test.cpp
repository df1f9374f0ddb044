#include "server/store/memory/memory_store.hpp"
#include "tests/contract/subject.hpp"

#include <random>

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

/// Draws batches that are well-formed against what the model holds, some of them stale.
class RandomBatches {
  public:
    RandomBatches(unsigned seed, Store& model) : random_(seed), model_(model) {}

    const std::vector<PoolId>& pools() const { return pools_; }

    std::vector<PoolChange> next() {
        std::vector<PoolChange> batch;
        for (const PoolId& pool : pools_) {
            if (draw(2) == 0) batch.push_back(next_change(pool));
        }
        return batch;
    }

  private:
    unsigned draw(unsigned below) { return static_cast<unsigned>(random_() % below); }

    PoolChange next_change(const PoolId& pool) {
        const Version base = absent(model_, pool) ? 0 : loaded(model_, pool).version;
        auto next = change(pool).from(draw(20) == 0 ? base + 1 : base).to(++version_);
        const bool clears = draw(8) == 0;
        if (clears) next.clear();
        if (clears && draw(2) == 0) return draw(2) == 0 ? next.to(0) : next.to(0).fence(fence_ += 10);
        if (base == 0 || clears || draw(4) == 0) next.count(draw(6)).fence(fence_ += 10);
        if (draw(6) == 0) next.set(some_settings());
        for (const LeaseId& lease : leases_) {
            const unsigned what = draw(6);
            if (what == 0) next.queue({lease, 0, ++arrivals_, 1 + draw(3), TimePoint(1s)});
            if (what == 1) next.unqueue(lease);
        }
        for (Position position = 0; position < 6; ++position) {
            const unsigned what = draw(4);
            if (what == 0) next.put(some_slot(position));
            if (what == 1) next.drop(position);
            const unsigned service = draw(12);
            if (service == 0) next.take_out(position, {TimePoint(1s), draw(2) ? "fan" : ""});
            if (service == 1) next.put_back(position);
        }
        return next;
    }

    PoolSettings some_settings() {
        return {.name = "name",
                .cooldown = Duration(draw(9)),
                .renewable = draw(2) == 0,
                .payloads = {draw(9) ? "\"x\"" : "{}"},
                .pick = draw(2) ? Pick::idle : Pick::lowest};
    }

    std::mt19937 random_;
    Store& model_;
    Version version_ = 0;
    std::uint64_t fence_ = 0;
    std::uint64_t arrivals_ = 0;
    std::vector<LeaseId> leases_ = {LeaseId::random(), LeaseId::random(), LeaseId::random()};
    std::vector<PoolId> pools_ = {PoolId::random(), PoolId::random(), PoolId::random(), PoolId::random()};
};

/// Batches that mean the same to a store whose batches are whole.
std::vector<std::vector<PoolChange>> split(const std::vector<PoolChange>& batch, Batches batches) {
    if (batches == Batches::whole) return {batch};
    std::vector<std::vector<PoolChange>> parts;
    for (const PoolChange& single : batch)
        parts.push_back({single});
    return parts;
}

void take_over_versions(const std::vector<PoolId>& pools, Store& from, Store& to) {
    for (const PoolId& pool : pools) {
        if (absent(from, pool)) continue;
        const Version before = loaded(to, pool).version;
        const Version after = loaded(from, pool).version;
        if (before != after)
            REQUIRE(committed(to.commit({change(pool).from(before).to(after)}, std::nullopt)));
    }
}

}  // namespace

TEST_CASE("random batches leave every store with what they leave in memory") {
    const auto seed = std::random_device()();
    CAPTURE(seed);
    on_every_store([seed](Subject& store) {
        const auto model = make_memory_store();
        RandomBatches batches(seed, *model);
        for (int round = 0; round < 200; ++round) {
            for (const auto& batch : split(batches.next(), store.batches()))
                REQUIRE(committed(store.commit(batch)) == committed(model->commit(batch, std::nullopt)));
            if (round % 50 == 49) {
                store.reopen();
                take_over_versions(batches.pools(), *store, *model);
            }
            CHECK(store->pool_count().value() == model->pool_count().value());
            for (const PoolId& pool : batches.pools()) {
                REQUIRE(absent(*store, pool) == absent(*model, pool));
                if (absent(*model, pool)) {
                    if (store.batches() == Batches::whole)
                        CHECK(deleted_fence(*store, pool) == deleted_fence(*model, pool));
                    else
                        CHECK(deleted_fence(*store, pool) <= deleted_fence(*model, pool));
                    continue;
                }
                const auto actual = loaded(*store, pool);
                const auto expected = loaded(*model, pool);
                CHECK(actual.version == expected.version);
                CHECK(actual.count == expected.count);
                CHECK(actual.slots == expected.slots);
                CHECK(actual.fence == expected.fence);
                REQUIRE(!actual.settings == !expected.settings);
                CHECK((!actual.settings || *actual.settings == *expected.settings));
                CHECK(places(*store, pool) == places(*model, pool));
                CHECK(actual.out == expected.out);
            }
        }
    });
}
