#pragma once

#include <optional>
#include <string>

namespace sema {

/// A folder /proc that is kept open. A file that is opened by its whole path is one of whatever is mounted
/// there by then, which the command may change: nothing, or the processes of another pid namespace.
class ProcFolder {
  public:
    explicit ProcFolder(const std::string& path = "/proc");
    ~ProcFolder();
    ProcFolder(const ProcFolder&) = delete;
    ProcFolder& operator=(const ProcFolder&) = delete;

    /// Why it cannot show the descendants of this process, for people; none where it can. It does where it
    /// shows this process as itself: that of another pid namespace shows other processes under the same
    /// numbers.
    std::optional<std::string> why_unusable() const;

    /// Opens what is at that path in it, to read it, but nothing that is mounted there, where the system can
    /// check that. As open() does, -1 and errno where that fails, or where the folder itself could not be
    /// opened.
    int open(const std::string& path) const;
    /// All that is in such a file; nothing where it cannot be read.
    std::string content_of(const std::string& path) const;

    /// The folder's own descriptor, which no program that is executed gets; -1 where there is none.
    int fd() const { return fd_; }

  private:
    const int fd_;
};

}  // namespace sema
