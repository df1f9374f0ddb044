#pragma once

#include <tl/expected.hpp>

#include <string>

namespace sema {

/// Why something could not be done, in words for the person who asked. Never holds a pool's or a
/// lease's UUID: both are secrets, and an error text ends up in logs.
struct Error {
    std::string message;
};

/// A value, or why there is none.
template <class T>
using Expected = tl::expected<T, Error>;

inline tl::unexpected<Error> failure(std::string message) {
    return tl::unexpected<Error>(Error{std::move(message)});
}

}  // namespace sema
