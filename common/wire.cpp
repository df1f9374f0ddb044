#include "common/wire.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <utility>

namespace sema::wire {
namespace {

// Ordered, so that an answer's keys stand in the order in which the reference lists them.
using Json = nlohmann::ordered_json;

// The library's own messages quote the text at fault, which may hold a lease's UUID: ours do not.
Expected<Json> parse_object(std::string_view body) {
    auto json = Json::parse(body.begin(), body.end(), nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) return failure("body is not valid JSON");
    if (!json.is_object()) return failure("body must be a JSON object");
    return json;
}

// The field as a count of something: a JSON integer in 0..max.
Expected<unsigned> unsigned_field(const Json& object, const char* name, unsigned max) {
    const auto field = object.find(name);
    if (field == object.end()) return failure(std::string(name) + " is required");
    const std::string out_of_range = std::string(name) + " out of range";
    if (field->is_number_unsigned()) {
        const auto value = field->get<std::uint64_t>();
        if (value > max) return failure(out_of_range);
        return static_cast<unsigned>(value);
    }
    if (field->is_number_integer()) return failure(out_of_range);
    // An integer too large for 64 bits arrives as a floating-point number.
    if (field->is_number_float() && std::abs(field->get<double>()) >= 9.2e18) return failure(out_of_range);
    return failure(std::string(name) + " must be an integer");
}

// The field as a number of seconds, without judging its sign.
Expected<double> seconds_field(const Json& field, const char* name) {
    if (!field.is_number()) return failure(std::string(name) + " must be a number of seconds");
    return field.get<double>();
}

Expected<std::int64_t> integer_field(const Json& object, const char* name) {
    const auto field = object.find(name);
    if (field == object.end() || !field->is_number_integer())
        return failure(std::string(name) + " is missing");
    return field->get<std::int64_t>();
}

Expected<bool> bool_field(std::string_view body, const char* name) {
    auto object = parse_object(body);
    if (!object) return tl::unexpected(object.error());
    const auto field = object->find(name);
    if (field == object->end() || !field->is_boolean()) return failure(std::string(name) + " is missing");
    return field->get<bool>();
}

Expected<std::string> string_field(std::string_view body, const char* name) {
    auto object = parse_object(body);
    if (!object) return tl::unexpected(object.error());
    const auto field = object->find(name);
    if (field == object->end() || !field->is_string()) return failure(std::string(name) + " is missing");
    return field->get<std::string>();
}

template <class AnyId>
Expected<AnyId> id_field(const Json& object, const char* name) {
    const auto field = object.find(name);
    if (field == object.end()) return failure(std::string(name) + " is required");
    if (field->is_string()) {
        if (auto id = AnyId::parse(field->template get_ref<const std::string&>())) return *id;
    }
    return failure(std::string(name) + " must be a UUID");
}

double seconds(Duration duration) {
    return std::chrono::duration<double>(duration).count();
}

}  // namespace

Expected<RegisterRequest> parse_register_request(std::string_view body, unsigned max_count) {
    return parse_object(body).and_then([&](const Json& object) {
        return unsigned_field(object, "count", max_count).map([](unsigned count) {
            return RegisterRequest{count};
        });
    });
}

Expected<BorrowRequest> parse_borrow_request(std::string_view body) {
    const auto object = parse_object(body);
    if (!object) return tl::unexpected(object.error());
    BorrowRequest request;

    const auto ttl = object->find("ttl");
    if (ttl == object->end()) return failure("ttl is required");
    const auto ttl_seconds = seconds_field(*ttl, "ttl");
    if (!ttl_seconds) return tl::unexpected(ttl_seconds.error());
    if (!(*ttl_seconds > 0)) return failure("ttl must be greater than 0");
    request.ttl = from_seconds(*ttl_seconds);

    if (const auto wait = object->find("wait"); wait != object->end()) {
        const auto wait_seconds = seconds_field(*wait, "wait");
        if (!wait_seconds) return tl::unexpected(wait_seconds.error());
        if (!(*wait_seconds >= 0)) return failure("wait must not be negative");
        request.wait = from_seconds(*wait_seconds);
    }
    return request;
}

Expected<ReturnRequest> parse_return_request(std::string_view body) {
    return parse_object(body).and_then([](const Json& object) {
        return id_field<LeaseId>(object, "lease").map([](LeaseId lease) { return ReturnRequest{lease}; });
    });
}

Expected<PoolState> parse_pool_state(std::string_view body) {
    const auto object = parse_object(body);
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
    const auto object = parse_object(body);
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
    return Json{{"count", request.count}}.dump();
}

std::string to_json(const BorrowRequest& request) {
    return Json{{"ttl", seconds(request.ttl)}, {"wait", seconds(request.wait)}}.dump();
}

std::string to_json(const ReturnRequest& request) {
    return Json{{"lease", request.lease.str()}}.dump();
}

std::string to_json(const PoolState& state) {
    return Json{{"id", state.id.str()},
                {"count", state.count},
                {"in_use", state.in_use},
                {"available", state.available}}
        .dump();
}

std::string to_json(const LeaseGrant& grant) {
    return Json{{"lease", grant.lease.str()},
                {"position", grant.position},
                {"expires_at_unix", grant.expires_at_unix},
                {"expires_in", grant.expires_in}}
        .dump();
}

std::string to_json(const Returned& answer) {
    return Json{{"returned", answer.returned}}.dump();
}

std::string to_json(const Deleted& answer) {
    return Json{{"deleted", answer.deleted}}.dump();
}

std::string to_json(const Version& answer) {
    return Json{{"version", answer.version}}.dump();
}

std::string to_json(const ErrorBody& answer) {
    return Json{{"error", answer.error}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace sema::wire
