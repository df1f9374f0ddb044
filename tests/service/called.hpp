#pragma once

#include "server/service/caller.hpp"
#include "tests/service/bench.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sema::test {

/// Notes whom it is to call, and calls nobody.
class Called final : public Caller {
  public:
    bool knows(const PoolId&, const Pool::Grant& grant) const override {
        for (const Lease& lease : leases) {
            if (lease.id == grant.lease && lease.fence == grant.fence) return true;
        }
        return false;
    }
    void call(const PoolId&, const LeaseGranted& granted) override { leases.push_back(granted.lease); }

    std::vector<Lease> leases;
};

inline wire::BorrowRequest callback_request(const LeaseId& lease, Duration wait = std::chrono::seconds(600)) {
    return {.ttl = std::chrono::seconds(60),
            .wait = wait,
            .lease = lease,
            .extended = true,
            .callback = std::make_shared<const wire::Callback>(wire::Callback{"https://ci.example.com/"})};
}

/// A borrow that is to be called.
inline Calls::Call ask(Calls& calls, const LeaseId& lease, Duration wait = std::chrono::seconds(600)) {
    Calls::Call call;
    calls.service->borrow(calls.pool, no_ticket, callback_request(lease, wait), call.reply());
    return call;
}

inline Pool::Grant grant_of(const Lease& lease) {
    return {lease.id, lease.fence};
}

/// Whether the caller has to do with it (still).
inline bool is_due(Calls& calls, const Lease& lease) {
    Calls::Call call;
    calls.service->check_delivery(calls.pool, grant_of(lease), call.reply());
    calls.flush();
    return call.as<DeliveryState>().due.has_value();
}

inline Calls::Call end(Calls& calls, const Lease& lease, const AttemptEnd& how) {
    Calls::Call call;
    calls.service->end_attempt(calls.pool, grant_of(lease), how, call.reply());
    calls.flush();
    return call;
}

inline std::shared_ptr<const PoolView> view_of(Calls& calls) {
    const auto call = calls.holders();
    calls.flush();
    return call.as<std::shared_ptr<const PoolView>>();
}

}  // namespace sema::test
