#include <sema/process.hpp>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <new>

namespace sema {
inline namespace v1 {
namespace detail {
namespace {

using Number = std::atomic<std::uint64_t>;
static_assert(Number::is_always_lock_free);

// The kernel gives each child a page of zeros in its place, whichever call has made the child: clone() and
// _Fork() call no handlers of pthread_atfork(), and a child in a PID namespace of its own may have its
// parent's PID.
Number* wiped_by_forks() noexcept {
    const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    void* const page = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return nullptr;
    if (madvise(page, size, MADV_WIPEONFORK) == 0) return new (page) Number(0);
    munmap(page, size);
    return nullptr;
}

// 0 until it is asked for.
Number* const current = wiped_by_forks();
// The last one that was given, here and in the processes before.
Number last{0};

}  // namespace

std::uint64_t process_number() noexcept {
    // A kernel without such pages (before 4.14) is left with the PID.
    if (current == nullptr) return static_cast<std::uint64_t>(getpid());
    std::uint64_t number = *current;
    if (number != 0) return number;
    const std::uint64_t next = ++last;
    return current->compare_exchange_strong(number, next) ? next : number;
}

}  // namespace detail
}  // namespace v1
}  // namespace sema
