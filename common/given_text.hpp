#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sema {

/// Without the white space, line ends and byte-order marks around it. A view into `text`.
std::string_view without_blanks(std::string_view text);

/// What a person meant to write into a variable or a file: `text` without the white space, line ends and
/// byte-order marks around it, and then without one pair of quotes around the rest. A view into `text`.
std::string_view trimmed(std::string_view text);

/// The first line of a file's `text` in which something stands, trimmed. Empty where there is none. A view
/// into `text`.
std::string_view first_value(std::string_view text);

/// The variable's value, trimmed. Nothing where it is not set; empty where nothing stands in it.
std::optional<std::string> environment_value(const std::string& name);

}  // namespace sema
