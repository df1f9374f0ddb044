#pragma once

#include <filesystem>
#include <memory>

namespace sema::test {

/// Stands between SQLite and the real files for as long as it lives: it remembers what a power cut would
/// have left of them, and fails on demand. Databases must be opened after it is made and closed before it
/// goes; one thread.
class FaultyDisk {
  public:
    FaultyDisk();
    FaultyDisk(const FaultyDisk&) = delete;
    FaultyDisk& operator=(const FaultyDisk&) = delete;
    ~FaultyDisk();

    /// Writes into `folder` what is certain to be found after a power cut at this moment: each file with
    /// the content of its last fsync, and without what was written to it since.
    void copy_what_survives(const std::filesystem::path& folder) const;

    /// From now on no write succeeds: with "no space left".
    void fill_up();
    /// From now on no fsync succeeds; what was written may or may not be on the disk.
    void fail_syncs();
    void heal();

    struct State;

  private:
    std::unique_ptr<State> state_;
};

}  // namespace sema::test
