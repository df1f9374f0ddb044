#include "server/store/shared/interrupt.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace sema::shared {

Interrupt::Interrupt() : descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (descriptor_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Interrupt::~Interrupt() {
    ::close(descriptor_);
}

void Interrupt::raise() {
    (void)eventfd_write(descriptor_, 1);
}

void Interrupt::lower() {
    eventfd_t ignored = 0;
    (void)eventfd_read(descriptor_, &ignored);
}

}  // namespace sema::shared
