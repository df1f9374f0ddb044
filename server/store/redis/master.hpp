#pragma once

#include "server/store/redis/connection.hpp"
#include "server/store/redis/redis_store.hpp"
#include "server/store/shared/engine.hpp"

#include <initializer_list>
#include <string>
#include <vector>

namespace sema::redis {

using shared::Result;
using shared::Trouble;
using shared::trouble;

/// How long one attempt to connect may take, the login included.
inline constexpr std::chrono::milliseconds connect_limit{400};

/// A Redis's error as a reason; says what to do where that is known.
Trouble explain(std::string_view error);

/// Whether the error is one of the server as it is now, and not of one command.
bool is_about_server(std::string_view error);

/// Whether ROLE answered that it is a master with so many replicas.
Result<void> check_role(const Reply& role, unsigned replicas);

/// Opens the connection to a Redis and makes it the options' user's, in the options' database. Returns the
/// names by which EVALSHA knows the scripts.
Result<std::vector<std::string>> log_in(Connection& connection, const Endpoint& endpoint,
                                        const RedisStoreOptions& options,
                                        std::initializer_list<const char*> scripts);

/// Finds the Redis that takes changes, by way of the Sentinels where the options name some.
class MasterFinder {
  public:
    /// `options` has to outlive it. `abandoned`: as a Connection's.
    explicit MasterFinder(const RedisStoreOptions& options, int abandoned = -1)
        : options_(options), abandoned_(abandoned) {}

    /// Where it should be.
    Result<Endpoint> find();

  private:
    Result<Endpoint> ask(const HostPort& sentinel);

    const RedisStoreOptions& options_;
    const int abandoned_;
    /// Of the Sentinel that answered last.
    std::size_t first_ = 0;
};

}  // namespace sema::redis
