#pragma once

#include <condition_variable>
#include <mutex>

// Clang checks these at compile time (-Wthread-safety); other compilers see nothing.
#ifdef __clang__
#define SEMA_ANNOTATE(x) __attribute__((x))
#else
#define SEMA_ANNOTATE(x)
#endif
#define GUARDED_BY(mutex) SEMA_ANNOTATE(guarded_by(mutex))
#define REQUIRES(mutex) SEMA_ANNOTATE(requires_capability(mutex))

namespace sema {

/// std::mutex, but known to the compiler's analysis.
class SEMA_ANNOTATE(capability("mutex")) Mutex {
  public:
    void lock() SEMA_ANNOTATE(acquire_capability()) { mutex_.lock(); }
    void unlock() SEMA_ANNOTATE(release_capability()) { mutex_.unlock(); }

  private:
    std::mutex mutex_;
};

class SEMA_ANNOTATE(scoped_lockable) MutexLock {
  public:
    explicit MutexLock(Mutex& mutex) SEMA_ANNOTATE(acquire_capability(mutex)) : mutex_(mutex) {
        mutex_.lock();
    }
    ~MutexLock() SEMA_ANNOTATE(release_capability()) { mutex_.unlock(); }
    MutexLock(const MutexLock&) = delete;
    MutexLock& operator=(const MutexLock&) = delete;

  private:
    Mutex& mutex_;
};

/// Waits with a Mutex.
using ConditionVariable = std::condition_variable_any;

}  // namespace sema
