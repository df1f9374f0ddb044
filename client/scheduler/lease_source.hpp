#pragma once

#include "client/outcome.hpp"
#include "common/ids.hpp"
#include "common/wire.hpp"

#include <tl/expected.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace sema {

class Client;

/// Why a call on the server did not succeed.
struct LeaseTrouble {
    enum class Kind {
        no_such_pool,
        unavailable,  ///< trying again later may help
        rejected,
        unsuitable,  ///< the server's bounds are too narrow
    };
    Kind kind{};
    /// Goes on from the pool's name and a colon.
    std::string reason;
};

template <class T>
using LeaseOutcome = tl::expected<T, LeaseTrouble>;

/// What a scheduler asks of the server about one pool. Any thread.
class LeaseSource {
  public:
    struct Renewal {
        std::int64_t expires_at_unix = 0;
        std::int64_t expires_in = 0;
    };

    struct Borrowed {
        /// None where there was no slot, or another borrower waits under that lease's id.
        std::optional<wire::LeaseGrant> lease;
        /// Somebody took the place out of the queue.
        bool is_cancelled = false;
    };

    virtual ~LeaseSource() = default;

    virtual LeaseOutcome<wire::PoolDetails> view() = 0;
    /// Borrows under the lease's id that the request names, and waits for up to its `wait`, unless the
    /// control ends that; the place in the queue is then kept for some seconds.
    virtual LeaseOutcome<Borrowed> borrow(const wire::BorrowRequest& request, WaitControl& control) = 0;
    /// None where the lease is not held, or has another fence: then it is a later start's of the task.
    virtual LeaseOutcome<std::optional<Renewal>> renew(const LeaseId& lease, std::uint64_t fence,
                                                       Duration ttl) = 0;
    /// Whether it was held, with that fence.
    virtual LeaseOutcome<bool> give_back(const LeaseId& lease, std::uint64_t fence) = 0;
    /// Takes a place out of the queue. Whether there was one.
    virtual LeaseOutcome<bool> cancel(const LeaseId& place) = 0;
};

/// Those of a server, or of several. Makes clients as it needs them, each of which knows what `client` does.
/// `call_limit` bounds each call but for borrow(); without it these take as long as a call does usually.
std::unique_ptr<LeaseSource> make_lease_source(const Client& client, const PoolId& pool,
                                               std::optional<Duration> call_limit = std::nullopt);

}  // namespace sema
