#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace sema {

/// What makes a terminal show lines that change in place. It only makes the text; the caller writes it.
class LiveScreen {
  public:
    /// Puts these lines in place of the last ones. REQUIRES: none is wider than the terminal, and there are
    /// not more of them than it has rows.
    std::string draw(const std::vector<std::string>& lines);

    /// Wipes the last lines.
    std::string wipe();

    /// Wipes all that the terminal shows: after a change of its size it is not known where the lines are.
    std::string wipe_all();

    /// Leaves the last lines where they are, and the terminal as it was before the first.
    std::string leave();

  private:
    /// How many lines are shown: the cursor is at the end of the last one.
    std::size_t shown_ = 0;
    bool taken_ = false;
};

}  // namespace sema
