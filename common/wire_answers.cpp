// What wire.hpp reads of a server's answers.
#include "common/callback_field.hpp"
#include "common/fields.hpp"
#include "common/waiter_id.hpp"
#include "common/wire.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace sema::wire {
namespace {

using nlohmann::json;

constexpr unsigned any_number = 0xffff'ffff;

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

// A word that a later server may have is none of ours.
template <SettingWord Word>
void read_answer(const json& field, Word& value) {
    value = parse_word<Word>(field.get<std::string>()).value_or(value);
}

void read_answer(const json& list, std::vector<Payload>& value) {
    for (const json& payload : list)
        value.push_back(payload.dump());
}

// Earlier servers name none.
std::optional<std::uint64_t> waiter_of(const json& entry) {
    const auto field = entry.find("waiter");
    if (field == entry.end() || !field->is_string()) return std::nullopt;
    return parse_waiter(field->get_ref<const std::string&>());
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
        if (details.positions.empty()) return failure("positions is empty");
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

Expected<BorrowQueued> parse_borrow_queued(std::string_view body) {
    const auto object = parse_object(body, {"lease", "rank", "queue", "eta"});
    if (!object) return tl::unexpected(object.error());
    const auto lease = id_field<LeaseId>(*object, "lease");
    if (!lease) return tl::unexpected(lease.error());
    try {
        return BorrowQueued{.lease = *lease,
                            .rank = (*object)["rank"].value().get<std::size_t>(),
                            .queue = (*object)["queue"].value().get<std::size_t>(),
                            .eta = optional_integer((*object)["eta"].value())};
    } catch (const std::exception&) {
        return failure("rank, queue or eta is missing");
    }
}

Expected<Callback> parse_callback(std::string_view text) {
    return parse_object("{\"callback\":" + std::string(text) + "}", {"callback"})
        .and_then([](const Fields& object) -> Expected<Callback> {
            if (!object["callback"]) return failure("callback is missing");
            return callback_field(*object["callback"]);
        });
}

Expected<CallbackList> parse_callback_list(std::string_view body) {
    const auto object = parse_object(body, {"callbacks"});
    if (!object) return tl::unexpected(object.error());
    try {
        CallbackList list;
        const json& entries = (*object)["callbacks"].value();
        if (!entries.is_array()) return failure("callbacks must be an array");
        for (const json& entry : entries) {
            CallbackList::Entry read{.holder = holder_of(entry),
                                     .url = entry.at("url").get<std::string>(),
                                     .attempts = entry.at("attempts").get<unsigned>(),
                                     .next_attempt_in = optional_integer(entry.at("next_attempt_in")),
                                     .waiting_for = entry.at("waiting_for").get<std::int64_t>(),
                                     .expires_in = optional_integer(entry.at("expires_in"))};
            if (const auto rank = optional_integer(entry.at("rank")))
                read.rank = static_cast<std::size_t>(*rank);
            if (entry.at("last_error").is_string()) read.last_error = entry["last_error"].get<std::string>();
            list.callbacks.push_back(std::move(read));
        }
        return list;
    } catch (const std::exception&) {
        return failure("the list of callbacks is not as it should be");
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

Expected<SlotState> parse_slot_state(std::string_view body) {
    const auto object = parse_object(body, {"position", "out", "reason", "since_unix"});
    if (!object) return tl::unexpected(object.error());
    try {
        SlotState state{.position = (*object)["position"].value().get<unsigned>()};
        if (!(*object)["out"].value().get<bool>()) return state;
        state.out = SlotState::Out{(*object)["reason"].value().get<std::string>(),
                                   (*object)["since_unix"].value().get<std::int64_t>()};
        return state;
    } catch (const std::exception&) {
        return failure("position, out, reason or since_unix is missing");
    }
}

Expected<Cancelled> parse_cancelled(std::string_view body) {
    return bool_field(body, "cancelled").map([](bool yes) { return Cancelled{yes}; });
}

Expected<PoolDetails> parse_pool_details(std::string_view body) {
    const auto state = parse_pool_state(body);
    if (!state) return tl::unexpected(state.error());
    const auto object = std::apply(
        [body](const auto&... setting) {
            return parse_object(body, {"holders", "queue", "out", "resting", "eta", setting.field...});
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
                                  .away = entry.value("away", false),
                                  .callback = entry.value("callback", false),
                                  .waiter = waiter_of(entry),
                                  .eta = optional_integer(entry.value("eta", json()))});
        }
        for (const json& entry : (*object)["resting"].value_or(json::array())) {
            view.resting.push_back({.position = entry.at("position").get<unsigned>(),
                                    .until_unix = entry.at("until_unix").get<std::int64_t>()});
        }
        for (const json& entry : (*object)["out"].value_or(json::array())) {
            view.out.push_back({.position = entry.at("position").get<unsigned>(),
                                .out = SlotState::Out{entry.at("reason").get<std::string>(),
                                                      entry.at("since_unix").get<std::int64_t>()}});
        }
        view.eta = optional_integer((*object)["eta"].value());
        return view;
    } catch (const std::exception&) {
        return failure("the list of holders is not as it should be");
    }
}

Expected<SlotList> parse_slot_list(std::string_view body) {
    const auto object = parse_object(body, {"id", "slots"});
    if (!object) return tl::unexpected(object.error());
    const auto id = id_field<PoolId>(*object, "id");
    if (!id) return tl::unexpected(id.error());
    const auto& slots = (*object)["slots"];
    if (!slots || !slots->is_array()) return failure("slots must be an array");
    SlotList list{.id = *id};
    for (const json& payload : *slots)
        list.slots.push_back(payload.dump());
    return list;
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
                                  .queue = entry.at("queue").get<std::size_t>(),
                                  .oldest_wait = optional_integer(entry.value("oldest_wait", json()))});
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

}  // namespace sema::wire
