#include "server/declared_pools.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <map>
#include <mutex>
#include <utility>

namespace sema {
namespace {

/// What comes of several calls, from whatever threads the answers come.
class Outcomes {
  public:
    /// For the next call.
    Reply add() {
        const std::lock_guard lock(mutex_);
        const std::size_t index = refusals_.size();
        refusals_.emplace_back();
        return [this, index](const Answer& answer) {
            const std::lock_guard held(mutex_);
            if (const auto* refusal = std::get_if<Refusal>(&answer)) refusals_[index] = *refusal;
            ++given_;
            // Under the lock: the waiting thread may destroy this object as soon as it can take the lock.
            all_given_.notify_all();
        };
    }

    /// Waits for all of them. Of each call, in their order, why it was refused, if it was.
    const std::vector<std::optional<Refusal>>& wait() {
        std::unique_lock lock(mutex_);
        all_given_.wait(lock, [&] { return given_ == refusals_.size(); });
        return refusals_;
    }

  private:
    std::mutex mutex_;
    std::condition_variable all_given_;
    std::vector<std::optional<Refusal>> refusals_;
    std::size_t given_ = 0;
};

std::string reason(Refusal refusal) {
    switch (refusal) {
        case Refusal::too_many_pools:
            return "there are as many pools as --max-pools allows";
        case Refusal::shutting_down:
            return "semad is shutting down";
        default:
            return "the store failed";
    }
}

}  // namespace

std::string fresh_seed() {
    // 244 random bits.
    return PoolId::random().str() + PoolId::random().str();
}

PoolId id_from(const std::string& seed, const std::string& name) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> code{};
    const auto* text = reinterpret_cast<const unsigned char*>(name.data());
    HMAC(EVP_sha256(), seed.data(), static_cast<int>(seed.size()), text, name.size(), code.data(), nullptr);
    boost::uuids::uuid id;
    std::copy_n(code.begin(), id.size(), id.begin());
    // RFC 9562, section 5.8: version 8, whose other bits are ours, and the variant of that document.
    id.begin()[6] = static_cast<std::uint8_t>((id.begin()[6] & 0x0f) | 0x80);
    id.begin()[8] = static_cast<std::uint8_t>((id.begin()[8] & 0x3f) | 0x80);
    return PoolId(id);
}

bool need_seed(const std::vector<DeclaredPool>& pools) {
    return std::any_of(pools.begin(), pools.end(), [](const DeclaredPool& pool) { return !pool.id; });
}

Expected<std::vector<DeclaredPool>> with_ids(std::vector<DeclaredPool> pools,
                                             const std::optional<std::string>& seed) {
    std::map<PoolId, std::string> names;
    for (DeclaredPool& pool : pools) {
        if (!pool.id) pool.id = id_from(*seed, pool.name());
        const auto [other, is_new] = names.try_emplace(*pool.id, pool.name());
        if (!is_new)
            return failure(pool.place + ": the pool '" + other->second +
                           "' has the same id (one of them was made for the name of the other)");
    }
    return pools;
}

std::vector<UnmadePool> bring_about(Service& service, const std::vector<DeclaredPool>& pools) {
    Outcomes outcomes;
    for (const DeclaredPool& pool : pools) {
        wire::RegisterRequest request{.count = pool.count, .settings = {}};
        for_each_setting(
            [&](const auto& setting) { request.settings.*setting.change = pool.settings.*setting.value; });
        service.put(*pool.id, request, outcomes.add());
    }
    while (service.settle()) {
    }
    std::vector<UnmadePool> unmade;
    const auto& refusals = outcomes.wait();
    for (std::size_t i = 0; i < pools.size(); ++i) {
        if (refusals[i])
            unmade.push_back(
                {pools[i], "the pool '" + pools[i].name() +
                               "' could not be made what the configuration says: " + reason(*refusals[i])});
    }
    return unmade;
}

void PoolKeeper::keep(std::vector<DeclaredPool> pools) {
    timer_.cancel();
    pools_ = std::move(pools);
    unmade_ = pools_;
    attempt();
}

void PoolKeeper::attempt() {
    std::vector<std::string> troubles;
    std::vector<DeclaredPool> unmade;
    for (UnmadePool& each : bring_about(service_, unmade_)) {
        troubles.push_back(std::move(each.trouble));
        unmade.push_back(std::move(each.pool));
    }
    unmade_ = std::move(unmade);
    if (troubles != troubles_) {
        for (const std::string& trouble : troubles)
            report_(trouble);
        if (troubles.empty()) report_("");
    }
    troubles_ = std::move(troubles);
    if (troubles_.empty()) return;
    timer_.expires_after(pause_);
    timer_.async_wait([this](const boost::system::error_code& stopped) {
        if (!stopped) attempt();
    });
}

std::vector<std::string> missing_names(const std::vector<DeclaredPool>& before,
                                       const std::vector<DeclaredPool>& after) {
    std::vector<std::string> names;
    for (const DeclaredPool& pool : before) {
        const auto is_same = [&](const DeclaredPool& other) { return other.id == pool.id; };
        if (std::none_of(after.begin(), after.end(), is_same)) names.push_back(pool.name());
    }
    return names;
}

}  // namespace sema
