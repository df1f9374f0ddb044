#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sema {

/// The one of `words` that was most likely meant by `text`; empty where none is like it.
std::string closest_word(std::string_view text, const std::vector<std::string>& words);

/// `a, b or c`.
std::string alternatives(const std::vector<std::string>& words);

}  // namespace sema
