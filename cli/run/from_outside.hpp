#pragma once

#include "client/boot_clock.hpp"

#include <functional>

namespace sema {

/// Does `work`, which sends signals, in a process with a process group of its own, and returns what it
/// returned, from 0 to 255. Does it in this one where there is no room for another process, or where that is
/// stopped, killed or slow, for half a second or beyond `latest`: part of the work may be done twice then.
///
/// There are programs that take no notice of a signal from their own process group, which is semactl's too:
/// sudo before 1.9.13, lest its command ends itself.
int from_outside(const std::function<int()>& work, Moment latest = BootClock::never);

}  // namespace sema
