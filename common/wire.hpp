#pragma once

#include "common/durations.hpp"
#include "common/error.hpp"
#include "common/ids.hpp"

#include <cstdint>
#include <string>
#include <string_view>

/// The JSON bodies of the HTTP interface: what each call sends and what it answers. docs/http-api.md is
/// the reference for people; this header is the same for programs. `to_json` and `parse_*` are each
/// other's inverse. Parsers ignore fields they do not know, and their errors name the field at fault.
namespace sema::wire {

/// PUT /l/{id}
struct RegisterRequest {
    unsigned count = 0;
};

/// POST /l/{id}/borrow. `ttl` > 0; `wait` >= 0, and 0 where the body names none. Neither is clamped yet:
/// the server's limits are not part of the wire.
struct BorrowRequest {
    Duration ttl{};
    Duration wait{};
};

/// POST /l/{id}/return
struct ReturnRequest {
    LeaseId lease;
};

/// The answer of PUT and GET. `available` is count - in_use, but never below 0 after a shrink.
struct PoolState {
    PoolId id;
    unsigned count = 0;
    unsigned in_use = 0;
    unsigned available = 0;
};

/// The answer of borrow. Both times are whole seconds, rounded down.
struct LeaseGrant {
    LeaseId lease;
    unsigned position = 0;
    std::int64_t expires_at_unix = 0;
    std::int64_t expires_in = 0;
};

struct Returned {
    bool returned = false;
};

struct Deleted {
    bool deleted = false;
};

struct Version {
    std::string version;
};

/// Every answer that is not 200.
struct ErrorBody {
    std::string error;
};

/// `count` must be an integer in 0..max_count.
Expected<RegisterRequest> parse_register_request(std::string_view body, unsigned max_count);
Expected<BorrowRequest> parse_borrow_request(std::string_view body);
Expected<ReturnRequest> parse_return_request(std::string_view body);

Expected<PoolState> parse_pool_state(std::string_view body);
Expected<LeaseGrant> parse_lease_grant(std::string_view body);
Expected<Returned> parse_returned(std::string_view body);
Expected<Deleted> parse_deleted(std::string_view body);
Expected<Version> parse_version(std::string_view body);
Expected<ErrorBody> parse_error_body(std::string_view body);

std::string to_json(const RegisterRequest& request);
std::string to_json(const BorrowRequest& request);
std::string to_json(const ReturnRequest& request);
std::string to_json(const PoolState& state);
std::string to_json(const LeaseGrant& grant);
std::string to_json(const Returned& answer);
std::string to_json(const Deleted& answer);
std::string to_json(const Version& answer);
std::string to_json(const ErrorBody& answer);

}  // namespace sema::wire
