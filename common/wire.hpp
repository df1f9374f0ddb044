#pragma once

#include "common/durations.hpp"
#include "common/error.hpp"
#include "common/holder.hpp"
#include "common/ids.hpp"
#include "common/pool_settings.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The JSON bodies of the HTTP interface: what each call sends and what it answers. docs/http-api.md is
/// the reference for people; this header is the same for programs. `to_json` and `parse_*` are each
/// other's inverse. Parsers ignore fields they do not know, and their errors name the field at fault.
///
/// Many fields are optional extensions: a body without them has the keys of the base contract and no more.
namespace sema::wire {

using sema::Holder;
using sema::Payload;

/// No server lets a pool have more slots than this.
inline constexpr unsigned largest_count = 1'000'000;

/// PUT /l/{id}. Payloads, where there are any, are one for each slot.
struct RegisterRequest {
    unsigned count = 0;
    SettingsChange settings{};
};

/// The call to make once there is a slot: the `callback` of a borrow.
struct Callback {
    std::string url;
    /// Names and values, in the order of the names.
    std::vector<std::pair<std::string, std::string>> headers{};
    /// JSON of any value, which is sent along; empty where there is none.
    std::string body{};
    /// Keys to sign with, each `whsec_` and base64, between spaces; empty where nothing is signed.
    std::string secret{};

    bool operator==(const Callback&) const = default;
};

/// POST /l/{id}/borrow. `ttl` > 0; `wait` >= 0, and 0 where the body names none. Neither is clamped yet:
/// the server's limits are not part of the wire.
struct BorrowRequest {
    Duration ttl{};
    Duration wait{};
    /// The id that the lease is to have; chosen by the borrower, so that it can repeat the call.
    std::optional<LeaseId> lease{};
    unsigned slots = 1;
    int priority = 0;
    std::shared_ptr<const Holder> holder{};
    /// Whether the body had any field beyond `ttl` and `wait`: then so has the answer.
    bool extended = false;
    /// Then a `wait` of 0 is as long as the server allows.
    std::shared_ptr<const Callback> callback{};
};

/// POST /l/{id}/return
struct ReturnRequest {
    LeaseId lease;
    /// Only the lease that has this fence is meant. One that was granted later may have the same id.
    std::optional<std::uint64_t> fence{};
};

/// POST /l/{id}/keepalive
struct KeepaliveRequest {
    LeaseId lease;
    Duration ttl{};
    /// As in ReturnRequest.
    std::optional<std::uint64_t> fence{};
};

/// POST /l/{id}/resize
struct ResizeRequest {
    std::int64_t by = 0;
};

/// POST /l/{id}/revoke
struct RevokeRequest {
    unsigned position = 0;
    /// Only the lease that has this fence is meant.
    std::optional<std::uint64_t> fence{};
};

/// PUT /l/{id}/slots/{n}
struct SlotRequest {
    bool out = false;
    /// What is not there stays as it was.
    std::optional<std::string> reason{};
};

/// POST /l/{id}/cancel
struct CancelRequest {
    /// As the waiter is called in the queue: PoolDetails::QueueEntry::waiter.
    std::uint64_t waiter = 0;
};

/// The answer of PUT, GET and resize. `available` is how many slots could be lent now, never below 0.
struct PoolState {
    PoolId id;
    unsigned count = 0;
    unsigned in_use = 0;
    unsigned available = 0;
};

/// The answer of borrow. Both times are whole seconds, rounded down.
struct LeaseGrant {
    /// What the answer to an extended request has besides.
    struct Details {
        /// Ascending; the first is the lease's `position`.
        std::vector<unsigned> positions;
        std::uint64_t fence = 0;
        /// One for each position.
        std::vector<Payload> slots;
        std::int64_t granted_at_unix = 0;
    };

    LeaseId lease;
    unsigned position = 0;
    std::int64_t expires_at_unix = 0;
    std::int64_t expires_in = 0;
    std::optional<Details> details{};

