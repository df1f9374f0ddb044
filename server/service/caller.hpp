#pragma once

#include "server/service/answers.hpp"

namespace sema {

/// Calls borrowers that do not wait on a connection. Thread-safe.
class Caller {
  public:
    Caller() = default;
    virtual ~Caller() = default;
    Caller(const Caller&) = delete;
    Caller& operator=(const Caller&) = delete;

    /// Whether it has the grant already, and need not be given it once more. Called under a lock; must not
    /// block.
    virtual bool knows(const PoolId& pool, const Pool::Grant& grant) const = 0;
    /// The grant has a delivery, and is on stable storage.
    virtual void call(const PoolId& pool, const LeaseGranted& granted) = 0;
};

}  // namespace sema
