#pragma once

#include "client/scheduler/task_mark.hpp"

#include <string>

namespace sema {

/// The tasks that have a slot of a pool, for programs: an object with the pool's `count`, `available` and
/// `out_of_service`, and `tasks`.
std::string tasks_json(const TaskView& view);

}  // namespace sema
