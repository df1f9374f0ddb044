#pragma once

#include "common/durations.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

namespace sema {

/// What the borrower of one slot is given: the JSON text of a string or an object, without white space.
/// `null` for a slot that has none.
using Payload = std::string;

/// What a pool has beside its count.
struct PoolSettings {
    /// A label for people; empty where there is none.
    std::string name{};
    /// For how long a slot rests before it is lent again.
    Duration cooldown{};
    bool renewable = true;
    /// By position. There may be more or fewer than slots.
    std::vector<Payload> payloads{};

    bool operator==(const PoolSettings&) const = default;
};

/// The settings that are to change. What is not there stays as it was.
struct SettingsChange {
    std::optional<std::string> name{};
    std::optional<Duration> cooldown{};
    std::optional<bool> renewable{};
    std::optional<std::vector<Payload>> payloads{};
};

/// One setting, as all parts of the programs know it.
template <class Value>
struct Setting {
    /// Its key in the body of PUT, and in error texts.
    const char* field;
    Value PoolSettings::*value;
    std::optional<Value> SettingsChange::*change;
    /// Its column in SQLite's table `settings`.
    const char* column;
    /// Its place in a shared store's row of settings, from 0 on. A new setting gets the next one.
    unsigned row_place;
    /// Whether the answer of `holders` has it among the settings (it has the name in another place).
    bool is_shown = false;
    /// The longest text, in characters, or the longest time.
    std::conditional_t<std::is_same_v<Value, Duration>, Duration, std::size_t> most{};
};

/// The settings there are. In JSON they come in this order.
inline constexpr std::tuple pool_settings{
    Setting<std::string>{.field = "name",
                         .value = &PoolSettings::name,
                         .change = &SettingsChange::name,
                         .column = "name",
                         .row_place = 2,
                         .most = 256},
    Setting<bool>{.field = "renewable",
                  .value = &PoolSettings::renewable,
                  .change = &SettingsChange::renewable,
                  .column = "renewable",
                  .row_place = 1,
                  .is_shown = true},
    Setting<Duration>{.field = "cooldown",
                      .value = &PoolSettings::cooldown,
                      .change = &SettingsChange::cooldown,
                      .column = "cooldown_us",
                      .row_place = 0,
                      .is_shown = true,
                      // Longer than any device rests.
                      .most = std::chrono::hours(24 * 30)},
    Setting<std::vector<Payload>>{.field = "slots",
                                  .value = &PoolSettings::payloads,
                                  .change = &SettingsChange::payloads,
                                  .column = "payloads",
                                  .row_place = 3},
};

/// Calls `visit` with each Setting.
template <class Visit>
void for_each_setting(Visit visit) {
    std::apply([&](const auto&... setting) { (visit(setting), ...); }, pool_settings);
}

/// The settings after the change.
inline PoolSettings changed(PoolSettings settings, const SettingsChange& change) {
    for_each_setting([&](const auto& setting) {
        if (const auto& value = change.*setting.change) settings.*setting.value = *value;
    });
    return settings;
}

/// Whether any setting is to change.
inline bool is_any(const SettingsChange& change) {
    bool any = false;
    for_each_setting([&](const auto& setting) { any = any || (change.*setting.change).has_value(); });
    return any;
}

}  // namespace sema
