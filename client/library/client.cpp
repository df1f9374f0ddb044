#include "client/library/core.hpp"

#include <sema/client.hpp>

#include <utility>

namespace sema {
inline namespace v1 {

client::client(client_options options) : core_(std::make_shared<detail::Core>(std::move(options))) {
    core_->begin();
}

client::client(std::string server) : client(client_options{.server = std::move(server)}) {}

client::~client() {
    if (core_->is_here())
        core_->end();
    else
        core_->leave_alone();
}

}  // namespace v1
}  // namespace sema
