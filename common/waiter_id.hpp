#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sema {

/// What names a waiter on the wire: 16 hex digits, in lower case.
std::string waiter_text(std::uint64_t waiter);

/// Reads that, in either case. Nothing else.
std::optional<std::uint64_t> parse_waiter(std::string_view text);

}  // namespace sema
