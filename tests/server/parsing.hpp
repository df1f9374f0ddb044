#pragma once

#include "server/options.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace sema::test {

inline Expected<Parsed> parse(std::vector<std::string> words) {
    std::vector<const char*> arguments = {"semad"};
    for (const std::string& word : words)
        arguments.push_back(word.c_str());
    return parse_options(static_cast<int>(arguments.size()), arguments.data());
}

inline Options options(std::vector<std::string> words) {
    auto parsed = parse(std::move(words));
    INFO((parsed ? "" : parsed.error().message));
    REQUIRE(parsed);
    return std::get<Options>(*parsed);
}

inline std::string refusal(std::vector<std::string> words) {
    const auto parsed = parse(std::move(words));
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().message.find('\n') == std::string::npos);
    return parsed.error().message;
}

/// A file of the repository.
inline std::string content(const std::string& path) {
    std::ifstream file(PROJECT_FOLDER + ("/" + path));
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    REQUIRE_FALSE(text.empty());
    return text;
}

/// A variable that is set in one scope.
class Variable {
  public:
    Variable(std::string name, const std::string& value) : name_(std::move(name)) {
        ::setenv(name_.c_str(), value.c_str(), 1);
    }
    ~Variable() { ::unsetenv(name_.c_str()); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

  private:
    std::string name_;
};

/// A configuration file.
class ConfigText {
  public:
    explicit ConfigText(const std::string& text) { std::ofstream(path()) << text; }
    std::string path() const { return (folder_.path() / "semad.toml").string(); }

  private:
    TempDir folder_;
};

}  // namespace sema::test
