// What wire.hpp reads of a client's requests.
#include "common/callback_field.hpp"
#include "common/fields.hpp"
#include "common/waiter_id.hpp"
#include "common/wire.hpp"

#include <limits>
#include <string>
#include <tuple>
#include <utility>

namespace sema::wire {
namespace {

using nlohmann::json;

constexpr unsigned any_number = 0xffff'ffff;
constexpr std::int64_t lowest_priority = -100;
constexpr std::int64_t highest_priority = 100;
constexpr std::size_t longest_name = 256;
constexpr std::size_t longest_url = 2048;
constexpr std::size_t longest_reason = 256;

Expected<std::optional<std::uint64_t>> fence_field(const Fields& object) {
    const auto& fence = object["fence"];
    if (!fence) return std::nullopt;
    return integer_in(*fence, "fence", 0, std::numeric_limits<std::int64_t>::max())
        .map([](std::int64_t number) -> std::optional<std::uint64_t> {
            return static_cast<std::uint64_t>(number);
        });
}

Expected<Duration> ttl_field(const Fields& object) {
    const auto& ttl = object["ttl"];
    if (!ttl) return failure("ttl is required");
    const auto number = seconds_field(*ttl, "ttl");
    if (!number) return tl::unexpected(number.error());
    if (!(*number > 0)) return failure("ttl must be greater than 0");
    return from_seconds(*number);
}

Expected<std::shared_ptr<const Holder>> holder_field(const json& field) {
    if (!field.is_object()) return failure("holder must be an object");
    Holder holder;
    for (const auto& [name, member, longest] :
         {std::tuple{"name", &Holder::name, longest_name}, {"url", &Holder::url, longest_url}}) {
        const auto found = field.find(name);
        if (found == field.end()) continue;
        auto text = text_field(*found, std::string("holder.") + name, longest);
        if (!text) return tl::unexpected(text.error());
        holder.*member = std::move(*text);
    }
    // An empty object is the same as no holder.
    if (holder == Holder{}) return nullptr;
    return std::make_shared<const Holder>(std::move(holder));
}

Expected<std::vector<Payload>> payloads_field(const json& field, unsigned count) {
    if (!field.is_array()) return failure("slots must be an array");
    if (field.size() != count) return failure("slots must have one entry for each of the pool's slots");
    std::vector<Payload> payloads;
    for (const json& entry : field) {
        if (!entry.is_string() && !entry.is_object())
            return failure("slots must hold strings or objects only");
        payloads.push_back(entry.dump());
    }
    return payloads;
}

// A setting in the body of a registration. `count` is how many slots the pool is to have.
Expected<std::string> read_request(const json& field, const Setting<std::string>& setting, unsigned) {
    return text_field(field, setting.field, setting.most);
}

Expected<bool> read_request(const json& field, const Setting<bool>& setting, unsigned) {
    if (!field.is_boolean()) return failure(std::string(setting.field) + " must be true or false");
    return field.get<bool>();
}

Expected<Duration> read_request(const json& field, const Setting<Duration>& setting, unsigned) {
    const std::string name = setting.field;
    const auto number = seconds_field(field, setting.field);
    if (!number) return tl::unexpected(number.error());
    if (!(*number >= 0)) return failure(name + " must not be negative");
    const Duration duration = from_seconds(*number);
    const auto days = std::chrono::floor<std::chrono::hours>(setting.most).count() / 24;
    if (duration > setting.most) return failure(name + " must be at most " + std::to_string(days) + " days");
    return duration;
}

template <SettingWord Word>
Expected<Word> read_request(const json& field, const Setting<Word>& setting, unsigned) {
    const auto word =
        field.is_string() ? parse_word<Word>(field.get_ref<const std::string&>()) : std::nullopt;
    if (!word) return failure(std::string(setting.field) + " must be " + choice_of<Word>());
    return *word;
}

Expected<std::vector<Payload>> read_request(const json& field, const Setting<std::vector<Payload>>&,
                                            unsigned count) {
    return payloads_field(field, count);
}

}  // namespace

Expected<RegisterRequest> parse_register_request(std::string_view body, unsigned max_count) {
    const auto object = std::apply(
        [body](const auto&... setting) {
            return parse_object(body, {"count", setting.field...});
        },
        pool_settings);
    if (!object) return tl::unexpected(object.error());
    const auto count = unsigned_field(*object, "count", max_count);
    if (!count) return tl::unexpected(count.error());
    RegisterRequest request{.count = *count};
    std::optional<Error> fault;
    for_each_setting([&](const auto& setting) {
        const auto& field = (*object)[setting.field];
        if (!field || fault) return;
        auto value = read_request(*field, setting, request.count);
        if (value) {
            request.settings.*setting.change = *std::move(value);
        } else {
            fault = value.error();
        }
    });
    if (fault) return tl::unexpected(*fault);
    return request;
}

Expected<BorrowRequest> parse_borrow_request(std::string_view body, unsigned max_count) {
    const auto object =
        parse_object(body, {"ttl", "wait", "lease", "slots", "priority", "holder", "callback"});
    if (!object) return tl::unexpected(object.error());
    BorrowRequest request;
    const auto ttl = ttl_field(*object);
    if (!ttl) return tl::unexpected(ttl.error());
    request.ttl = *ttl;

    if (const auto& wait = (*object)["wait"]) {
        const auto number = seconds_field(*wait, "wait");
        if (!number) return tl::unexpected(number.error());
        if (!(*number >= 0)) return failure("wait must not be negative");
        request.wait = from_seconds(*number);
    }
    if ((*object)["lease"]) {
        const auto lease = id_field<LeaseId>(*object, "lease");
        if (!lease) return tl::unexpected(lease.error());
        request.lease = *lease;
        request.extended = true;
    }
    if (const auto& slots = (*object)["slots"]) {
        const auto number = integer_in(*slots, "slots", 1, max_count);
        if (!number) return tl::unexpected(number.error());
        request.slots = static_cast<unsigned>(*number);
        request.extended = true;
    }
    if (const auto& priority = (*object)["priority"]) {
        const auto number = integer_in(*priority, "priority", lowest_priority, highest_priority);
        if (!number) return tl::unexpected(number.error());
        request.priority = static_cast<int>(*number);
        request.extended = true;
    }
    if (const auto& holder = (*object)["holder"]) {
        auto parsed = holder_field(*holder);
        if (!parsed) return tl::unexpected(parsed.error());
        request.holder = std::move(*parsed);
        request.extended = true;
    }
    if (const auto& callback = (*object)["callback"]) {
        auto parsed = callback_field(*callback);
        if (!parsed) return tl::unexpected(parsed.error());
        request.callback = std::make_shared<const Callback>(std::move(*parsed));
        request.extended = true;
    }
    return request;
}

Expected<ReturnRequest> parse_return_request(std::string_view body) {
    return parse_object(body, {"lease", "fence"}).and_then([](const Fields& object) {
        return id_field<LeaseId>(object, "lease").and_then([&](LeaseId lease) {
            return fence_field(object).map([&](auto fence) { return ReturnRequest{lease, fence}; });
        });
    });
}

Expected<KeepaliveRequest> parse_keepalive_request(std::string_view body) {
    return parse_object(body, {"lease", "ttl", "fence"}).and_then([](const Fields& object) {
        return id_field<LeaseId>(object, "lease").and_then([&](LeaseId lease) {
            return ttl_field(object).and_then([&](Duration ttl) {
                return fence_field(object).map([&](auto fence) {
                    return KeepaliveRequest{lease, ttl, fence};
                });
            });
        });
    });
}

Expected<ResizeRequest> parse_resize_request(std::string_view body) {
    const auto object = parse_object(body, {"by"});
    if (!object) return tl::unexpected(object.error());
    const auto& by = (*object)["by"];
    if (!by) return failure("by is required");
    constexpr std::int64_t most = any_number;
    return integer_in(*by, "by", -most, most).map([](std::int64_t number) { return ResizeRequest{number}; });
}

Expected<RevokeRequest> parse_revoke_request(std::string_view body) {
    const auto object = parse_object(body, {"position", "fence"});
    if (!object) return tl::unexpected(object.error());
    const auto position = unsigned_field(*object, "position", any_number);
    if (!position) return tl::unexpected(position.error());
    return fence_field(*object).map([&](auto fence) { return RevokeRequest{*position, fence}; });
}

Expected<SlotRequest> parse_slot_request(std::string_view body) {
    const auto object = parse_object(body, {"out", "reason"});
    if (!object) return tl::unexpected(object.error());
    const auto& out = (*object)["out"];
    if (!out) return failure("out is required");
    if (!out->is_boolean()) return failure("out must be true or false");
    SlotRequest request{.out = out->get<bool>()};
    if (const auto& reason = (*object)["reason"]) {
        auto text = text_field(*reason, "reason", longest_reason);
        if (!text) return tl::unexpected(text.error());
        request.reason = std::move(*text);
    }
    return request;
}

Expected<CancelRequest> parse_cancel_request(std::string_view body) {
    const auto object = parse_object(body, {"waiter"});
    if (!object) return tl::unexpected(object.error());
    const auto& field = (*object)["waiter"];
    if (!field) return failure("waiter is required");
    const auto waiter =
        field->is_string() ? parse_waiter(field->get_ref<const std::string&>()) : std::nullopt;
    if (!waiter) return failure("waiter must be 16 hex digits");
    return CancelRequest{*waiter};
}

Expected<Payload> parse_payload(std::string_view text) {
    // Checked on its own first: in the list below, a text like `1],"x":[2` would pass.
    if (!json::accept(text)) return failure("not valid JSON");
    // As the only entry of a list, it is read like those of a body, with the same bounds.
    return parse_object("{\"slots\":[" + std::string(text) + "]}", {"slots"})
        .and_then([](const Fields& object) { return payloads_field(*object["slots"], 1); })
        .map([](std::vector<Payload> payloads) { return std::move(payloads.front()); });
}

Payload payload_of(std::string_view text) {
    return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string payload_text(const Payload& payload) {
    const json value = json::parse(payload, nullptr, false);
    if (value.is_null()) return "";
    return value.is_string() ? value.get<std::string>() : payload;
}

}  // namespace sema::wire
