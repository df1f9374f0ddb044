#include "cli/secret_ref.hpp"

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <system_error>

namespace sema {
namespace {

constexpr std::string_view from_env = "env:";
constexpr std::string_view from_file = "file:";
constexpr std::size_t longest_line = 8192;

bool starts_with(std::string_view text, std::string_view prefix) {
    return text.substr(0, prefix.size()) == prefix;
}

std::string trimmed(const std::string& text) {
    constexpr const char* blank = " \t\r";
    const auto first = text.find_first_not_of(blank);
    if (first == std::string::npos) return "";
    return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

}  // namespace

bool is_secret_ref(std::string_view text) {
    return starts_with(text, from_env) || starts_with(text, from_file);
}

Expected<std::string> fetch_secret(const std::string& text) {
    if (starts_with(text, from_env)) {
        const std::string name = text.substr(from_env.size());
        const char* value = std::getenv(name.c_str());
        if (value == nullptr || *value == '\0') return failure("the variable " + name + " is not set");
        return trimmed(value);
    }
    const std::string path = text.substr(from_file.size());
    errno = 0;
    std::ifstream file(path);
    // One that is longer holds something else, and may have no end.
    std::string line;
    for (char c = 0; line.size() < longest_line && file.get(c) && c != '\n';)
        line += c;
    if (line.empty()) {
        const int error = errno;
        return failure("cannot read " + path + ": " +
                       (error != 0 ? std::generic_category().message(error) : "its first line is empty"));
    }
    return trimmed(line);
}

}  // namespace sema
