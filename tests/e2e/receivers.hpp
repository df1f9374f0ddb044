#pragma once

#include "tests/support/program.hpp"
#include "tests/support/reserved_port.hpp"

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace sema::test {

/// A receiver of callbacks that docs/callbacks has, or another program that says where it listens.
class Receiver {
  public:
    /// Each starts a job for a callback, which writes a line into jobs(): the lease, and what the receiver
    /// gives it beside that.
    enum class Kind { python, shell };
    static constexpr Kind kinds[] = {Kind::python, Kind::shell};

    /// `job` is a line of shell. Its working directory, and the receiver's, is folder().
    Receiver(Kind kind, const std::string& secret, const std::string& job, ProgramOptions options = {});
    /// One that prints `listening on URL`.
    explicit Receiver(std::vector<std::string> command, ProgramOptions options = {});

    const std::string& url() const { return url_; }
    std::filesystem::path folder() const { return folder_.path(); }
    Program& program() { return *program_; }

  private:
    void start(std::vector<std::string> command, ProgramOptions options);

    TempDir folder_;
    ReservedPort port_;
    std::unique_ptr<Program> program_;
    std::string url_;
};

/// What a receiver answered.
struct Answered {
    int status = 0;
    std::string head;
    std::string body;
};

/// A callback as semad would send it.
struct SignedCallback {
    std::string body;
    std::map<std::string, std::string> headers;

    /// With one signature for each secret. `age` is how long ago it was, in seconds.
    static SignedCallback make(const std::string& id, const std::string& body,
                               const std::vector<std::string>& secrets, int age = 0);
    Answered send_to(const std::string& url) const;
};

/// A secret as the Standard Webhooks have them.
std::string new_secret();

}  // namespace sema::test
