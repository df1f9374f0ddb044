#pragma once

#include "common/durations.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

namespace sema {

/// What the borrower of one slot is given: the JSON text of a string or an object, without white space.
/// `null` for a slot that has none.
using Payload = std::string;

/// Which of the free slots a grant takes: those of the lowest positions, or those that are idle longest.
enum class Pick : std::uint8_t { lowest, idle };

/// A setting that is one of some words: their list, in the order of its enumeration. Wherever such a setting
/// is read or written it is its word.
template <class Word>
inline constexpr std::array<std::string_view, 0> words_of{};
template <>
inline constexpr std::array<std::string_view, 2> words_of<Pick>{"lowest", "idle"};

template <class Word>
concept SettingWord = std::is_enum_v<Word> && !words_of<Word>.empty();

template <SettingWord Word>
constexpr std::string_view word_of(Word value) {
    return words_of<Word>.at(static_cast<std::size_t>(value));
}
/// None for a word that is not one of them.
template <SettingWord Word>
constexpr std::optional<Word> parse_word(std::string_view text) {
    const auto found = std::find(words_of<Word>.begin(), words_of<Word>.end(), text);
    if (found == words_of<Word>.end()) return std::nullopt;
    return static_cast<Word>(found - words_of<Word>.begin());
}
/// All of them, for people: `lowest or idle`.
template <SettingWord Word>
std::string choice_of() {
    std::string text;
    for (const std::string_view word : words_of<Word>)
        text += (text.empty() ? "" : " or ") + std::string(word);
    return text;
}

/// What a pool has beside its count.
struct PoolSettings {
    /// A label for people; empty where there is none.
    std::string name{};
    /// For how long a slot rests before it is lent again.
    Duration cooldown{};
    bool renewable = true;
    /// By position. There may be more or fewer than slots.
    std::vector<Payload> payloads{};
    Pick pick = Pick::lowest;

    bool operator==(const PoolSettings&) const = default;
};

/// The settings that are to change. What is not there stays as it was.
struct SettingsChange {
    std::optional<std::string> name{};
    std::optional<Duration> cooldown{};
    std::optional<bool> renewable{};
    std::optional<std::vector<Payload>> payloads{};
    std::optional<Pick> pick{};
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
    Setting<Pick>{.field = "pick",
                  .value = &PoolSettings::pick,
                  .change = &SettingsChange::pick,
                  .column = "pick",
                  .row_place = 4,
                  .is_shown = true},
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
