#include "server/service/lease_grant.hpp"

namespace sema {

wire::LeaseGrant lease_grant(const Lease& lease, Duration remaining, const Clock& clock) {
    return {lease.id, lease.position(), whole_seconds(clock.unix_time(lease.expires_at)),
            whole_seconds(remaining)};
}

wire::LeaseGrant lease_grant(const LeaseGranted& granted, const Clock& clock) {
    const Lease& lease = granted.lease;
    wire::LeaseGrant grant = lease_grant(lease, granted.remaining, clock);
    if (!granted.is_extended) return grant;
    wire::LeaseGrant::Details details{std::vector(lease.positions.begin(), lease.positions.end()),
                                      lease.fence,
                                      {},
                                      whole_seconds(clock.unix_time(lease.granted_at))};
    for (const Position position : lease.positions) {
        const bool has_payload = granted.settings && position < granted.settings->payloads.size();
        details.slots.push_back(has_payload ? granted.settings->payloads[position] : "null");
    }
    grant.details = std::move(details);
    return grant;
}

}  // namespace sema
