#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace sema::test {

/// A fresh folder of the test's own, removed with all that is in it at the end of its scope.
class TempDir {
  public:
    TempDir() : TempDir(std::filesystem::temp_directory_path()) {}
    explicit TempDir(const std::filesystem::path& parent) {
        std::string name = (parent / "sema-test-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr)
            throw std::system_error(errno, std::generic_category(), "mkdtemp " + name);
        path_ = name;
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

/// Where the data of another project's server are: in memory where that is plenty, since the disk that all
/// tests share may stand still for seconds. What outlives a kill does so there, too.
inline std::filesystem::path data_parent() {
    const std::filesystem::path memory = "/dev/shm";
    std::error_code none;
    const auto space = std::filesystem::space(memory, none);
    const bool is_fit =
        !none && space.available >= (std::uintmax_t{4} << 30) && ::access(memory.c_str(), W_OK | X_OK) == 0;
    return is_fit ? memory : std::filesystem::temp_directory_path();
}

}  // namespace sema::test
