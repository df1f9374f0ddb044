#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sema {

/// The text with line breaks in the place of spaces, so that no line has more than so many columns, where no
/// word has. Lines that begin with a space stay as they are: they are examples, to be copied.
std::string wrapped(std::string_view text, std::size_t columns);

}  // namespace sema
