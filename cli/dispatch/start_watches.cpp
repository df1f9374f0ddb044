#include "cli/dispatch/start_watches.hpp"

#include <unistd.h>

#include <tuple>
#include <utility>

namespace sema {

void StartWatches::add(std::uint64_t fence, Descriptor writing) {
    const std::lock_guard lock(mutex_);
    writing_[fence] = std::move(writing);
}

void StartWatches::settle(std::uint64_t fence) {
    const std::lock_guard lock(mutex_);
    const auto found = writing_.find(fence);
    if (found == writing_.end()) return;
    // Where nobody reads any more the shell was killed.
    std::ignore = write(found->second.get(), "\n", 1);
    writing_.erase(found);
}

}  // namespace sema
