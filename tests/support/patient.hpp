#pragma once

#include "client/client.hpp"

namespace sema::test {

/// Whoever waits for as long as it takes.
class Patient : public WaitControl {
  public:
    int wake_fd() const override { return -1; }
    bool keep_waiting() override { return true; }
};

}  // namespace sema::test
