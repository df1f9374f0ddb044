#include "common/wire.hpp"

#include "common/fields.hpp"

#include <array>
#include <charconv>
#include <initializer_list>
#include <limits>
#include <utility>

namespace sema::wire {
namespace {

using nlohmann::json;
// Its keys stay in the order in which the reference lists them.
using nlohmann::ordered_json;

constexpr unsigned any_number = 0xffff'ffff;
constexpr std::int64_t lowest_priority = -100;
constexpr std::int64_t highest_priority = 100;
constexpr std::size_t longest_name = 256;
constexpr std::size_t longest_url = 2048;

// For the most frequent answers: bodies of fixed shape, whose values need no escaping.
void append(std::string& text, std::int64_t number) {
    std::array<char, std::numeric_limits<std::int64_t>::digits10 + 2> digits;
    text.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
}

double seconds(Duration duration) {
    return std::chrono::duration<double>(duration).count();
}

// As a JSON integer where it is one.
ordered_json seconds_json(Duration duration) {
    if (duration == std::chrono::floor<std::chrono::seconds>(duration)) return whole_seconds(duration);
    return seconds(duration);
}

std::string dump(const ordered_json& value) {
    return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
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

ordered_json to_value(const Holder* holder) {
    if (!holder) return nullptr;
    ordered_json value = ordered_json::object();
    if (holder->name) value["name"] = *holder->name;
    if (holder->url) value["url"] = *holder->url;
    return value;
}

ordered_json to_value(const std::optional<std::int64_t>& number) {
    return number ? ordered_json(*number) : ordered_json(nullptr);
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

// Payloads are JSON already.
std::string joined(const std::vector<Payload>& payloads) {
    std::string text = "[";
    for (const Payload& payload : payloads) {
        if (text.size() > 1) text += ',';
        text += payload;
    }
    return text += ']';
}

std::string joined(const std::vector<unsigned>& positions) {
    std::string text = "[";
    for (const unsigned position : positions) {
        if (text.size() > 1) text += ',';
        append(text, position);
    }
    return text += ']';
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

Expected<std::vector<Payload>> read_request(const json& field, const Setting<std::vector<Payload>>&,
                                            unsigned count) {
    return payloads_field(field, count);
}

// A setting in an answer. Of another type than expected, it throws the library's exception.
void read_answer(const json& field, bool& value) {
    value = field.get<bool>();
}

// A text that is not there is `null`.
void read_answer(const json& field, std::string& value) {
    value = field.is_null() ? "" : field.get<std::string>();
}

// Of any length: another server's limit may be higher.
void read_answer(const json& field, Duration& value) {
    value = from_seconds(std::max(0.0, field.get<double>()));
}

void read_answer(const json& list, std::vector<Payload>& value) {
    for (const json& payload : list)
        value.push_back(payload.dump());
}

std::string setting_json(bool value) {
    return value ? "true" : "false";
}

std::string setting_json(const std::string& value) {
    return dump(value);
}

std::string setting_json(Duration value) {
    return dump(seconds_json(value));
}

std::string setting_json(const std::vector<Payload>& value) {
    return joined(value);
}

template <class Value>
void append(std::string& text, const Setting<Value>& setting, const Value& value) {
    text += std::string(",\"") + setting.field + "\":" + setting_json(value);
}

void append(std::string& text, const char* name, std::int64_t number) {
    text += name;
    append(text, number);
}

// An entry of a list, behind those that are there already.
void append(std::string& text, const PoolDetails::HolderEntry& entry) {
    if (text.back() != '[') text += ',';
    append(text, R"({"position":)", entry.position);
    text += R"(,"positions":)" + joined(entry.positions);
    text += R"(,"holder":)" + dump(to_value(entry.holder.get()));
    append(text, R"(,"granted_at_unix":)", entry.granted_at_unix);
    append(text, R"(,"expires_at_unix":)", entry.expires_at_unix);
    append(text, R"(,"expires_in":)", entry.expires_in);
    append(text, R"(,"fence":)", static_cast<std::int64_t>(entry.fence));
    text += '}';
}

void append(std::string& text, const PoolDetails::QueueEntry& entry) {
    if (text.back() != '[') text += ',';
    append(text, R"({"rank":)", static_cast<std::int64_t>(entry.rank));
    append(text, R"(,"slots":)", entry.slots);
    append(text, R"(,"priority":)", entry.priority);
    text += R"(,"holder":)" + dump(to_value(entry.holder.get()));
    append(text, R"(,"waiting_for":)", entry.waiting_for);
    if (entry.away) text += R"(,"away":true)";
    text += '}';
}

void append(std::string& text, const PoolList::Entry& pool) {
    if (text.back() != '[') text += ',';
    text += R"({"id":")" + pool.id.str() + R"(","name":)";
    text += pool.name.empty() ? "null" : dump(pool.name);
    append(text, R"(,"count":)", pool.count);
    append(text, R"(,"in_use":)", pool.in_use);
    append(text, R"(,"available":)", pool.available);
    append(text, R"(,"queue":)", static_cast<std::int64_t>(pool.queue));
    text += '}';
}

std::optional<std::int64_t> optional_integer(const json& field) {
    if (!field.is_number_integer()) return std::nullopt;
    return field.get<std::int64_t>();
}

// A holder in a list of an answer. One of another shape throws the library's exception.
std::shared_ptr<const Holder> holder_of(const json& entry) {
    const json& field = entry.at("holder");
    if (field.is_null()) return nullptr;
    Holder holder;
    if (field.contains("name")) holder.name = field["name"].get<std::string>();
    if (field.contains("url")) holder.url = field["url"].get<std::string>();
    return std::make_shared<const Holder>(std::move(holder));
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
    // A server that ignored it would leave the caller waiting for a callback that never comes.
    if ((*object)["callback"]) return failure("callback is not allowed on this server: use wait");
    return request;
}

Expected<ReturnRequest> parse_return_request(std::string_view body) {
    return parse_object(body, {"lease"}).and_then([](const Fields& object) {
        return id_field<LeaseId>(object, "lease").map([](LeaseId lease) { return ReturnRequest{lease}; });
    });
}

Expected<KeepaliveRequest> parse_keepalive_request(std::string_view body) {
    return parse_object(body, {"lease", "ttl"}).and_then([](const Fields& object) {
        return id_field<LeaseId>(object, "lease").and_then([&](LeaseId lease) {
            return ttl_field(object).map([&](Duration ttl) { return KeepaliveRequest{lease, ttl}; });
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
    return parse_object(body, {"position"}).and_then([](const Fields& object) {
        return unsigned_field(object, "position", any_number).map([](unsigned position) {
            return RevokeRequest{position};
        });
    });
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

Expected<PoolState> parse_pool_state(std::string_view body) {
    const auto object = parse_object(body, {"id", "count", "in_use", "available"});
    if (!object) return tl::unexpected(object.error());
    PoolState state;
    const auto id = id_field<PoolId>(*object, "id");
    if (!id) return tl::unexpected(id.error());
    state.id = *id;
    for (const auto& [name, member] : {std::pair{"count", &PoolState::count},
                                       {"in_use", &PoolState::in_use},
                                       {"available", &PoolState::available}}) {
        const auto value = unsigned_field(*object, name, any_number);
        if (!value) return tl::unexpected(value.error());
        state.*member = *value;
    }
    return state;
}

Expected<LeaseGrant> parse_lease_grant(std::string_view body) {
    const auto object = parse_object(body, {"lease", "position", "expires_at_unix", "expires_in", "positions",
                                            "fence", "slots", "granted_at_unix"});
    if (!object) return tl::unexpected(object.error());
    const auto lease = id_field<LeaseId>(*object, "lease");
    if (!lease) return tl::unexpected(lease.error());
    const auto position = unsigned_field(*object, "position", any_number);
    if (!position) return tl::unexpected(position.error());
    const auto expires_at = integer_field(*object, "expires_at_unix");
    if (!expires_at) return tl::unexpected(expires_at.error());
    const auto expires_in = integer_field(*object, "expires_in");
    if (!expires_in) return tl::unexpected(expires_in.error());
    LeaseGrant grant{*lease, *position, *expires_at, *expires_in};
    if (!(*object)["positions"]) return grant;
    try {
        LeaseGrant::Details details;
        details.positions = (*object)["positions"]->get<std::vector<unsigned>>();
        details.fence = (*object)["fence"].value().get<std::uint64_t>();
        read_answer((*object)["slots"].value(), details.slots);
        details.granted_at_unix = (*object)["granted_at_unix"].value().get<std::int64_t>();
        grant.details = std::move(details);
    } catch (const std::exception&) {
        return failure("positions, fence, slots or granted_at_unix is missing");
    }
    return grant;
}

Expected<BorrowRefused> parse_borrow_refused(std::string_view body) {
    const auto object = parse_object(body, {"error", "rank", "queue", "in_use", "count", "eta"});
    if (!object) return tl::unexpected(object.error());
    try {
        BorrowRefused answer;
        answer.error = (*object)["error"].value().get<std::string>();
        answer.rank = (*object)["rank"].value().get<std::size_t>();
        answer.queue = (*object)["queue"].value().get<std::size_t>();
        answer.in_use = (*object)["in_use"].value().get<unsigned>();
        answer.count = (*object)["count"].value().get<unsigned>();
        answer.eta = optional_integer((*object)["eta"].value());
        return answer;
    } catch (const std::exception&) {
        return failure("error, rank, queue, in_use, count or eta is missing");
    }
}

Expected<Returned> parse_returned(std::string_view body) {
    return bool_field(body, "returned").map([](bool yes) { return Returned{yes}; });
}

Expected<Deleted> parse_deleted(std::string_view body) {
    return bool_field(body, "deleted").map([](bool yes) { return Deleted{yes}; });
}

Expected<Renewed> parse_renewed(std::string_view body) {
    return bool_field(body, "renewed").and_then([&](bool yes) -> Expected<Renewed> {
        if (!yes) return Renewed{};
        return parse_lease_grant(body).map([](LeaseGrant lease) { return Renewed{std::move(lease)}; });
    });
}

Expected<Revoked> parse_revoked(std::string_view body) {
    return bool_field(body, "revoked").map([](bool yes) { return Revoked{yes}; });
}

Expected<Cancelled> parse_cancelled(std::string_view body) {
    return bool_field(body, "cancelled").map([](bool yes) { return Cancelled{yes}; });
}

Expected<PoolDetails> parse_pool_details(std::string_view body) {
    const auto state = parse_pool_state(body);
    if (!state) return tl::unexpected(state.error());
    const auto object = std::apply(
        [body](const auto&... setting) {
            return parse_object(body, {"holders", "queue", "eta", setting.field...});
        },
        pool_settings);
    if (!object) return tl::unexpected(object.error());
    try {
        PoolDetails view{
            .id = state->id, .count = state->count, .in_use = state->in_use, .available = state->available};
        // An earlier server may not have all of them.
        for_each_setting([&](const auto& setting) {
            if (const auto& field = (*object)[setting.field])
                read_answer(*field, view.settings.*setting.value);
        });
        for (const json& entry : (*object)["holders"].value()) {
            view.holders.push_back({.position = entry.at("position").get<unsigned>(),
                                    .positions = entry.at("positions").get<std::vector<unsigned>>(),
                                    .holder = holder_of(entry),
                                    .granted_at_unix = entry.at("granted_at_unix").get<std::int64_t>(),
                                    .expires_at_unix = entry.at("expires_at_unix").get<std::int64_t>(),
                                    .expires_in = entry.at("expires_in").get<std::int64_t>(),
                                    .fence = entry.at("fence").get<std::uint64_t>()});
        }
        for (const json& entry : (*object)["queue"].value()) {
            view.queue.push_back({.rank = entry.at("rank").get<std::size_t>(),
                                  .slots = entry.at("slots").get<unsigned>(),
                                  .priority = entry.at("priority").get<int>(),
                                  .holder = holder_of(entry),
                                  .waiting_for = entry.at("waiting_for").get<std::int64_t>(),
                                  .away = entry.value("away", false)});
        }
        view.eta = optional_integer((*object)["eta"].value());
        return view;
    } catch (const std::exception&) {
        return failure("the list of holders is not as it should be");
    }
}

Expected<PoolList> parse_pool_list(std::string_view body) {
    const auto object = parse_object(body, {"pools"});
    if (!object) return tl::unexpected(object.error());
    try {
        PoolList list;
        const json& pools = (*object)["pools"].value();
        // Iterating over `null` would yield an empty list.
        if (!pools.is_array()) return failure("pools must be an array");
        for (const json& entry : pools) {
            const auto id = PoolId::parse(entry.at("id").get_ref<const std::string&>());
            if (!id) return failure("id must be a UUID");
            const json& name = entry.at("name");
            list.pools.push_back({.id = *id,
                                  .name = name.is_string() ? name.get<std::string>() : "",
                                  .count = entry.at("count").get<unsigned>(),
                                  .in_use = entry.at("in_use").get<unsigned>(),
                                  .available = entry.at("available").get<unsigned>(),
                                  .queue = entry.at("queue").get<std::size_t>()});
        }
        return list;
    } catch (const std::exception&) {
        return failure("the list of pools is not as it should be");
    }
}

Expected<ServerVersion> parse_version(std::string_view body) {
    return string_field(body, "version").map([](std::string text) { return ServerVersion{std::move(text)}; });
}

Expected<ErrorBody> parse_error_body(std::string_view body) {
    const json object = json::parse(body, nullptr, false);
    if (object.is_object() && object.size() > 1 && !parse_borrow_refused(body))
        return failure("there are more keys than error");
    return string_field(body, "error").map([](std::string text) { return ErrorBody{std::move(text)}; });
}

std::string to_json(const RegisterRequest& request) {
    std::string text;
    append(text, R"({"count":)", request.count);
    for_each_setting([&](const auto& setting) {
        if (const auto& value = request.settings.*setting.change) append(text, setting, *value);
    });
    return text += '}';
}

std::string to_json(const BorrowRequest& request) {
    ordered_json body{{"ttl", seconds(request.ttl)}, {"wait", seconds(request.wait)}};
    if (!request.extended) return dump(body);
    if (request.lease) body["lease"] = request.lease->str();
    body["slots"] = request.slots;
    body["priority"] = request.priority;
    if (request.holder) body["holder"] = to_value(request.holder.get());
    return dump(body);
}

std::string to_json(const ReturnRequest& request) {
    return dump({{"lease", request.lease.str()}});
}

std::string to_json(const KeepaliveRequest& request) {
    return dump({{"lease", request.lease.str()}, {"ttl", seconds(request.ttl)}});
}

std::string to_json(const ResizeRequest& request) {
    return dump({{"by", request.by}});
}

std::string to_json(const RevokeRequest& request) {
    return dump({{"position", request.position}});
}

std::string to_json(const PoolState& state) {
    return dump({{"id", state.id.str()},
                 {"count", state.count},
                 {"in_use", state.in_use},
                 {"available", state.available}});
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
    if (grant.details) {
        text += R"(,"positions":)" + joined(grant.details->positions);
        text += R"(,"fence":)" + std::to_string(grant.details->fence);
        text += R"(,"slots":)" + joined(grant.details->slots);
        text += R"(,"granted_at_unix":)";
        append(text, grant.details->granted_at_unix);
    }
    text += '}';
    return text;
}

std::string to_json(const BorrowRefused& answer) {
    return dump({{"error", answer.error},
                 {"rank", answer.rank},
                 {"queue", answer.queue},
                 {"in_use", answer.in_use},
                 {"count", answer.count},
                 {"eta", to_value(answer.eta)}});
}

std::string to_json(const Returned& answer) {
    return answer.returned ? R"({"returned":true})" : R"({"returned":false})";
}

std::string to_json(const Deleted& answer) {
    return dump({{"deleted", answer.deleted}});
}

std::string to_json(const Renewed& answer) {
    if (!answer.lease) return R"({"renewed":false})";
    return R"({"renewed":true,)" + to_json(*answer.lease).substr(1);
}

std::string to_json(const Revoked& answer) {
    return dump({{"revoked", answer.revoked}});
}

std::string to_json(const Cancelled& answer) {
    return dump({{"cancelled", answer.cancelled}});
}

// There may be thousands of holders and waiters, so their entries are not built as values first.
std::string to_json(const PoolDetails& view) {
    std::string text = R"({"id":")" + view.id.str() + R"(","name":)";
    text += view.settings.name.empty() ? "null" : dump(view.settings.name);
    append(text, R"(,"count":)", view.count);
    append(text, R"(,"in_use":)", view.in_use);
    append(text, R"(,"available":)", view.available);
    for_each_setting([&](const auto& setting) {
        if (setting.is_shown) append(text, setting, view.settings.*setting.value);
    });
    text += R"(,"holders":[)";
    for (const auto& entry : view.holders)
        append(text, entry);
    text += R"(],"queue":[)";
    for (const auto& entry : view.queue)
        append(text, entry);
    text += R"(],"eta":)" + dump(to_value(view.eta)) + '}';
    return text;
}

std::string to_json(const PoolList& list) {
    PoolListWriter writer(list.pools.size());
    for (const auto& pool : list.pools)
        writer.add(pool);
    return std::move(writer).finish();
}

PoolListWriter::PoolListWriter(std::size_t expected) {
    // With a short name. In one piece, so that no long text is ever copied into a longer one.
    constexpr std::size_t usual_entry = 140;
    text_.reserve((expected + 1) * usual_entry);
    text_ = R"({"pools":[)";
}

void PoolListWriter::add(const PoolList::Entry& pool) {
    append(text_, pool);
}

std::string PoolListWriter::finish() && {
    text_ += "]}";
    return std::move(text_);
}

std::string to_json(const ServerVersion& answer) {
    return dump({{"version", answer.version}});
}

std::string to_json(const ErrorBody& answer) {
    return dump({{"error", answer.error}});
}

}  // namespace sema::wire
