#include "cli/secret_ref.hpp"

#include "common/given_text.hpp"

#include <cerrno>
#include <fstream>
#include <system_error>

namespace sema {
namespace {

constexpr std::string_view from_env = "env:";
constexpr std::string_view from_file = "file:";
constexpr std::streamsize longest_beginning = 8192;

bool starts_with(std::string_view text, std::string_view prefix) {
    return text.substr(0, prefix.size()) == prefix;
}

}  // namespace

bool is_secret_ref(std::string_view text) {
    return starts_with(text, from_env) || starts_with(text, from_file);
}

Expected<std::string> fetch_secret(const std::string& text) {
    if (starts_with(text, from_env)) {
        const std::string name = text.substr(from_env.size());
        auto value = environment_value(name);
        if (!value) return failure("the variable " + name + " is not set");
        if (value->empty()) return failure("the variable " + name + " is empty");
        return *std::move(value);
    }
    const std::string path = text.substr(from_file.size());
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    // What is longer holds something else, and may have no end.
    std::string beginning(longest_beginning, '\0');
    file.read(beginning.data(), longest_beginning);
    const int error = errno;
    const std::string_view value =
        first_value(std::string_view(beginning).substr(0, static_cast<std::size_t>(file.gcount())));
    if (value.empty())
        return failure("cannot read " + path + ": " +
                       (error != 0 ? std::generic_category().message(error) : "it is empty"));
    return std::string(value);
}

}  // namespace sema
