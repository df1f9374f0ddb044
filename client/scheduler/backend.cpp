#include <sema/scheduler.hpp>

namespace sema {
inline namespace v1 {

backend::backend() = default;
backend::~backend() = default;
void backend::stop(const task&) {}
void backend::timeout(const task&) {}
void backend::keepalive(const task&) {}
bool backend::error(const task&, backend_call, const std::exception&) {
    return false;
}
bool backend::hands_lease_on() const {
    return false;
}

}  // namespace v1
}  // namespace sema
