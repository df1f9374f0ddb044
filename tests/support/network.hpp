#pragma once

#include "tests/support/program.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace sema::test {

/// A network of machines that a test can break anywhere: a network namespace for each, connected by a bridge
/// in a namespace that the test itself moves to. Nothing of it is seen outside the test, or outlives it.
class Network {
  public:
    /// Null where this process may not make namespaces; then `why_not` says what was refused.
    /// REQUIRES: the test is single-threaded so far.
    static std::unique_ptr<Network> make(std::string& why_not);
    ~Network();
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

    /// A further machine. Returns its number: 0, 1...
    std::size_t add();
    const std::string& address(std::size_t machine) const { return machines_.at(machine).address; }
    /// What makes a program run on that machine.
    ProgramOptions on(std::size_t machine) const;

    /// As when the machine's cable is pulled out, and put in again.
    void unplug(std::size_t machine) const { link(machine, "down"); }
    void plug(std::size_t machine) const { link(machine, "up"); }
    /// What the first sends the second is lost on the way, or arrives again.
    void cut(std::size_t from, std::size_t to) const { route("add", from, to); }
    void mend(std::size_t from, std::size_t to) const { route("del", from, to); }

  private:
    struct Machine {
        int space = -1;
        std::string address;
    };

    Network() = default;
    void link(std::size_t machine, const std::string& state) const;
    void route(const std::string& change, std::size_t from, std::size_t to) const;

    std::vector<Machine> machines_;
};

}  // namespace sema::test
