#pragma once

namespace sema::shared {

/// Wakes the thread that polls its descriptor: that can be read from raise() until lower(). Any thread may
/// call.
class Interrupt {
  public:
    Interrupt();
    ~Interrupt();
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;

    int descriptor() const { return descriptor_; }
    void raise();
    void lower();

  private:
    const int descriptor_;
};

}  // namespace sema::shared
