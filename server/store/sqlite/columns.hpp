#pragma once

#include "common/pool_settings.hpp"
#include "common/wire.hpp"
#include "server/store/sqlite/handle.hpp"
#include "server/store/store.hpp"

#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

/// How a column holds a value of ours.
namespace sema::sqlite {

inline std::int64_t to_sql(TimePoint time) {
    return time.time_since_epoch().count();
}

inline TimePoint time_point(std::int64_t microseconds) {
    return TimePoint(Duration(microseconds));
}

inline std::int64_t to_sql(std::uint64_t number) {
    return static_cast<std::int64_t>(number);
}

// A setting, as its column has it.
inline std::string_view to_column(const std::string& text) {
    return text;
}

inline std::int64_t to_column(bool flag) {
    return flag;
}

inline std::int64_t to_column(Duration duration) {
    return duration.count();
}

template <SettingWord Word>
std::string_view to_column(Word word) {
    return word_of(word);
}

// A line each. Payloads are JSON texts, which have no line breaks.
inline std::string to_column(const std::vector<Payload>& payloads) {
    std::string lines;
    for (const Payload& payload : payloads)
        lines += payload + '\n';
    return lines;
}

inline void from_column(const Row& row, int column, std::string& text) {
    text = row.text(column);
}

inline void from_column(const Row& row, int column, bool& flag) {
    flag = row.integer(column) != 0;
}

inline void from_column(const Row& row, int column, Duration& duration) {
    duration = Duration(row.natural(column));
}

template <SettingWord Word>
void from_column(const Row& row, int column, Word& value) {
    const auto word = parse_word<Word>(row.text(column));
    if (!word) Row::refuse(column);
    value = *word;
}

inline void from_column(const Row& row, int column, std::vector<Payload>& payloads) {
    std::istringstream stream(row.text(column));
    for (std::string line; std::getline(stream, line);) {
        if (!wire::parse_payload(line)) Row::refuse(column);
        payloads.push_back(line);
    }
}

}  // namespace sema::sqlite
