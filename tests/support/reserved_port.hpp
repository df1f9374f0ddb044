#pragma once

namespace sema::test {

/// A port of 127.0.0.1 that is kept for a server, also while that is down: nobody else is given it.
class ReservedPort {
  public:
    ReservedPort();
    ~ReservedPort();
    ReservedPort(const ReservedPort&) = delete;
    ReservedPort& operator=(const ReservedPort&) = delete;

    int number() const { return number_; }

  private:
    int socket_ = -1;
    int number_ = 0;
};

}  // namespace sema::test
