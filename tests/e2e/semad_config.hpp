#pragma once

#include "tests/e2e/semad.hpp"
#include "tests/support/temp_dir.hpp"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

// What tests of semad's configuration file share.
namespace sema::test {

/// A configuration file of the test's own.
class ConfigFile {
  public:
    explicit ConfigFile(const std::string& text = "");

    /// Replaces all that stands in it.
    void write(const std::string& text) const;
    std::string path() const { return (folder_.path() / "semad.toml").string(); }
    /// `--config PATH`, and more options.
    std::vector<std::string> flags(std::vector<std::string> more = {}) const;

  private:
    TempDir folder_;
};

/// What `semad pools` says of each pool, by its name: its id. Throws where it fails.
std::map<std::string, std::string> declared_ids(const std::vector<std::string>& options);

/// Has semad read its settings anew, and waits until it logged `outcome`, which it had not logged before.
/// REQUIRES: it logs at level info.
void reload(RunningServer& server, const std::string& outcome = "the settings were read anew");

/// The same for a file that is wrong.
inline void reload_in_vain(RunningServer& server) {
    reload(server, "nothing was reloaded: ");
}

}  // namespace sema::test
