#pragma once

#include "common/durations.hpp"
#include "common/error.hpp"

// It takes long to compile: only for sources that read such files.
#include <toml++/toml.h>

#include <filesystem>
#include <string>
#include <string_view>

namespace sema {

/// Reads a file's text. The error names the file and the line.
Expected<toml::table> parse_toml(const std::string& text, const std::filesystem::path& path);

/// The file and the line where a node stands, as compilers write it.
std::string place_of(const std::filesystem::path& path, const toml::node& node);

/// A number of seconds, or a duration like "5m". The error goes on from the place; `name` is the key's.
Expected<Duration> read_duration(std::string_view name, const toml::node& node);

}  // namespace sema
