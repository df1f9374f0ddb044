#pragma once

#include <sys/types.h>

namespace sema {

/// Notices when the process that started semactl has ended: the whole process, and not just the thread that
/// did it, as the kernel's parent-death signal would. (Threads of CI agents come and go.)
class ParentWatch {
  public:
    /// `parent` is what getppid() gave when semactl began. Throws std::runtime_error where that process can't
    /// be watched.
    explicit ParentWatch(pid_t parent);
    ~ParentWatch();
    ParentWatch(const ParentWatch&) = delete;
    ParentWatch& operator=(const ParentWatch&) = delete;

    /// Readable when is_gone() may have become true.
    int fd() const { return fd_; }
    bool is_gone() const;

  private:
    const pid_t parent_;
    int fd_ = -1;
    /// Where there are no descriptors of processes, the parent is looked for now and then.
    bool is_timer_ = false;
};

}  // namespace sema
