#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sema::http {

/// The calls of the interface, as metrics and the access log tell them apart.
enum class CallKind : std::uint8_t {
    other,  ///< no such path, a method that it does not take, or no HTTP
    enlist,
    inspect,
    remove,
    resize,
    borrow,
    keepalive,
    give_back,
    cancel,
    holders,
    revoke,
    slot,
    events,
    history,
    statistics,
    callbacks,
    pools,
    backup,
    metrics,
    openapi,
    healthz,
    livez,
    readyz,
    version,
    dashboard,
    slots,
};

inline constexpr auto call_names = std::to_array<std::string_view>(
    {"other",   "register", "inspect", "delete", "resize",  "borrow",     "keepalive", "return", "cancel",
     "holders", "revoke",   "slot",    "events", "history", "statistics", "callbacks", "pools",  "backup",
     "metrics", "openapi",  "healthz", "livez",  "readyz",  "version",    "dashboard", "slots"});

inline std::string_view name_of(CallKind call) {
    return call_names[static_cast<std::size_t>(call)];
}

}  // namespace sema::http
