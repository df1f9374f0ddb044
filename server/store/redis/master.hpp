#pragma once

#include "server/store/redis/connection.hpp"
#include "server/store/redis/redis_store.hpp"

#include <initializer_list>
#include <string>
#include <vector>

namespace sema::redis {

/// Why the store cannot be used.
struct Trouble {
    std::string why;
    /// Nothing changes by itself: somebody has to change a setting.
    bool lasting = false;
    /// It can be reached, and has too few replicas.
    bool lacks_replicas = false;
};
template <class T>
using Outcome = tl::expected<T, Trouble>;

inline tl::unexpected<Trouble> trouble(std::string why, bool lasting = false) {
    return tl::unexpected<Trouble>(Trouble{std::move(why), lasting});
}

/// How long one attempt to connect may take, the login included.
inline constexpr std::chrono::milliseconds connect_limit{400};

/// A Redis's error as a reason; says what to do where that is known.
Trouble explain(std::string_view error);

/// Whether the error is one of the server as it is now, and not of one command.
bool is_about_server(std::string_view error);

/// Whether ROLE answered that it is a master with so many replicas.
Outcome<void> check_role(const Reply& role, unsigned replicas);

/// Opens the connection to a Redis and makes it the options' user's, in the options' database. Returns the
/// names by which EVALSHA knows the scripts.
Outcome<std::vector<std::string>> log_in(Connection& connection, const Endpoint& endpoint,
                                         const RedisStoreOptions& options,
                                         std::initializer_list<const char*> scripts);

/// Finds the Redis that takes changes, by way of the Sentinels where the options name some.
class MasterFinder {
  public:
    /// `options` has to outlive it.
    MasterFinder(const RedisStoreOptions& options, boost::asio::io_context& io,
                 const std::atomic<bool>* abandoned = nullptr)
        : options_(options), io_(io), abandoned_(abandoned) {}

    /// Where it should be.
    Outcome<Endpoint> find();

  private:
    Outcome<Endpoint> ask(const HostPort& sentinel);

    const RedisStoreOptions& options_;
    boost::asio::io_context& io_;
    const std::atomic<bool>* abandoned_;
    /// Of the Sentinel that answered last.
    std::size_t first_ = 0;
};

}  // namespace sema::redis
