#pragma once

#include "common/error.hpp"

#include <vector>

namespace sema {

/// The descriptors of the listening sockets that our supervisor made for us, in its order, as
/// sd_listen_fds(3) describes; none where it made none. Programs that we start do not get them. The error is
/// that the variables, which are for us, cannot be understood.
Expected<std::vector<int>> given_sockets();

}  // namespace sema
