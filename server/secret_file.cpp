#include "server/secret_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <system_error>

namespace sema {
namespace {

// More than any secret of ours has, with a line's end and some white space.
constexpr std::size_t longest_line = 8192;

class File {
  public:
    explicit File(const std::string& path) : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
    ~File() {
        if (descriptor_ >= 0) ::close(descriptor_);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    bool is_open() const { return descriptor_ >= 0; }

    // The text up to the first line's end, or more. Nothing where it could not be read: errno tells why.
    std::optional<std::string> beginning() const {
        std::string text;
        while (text.find('\n') == text.npos && text.size() < longest_line) {
            std::array<char, 1024> bytes;
            const ssize_t size = ::read(descriptor_, bytes.data(), bytes.size());
            if (size == 0) break;
            if (size < 0 && errno != EINTR) return std::nullopt;
            if (size > 0) text.append(bytes.data(), static_cast<std::size_t>(size));
        }
        return text;
    }

    bool is_exposed() const {
        struct stat info {};
        if (::fstat(descriptor_, &info) != 0) return false;
        // A file of root's that this user's group may read is how a service is given a secret.
        const bool by_group = info.st_uid == ::geteuid() && (info.st_mode & S_IRGRP) != 0;
        return by_group || (info.st_mode & S_IROTH) != 0;
    }

  private:
    int descriptor_;
};

std::string_view trimmed(std::string_view text) {
    constexpr const char* blank = " \t\r";
    const auto first = text.find_first_not_of(blank);
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

}  // namespace

Expected<Secret> read_secret(const std::string& path) {
    const File file(path);
    const auto text = file.is_open() ? file.beginning() : std::nullopt;
    if (!text) return failure(std::generic_category().message(errno));
    const std::string_view line = trimmed(std::string_view(*text).substr(0, text->find('\n')));
    if (line.empty()) return failure("its first line is empty");
    return Secret{std::string(line), file.is_exposed()};
}

}  // namespace sema
