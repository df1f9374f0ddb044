#include "common/wire.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace sema::wire {
namespace {

using nlohmann::json;
// Its keys stay in the order in which the reference lists them.
using nlohmann::ordered_json;

/// The fields asked for of an object. One that is not there is no value.
class Fields {
  public:
    explicit Fields(std::initializer_list<std::string_view> names) {
        for (const std::string_view name : names)
            fields_.push_back({name, std::nullopt});
    }

    /// Null when nobody asked for it.
    std::optional<json>* find(std::string_view name) {
        for (auto& field : fields_) {
            if (field.name == name) return &field.value;
        }
        return nullptr;
    }
    const std::optional<json>& operator[](std::string_view name) const {
        return *const_cast<Fields*>(this)->find(name);
    }

  private:
    struct Field {
        std::string_view name;
        std::optional<json> value;
    };
    std::vector<Field> fields_;
};

/// Fills in Fields as an object is read. Of an object or array in a field it keeps only that it is one, and
/// nothing at all of other fields: a body costs no more than its length, whatever its shape.
class FieldReader final : public json::json_sax_t {
  public:
    explicit FieldReader(Fields& fields) : fields_(fields) {}

    bool is_object() const { return is_object_; }
    /// Whether reading ended at a number that is none to this machine.
    bool has_huge_number() const { return has_huge_number_; }

