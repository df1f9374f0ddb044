#pragma once

#include <string_view>

namespace sema {

/// Whether a semad answers a call of semactl's with this status below 500 and with this reason. What stands
/// before a server, as an ingress, may answer in its place with JSON that has an `error`, too.
///
/// Semads of other versions have the same: docs/http-api.md, "Versions".
bool is_semads_error(long status, std::string_view reason);

}  // namespace sema
