#pragma once

#include "common/durations.hpp"
#include "common/error.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Reading the bodies of the HTTP interface field by field: for the sources of wire.hpp alone. Error texts
/// name the field at fault and never quote it, since it may hold a lease's UUID.
namespace sema::wire {

/// The fields asked for of an object. One that is not there is no value.
class Fields {
  public:
    using Json = nlohmann::json;

    explicit Fields(std::initializer_list<std::string_view> names);

    /// Null where the field was not asked for.
    std::optional<Json>* find(std::string_view name);
    /// REQUIRES: the field was asked for.
    const std::optional<Json>& operator[](std::string_view name) const;

  private:
    struct Field {
        std::string_view name;
        std::optional<Json> value;
    };
    std::vector<Field> fields_;
};

/// The fields with these names of the object that `body` is, and nothing of its other fields: a body costs no
/// more than its length, whatever its shape. In a field that is asked for, nothing may lie deeper than a few
/// levels.
Expected<Fields> parse_object(std::string_view body, std::initializer_list<std::string_view> names);

/// What a field must hold: a JSON integer in 0..max.
Expected<unsigned> unsigned_field(const Fields& object, const char* name, unsigned max);
/// A JSON integer in min..max.
Expected<std::int64_t> integer_in(const Fields::Json& field, const char* name, std::int64_t min,
                                  std::int64_t max);
/// A number of seconds, without judging its sign.
Expected<double> seconds_field(const Fields::Json& field, const char* name);
/// A text of at most `longest` characters (Unicode code points).
Expected<std::string> text_field(const Fields::Json& field, const std::string& name, std::size_t longest);

/// For answers, in which the field must be there.
Expected<std::int64_t> integer_field(const Fields& object, const char* name);
Expected<bool> bool_field(std::string_view body, const char* name);
Expected<std::string> string_field(std::string_view body, const char* name);

template <class AnyId>
Expected<AnyId> id_field(const Fields& object, const char* name) {
    const auto& field = object[name];
    if (!field) return failure(std::string(name) + " is required");
    if (field->is_string()) {
        if (auto id = AnyId::parse(field->template get_ref<const std::string&>())) return *id;
    }
    return failure(std::string(name) + " must be a UUID");
}

}  // namespace sema::wire
