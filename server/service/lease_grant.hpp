#pragma once

#include "common/wire.hpp"
#include "server/service/answers.hpp"
#include "server/service/clock.hpp"

namespace sema {

/// A lease, as its borrower is notified of it.
wire::LeaseGrant lease_grant(const Lease& lease, Duration remaining, const Clock& clock);
/// With the details, where the grant has them.
wire::LeaseGrant lease_grant(const LeaseGranted& granted, const Clock& clock);

}  // namespace sema
