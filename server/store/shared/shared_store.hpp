#pragma once

#include "server/store/shared/engine.hpp"

#include <memory>

namespace sema {

/// Opens a store that several servers use at once: what `engine` reads and writes, with all that those stores
/// have in common. Tries to for 3 seconds. The error says what to do.
Expected<std::unique_ptr<SharedStore>> open_shared_store(std::unique_ptr<shared::Engine> engine);

}  // namespace sema
