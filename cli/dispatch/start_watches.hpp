#pragma once

#include "cli/dispatch/process.hpp"

#include <cstdint>
#include <map>
#include <mutex>

namespace sema {

/// What each start command's shell reads from, by the fence of its task: a line means that the dispatcher
/// has seen to the lease, and the end of the input that the dispatcher is gone. They outlive a backend, which
/// is made anew when the file is read again. Any thread.
class StartWatches {
  public:
    void add(std::uint64_t fence, Descriptor writing);
    /// The lease is renewed for the task, or returned.
    void settle(std::uint64_t fence);

  private:
    std::mutex mutex_;
    std::map<std::uint64_t, Descriptor> writing_;
};

}  // namespace sema
