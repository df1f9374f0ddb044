#pragma once

#include "client/call.hpp"

#include <cstdint>
#include <memory>
#include <optional>

/// The calls that semactl waits for and that a program's I/O thread goes on with. Client says what each does.
namespace sema {

template <class Result>
using CallPtr = std::unique_ptr<Call<Result>>;

CallPtr<Answer<wire::PoolState>> register_call(Servers& servers, const PoolId& pool,
                                               const wire::RegisterRequest& request,
                                               Duration limit = usual_call);
CallPtr<PoolAnswer<wire::PoolState>> inspect_call(Servers& servers, const PoolId& pool, Duration limit);
CallPtr<PoolAnswer<wire::PoolDetails>> holders_call(Servers& servers, const PoolId& pool, Duration limit);
CallPtr<PoolAnswer<wire::PoolState>> resize_call(Servers& servers, const PoolId& pool, std::int64_t by,
                                                 Duration limit = usual_call);
CallPtr<Answer<wire::Cancelled>> cancel_call(Servers& servers, const PoolId& pool, const LeaseId& lease,
                                             Duration limit);
CallPtr<KeepaliveAnswer> keepalive_call(Servers& servers, const PoolId& pool, const LeaseId& lease,
                                        Duration ttl, Duration limit,
                                        std::optional<std::uint64_t> fence = std::nullopt);
CallPtr<Answer<wire::Returned>> give_back_call(Servers& servers, const PoolId& pool, const LeaseId& lease,
                                               Duration limit,
                                               std::optional<std::uint64_t> fence = std::nullopt);
/// How the borrower leaves the queue before it is answered.
enum class Leaving {
    by_hanging_up,  ///< the control sees to it: no connection of earlier calls is used
    by_id,          ///< by cancel_call(), and a return. REQUIRES: the request names its lease
};
/// `limit` is what it takes in all where it does not wait, 5 s without it. One that waits takes its wait, and
/// for each server up to a second, or `limit` where that is less.
CallPtr<BorrowAnswer> borrow_call(Servers& servers, const PoolId& pool, const wire::BorrowRequest& request,
                                  WaitControl* control, Leaving leaving,
                                  std::optional<Duration> limit = std::nullopt);

}  // namespace sema
