#pragma once

#include "common/ids.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace sema::http {

/// SipHash-2-4 (Aumasson and Bernstein, 2012): without the key, the hash reveals nothing of the bytes, not
/// even whether they are some known ones.
std::uint64_t keyed_hash(const std::array<std::uint64_t, 2>& key, std::span<const unsigned char> bytes);

/// Names a waiter of a pool to those who may inspect it, without the lease's id: that cannot be found out
/// from it, as the id has many more bits. It is the same at each server, and after a restart.
std::uint64_t waiter_name(const PoolId& pool, const LeaseId& lease);

/// Names pools in what others may read, without their UUIDs. The key is made anew with each of these.
class PoolHash {
  public:
    PoolHash();

    /// 16 hex digits, the same for a pool each time.
    std::string of(const PoolId& pool) const;

  private:
    std::array<std::uint64_t, 2> key_;
};

}  // namespace sema::http
