#pragma once

#include "tests/support/program.hpp"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

namespace sema::test {

/// A program's clock that a test sets wrong. A sanitizer's library wants to be loaded before any other, so
/// this is not for programs that have one.
class WrongClock {
  public:
    explicit WrongClock(std::chrono::seconds by) { step(by); }
    /// From now on it is wrong by so much.
    void step(std::chrono::seconds by) const {
        std::ofstream(folder_.path() / "new") << by.count();
        std::filesystem::rename(folder_.path() / "new", folder_.path() / "seconds");
    }
    /// What the program is to be started with. `clock`: WRONG_CLOCK, or WRONG_BOOT_CLOCK.
    ProgramOptions options(const char* clock = "WRONG_CLOCK") const {
        ProgramOptions options;
        options.environment["LD_PRELOAD"] = WRONG_CLOCK_LIBRARY;
        options.environment[clock] = (folder_.path() / "seconds").string();
        return options;
    }

  private:
    TempDir folder_;
};

}  // namespace sema::test