    std::optional<std::uint64_t> fence() const {
        return details ? std::optional(details->fence) : std::nullopt;
    }
};

/// The 409 of a borrow. An error body too: parse_error_body() reads it as one.
struct BorrowRefused {
    std::string error;
    /// The borrower's place in the queue, or the one it would have had. 1 is next.
    std::size_t rank = 0;
    /// How many wait.
    std::size_t queue = 0;
    unsigned in_use = 0;
    unsigned count = 0;
    /// Seconds until the grant, estimated.
    std::optional<std::int64_t> eta;
};

/// The 202 of a borrow with a callback, as it was when it took its place. Where there was a slot for it at
/// once, its rank is 1 and its eta 0.
struct BorrowQueued {
    LeaseId lease;
    /// 1 is next.
    std::size_t rank = 0;
    /// How many wait, this one included.
    std::size_t queue = 0;
    /// Seconds until the grant, estimated.
    std::optional<std::int64_t> eta{};
};

struct Returned {
    bool returned = false;
};

struct Deleted {
    bool deleted = false;
};

/// The answer of keepalive: the lease with its new end, or nothing where it is no longer held.
struct Renewed {
    std::optional<LeaseGrant> lease;
};

struct Revoked {
    bool revoked = false;
};

/// The answer of PUT /l/{id}/slots/{n}.
struct SlotState {
    /// How a slot is out of service.
    struct Out {
        std::string reason;
        std::int64_t since_unix = 0;
    };

    unsigned position = 0;
    /// Nothing where it is in service.
    std::optional<Out> out{};
};

struct Cancelled {
    bool cancelled = false;
};

/// The answer of GET /l/{id}/holders, and the data of each event. It contains no lease's id.
struct PoolDetails {
    struct HolderEntry {
        unsigned position = 0;
        std::vector<unsigned> positions;
        std::shared_ptr<const Holder> holder;
        std::int64_t granted_at_unix = 0;
        std::int64_t expires_at_unix = 0;
        std::int64_t expires_in = 0;
        std::uint64_t fence = 0;
    };
    struct QueueEntry {
        std::size_t rank = 0;
        unsigned slots = 1;
        int priority = 0;
        std::shared_ptr<const Holder> holder;
        /// Whole seconds.
        std::int64_t waiting_for = 0;
        /// Its borrower is gone, and may come back: until then it is passed over.
        bool away = false;
        /// Its borrower is to be called.
        bool callback = false;
        /// Names it in POST /l/{id}/cancel, and nowhere else: 16 hex digits on the wire. Earlier servers have
        /// none.
        std::optional<std::uint64_t> waiter{};
        /// Seconds until it is granted, estimated; not on the wire where that is not known.
        std::optional<std::int64_t> eta{};
    };

    struct RestingSlot {
        unsigned position = 0;
        /// When it can be lent again.
        std::int64_t until_unix = 0;
    };

    PoolId id;
    /// Without the payloads. An empty name is `null` on the wire.
    PoolSettings settings{};
    unsigned count = 0;
    unsigned in_use = 0;
    unsigned available = 0;
    /// By position.
    std::vector<HolderEntry> holders{};
    /// By rank.
    std::vector<QueueEntry> queue{};
    /// The slots that are out of service, by position.
    std::vector<SlotState> out{};
    /// By position; not on the wire where there is none.
    std::vector<RestingSlot> resting{};
    /// Seconds until a borrower that comes now is granted a slot, estimated.
    std::optional<std::int64_t> eta{};
};

/// The answer of GET /l/{id}/callbacks: the borrowers to be called, those that have a slot first. It contains
/// no lease's id.
struct CallbackList {
    struct Entry {
        /// Its place in the queue; nothing where it has a slot, and is being called.
        std::optional<std::size_t> rank{};
        std::shared_ptr<const Holder> holder{};
        /// `https://host/...`: what stands behind the host may be a secret.
        std::string url{};
        /// How many attempts to call it failed, and why the last one did.
        unsigned attempts = 0;
        std::optional<std::string> last_error{};
        /// Whole seconds; nothing where it waits for a slot.
        std::optional<std::int64_t> next_attempt_in{};
        /// Whole seconds since it asked, or since it was granted a slot.
        std::int64_t waiting_for = 0;
        /// Whole seconds until it loses its place, or its lease.
        std::optional<std::int64_t> expires_in{};
    };

