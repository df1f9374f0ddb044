#pragma once

#include "common/error.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

namespace sema {

/// Opens the file at `path` to be read, and returns its descriptor, which is the caller's to close. Nothing
/// that has no end, or that waits for a writer, is taken for a file. The error is the reason alone.
inline Expected<int> open_regular_file(const std::string& path) {
    // A pipe is not waited for.
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return failure(std::generic_category().message(errno));
    struct stat info {};
    const bool is_known = ::fstat(descriptor, &info) == 0;
    if (is_known && S_ISREG(info.st_mode)) return descriptor;
    ::close(descriptor);
    if (is_known && S_ISDIR(info.st_mode)) return failure(std::generic_category().message(EISDIR));
    return failure("it is not a regular file");
}

/// Whether that can be, for what is to read the file itself.
inline Expected<void> check_regular_file(const std::string& path) {
    return open_regular_file(path).map([](int descriptor) { ::close(descriptor); });
}

/// The path of a file that stands as `path` in the configuration `file`: a relative one begins in that one's
/// folder.
inline std::string beside(const std::string& file, const std::string& path) {
    return path.empty() ? path : (std::filesystem::path(file).parent_path() / path).string();
}

}  // namespace sema
