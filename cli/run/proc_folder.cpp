#include "cli/run/proc_folder.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <sstream>

namespace sema {

ProcFolder::ProcFolder(const std::string& path)
    : fd_(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

ProcFolder::~ProcFolder() {
    if (fd_ >= 0) close(fd_);
}

int ProcFolder::open(const std::string& path) const {
    // Something may be mounted over a process's folder, too.
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC;
    how.resolve = RESOLVE_NO_XDEV;
    const long file = syscall(SYS_openat2, fd_, path.c_str(), &how, sizeof how);
    if (file >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(file);
    // Before Linux 5.6, or where a container refuses the call.
    return openat(fd_, path.c_str(), O_RDONLY | O_CLOEXEC);
}

std::string ProcFolder::content_of(const std::string& path) const {
    std::string content;
    const int file = open(path);
    if (file < 0) return content;
    std::array<char, 4096> bytes;
    for (ssize_t size; (size = read(file, bytes.data(), bytes.size())) > 0;)
        content.append(bytes.data(), static_cast<std::size_t>(size));
    close(file);
    return content;
}

std::optional<std::string> ProcFolder::why_unusable() const {
    std::array<char, 32> self{};
    const bool has_self = readlinkat(fd_, "self", self.data(), self.size() - 1) > 0;
    if (!has_self && faccessat(fd_, "stat", F_OK, 0) != 0) return "/proc is not mounted";
    // One number for each pid namespace, from that of /proc down to our own. Kernels before 4.1 do not say.
    std::istringstream status(content_of("self/status"));
    std::string line;
    while (std::getline(status, line) && line.rfind("NSpid:", 0) != 0) {
    }
    const bool is_ours = self.data() == std::to_string(getpid()) && line.find('\t') == line.rfind('\t');
    if (!is_ours) return "/proc is that of another pid namespace";
    return std::nullopt;
}

}  // namespace sema
