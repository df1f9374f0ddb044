#pragma once

#include "server/declared_pool.hpp"
#include "server/service/service.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sema {

/// A secret for Store::keep_seed().
std::string fresh_seed();

/// The id of the pool with that name, where the configuration gives it none. The same seed and name give the
/// same id everywhere, and it reveals neither.
PoolId id_from(const std::string& seed, const std::string& name);

/// Whether a pool's id has to come from the store's seed.
bool need_seed(const std::vector<DeclaredPool>& pools);

/// Gives an id to each pool that has none. REQUIRES: there is a seed, or they all have one. The error is that
/// two have the same.
Expected<std::vector<DeclaredPool>> with_ids(std::vector<DeclaredPool> pools,
                                             const std::optional<std::string>& seed);

struct UnmadePool {
    DeclaredPool pool;
    /// A line that names it and says why.
    std::string trouble;
};

/// Makes those pools where they are not there, and brings them to what is declared where they are. Leases and
/// waiters stay. Returns when all of that is on stable storage, and then those with which it could not be
/// done. REQUIRES: they have ids; the service was started.
std::vector<UnmadePool> bring_about(Service& service, const std::vector<DeclaredPool>& pools);

/// Sees to it that those pools are there. Those that the store does not take are tried again and again; the
/// others are left alone from then on, so that changes to them last.
class PoolKeeper {
  public:
    /// `report` is given the troubles of bring_about(), not twice in a row, and an empty text where all pools
    /// are there after that. `pause` is the time between two attempts. Both others must outlive it.
    PoolKeeper(boost::asio::io_context& context, Service& service,
               std::function<void(const std::string&)> report,
               std::chrono::milliseconds pause = std::chrono::seconds(5))
        : service_(service), report_(std::move(report)), pause_(pause), timer_(context) {}

    /// Those pools from now on. Returns when it was tried once; the other times are in the context's thread,
    /// as this call is.
    void keep(std::vector<DeclaredPool> pools);

    const std::vector<DeclaredPool>& pools() const { return pools_; }

  private:
    void attempt();

    Service& service_;
    const std::function<void(const std::string&)> report_;
    const std::chrono::milliseconds pause_;
    boost::asio::steady_timer timer_;
    std::vector<DeclaredPool> pools_;
    std::vector<DeclaredPool> unmade_;
    std::vector<std::string> troubles_;
};

/// The names of those in `before` that are not in `after` any more, by their ids. REQUIRES: they have them.
std::vector<std::string> missing_names(const std::vector<DeclaredPool>& before,
                                       const std::vector<DeclaredPool>& after);

}  // namespace sema
