#include "server/store/sqlite/copy.hpp"

#include "server/store/sqlite/format.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace sema::sqlite {
namespace {

namespace fs = std::filesystem;

// 256 KiB: copied in less time than most disks take for a commit.
constexpr int pages_per_piece = 64;
constexpr int all_pages = -1;

std::system_error system_error(const char* attempt) {
    return {errno, std::generic_category(), attempt};
}

/// A file for a copy, which is removed unless it gets its place.
class CopyFile {
  public:
    // Made for its owner alone.
    explicit CopyFile(const fs::path& beside)
        : name_(beside.string() + ".XXXXXX"), descriptor_(::mkostemp(name_.data(), O_CLOEXEC)) {
        if (descriptor_ < 0) throw system_error("cannot make a file for the copy");
    }
    ~CopyFile() {
        remove_name();
        ::close(descriptor_);
    }
    CopyFile(const CopyFile&) = delete;
    CopyFile& operator=(const CopyFile&) = delete;

    const std::string& name() const { return name_; }
    int descriptor() const { return descriptor_; }

    void remove_name() {
        if (!name_.empty()) ::unlink(name_.c_str());
        name_.clear();
    }

    void place(const fs::path& to) {
        if (::fsync(descriptor_) != 0) throw system_error("cannot store the copy");
        if (::rename(name_.c_str(), to.c_str()) != 0) throw system_error("cannot put the copy in its place");
        name_.clear();
        const fs::path folder = to.has_parent_path() ? to.parent_path() : fs::path(".");
        const int opened = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (opened < 0) return;
        ::fsync(opened);
        ::close(opened);
    }

  private:
    std::string name_;
    int descriptor_;
};

/// SQLite's own copying of one open database to another, whose content it replaces.
class Copying {
  public:
    Copying(const Database& from, const Database& to)
        : handle_(sqlite3_backup_init(to.raw(), "main", from.raw(), "main")) {
        if (!handle_) throw Failure(sqlite3_extended_errcode(to.raw()), sqlite3_errmsg(to.raw()));
    }
    ~Copying() { sqlite3_backup_finish(handle_); }
    Copying(const Copying&) = delete;
    Copying& operator=(const Copying&) = delete;

    /// True once all is copied.
    bool go_on(int pages) {
        const int code = sqlite3_backup_step(handle_, pages);
        if (code != SQLITE_OK && code != SQLITE_DONE) throw Failure(code, sqlite3_errstr(code));
        return code == SQLITE_DONE;
    }

  private:
    sqlite3_backup* handle_;
};

// A file that nobody knows yet need not survive a crash.
Database open_target(const CopyFile& file) {
    Database target = Database::open(file.name());
    target.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -256");
    return target;
}

/// Bytes of a file, for as long as this is there.
struct Mapping {
    Mapping(int descriptor, std::size_t size) : size_(size) {
        address_ = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor, 0);
        if (address_ == MAP_FAILED) throw system_error("cannot read the copy");
        text = {static_cast<const char*>(address_), size_};
    }
    ~Mapping() { ::munmap(address_, size_); }
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;

    std::string_view text;

  private:
    std::size_t size_;
    void* address_;
};

class FileCopy final : public StoreCopy {
  public:
    FileCopy(const Database& source, fs::path beside) : path_(std::move(beside)), file_(path_) {
        target_.emplace(open_target(file_));
        file_.remove_name();
        copying_.emplace(source, *target_);
    }

    Expected<bool> go_on() override {
        try {
            if (!copying_->go_on(pages_per_piece)) return false;
        } catch (const Failure& error) {
            return failure(describe(error, path_));
        }
        copying_.reset();
        target_.reset();
        if (!mark_as_copy(file_.descriptor())) return failure(system_error("cannot mark the copy").what());
        return true;
    }

    Expected<std::shared_ptr<const std::string_view>> bytes() const override {
        struct stat status {};
        if (::fstat(file_.descriptor(), &status) != 0)
            return failure(system_error("cannot read the copy").what());
        try {
            const auto mapping =
                std::make_shared<const Mapping>(file_.descriptor(), static_cast<std::size_t>(status.st_size));
            return std::shared_ptr<const std::string_view>(mapping, &mapping->text);
        } catch (const std::system_error& error) {
            return failure(error.what());
        }
    }

  private:
    const fs::path path_;
    CopyFile file_;
    std::optional<Database> target_;
    std::optional<Copying> copying_;
};

}  // namespace

std::unique_ptr<StoreCopy> begin_copy(const Database& source, const fs::path& beside) {
    return std::make_unique<FileCopy>(source, beside);
}

void copy_to_file(const Database& source, const fs::path& to) {
    CopyFile file(to);
    {
        const Database target = open_target(file);
        Copying(source, target).go_on(all_pages);
    }
    if (!mark_as_copy(file.descriptor())) throw system_error("cannot mark the copy");
    file.place(to);
}

Database copy_to_memory(const Database& source) {
    Database target = Database::in_memory();
    Copying(source, target).go_on(all_pages);
    return target;
}

}  // namespace sema::sqlite
