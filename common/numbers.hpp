#pragma once

#include "common/error.hpp"

#include <cstdint>
#include <string>

namespace sema {

/// Which whole numbers are taken.
struct NumberRange {
    std::int64_t least;
    std::int64_t most;
};

// The text of a refusal names the range, and goes on from the name of the value.

/// Reads a whole number written in decimal digits alone.
Expected<std::int64_t> parse_number(const std::string& text, NumberRange range);

/// The same with or without a sign before the digits: `2`, `+2`, `-2`.
Expected<std::int64_t> parse_signed(const std::string& text, NumberRange range);

}  // namespace sema
