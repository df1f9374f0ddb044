#pragma once

#include "common/error.hpp"
#include "common/ids.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Standard Webhooks 1.0 (https://github.com/standard-webhooks/standard-webhooks).
namespace sema::callback {

/// The keys that a secret names: each `whsec_` and base64 of 24 to 64 bytes, between spaces.
Expected<std::vector<std::string>> parse_secret(const std::string& secret);

/// The value of `webhook-signature`: one `v1,BASE64` for each key.
std::string sign(const std::vector<std::string>& keys, std::string_view id, std::int64_t timestamp,
                 std::string_view body);

/// The same at each attempt to deliver the grant. It betrays nothing of the lease's id.
std::string message_id(const LeaseId& lease, std::uint64_t fence);

}  // namespace sema::callback
