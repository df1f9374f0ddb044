#pragma once

#include "cli/run/requests.hpp"
#include "client/boot_clock.hpp"

#include <optional>

namespace sema {

/// From the first request to end on, the return included.
inline constexpr Duration all_ending = std::chrono::milliseconds(4800);

/// By how much a run is to end sooner than one that no other is around, since the one around it kills what is
/// left then: the slot of one in the middle would be returned by nobody.
Duration sooner_inside_others();

/// Until when slots are given back: for some seconds, but where semactl has been asked to end or to stop, or
/// is meanwhile, only for what is left of its time for that. Nor is it stopped before: the slots would be
/// nobody's. `requests` must outlive this.
class ReturnDeadline {
  public:
    /// `asked` is when semactl was asked to end, where that is not one of the requests.
    explicit ReturnDeadline(Requests& requests, std::optional<Moment> asked = std::nullopt);

    Moment operator()();

  private:
    Requests* requests_;
    Moment begin_;
    Moment end_;
};

}  // namespace sema
