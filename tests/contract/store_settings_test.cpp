#include "server/store/memory/memory_store.hpp"
#include "tests/contract/subject.hpp"

#include <set>

using namespace std::chrono_literals;
using namespace sema;
using namespace sema::test;

namespace {

// A store that takes settings, and has always forgotten one of them.
class ForgetfulStore : public Store {
  public:
    using Forget = std::function<void(PoolSettings&)>;

    ForgetfulStore(std::unique_ptr<Store> inner, Forget forget)
        : inner_(std::move(inner)), forget_(std::move(forget)) {}

    LoadResult load(const PoolId& pool) override {
        LoadResult result = inner_->load(pool);
        auto* record = std::get_if<PoolRecord>(&result);
        if (!record || !record->settings) return result;
        PoolSettings left = *record->settings;
        forget_(left);
        record->settings = std::make_shared<const PoolSettings>(std::move(left));
        return result;
    }
    std::vector<CommitResult> commit(const std::vector<PoolChange>& batch,
                                     const std::optional<ClockAnchor>& anchor) override {
        return inner_->commit(batch, anchor);
    }
    Expected<std::size_t> pool_count() override { return inner_->pool_count(); }
    Expected<std::vector<PoolId>> pools_after(const std::optional<PoolId>& after, std::size_t most) override {
        return inner_->pools_after(after, most);
    }
    Expected<std::vector<ChosenLease>> chosen_leases() override { return inner_->chosen_leases(); }
    Expected<std::vector<PoolWithCallbacks>> pools_with_callbacks() override {
        return inner_->pools_with_callbacks();
    }
    Expected<std::optional<ClockAnchor>> anchor() override { return inner_->anchor(); }
    Expected<std::optional<std::string>> seed() override { return inner_->seed(); }
    Expected<std::string> keep_seed(const std::string& seed) override { return inner_->keep_seed(seed); }
    BegunCopy begin_copy() override { return inner_->begin_copy(); }

  private:
    std::unique_ptr<Store> inner_;
    Forget forget_;
};

Engine forgetful(ForgetfulStore::Forget forget) {
    return {"forgetful", Handles::shared, Batches::whole, [forget] {
                return [forget, data = make_memory_data()]() -> Expected<std::unique_ptr<Store>> {
                    return std::make_unique<ForgetfulStore>(make_memory_store(data), forget);
                };
            }};
}

// Another value than the given one, for each type that a setting has.
std::string another(const std::string& text) {
    return text + "x";
}
bool another(bool flag) {
    return !flag;
}
Duration another(Duration duration) {
    return duration + 1500us;
}
template <SettingWord Word>
Word another(Word word) {
    return static_cast<Word>((static_cast<std::size_t>(word) + 1) % words_of<Word>.size());
}
std::vector<Payload> another(std::vector<Payload> payloads) {
    payloads.push_back("{\"seat\":1}");
    return payloads;
}

// The settings that are not kept as they were set, each on its own or all of them together, also after the
// store was reopened.
std::set<std::string> settings_not_kept(Subject& store) {
    PoolSettings all;
    for_each_setting([&](const auto& setting) { all.*setting.value = another(all.*setting.value); });
    std::set<std::string> found;
    store.put_pool(pool_a, 1, 4);
    const auto try_with = [&](const PoolSettings& given) {
        const Version version = loaded(*store, pool_a).version;
        REQUIRE(committed(store.commit({change(pool_a).from(version).to(version + 1).set(given)})));
        store.reopen();
        const PoolSettings kept = settings(*store, pool_a);
        for_each_setting([&](const auto& setting) {
            if (kept.*setting.value != given.*setting.value) found.insert(setting.field);
        });
    };
    try_with(PoolSettings());
    for_each_setting([&](const auto& setting) {
        PoolSettings one;
        one.*setting.value = all.*setting.value;
        try_with(one);
    });
    try_with(all);
    return found;
}

}  // namespace

TEST_CASE("settings are kept as they were set, and nothing is there before") {
    on_every_store([](Subject& store) {
        store.put_pool(pool_a, 1, 4);
        CHECK_FALSE(loaded(*store, pool_a).settings);
        const PoolSettings full{
            .name = "seats of \xc3\xa4 lab",
            .cooldown = 90s,
            .renewable = false,
            .payloads = {"\"\"", "{\"url\":\"http://x/\\n\"}", "\"\xe2\x80\xa8\"", "\"a b\""}};
        REQUIRE(committed(store.commit({change(pool_a).from(1).to(2).set(full)})));
        CHECK(settings(*store, pool_a) == full);
        REQUIRE(committed(store.commit({change(pool_a).from(2).to(3).count(9).put(some_slot(0))})));
        store.reopen();
        CHECK(settings(*store, pool_a) == full);
        const PoolSettings other{.cooldown = Duration::max()};
        const Version version = loaded(*store, pool_a).version;
        REQUIRE(committed(store.commit({change(pool_a).from(version).to(version + 1).set(other)})));
        CHECK(settings(*store, pool_a) == other);
        CHECK(loaded(*store, pool_a).slots.size() == 1);
    });
}

TEST_CASE("each setting is kept on its own, and all of them together") {
    on_every_store([](Subject& store) { CHECK(settings_not_kept(store) == std::set<std::string>{}); });
}

TEST_CASE("a store that forgets a setting, or takes one for another, is found out") {
    for_each_setting([](const auto& setting) {
        CAPTURE(setting.field);
        Subject store(
            forgetful([setting](PoolSettings& all) { all.*setting.value = PoolSettings().*setting.value; }));
        CHECK(settings_not_kept(store) == std::set<std::string>{setting.field});
    });
    Subject store(forgetful([](PoolSettings& all) { all.payloads = {all.name}; }));
    CHECK(settings_not_kept(store).contains("slots"));
}

TEST_CASE("a pool may have thousands of payloads") {
    on_every_store([](Subject& store) {
        PoolSettings many;
        for (int i = 0; i < 5000; ++i)
            many.payloads.push_back("\"" + std::string(static_cast<std::size_t>(i % 50), 'x') + "\"");
        REQUIRE(committed(store.commit({change(pool_a).to(1).count(5000).set(many)})));
        store.reopen();
        CHECK(settings(*store, pool_a) == many);
    });
}
