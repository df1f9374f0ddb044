#pragma once

#include "common/wire.hpp"
#include "server/pool/pool.hpp"

namespace sema::http {

/// The borrowers that are to be called in a pool.
wire::CallbackList callback_list(const PoolView& view);

}  // namespace sema::http
