#include "cli/dispatch/own_pool.hpp"

#include "common/given_text.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <tuple>
#include <utility>

namespace sema {
namespace {

namespace fs = std::filesystem;

constexpr int most_dispatchers = 1000;
// Of a file's name; a hash follows.
constexpr std::string_view file_prefix = "dispatch-";

std::string reason(int error) {
    return std::generic_category().message(error);
}

// FNV-1a with 64 bits: for the names of files, which reveal nothing of a pool.
std::string hash_of(const std::string& text) {
    std::uint64_t hash = 14695981039346656037U;
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
    std::array<char, 17> digits{};
    std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(hash));
    return digits.data();
}

std::string key_of(const fs::path& file) {
    std::error_code error;
    const fs::path real = fs::canonical(file, error);
    return (error ? file : real).string();
}

// A machine made from another one's image does not go on under its names. Empty where there is no such id.
std::string machine_id() {
    std::ifstream file("/etc/machine-id");
    std::string id;
    std::getline(file, id);
    return id;
}

Expected<void> make_folder(const fs::path& folder) {
    if (folder.empty())
        return failure(
            "there is no folder to keep what a dispatcher needs later (set HOME, XDG_STATE_HOME or "
            "STATE_DIRECTORY)");
    std::error_code error;
    if (fs::is_directory(folder, error)) return {};
    fs::create_directories(folder, error);
    if (error) return failure("cannot make " + folder.string() + ": " + error.message());
    fs::permissions(folder, fs::perms::owner_all, error);
    return {};
}

// Opens the file, makes it where there is none, and locks it, so that it is written once. -1, with errno,
// where that fails.
int open_locked(const fs::path& path, int flags, int operation) {
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, S_IRUSR | S_IWUSR);
    if (fd < 0) return -1;
    int locked = 0;
    do {
        locked = flock(fd, operation);
    } while (locked != 0 && errno == EINTR);
    if (locked == 0) return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

std::string text_in(int fd) {
    std::string text;
    std::array<char, 4096> part{};
    for (ssize_t length = 0;
         (length = pread(fd, part.data(), part.size(), static_cast<off_t>(text.size()))) > 0;)
        text.append(part.data(), static_cast<std::size_t>(length));
    return std::string(trimmed(text));
}

// What follows the id in the file of a dispatcher that exited: this, and a line for each task. One that was
// killed has written nothing.
constexpr const char* farewell = "exited";

std::optional<std::vector<std::string>> tasks_in(const std::string& text) {
    std::istringstream lines(text);
    std::string line;
    std::getline(lines, line);
    if (!std::getline(lines, line) || line != farewell) return std::nullopt;
    std::vector<std::string> tasks;
    while (std::getline(lines, line))
        tasks.push_back(line);
    return tasks;
}

// The id in a file that is locked: a new one is written where the file is empty.
Expected<std::string> id_in(int fd, const fs::path& path) {
    struct stat file {};
    if (fstat(fd, &file) != 0) return failure("cannot read " + path.string() + ": " + reason(errno));
    if (file.st_size > 0) {
        const std::string text = text_in(fd);
        const std::string id = text.substr(0, text.find('\n'));
        if (PoolId::parse(id)) return id;
        return failure(path.string() + " holds no UUID (restore it, or remove it to begin anew)");
    }
    const std::string made = PoolId::random().str();
    const std::string line = made + "\n";
    // A write that stops short sets none.
    errno = ENOSPC;
    if (pwrite(fd, line.data(), line.size(), 0) == static_cast<ssize_t>(line.size()) && fsync(fd) == 0)
        return made;
    const int error = errno;
    // Where this fails too the next one says that the file holds no UUID.
    std::ignore = ftruncate(fd, 0);
    return failure("cannot write " + path.string() + ": " + reason(error));
}

}  // namespace

fs::path state_folder() {
    const auto set = [](const char* name) { return environment_value(name).value_or(""); };
    if (const std::string folders = set("STATE_DIRECTORY"); !folders.empty())
        return folders.substr(0, folders.find(':'));
    if (const std::string base = set("XDG_STATE_HOME"); !base.empty()) return fs::path(base) / "semactl";
    if (const std::string home = set("HOME"); !home.empty()) return fs::path(home) / ".local/state/semactl";
    return {};
}

