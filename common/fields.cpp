#include "common/fields.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sema::wire {
namespace {

using nlohmann::json;

// No payload needs more. The library writes JSON by recursion: a deep value would overflow the stack.
constexpr std::size_t deepest_field = 32;

/// Fills in Fields as an object is read.
class FieldReader final : public json::json_sax_t {
  public:
    explicit FieldReader(Fields& fields) : fields_(fields) {}

    bool is_object() const { return is_object_; }
    /// Whether reading ended at a number that is none to this machine.
    bool has_huge_number() const { return has_huge_number_; }
    bool is_too_deep() const { return is_too_deep_; }

    bool null() override { return take(nullptr); }
    bool boolean(bool yes) override { return take(yes); }
    bool number_integer(number_integer_t number) override { return take(number); }
    bool number_unsigned(number_unsigned_t number) override { return take(number); }
    bool number_float(number_float_t number, const string_t&) override { return take(number); }
    bool string(string_t& text) override { return take(std::move(text)); }
    bool binary(binary_t&) override { return take(nullptr); }
    bool key(string_t& name) override {
        if (depth_ == 1) {
            field_ = fields_.find(name);
        } else if (!within_.empty()) {
            key_ = std::move(name);
        }
        return true;
    }
    bool start_object(std::size_t) override {
        if (depth_ == 0) is_object_ = true;
        return open(json::value_t::object);
    }
    bool end_object() override { return close(); }
    bool start_array(std::size_t) override { return open(json::value_t::array); }
    bool end_array() override { return close(); }
    bool parse_error(std::size_t, const std::string&, const json::exception& error) override {
        has_huge_number_ = error.id == number_overflow;
        return false;
    }

  private:
    // nlohmann/json's json.exception.out_of_range.406.
    static constexpr int number_overflow = 406;

    /// Where the value went; null where it was not asked for.
    json* put(json value) {
        if (!within_.empty()) {
            json& parent = *within_.back();
            if (parent.is_array()) {
                parent.push_back(std::move(value));
                return &parent.back();
            }
            return &(parent[std::move(key_)] = std::move(value));
        }
        if (depth_ != 1 || !field_) return nullptr;
        *field_ = std::move(value);
        return &**field_;
    }
    template <class Value>
    bool take(Value&& value) {
        if (depth_ > 0 && (field_ || !within_.empty())) put(json(std::forward<Value>(value)));
        return true;
    }
    bool open(json::value_t kind) {
        if (json* const value = put(kind)) {
            if (within_.size() == deepest_field) {
                is_too_deep_ = true;
                return false;
            }
            within_.push_back(value);
        }
        ++depth_;
        return true;
    }
    bool close() {
        if (!within_.empty()) within_.pop_back();
        --depth_;
        return true;
    }

    Fields& fields_;
    std::optional<json>* field_ = nullptr;
    /// The arrays and objects around the next value, from the field on that was asked for.
    std::vector<json*> within_;
    std::string key_;
    std::size_t depth_ = 0;
    bool is_object_ = false;
    bool has_huge_number_ = false;
    bool is_too_deep_ = false;
};

// Of UTF-8, which the parser has seen to.
std::size_t characters(const std::string& text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string out_of_range(const char* name) {
    return std::string(name) + " out of range";
}

}  // namespace

Fields::Fields(std::initializer_list<std::string_view> names) {
    fields_.reserve(names.size());
    for (const std::string_view name : names)
        fields_.push_back({name, std::nullopt});
}

std::optional<Fields::Json>* Fields::find(std::string_view name) {
    const auto found = std::find_if(fields_.begin(), fields_.end(),
                                    [name](const Field& field) { return field.name == name; });
    return found == fields_.end() ? nullptr : &found->value;
}

const std::optional<Fields::Json>& Fields::operator[](std::string_view name) const {
    return std::find_if(fields_.begin(), fields_.end(),
                        [name](const Field& field) { return field.name == name; })
        ->value;
}

// The library's own messages quote the text at fault: ours do not.
Expected<Fields> parse_object(std::string_view body, std::initializer_list<std::string_view> names) {
    Fields fields(names);
    FieldReader reader(fields);
    // The library takes a NUL for the end.
    const bool whole = body.find('\0') == body.npos;
    if (!whole || !json::sax_parse(body.begin(), body.end(), &reader)) {
        if (reader.has_huge_number()) return failure("body has a number that is out of range");
        if (reader.is_too_deep()) return failure("body is nested too deeply");
        return failure("body is not valid JSON");
    }
    if (!reader.is_object()) return failure("body must be a JSON object");
    return fields;
}

Expected<std::int64_t> integer_in(const Fields::Json& field, const char* name, std::int64_t min,
                                  std::int64_t max) {
    // An integer too large for 64 bits arrives as a floating-point number.
    if (field.is_number_float() && std::abs(field.get<double>()) >= 9.2e18)
        return failure(out_of_range(name));
    if (!field.is_number_integer()) return failure(std::string(name) + " must be an integer");
    if (field.is_number_unsigned() && field.get<std::uint64_t>() > INT64_MAX)
        return failure(out_of_range(name));
    const auto value = field.get<std::int64_t>();
    if (value < min || value > max) return failure(out_of_range(name));
    return value;
}

Expected<unsigned> unsigned_field(const Fields& object, const char* name, unsigned max) {
    const auto& field = object[name];
    if (!field) return failure(std::string(name) + " is required");
    return integer_in(*field, name, 0, max).map([](std::int64_t value) {
        return static_cast<unsigned>(value);
    });
}

Expected<double> seconds_field(const Fields::Json& field, const char* name) {
    if (!field.is_number()) return failure(std::string(name) + " must be a number of seconds");
    return field.get<double>();
}

Expected<std::string> text_field(const Fields::Json& field, const std::string& name, std::size_t longest) {
    if (!field.is_string()) return failure(name + " must be a string");
    auto text = field.get<std::string>();
    if (characters(text) > longest)
        return failure(name + " must have at most " + std::to_string(longest) + " characters");
    return text;
}

Expected<std::int64_t> integer_field(const Fields& object, const char* name) {
    const auto& field = object[name];
    if (!field || !field->is_number_integer()) return failure(std::string(name) + " is missing");
    return field->get<std::int64_t>();
}

Expected<bool> bool_field(std::string_view body, const char* name) {
    const auto object = parse_object(body, {name});
    if (!object) return tl::unexpected(object.error());
    const auto& field = (*object)[name];
    if (!field || !field->is_boolean()) return failure(std::string(name) + " is missing");
    return field->get<bool>();
}

Expected<std::string> string_field(std::string_view body, const char* name) {
    const auto object = parse_object(body, {name});
    if (!object) return tl::unexpected(object.error());
    const auto& field = (*object)[name];
    if (!field || !field->is_string()) return failure(std::string(name) + " is missing");
    return field->get<std::string>();
}

}  // namespace sema::wire
