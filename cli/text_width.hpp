#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sema {

/// How many columns of a terminal a UTF-8 text takes: two for wide characters, as of East Asian scripts, none
/// for combining ones. REQUIRES: it is printable().
std::size_t width_of(std::string_view text);

/// The text, or as much of its beginning as fits into this many columns, then with an ellipsis at its end.
std::string cut_to(std::string_view text, std::size_t columns);

/// The text in ASCII, as wide as before: a plus for an ellipsis, a bar for a dot between words, and question
/// marks for what else is not in it.
std::string in_ascii(std::string_view text);

}  // namespace sema
