#pragma once

#include "tests/e2e/semactl.hpp"
#include "tests/support/catch.hpp"

#include <string>
#include <utility>
#include <vector>

namespace sema::test {

using Words = std::vector<std::string>;

inline Words operator+(Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

/// A server with the pool `vsim` of one slot, and semactl to use it.
struct OneSlot {
    OneSlot() { REQUIRE(semactl({"register", "vsim", "--count", "1"}).status == 0); }
    ProgramOptions here() const {
        ProgramOptions options;
        options.directory = semactl.folder();
        return semactl.options(std::move(options));
    }

    RunningServer server;
    Semactl semactl{server.url()};
};

}  // namespace sema::test
