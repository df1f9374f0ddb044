#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace sema {

/// A text from somewhere else as it may be shown: on one line, with a space for every control character, also
/// for those that change the direction of writing, which would make what follows read as something else.
std::string printable(std::string_view text);

/// A message as it may be shown: on one line and without control characters, since some of it comes from a
/// server, and with `<UUID>` in place of whatever looks like a UUID, a mistyped one included. A person who
/// has a pool's or a lease's UUID has its slots, and what people type in the wrong place ends up in messages.
/// Of those that look like one, the words for which `is_shown` holds stay.
using IsShown = std::function<bool(std::string_view word)>;
std::string presentable(std::string_view text, const IsShown& is_shown = {});

}  // namespace sema
