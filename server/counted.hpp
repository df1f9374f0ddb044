#pragma once

#include <cstddef>
#include <string>

namespace sema {

/// A number of things, as people read it: `1 pool`, `2 pools`.
inline std::string counted(std::size_t number, const char* thing) {
    return std::to_string(number) + " " + thing + (number == 1 ? "" : "s");
}

}  // namespace sema
