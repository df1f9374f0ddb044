#include "cli/new_file.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace sema {
namespace {

namespace fs = std::filesystem;

fs::path folder_of(const fs::path& file) {
    return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

// The name under which /proc has what is open there.
std::string opened(int fd) {
    return "/proc/self/fd/" + std::to_string(fd);
}

// A new name in the folder outlives a power cut. Some file systems cannot do that, and need not.
void sync_folder(const fs::path& folder) {
    const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

}  // namespace

NewFile::NewFile(fs::path target) : target_(std::move(target)) {
    fd_ = open(folder_of(target_).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd_ >= 0 && access(opened(fd_).c_str(), F_OK) == 0) return;
    // The file system makes none without a name, or /proc is not there.
    if (fd_ >= 0) close(fd_);
    name_ = target_.string() + ".XXXXXX";
    fd_ = mkostemp(name_.data(), O_CLOEXEC);
}

NewFile::~NewFile() {
    if (fd_ < 0) return;
    close(fd_);
    if (!name_.empty()) unlink(name_.c_str());
}

bool NewFile::write(std::string_view bytes) {
    return write_all(fd_, bytes);
}

bool NewFile::give_name() {
    if (!name_.empty()) return true;
    const std::string name = target_.string() + "." + std::to_string(getpid());
    if (linkat(AT_FDCWD, opened(fd_).c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0) return false;
    name_ = name;
    return true;
}

bool NewFile::place() {
    if (fsync(fd_) != 0 || !give_name() || rename(name_.c_str(), target_.c_str()) != 0) return false;
    name_.clear();
    sync_folder(folder_of(target_));
    return true;
}

bool write_all(int descriptor, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

}  // namespace sema
