#include "cli/run/command.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>
#include <utility>

namespace sema {
namespace {

// 0 where the file can be executed, else the errno that says why not.
int why_not_executable(const std::string& path) {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) return errno;
    if (S_ISDIR(info.st_mode)) return EISDIR;
    if (!S_ISREG(info.st_mode)) return EACCES;
    int result = faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS);
    // Some containers refuse that call: an older one asks for the real user, who nearly always is the same.
    if (result != 0 && errno == EPERM) result = access(path.c_str(), X_OK);
    // No file's mode is a reason for that. The exec will show.
    return result == 0 || errno == EPERM ? 0 : errno;
}

std::string text_of(int error) {
    return std::generic_category().message(error);
}

// Whether the system has been taught more kinds of programs than its own (see binfmt_misc in the kernel's
// documentation): which files these are, only the system knows.
bool runs_foreign_programs() {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/sys/fs/binfmt_misc", error)) {
        const std::string name = entry.path().filename().string();
        if (name != "register" && name != "status") return true;
    }
    return false;
}

// The program that a script's first line names: what is between `#!` and the next blank.
std::string interpreter_of(const std::string& line) {
    const auto begin = line.find_first_not_of(" \t", 2);
    if (begin == std::string::npos) return "";
    return line.substr(begin, line.find_first_of(std::string(" \t\0", 3), begin) - begin);
}

// Why the system would refuse to execute a file that may be executed; none where it would not, or where
// that cannot be known.
std::optional<std::string> why_refused(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return std::nullopt;
    std::string line;
    std::getline(file, line);
    if (line.rfind("\x7f"
                   "ELF",
                   0) == 0)
        return std::nullopt;
    if (line.rfind("#!", 0) == 0) {
        const std::string interpreter = interpreter_of(line);
        const int error = why_not_executable(interpreter);
        if (error == 0) return std::nullopt;
        return "its interpreter '" + interpreter + "': " + text_of(error);
    }
    if (runs_foreign_programs()) return std::nullopt;
    return text_of(ENOEXEC) + " (a script begins with a line like #!/bin/sh)";
}

// The file, which may be executed, unless the system would refuse it all the same.
ResolvedCommand checked(const std::string& path) {
    if (auto why = why_refused(path)) return CommandNotExecutable{path + ": " + *why};
    return path;
}

bool means_absent(int error) {
    return error == ENOENT || error == ENOTDIR;
}

}  // namespace

ResolvedCommand resolve_command(const std::string& name, std::string_view search_path) {
    if (name.find('/') != std::string::npos) {
        const int error = why_not_executable(name);
        if (error == 0) return checked(name);
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
        if (error == 0) return checked(candidate);
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

std::vector<std::string> replace_tokens(
    std::vector<std::string> arguments,
    const std::vector<std::pair<std::string_view, std::string_view>>& replacements) {
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        std::string& argument = arguments[i];
        for (std::size_t at = 0; at < argument.size();) {
            const auto here = std::find_if(replacements.begin(), replacements.end(), [&](const auto& one) {
                return argument.compare(at, one.first.size(), one.first) == 0;
            });
            if (here == replacements.end()) {
                ++at;
                continue;
            }
            argument.replace(at, here->first.size(), here->second);
            at += here->second.size();
        }
    }
    return arguments;
}

std::vector<std::string> replace_token(std::vector<std::string> arguments, std::string_view token,
                                       std::string_view replacement) {
    if (token.empty()) return arguments;
    return replace_tokens(std::move(arguments), {{token, replacement}});
}

}  // namespace sema
