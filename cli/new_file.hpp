#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace sema {

/// A file that is its owner's alone, and takes the place of another one, or of none, once all of it is on the
/// disk. Until then nothing is changed, and nothing stays of it where it is given up. Calls that return false
/// leave the reason in errno.
class NewFile {
  public:
    explicit NewFile(std::filesystem::path target);
    ~NewFile();
    NewFile(const NewFile&) = delete;
    NewFile& operator=(const NewFile&) = delete;

    /// Where it could be made.
    bool is_open() const { return fd_ >= 0; }
    /// Adds to it.
    bool write(std::string_view bytes);
    /// Stores it, and puts it in its place.
    bool place();

  private:
    bool give_name();

    const std::filesystem::path target_;
    /// While it has one. A process that is killed leaves nothing behind of a file without a name.
    std::string name_;
    int fd_ = -1;
};

/// Writes all of it to the descriptor.
bool write_all(int descriptor, std::string_view bytes);

}  // namespace sema
