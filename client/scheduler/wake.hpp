#pragma once

#include "common/durations.hpp"

namespace sema {

/// Lets one thread wait for what others do. Any thread.
class Wake {
  public:
    /// Throws std::system_error where the system has no descriptor to give.
    Wake();
    ~Wake();
    Wake(const Wake&) = delete;
    Wake& operator=(const Wake&) = delete;

    void ring() const;
    /// Readable when it was rung since it was last cleared.
    int fd() const { return fd_; }
    void clear() const;
    bool was_rung() const;
    /// Until it is rung, or the time is over.
    void wait(Duration limit) const;

  private:
    int fd_;
};

}  // namespace sema
