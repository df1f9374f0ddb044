#pragma once

#include "server/store/store.hpp"

#include <random>

namespace sema {

inline std::mt19937_64& version_source() {
    thread_local std::mt19937_64 generate{std::random_device{}()};
    return generate;
}

/// For a pool that comes into being: random, and never 0.
inline Version fresh_version() {
    Version version = 0;
    while (version == 0)
        version = version_source()();
    return version;
}

/// The greatest step from a shared pool's version to the next.
constexpr Version greatest_step = Version{1} << 24;

/// A shared pool's version that is lower than another one by less is an earlier version of the same pool, and
/// not a fresh one.
constexpr Version most_forgotten = greatest_step << 16;

/// For a shared pool that is at `base` and changes. Not simply one more: a store that went back to an earlier
/// moment would come to the same version again with other rows, and a copy of those before would count as up
/// to date.
inline Version version_after(Version base) {
    const Version next = base + 1 + version_source()() % greatest_step;
    return next == 0 ? 1 : next;
}

}  // namespace sema
