#include "cli/run/command.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <system_error>

namespace sema {
namespace {

// 0 where the file can be executed, else the errno that says why not.
int why_not_executable(const std::string& path) {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) return errno;
    if (S_ISDIR(info.st_mode)) return EISDIR;
    if (!S_ISREG(info.st_mode)) return EACCES;
    return faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

std::string text_of(int error) {
    return std::generic_category().message(error);
}

bool means_absent(int error) {
    return error == ENOENT || error == ENOTDIR;
}

}  // namespace

ResolvedCommand resolve_command(const std::string& name, std::string_view search_path) {
    if (name.find('/') != std::string::npos) {
        const int error = why_not_executable(name);
        if (error == 0) return name;
        if (means_absent(error)) return CommandNotFound{name + ": " + text_of(error)};
        return CommandNotExecutable{name + ": " + text_of(error)};
    }

    std::optional<CommandNotExecutable> unusable;
    while (!name.empty()) {
        const auto end = search_path.find(':');
        std::string candidate(search_path.substr(0, end));
        if (candidate.empty()) candidate = ".";
        candidate.append("/").append(name);
        const int error = why_not_executable(candidate);
        if (error == 0) return candidate;
        // A directory that happens to have the command's name is no sign of a broken command.
        if (!means_absent(error) && error != EISDIR && !unusable)
            unusable = CommandNotExecutable{candidate + ": " + text_of(error)};
        if (end == std::string_view::npos) break;
        search_path.remove_prefix(end + 1);
    }
    if (unusable) return *unusable;
    return CommandNotFound{name + ": command not found"};
}

std::string current_search_path() {
    if (const char* path = std::getenv("PATH")) return path;
    std::string standard(confstr(_CS_PATH, nullptr, 0), '\0');
    confstr(_CS_PATH, standard.data(), standard.size());
    if (!standard.empty()) standard.pop_back();
    return standard;
}

std::vector<std::string> replace_token(std::vector<std::string> arguments, std::string_view token,
                                       std::string_view replacement) {
    if (token.empty()) return arguments;
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        std::string& argument = arguments[i];
        for (auto at = argument.find(token); at != std::string::npos;
             at = argument.find(token, at + replacement.size())) {
            argument.replace(at, token.size(), replacement);
        }
    }
    return arguments;
}

}  // namespace sema