    std::vector<Entry> callbacks{};
};

/// The answer of GET /l/{id}/slots.
struct SlotList {
    PoolId id;
    /// By position: as many as the pool has slots. `null` where a slot has none.
    std::vector<Payload> slots{};
};

/// The answer of GET /pools.
struct PoolList {
    struct Entry {
        PoolId id;
        /// Empty where it has none; `null` on the wire.
        std::string name;
        unsigned count = 0;
        unsigned in_use = 0;
        unsigned available = 0;
        /// How many wait.
        std::size_t queue = 0;
        /// Whole seconds that the longest of them has waited; not on the wire where nobody waits.
        std::optional<std::int64_t> oldest_wait{};
    };

    /// By id.
    std::vector<Entry> pools;
};

struct ServerVersion {
    std::string version;
};

/// Every answer that is not 200.
struct ErrorBody {
    std::string error;
};

/// `count` must be an integer in 0..max_count.
Expected<RegisterRequest> parse_register_request(std::string_view body, unsigned max_count);
/// `slots` must be an integer in 1..max_count.
Expected<BorrowRequest> parse_borrow_request(std::string_view body, unsigned max_count);
Expected<ReturnRequest> parse_return_request(std::string_view body);
Expected<KeepaliveRequest> parse_keepalive_request(std::string_view body);
Expected<ResizeRequest> parse_resize_request(std::string_view body);
Expected<RevokeRequest> parse_revoke_request(std::string_view body);
Expected<SlotRequest> parse_slot_request(std::string_view body);
Expected<CancelRequest> parse_cancel_request(std::string_view body);

/// Reads a slot's payload as it stands in a body: a JSON string or object.
Expected<Payload> parse_payload(std::string_view json);
/// A string's payload.
Payload payload_of(std::string_view text);
/// The payload's text where it is a string, and its JSON where it is an object. Empty for `null`.
std::string payload_text(const Payload& payload);

Expected<PoolState> parse_pool_state(std::string_view body);
Expected<LeaseGrant> parse_lease_grant(std::string_view body);
Expected<BorrowRefused> parse_borrow_refused(std::string_view body);
Expected<BorrowQueued> parse_borrow_queued(std::string_view body);
/// Reads what to_json() made of a callback.
Expected<Callback> parse_callback(std::string_view json);
Expected<CallbackList> parse_callback_list(std::string_view body);
Expected<Returned> parse_returned(std::string_view body);
Expected<Deleted> parse_deleted(std::string_view body);
Expected<Renewed> parse_renewed(std::string_view body);
Expected<Revoked> parse_revoked(std::string_view body);
Expected<SlotState> parse_slot_state(std::string_view body);
Expected<Cancelled> parse_cancelled(std::string_view body);
Expected<PoolDetails> parse_pool_details(std::string_view body);
Expected<SlotList> parse_slot_list(std::string_view body);
Expected<PoolList> parse_pool_list(std::string_view body);
Expected<ServerVersion> parse_version(std::string_view body);
/// Takes nothing but what a semad answers: other servers' errors may have an `error` as well, among other
/// keys.
Expected<ErrorBody> parse_error_body(std::string_view body);

std::string to_json(const RegisterRequest& request);
std::string to_json(const BorrowRequest& request);
std::string to_json(const ReturnRequest& request);
std::string to_json(const KeepaliveRequest& request);
std::string to_json(const ResizeRequest& request);
std::string to_json(const RevokeRequest& request);
std::string to_json(const SlotRequest& request);
std::string to_json(const CancelRequest& request);
std::string to_json(const PoolState& state);
std::string to_json(const LeaseGrant& grant);
std::string to_json(const BorrowRefused& answer);
std::string to_json(const BorrowQueued& answer);
std::string to_json(const Callback& callback);
std::string to_json(const CallbackList& list);
std::string to_json(const Returned& answer);
std::string to_json(const Deleted& answer);
std::string to_json(const Renewed& answer);
std::string to_json(const Revoked& answer);
std::string to_json(const SlotState& answer);
std::string to_json(const Cancelled& answer);
std::string to_json(const PoolDetails& view);
std::string to_json(const SlotList& list);
std::string to_json(const PoolList& list);
/// Makes the same text a few pools at a time: there may be a hundred thousand.
class PoolListWriter {
  public:
    /// `expected` pools will be about all.
    explicit PoolListWriter(std::size_t expected);
    void add(const PoolList::Entry& pool);
    std::string finish() &&;

  private:
    std::string text_;
};
std::string to_json(const ServerVersion& answer);
std::string to_json(const ErrorBody& answer);

}  // namespace sema::wire
