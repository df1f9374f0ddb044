#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace sema {

/// No key of ours has so many parts (`a.b.c` has three).
constexpr std::size_t most_key_parts = 32;

/// The line of a TOML text, counted from 1, that has a key of more parts. toml++ calls itself once for each,
/// and has no bound of its own: it must not be given such a text.
std::optional<std::size_t> line_of_deep_key(std::string_view toml);

}  // namespace sema
