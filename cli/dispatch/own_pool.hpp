#pragma once

#include "common/error.hpp"
#include "common/ids.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sema {

/// Where dispatchers keep what has to outlive them: $STATE_DIRECTORY, or semactl's folder under
/// $XDG_STATE_HOME or ~/.local/state. Empty where no variable says anything.
std::filesystem::path state_folder();

/// Whether a word of a message is the name of a file in the state folder, which reveals nothing.
bool names_state(std::string_view word);

/// The pool of a dispatch file that names none: its UUID is made once, and kept in the folder, in a file that
/// is its owner's alone. Several processes that ask at the same time get the same one. An error where the
/// file holds something else: it is never written over.
Expected<PoolId> own_pool(const std::filesystem::path& folder, const std::filesystem::path& file);

/// The names under which one dispatcher is known. Each dispatcher of a file that lives has another one, and
/// when it is killed the next one of the machine gets it, by a lock that only a living process has.
class DispatcherName {
  public:
    /// Takes the first name that is free. Throws std::runtime_error where the folder cannot be written, or
    /// the file of the name holds something else.
    DispatcherName(std::filesystem::path folder, const std::filesystem::path& file, const PoolId& pool);
    ~DispatcherName();
    DispatcherName(const DispatcherName&) = delete;
    DispatcherName& operator=(const DispatcherName&) = delete;

    const std::string& own() const { return names_.front().name; }

    struct Left {
        std::string name;
        /// What leave() was given for that name. None where the other dispatcher was killed.
        std::optional<std::vector<std::string>> tasks{};
    };
    /// Takes the names that other dispatchers have left since: those that are new. At first that of the one
    /// that had its own name before is among them.
    std::vector<Left> take_left();
    /// For the dispatcher that takes its names next: this one exits, and leaves these tasks, each of one name
    /// and in one line.
    void leave(const std::vector<std::pair<std::string, std::string>>& tasks);
    /// A name that was taken is not needed any more.
    void drop(const std::string& name);
    /// Those that were taken.
    std::vector<std::string> taken() const;

  private:
    struct Held {
        std::string name;
        std::filesystem::path path;
        int lock = -1;
    };
    /// False where another one has it.
    Expected<bool> take(const std::filesystem::path& path, bool may_make);

    const std::filesystem::path folder_;
    const std::string begin_;
    /// The first is its own.
    std::vector<Held> names_;
    /// That take_left() has not given yet.
    std::vector<Left> left_;
};

}  // namespace sema
