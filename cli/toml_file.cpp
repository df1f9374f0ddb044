#include "cli/toml_file.hpp"

#include "common/deep_key.hpp"
#include "common/given_text.hpp"

#include <cmath>

namespace sema {
namespace {

std::string place_of(const std::filesystem::path& path, const toml::source_region& region) {
    return path.string() + ":" + std::to_string(region.begin.line);
}

}  // namespace

std::string place_of(const std::filesystem::path& path, const toml::node& node) {
    return place_of(path, node.source());
}

Expected<toml::table> parse_toml(const std::string& text, const std::filesystem::path& path) {
    if (const auto line = line_of_deep_key(text)) {
        return failure(path.string() + ":" + std::to_string(*line) + ": a key has more than " +
                       std::to_string(most_key_parts) + " parts");
    }
    try {
        return toml::parse(text, path.string());
    } catch (const toml::parse_error& error) {
        return failure(place_of(path, error.source()) + ": " + std::string(error.description()));
    }
}

Expected<Duration> read_duration(std::string_view name, const toml::node& node) {
    if (const auto number = node.value<double>(); number && node.is_number()) {
        if (!(*number >= 0) || !std::isfinite(*number))
            return failure(std::string(name) + " must not be negative");
        return from_seconds(*number);
    }
    const auto* text = node.as_string();
    if (text == nullptr)
        return failure(std::string(name) + " must be a number of seconds or a duration like \"5m\"");
    return parse_duration(trimmed(text->get())).map_error([&](const Error& error) {
        return Error{std::string(name) + ": " + error.message};
    });
}

}  // namespace sema
