#include "server/secret_file.hpp"

#include "common/given_text.hpp"
#include "server/regular_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>

namespace sema {
namespace {

// More than any secret of ours has, with some white space around it.
constexpr std::size_t longest_beginning = 8192;

class File {
  public:
    explicit File(const std::string& path) : descriptor_(open_regular_file(path)) {}
    ~File() {
        if (descriptor_) ::close(*descriptor_);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    bool is_open() const { return descriptor_.has_value(); }

    // The error is the reason alone.
    Expected<std::string> beginning() const {
        if (!descriptor_) return tl::unexpected(descriptor_.error());
        std::string text;
        while (text.size() < longest_beginning) {
            std::array<char, 1024> bytes;
            const ssize_t size = ::read(*descriptor_, bytes.data(), bytes.size());
            if (size == 0) break;
            if (size < 0 && errno != EINTR) return failure(std::generic_category().message(errno));
            if (size > 0) text.append(bytes.data(), static_cast<std::size_t>(size));
        }
        return text;
    }

    bool is_exposed() const {
        struct stat info {};
        if (::fstat(*descriptor_, &info) != 0) return false;
        // A file of root's that this user's group may read is how a service is given a secret.
        const bool by_group = info.st_uid == ::geteuid() && (info.st_mode & S_IRGRP) != 0;
        return by_group || (info.st_mode & S_IROTH) != 0;
    }

  private:
    const Expected<int> descriptor_;
};

}  // namespace

Expected<Secret> read_secret(const std::string& path) {
    const File file(path);
    const auto text = file.beginning();
    if (!text) return tl::unexpected(text.error());
    const std::string_view value = first_value(*text);
    if (value.empty()) return failure("it is empty");
    return Secret{std::string(value), file.is_exposed()};
}

bool is_credential_of_another(const std::string& path) {
    return path.starts_with("/run/credentials/") && ::access(path.c_str(), R_OK) != 0;
}

bool is_exposed(const std::string& path) {
    const File file(path);
    return file.is_open() && file.is_exposed();
}

}  // namespace sema
