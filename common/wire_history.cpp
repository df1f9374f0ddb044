#include "common/wire_history.hpp"

#include "common/fields.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <utility>

namespace sema::wire {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr double per_second = 1000;

std::string dump(const ordered_json& value) {
    return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

// As an integer where it is one.
ordered_json rounded(double value) {
    const double whole = std::round(value * per_second);
    if (std::fmod(whole, per_second) == 0) return static_cast<std::int64_t>(whole / per_second);
    return whole / per_second;
}

ordered_json seconds(Duration duration) {
    return rounded(std::chrono::duration<double>(duration).count());
}

ordered_json seconds(const std::optional<Duration>& duration) {
    return duration ? seconds(*duration) : ordered_json(nullptr);
}

ordered_json text_or_null(const std::string& text) {
    return text.empty() ? ordered_json(nullptr) : ordered_json(text);
}

ordered_json to_value(const Holder* holder) {
    if (!holder) return nullptr;
    ordered_json value = ordered_json::object();
    if (holder->name) value["name"] = *holder->name;
    if (holder->url) value["url"] = *holder->url;
    return value;
}

void add(ordered_json& to, const WaitTimes& waits) {
    to["p50"] = seconds(waits.p50);
    to["p95"] = seconds(waits.p95);
    to["max"] = seconds(waits.max);
}

// What follows reads an answer. One of another shape throws the library's exception.

Duration duration_of(const json& field) {
    return from_seconds(std::max(0.0, field.get<double>()));
}

std::optional<Duration> optional_duration(const json& field) {
    return field.is_null() ? std::nullopt : std::optional(duration_of(field));
}

std::string text_of(const json& field) {
    return field.is_null() ? "" : field.get<std::string>();
}

std::shared_ptr<const Holder> holder_of(const json& field) {
    if (field.is_null()) return nullptr;
    Holder holder;
    if (field.contains("name")) holder.name = field["name"].get<std::string>();
    if (field.contains("url")) holder.url = field["url"].get<std::string>();
    return std::make_shared<const Holder>(std::move(holder));
}

std::optional<std::int64_t> kept_for_of(const Fields& object) {
    const auto& field = object["kept_for"];
    return field ? std::optional(field->get<std::int64_t>()) : std::nullopt;
}

WaitTimes waits_of(const json& field) {
    return {optional_duration(field.at("p50")), optional_duration(field.at("p95")),
            optional_duration(field.at("max"))};
}

const json& list_in(const Fields& object, const char* name) {
    // Iterating over `null` would yield an empty list.
    const json& list = object[name].value();
    (void)list.get_ref<const json::array_t&>();
    return list;
}

}  // namespace

std::string to_json(const PoolHistory& history) {
    ordered_json entries = ordered_json::array();
    for (const auto& entry : history.history) {
        entries.push_back({{"position", entry.position},
                           {"positions", entry.positions},
                           {"holder", to_value(entry.holder.get())},
                           {"fence", entry.fence},
                           {"waited", seconds(entry.waited)},
                           {"granted_at_unix", entry.granted_at_unix},
                           {"ended_at_unix", entry.ended_at_unix},
                           {"how", entry.how}});
    }
    ordered_json body = {{"id", history.id.str()}, {"name", text_or_null(history.name)}};
    if (history.kept_for) body["kept_for"] = *history.kept_for;
    body["history"] = std::move(entries);
    return dump(body);
}

std::string to_json(const PoolStatistics& statistics) {
    ordered_json body = {{"id", statistics.id.str()}, {"name", text_or_null(statistics.name)}};
    if (statistics.kept_for) body["kept_for"] = *statistics.kept_for;
    body["count"] = statistics.count;
    body["since_unix"] = statistics.since_unix;
    body["until_unix"] = statistics.until_unix;
    body["step"] = statistics.step;
    ordered_json& use = body["use"] = ordered_json::array();
    for (const auto& step : statistics.use) {
        use.push_back({{"at_unix", step.at_unix},
                       {"count", step.count},
                       {"in_use", rounded(step.in_use)},
                       {"queue", rounded(step.queue)}});
    }
    ordered_json& waits = body["waits"] = {{"granted", statistics.granted}};
    add(waits, statistics.waits);
    body["refusals"] = statistics.refusals;
    ordered_json& holders = body["holders"] = ordered_json::array();
    for (const auto& holder : statistics.holders) {
        holders.push_back({{"name", holder.name ? ordered_json(*holder.name) : ordered_json(nullptr)},
                           {"leases", holder.leases},
                           {"held", seconds(holder.held)}});
    }
    ordered_json& what_if = body["what_if"] = ordered_json::array();
    for (const auto& other : statistics.what_if) {
        ordered_json times = ordered_json::object();
        add(times, other.waits);
        what_if.push_back({{"count", other.count}, {"waits", times}, {"refusals", other.refusals}});
    }
    return dump(body);
}

Expected<PoolHistory> parse_pool_history(std::string_view body) {
    const auto object = parse_object(body, {"id", "name", "kept_for", "history"});
    if (!object) return tl::unexpected(object.error());
    const auto id = id_field<PoolId>(*object, "id");
    if (!id) return tl::unexpected(id.error());
    try {
        PoolHistory history{
            .id = *id, .name = text_of((*object)["name"].value()), .kept_for = kept_for_of(*object)};
        for (const json& entry : list_in(*object, "history")) {
            history.history.push_back({.position = entry.at("position").get<unsigned>(),
                                       .positions = entry.at("positions").get<std::vector<unsigned>>(),
                                       .holder = holder_of(entry.at("holder")),
                                       .fence = entry.at("fence").get<std::uint64_t>(),
                                       .waited = duration_of(entry.at("waited")),
                                       .granted_at_unix = entry.at("granted_at_unix").get<std::int64_t>(),
                                       .ended_at_unix = entry.at("ended_at_unix").get<std::int64_t>(),
                                       .how = entry.at("how").get<std::string>()});
        }
        return history;
    } catch (const std::exception&) {
        return failure("the history is not as it should be");
    }
}

Expected<PoolStatistics> parse_pool_statistics(std::string_view body) {
    const auto object = parse_object(body, {"id", "name", "kept_for", "count", "since_unix", "until_unix",
                                            "step", "use", "waits", "refusals", "holders", "what_if"});
    if (!object) return tl::unexpected(object.error());
    const auto id = id_field<PoolId>(*object, "id");
    if (!id) return tl::unexpected(id.error());
    try {
        PoolStatistics statistics{.id = *id,
                                  .name = text_of((*object)["name"].value()),
                                  .kept_for = kept_for_of(*object),
                                  .count = (*object)["count"].value().get<unsigned>(),
                                  .since_unix = (*object)["since_unix"].value().get<std::int64_t>(),
                                  .until_unix = (*object)["until_unix"].value().get<std::int64_t>(),
                                  .step = (*object)["step"].value().get<std::int64_t>()};
        for (const json& step : list_in(*object, "use")) {
            statistics.use.push_back({.at_unix = step.at("at_unix").get<std::int64_t>(),
                                      .count = step.at("count").get<unsigned>(),
                                      .in_use = step.at("in_use").get<double>(),
                                      .queue = step.at("queue").get<double>()});
        }
        const json& waits = (*object)["waits"].value();
        statistics.granted = waits.at("granted").get<std::size_t>();
        statistics.waits = waits_of(waits);
        statistics.refusals = (*object)["refusals"].value().get<std::size_t>();
        for (const json& holder : list_in(*object, "holders")) {
            const json& name = holder.at("name");
            statistics.holders.push_back(
                {.name = name.is_null() ? std::nullopt : std::optional(name.get<std::string>()),
                 .leases = holder.at("leases").get<std::size_t>(),
                 .held = duration_of(holder.at("held"))});
        }
        for (const json& other : list_in(*object, "what_if")) {
            statistics.what_if.push_back({.count = other.at("count").get<unsigned>(),
                                          .waits = waits_of(other.at("waits")),
                                          .refusals = other.at("refusals").get<std::size_t>()});
        }
        return statistics;
    } catch (const std::exception&) {
        return failure("the statistics are not as they should be");
    }
}

}  // namespace sema::wire
