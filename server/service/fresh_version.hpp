#pragma once

#include "server/store/store.hpp"

#include <random>

namespace sema {

/// For a pool that comes into being: random, and never 0.
inline Version fresh_version() {
    thread_local std::mt19937_64 generate{std::random_device{}()};
    Version version = 0;
    while (version == 0)
        version = generate();
    return version;
}

}  // namespace sema
