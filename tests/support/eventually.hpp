#pragma once

#include <chrono>
#include <thread>

namespace sema::test {

/// How long a test waits for what should happen at once. Long, since machines that run tests are busy: a
/// test only takes this long if it fails.
inline constexpr std::chrono::seconds patience{30};

/// Waits until `condition()` holds. False where it did not within the time.
template <class Condition>
bool eventually(Condition condition, std::chrono::milliseconds limit = patience) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() >= end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
}

}  // namespace sema::test
