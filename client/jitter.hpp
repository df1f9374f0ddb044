#pragma once

#include "common/durations.hpp"

#include <random>

namespace sema {

/// A random time from `least` to `most`, which keeps a crowd from doing the same at the same moment.
inline Duration random_duration(Duration least, Duration most) {
    // One for each thread: to get a seed takes some 50 us on a virtual machine, where CPUID is emulated.
    thread_local std::minstd_rand source{std::random_device{}()};
    return Duration(std::uniform_int_distribution<Duration::rep>(least.count(), most.count())(source));
}

}  // namespace sema
