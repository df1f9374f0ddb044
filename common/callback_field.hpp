#pragma once

#include "common/error.hpp"
#include "common/wire.hpp"

#include <nlohmann/json.hpp>

/// The `callback` of a borrow: for the sources of wire.hpp alone.
namespace sema::wire {

/// The error says what to write instead, and quotes nothing: there may be secrets in it. The address is
/// looked at no further than that it is a text of some length.
Expected<Callback> callback_field(const nlohmann::json& field);

nlohmann::ordered_json to_value(const Callback& callback);

}  // namespace sema::wire
