#pragma once

#include "server/store/store.hpp"

namespace sema {

/// Pools that live as long as the process: for trials, and for pools that may be forgotten. Thread-safe
/// between handles: stores made from the same `MemoryData` see each other's commits.
struct MemoryData;
std::shared_ptr<MemoryData> make_memory_data();
std::unique_ptr<Store> make_memory_store(std::shared_ptr<MemoryData> data = make_memory_data());

}  // namespace sema
