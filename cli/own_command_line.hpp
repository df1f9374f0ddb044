#pragma once

namespace sema {

/// The command line of this process, as programs as ps(1) show it. A search by it finds semactl once: a
/// `pkill -f` that found a helper process of its own too would look like a signal to the group.
class OwnCommandLine {
  public:
    /// From an open /proc/self/stat, which this closes. With -1, or where that does not say where it is,
    /// there is nothing to be changed.
    explicit OwnCommandLine(int stat);

    /// Shows `name` in its place, in this process and what it forks from now on. The arguments that main()
    /// got are gone by that.
    void replace(const char* name) const;

  private:
    char* begin_ = nullptr;
    char* end_ = nullptr;
};

}  // namespace sema
