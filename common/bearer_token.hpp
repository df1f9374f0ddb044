#pragma once

#include <optional>
#include <string_view>

namespace sema {

/// Whether a text can be sent as a bearer token (RFC 6750, section 2.1): letters, digits, `-._~+/`, and `=`
/// at the end; at most 4096 characters, so that it fits into a request's header.
bool is_bearer_token(std::string_view text);

/// The token in the value of an Authorization field. Nothing where that is not `Bearer TOKEN`, the scheme in
/// whatever case. A view into `value`.
std::optional<std::string_view> bearer_token(std::string_view value);

}  // namespace sema