    bool null() override { return take(nullptr); }
    bool boolean(bool yes) override { return take(yes); }
    bool number_integer(number_integer_t number) override { return take(number); }
    bool number_unsigned(number_unsigned_t number) override { return take(number); }
    bool number_float(number_float_t number, const string_t&) override { return take(number); }
    bool string(string_t& text) override { return take(std::move(text)); }
    bool binary(binary_t&) override { return take(nullptr); }
    bool key(string_t& name) override {
        if (depth_ == 1) field_ = fields_.find(name);
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

    template <class Value>
    bool take(Value&& value) {
        if (depth_ == 1 && field_) *field_ = json(std::forward<Value>(value));
        return true;
    }
    bool open(json::value_t kind) {
        take(kind);
        ++depth_;
        return true;
    }
    bool close() {
        --depth_;
        return true;
    }

    Fields& fields_;
    std::optional<json>* field_ = nullptr;
    std::size_t depth_ = 0;
    bool is_object_ = false;
    bool has_huge_number_ = false;
};

// The library's own messages quote the text at fault, which may hold a lease's UUID: ours do not.
Expected<Fields> parse_object(std::string_view body, std::initializer_list<std::string_view> names) {
    Fields fields(names);
    FieldReader reader(fields);
    // The library takes a NUL for the end.
    const bool whole = body.find('\0') == body.npos;
    if (!whole || !json::sax_parse(body.begin(), body.end(), &reader)) {
        if (reader.has_huge_number()) return failure("body has a number that is out of range");
        return failure("body is not valid JSON");
    }
    if (!reader.is_object()) return failure("body must be a JSON object");
    return fields;
}

// The field as a count of something: a JSON integer in 0..max.
Expected<unsigned> unsigned_field(const Fields& object, const char* name, unsigned max) {
    const auto& field = object[name];
    if (!field) return failure(std::string(name) + " is required");
    const std::string out_of_range = std::string(name) + " out of range";
    if (field->is_number_unsigned()) {
        const auto value = field->get<std::uint64_t>();
        if (value > max) return failure(out_of_range);
        return static_cast<unsigned>(value);
    }
    if (field->is_number_integer() && field->get<std::int64_t>() == 0) return 0;  // as "-0"
    if (field->is_number_integer()) return failure(out_of_range);
    // An integer too large for 64 bits arrives as a floating-point number.
    if (field->is_number_float() && std::abs(field->get<double>()) >= 9.2e18) return failure(out_of_range);
    return failure(std::string(name) + " must be an integer");
}

// The field as a number of seconds, without judging its sign.
Expected<double> seconds_field(const json& field, const char* name) {
    if (!field.is_number()) return failure(std::string(name) + " must be a number of seconds");
    return field.get<double>();
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

template <class AnyId>
Expected<AnyId> id_field(const Fields& object, const char* name) {
    const auto& field = object[name];
    if (!field) return failure(std::string(name) + " is required");
    if (field->is_string()) {
        if (auto id = AnyId::parse(field->template get_ref<const std::string&>())) return *id;
    }
    return failure(std::string(name) + " must be a UUID");
}

// For what is answered most: bodies of fixed shape, whose values need no escaping.
void append(std::string& text, std::int64_t number) {
    std::array<char, std::numeric_limits<std::int64_t>::digits10 + 2> digits;
    text.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
}

double seconds(Duration duration) {
    return std::chrono::duration<double>(duration).count();
}

}  // namespace

Expected<RegisterRequest> parse_register_request(std::string_view body, unsigned max_count) {
    return parse_object(body, {"count"}).and_then([&](const Fields& object) {
        return unsigned_field(object, "count", max_count).map([](unsigned count) {
            return RegisterRequest{count};
        });
    });
}

Expected<BorrowRequest> parse_borrow_request(std::string_view body) {
    const auto object = parse_object(body, {"ttl", "wait"});
    if (!object) return tl::unexpected(object.error());
    BorrowRequest request;

    const auto& ttl = (*object)["ttl"];
    if (!ttl) return failure("ttl is required");
    const auto ttl_seconds = seconds_field(*ttl, "ttl");
    if (!ttl_seconds) return tl::unexpected(ttl_seconds.error());
    if (!(*ttl_seconds > 0)) return failure("ttl must be greater than 0");
    request.ttl = from_seconds(*ttl_seconds);

    if (const auto& wait = (*object)["wait"]) {
        const auto wait_seconds = seconds_field(*wait, "wait");
        if (!wait_seconds) return tl::unexpected(wait_seconds.error());
        if (!(*wait_seconds >= 0)) return failure("wait must not be negative");
        request.wait = from_seconds(*wait_seconds);
    }
    return request;
}

Expected<ReturnRequest> parse_return_request(std::string_view body) {
    return parse_object(body, {"lease"}).and_then([](const Fields& object) {
        return id_field<LeaseId>(object, "lease").map([](LeaseId lease) { return ReturnRequest{lease}; });
    });
}

Expected<PoolState> parse_pool_state(std::string_view body) {
    const auto object = parse_object(body, {"id", "count", "in_use", "available"});
    if (!object) return tl::unexpected(object.error());
    constexpr unsigned any = 0xffff'ffff;
    PoolState state;
    const auto id = id_field<PoolId>(*object, "id");
    if (!id) return tl::unexpected(id.error());
    state.id = *id;
    for (const auto& [name, member] : {std::pair{"count", &PoolState::count},
                                       {"in_use", &PoolState::in_use},
                                       {"available", &PoolState::available}}) {
        const auto value = unsigned_field(*object, name, any);
        if (!value) return tl::unexpected(value.error());
        state.*member = *value;
    }
    return state;
}

Expected<LeaseGrant> parse_lease_grant(std::string_view body) {
    const auto object = parse_object(body, {"lease", "position", "expires_at_unix", "expires_in"});
    if (!object) return tl::unexpected(object.error());
    const auto lease = id_field<LeaseId>(*object, "lease");
    if (!lease) return tl::unexpected(lease.error());
    const auto position = unsigned_field(*object, "position", 0xffff'ffff);
    if (!position) return tl::unexpected(position.error());
    const auto expires_at = integer_field(*object, "expires_at_unix");
    if (!expires_at) return tl::unexpected(expires_at.error());
    const auto expires_in = integer_field(*object, "expires_in");
    if (!expires_in) return tl::unexpected(expires_in.error());
    return LeaseGrant{*lease, *position, *expires_at, *expires_in};
}

Expected<Returned> parse_returned(std::string_view body) {
    return bool_field(body, "returned").map([](bool yes) { return Returned{yes}; });
}

Expected<Deleted> parse_deleted(std::string_view body) {
    return bool_field(body, "deleted").map([](bool yes) { return Deleted{yes}; });
}

Expected<Version> parse_version(std::string_view body) {
    return string_field(body, "version").map([](std::string text) { return Version{std::move(text)}; });
}

Expected<ErrorBody> parse_error_body(std::string_view body) {
    return string_field(body, "error").map([](std::string text) { return ErrorBody{std::move(text)}; });
}

std::string to_json(const RegisterRequest& request) {
    return ordered_json{{"count", request.count}}.dump();
}

std::string to_json(const BorrowRequest& request) {
    return ordered_json{{"ttl", seconds(request.ttl)}, {"wait", seconds(request.wait)}}.dump();
}

std::string to_json(const ReturnRequest& request) {
    return ordered_json{{"lease", request.lease.str()}}.dump();
}

std::string to_json(const PoolState& state) {
    return ordered_json{{"id", state.id.str()},
                        {"count", state.count},
                        {"in_use", state.in_use},
                        {"available", state.available}}
        .dump();
}

std::string to_json(const LeaseGrant& grant) {
    std::string text;
    text.reserve(160);
    text += R"({"lease":")";
    text += grant.lease.str();
    text += R"(","position":)";
    append(text, grant.position);
    text += R"(,"expires_at_unix":)";
    append(text, grant.expires_at_unix);
    text += R"(,"expires_in":)";
    append(text, grant.expires_in);
    text += '}';
    return text;
}

std::string to_json(const Returned& answer) {
    return answer.returned ? R"({"returned":true})" : R"({"returned":false})";
}

std::string to_json(const Deleted& answer) {
    return ordered_json{{"deleted", answer.deleted}}.dump();
}

std::string to_json(const Version& answer) {
    return ordered_json{{"version", answer.version}}.dump();
}

std::string to_json(const ErrorBody& answer) {
    return ordered_json{{"error", answer.error}}.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace sema::wire