bool names_state(std::string_view word) {
    constexpr std::size_t digits = 16;
    if (word.rfind(file_prefix, 0) != 0) return false;
    const auto end = word.find_first_not_of("0123456789abcdef", file_prefix.size());
    const std::string_view rest = end == word.npos ? "" : word.substr(end);
    return word.size() - rest.size() == file_prefix.size() + digits &&
           (rest.empty() || rest.front() == '-') && rest.size() <= 4;
}

Expected<PoolId> own_pool(const fs::path& folder, const fs::path& file) {
    if (const auto made = make_folder(folder); !made) return tl::unexpected(made.error());
    const fs::path path = folder / (std::string(file_prefix) + hash_of(key_of(file)) + ".pool");
    const int fd = open_locked(path, O_CREAT, LOCK_EX);
    if (fd < 0) return failure("cannot open " + path.string() + ": " + reason(errno));
    const auto id = id_in(fd, path);
    close(fd);
    return id.map([](const std::string& text) { return *PoolId::parse(text); });
}

DispatcherName::DispatcherName(fs::path folder, const fs::path& file, const PoolId& pool)
    : folder_(std::move(folder)),
      begin_(std::string(file_prefix) + hash_of(key_of(file) + pool.str() + machine_id()) + "-") {
    if (const auto made = make_folder(folder_); !made) throw std::runtime_error(made.error().message);
    for (int number = 0; number < most_dispatchers; ++number) {
        const fs::path path = folder_ / (begin_ + std::to_string(number) + ".lock");
        const auto is_taken = take(path, true);
        if (!is_taken) throw std::runtime_error(is_taken.error().message);
        if (*is_taken) return;
    }
    throw std::runtime_error("too many dispatchers of one file: " + folder_.string() + " has their locks");
}

DispatcherName::~DispatcherName() {
    for (const Held& held : names_)
        close(held.lock);
}

Expected<bool> DispatcherName::take(const fs::path& path, bool may_make) {
    const int fd = open_locked(path, may_make ? O_CREAT : 0, LOCK_EX | LOCK_NB);
    if (fd < 0 && errno == EWOULDBLOCK) return false;
    if (fd < 0) return failure("cannot open " + path.string() + ": " + reason(errno));
    // The dispatcher that dropped it may have removed it between the opening and the lock.
    struct stat own {};
    struct stat named {};
    const bool is_there =
        fstat(fd, &own) == 0 && stat(path.c_str(), &named) == 0 && own.st_ino == named.st_ino;
    if (!is_there) {
        close(fd);
        return false;
    }
    const auto name = id_in(fd, path);
    if (!name) {
        if (fstat(fd, &own) == 0 && own.st_size == 0) unlink(path.c_str());
        close(fd);
        return tl::unexpected(name.error());
    }
    left_.push_back({*name, tasks_in(text_in(fd))});
    // Where it fails the death of this one will be taken for an exit.
    std::ignore = ftruncate(fd, static_cast<off_t>(name->size() + 1));
    names_.push_back({*name, path, fd});
    return true;
}

std::vector<DispatcherName::Left> DispatcherName::take_left() {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder_, error)) {
        const fs::path& path = entry.path();
        const bool is_lock = path.filename().string().rfind(begin_, 0) == 0 && path.extension() == ".lock";
        const bool is_own =
            std::any_of(names_.begin(), names_.end(), [&](const Held& held) { return held.path == path; });
        // One that is damaged says nothing of tasks, and hinders the dispatcher that is to have its name.
        if (is_lock && !is_own) static_cast<void>(take(path, false));
    }
    return std::exchange(left_, {});
}

void DispatcherName::leave(const std::vector<std::pair<std::string, std::string>>& tasks) {
    for (const Held& held : names_) {
        std::string text = std::string(farewell) + "\n";
        for (const auto& [name, line] : tasks)
            text += name == held.name ? line + "\n" : "";
        // Where it fails this one will be taken for killed.
        std::ignore = pwrite(held.lock, text.data(), text.size(), static_cast<off_t>(held.name.size() + 1));
    }
}

void DispatcherName::drop(const std::string& name) {
    const auto held =
        std::find_if(names_.begin() + 1, names_.end(), [&](const Held& one) { return one.name == name; });
    if (held == names_.end()) return;
    unlink(held->path.c_str());
    close(held->lock);
    names_.erase(held);
}

std::vector<std::string> DispatcherName::taken() const {
    std::vector<std::string> names;
    for (auto held = names_.begin() + 1; held != names_.end(); ++held)
        names.push_back(held->name);
    return names;
}

}  // namespace sema
