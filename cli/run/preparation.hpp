#pragma once

#include "cli/run/child.hpp"
#include "cli/run/proc_folder.hpp"

#include <cstddef>
#include <optional>
#include <string>

namespace sema {

/// Makes this process the reaper of all its descendants, and makes sure of whatever else looking after a
/// command takes: to be called before a slot is borrowed, so that nothing that could have been known turns
/// out to be missing while a command runs that holds so many leases. Gives what is missing, for people; none
/// where all is there.
std::optional<std::string> prepare_to_supervise(const ProcFolder& proc, const InheritedDescriptors& inherited,
                                                std::size_t leases);

}  // namespace sema
