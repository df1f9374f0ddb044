#pragma once

#include <optional>
#include <string>

namespace sema {

/// A borrower, as shown to everybody who may inspect the pool. `name` has at most 256 characters, `url`
/// 2048.
struct Holder {
    std::optional<std::string> name;
    std::optional<std::string> url;

    bool operator==(const Holder&) const = default;
};

}  // namespace sema
